// .npy: any bytes are an array or a message; an array that was read is written and read again to
// the same bytes.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct array a, again;
    struct problem p;
    char *bytes;
    int64_t n;
    if (!npy_parse(data, (int64_t)size, &a, &p))
        return 0;
    reader_touch(&a);
    if (npy_format(&a, &bytes, &n, &p)) {
        if (!npy_parse(bytes, n, &again, &p) || again.count != a.count ||
            memcmp(again.data, a.data, (size_t)(a.count * dtype_bytes(a.dtype))) != 0)
            abort();
        array_free(&again);
        free(bytes);
    }
    array_free(&a);
    return 0;
}
