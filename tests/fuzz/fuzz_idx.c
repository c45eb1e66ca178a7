// IDX, plain and gzip: any bytes are an array or a message.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct array a;
    struct problem p;
    char *path = reader_file(data, size);
    if (idx_read(path, &a, &p))
        reader_touch(&a);
    array_free(&a);
    return 0;
}
