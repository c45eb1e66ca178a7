// safetensors, and with it weights files and checkpoints: any bytes are tensors or a message.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arrays set;
    struct problem p;
    json_t *metadata;
    if (!safetensors_parse((const char *)data, (int64_t)size, &set, &metadata, &p))
        return 0;
    for (int64_t i = 0; i < set.n; i++)
        reader_touch(&set.at[i]);
    arrays_free(&set);
    json_decref(metadata);
    return 0;
}
