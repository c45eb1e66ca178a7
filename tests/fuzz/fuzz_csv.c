// Tables of text: any bytes are rows of cells or a message; every cell is read as a number.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char *names[] = {"x", "kind"};
    static const struct names fields = {2, names};
    struct table t;
    struct problem p;
    char *text = memory_get((int64_t)size + 1, 1);
    double sum = 0, v;
    memcpy(text, data, size);
    if (!table_parse(text, (int64_t)size, "input", &fields, &t, &p))
        return 0;
    for (int64_t i = 0; i < t.rows * t.columns; i++)
        sum += table_number(t.cells[i], &v) ? v : (double)strlen(t.cells[i]);
    for (int64_t i = 0; i < t.n_class_names; i++)
        sum += (double)strlen(t.class_names[i]);
    for (int64_t i = 0; t.header && i < t.columns; i++)
        sum += (double)strlen(t.header[i]);
    reader_sink = sum;
    table_free(&t);
    return 0;
}
