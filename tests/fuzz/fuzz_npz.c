// .npz: any bytes are a set of arrays or a message.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arrays set;
    struct problem p;
    if (!npz_parse(data, (int64_t)size, &set, &p))
        return 0;
    for (int64_t i = 0; i < set.n; i++)
        reader_touch(&set.at[i]);
    arrays_free(&set);
    return 0;
}
