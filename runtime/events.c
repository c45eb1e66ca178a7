// TensorBoard's event file: records of a length, its check, a message, its check, the numbers
// little endian, the checks CRC-32C, masked. A message is an `Event` in protobuf's wire format,
// written by hand, since four kinds of field are all it needs:
//
//     Event { 1 double wall_time; 2 int64 step; 3 string file_version; 5 Summary summary }
//     Summary { 1 repeated Value }
//     Value { 1 string tag; 2 float simple_value; 8 Tensor tensor; 9 SummaryMetadata metadata }
//     SummaryMetadata { 1 PluginData { 1 string plugin_name; 2 bytes content } }
//
// The hyperparameters are a message of the `hparams` plugin: HParamsPluginData { 3 SessionStartInfo
// { 1 repeated { 1 string key; 2 Value { 2 double number; 3 string text } }; 5 double start_time }
// }.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum wire { WIRE_varint = 0, WIRE_double = 1, WIRE_bytes = 2, WIRE_float = 5 };

// ---- CRC-32C, the polynomial 0x1EDC6F41 with its bits reversed
uint32_t events_crc32c(const void *data, size_t n) {
    const unsigned char *at = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}
uint32_t events_masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8u; }

// ---- protobuf
static void put_little(struct text *t, uint64_t v, int bytes) {
    unsigned char out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(v >> 8 * i);
    text_put(t, out, bytes);
}
static void put_varint(struct text *t, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        put_little(t, (v & 0x7F) | 0x80, 1);
    put_little(t, v, 1);
}
static void put_key(struct text *t, int field, enum wire wire) {
    put_varint(t, (uint64_t)field << 3 | (uint64_t)wire);
}

static void put_int(struct text *t, int field, int64_t v) {
    put_key(t, field, WIRE_varint);
    put_varint(t, (uint64_t)v);
}
static void put_double(struct text *t, int field, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_key(t, field, WIRE_double);
    put_little(t, bits, 8);
}
static void put_float(struct text *t, int field, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_key(t, field, WIRE_float);
    put_little(t, bits, 4);
}
static void put_bytes(struct text *t, int field, const void *data, int64_t n) {
    put_key(t, field, WIRE_bytes);
    put_varint(t, (uint64_t)n);
    text_put(t, data, n);
}
static void put_string(struct text *t, int field, const char *s) {
    put_bytes(t, field, s, (int64_t)strlen(s));
}
// The message `part` becomes a field and is empty again.
static void put_message(struct text *t, int field, struct text *part) {
    put_bytes(t, field, part->at ? part->at : "", part->n);
    part->n = 0;
}

static void put_record(struct text *t, const struct text *message) {
    struct text length = {0};
    put_little(&length, (uint64_t)message->n, 8);
    text_put(t, length.at, 8);
    put_little(t, events_masked(events_crc32c(length.at, 8)), 4);
    text_put(t, message->at, message->n);
    put_little(t, events_masked(events_crc32c(message->at, (size_t)message->n)), 4);
    text_free(&length);
}

// ---- the file's head
static void put_hyper(struct text *info, const char *name, const json_t *value) {
    struct text entry = {0}, v = {0};
    put_string(&entry, 1, name);
    if (json_is_string(value))
        put_string(&v, 3, json_string_value(value));
    else
        put_double(&v, 2, json_number_value(value));
    put_message(&entry, 2, &v);
    put_message(info, 1, &entry);
    text_free(&entry);
    text_free(&v);
}

static void put_hypers(struct text *summary, double wall, const json_t *config) {
    struct text info = {0}, data = {0}, plugin = {0}, metadata = {0}, value = {0}, tensor = {0};
    const char *name;
    const json_t *v;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(config, "hyperparameters"), name, v)
        put_hyper(&info, name, v);
    put_hyper(&info, "seed", json_object_get(config, "seed"));
    put_hyper(&info, "batch", json_object_get(config, "batch"));
    put_double(&info, 5, wall);
    put_message(&data, 3, &info);
    put_string(&plugin, 1, "hparams");
    put_message(&plugin, 2, &data);
    put_message(&metadata, 1, &plugin);
    put_string(&value, 1, "_hparams_/session_start_info");
    put_int(&tensor, 1, 1);                       // floats,
    put_bytes(&tensor, 2, "\x12\x02\x08\x00", 4); // none of them: one dimension of extent 0
    put_message(&value, 8, &tensor);
    put_message(&value, 9, &metadata);
    put_message(summary, 1, &value);
    text_free(&info);
    text_free(&data);
    text_free(&plugin);
    text_free(&metadata);
    text_free(&value);
    text_free(&tensor);
}

void events_head(struct text *t, double wall, const json_t *config) {
    struct text event = {0}, summary = {0};
    put_double(&event, 1, wall);
    put_string(&event, 3, "brain.Event:2");
    put_record(t, &event);
    event.n = 0;
    put_double(&event, 1, wall);
    put_hypers(&summary, wall, config);
    put_message(&event, 5, &summary);
    put_record(t, &event);
    text_free(&event);
    text_free(&summary);
}

// ---- an epoch: a scalar `loss/validation` for each measurement and split
void events_row(struct text *t, const struct metrics *m, int64_t row, double wall) {
    struct text event = {0}, summary = {0}, value = {0};
    const double *epoch = metrics_column(m, "epoch"), *seconds = metrics_column(m, "seconds");
    put_double(&event, 1, wall + (seconds ? seconds[row] : 0));
    put_int(&event, 2, epoch && fabs(epoch[row]) < 1e15 ? (int64_t)epoch[row] : row + 1);
    for (int64_t c = 0; c < m->columns; c++) {
        const char *measurement;
        int split = metrics_split(m->names[c], &measurement);
        if (split < 0)
            continue;
        char *tag = memory_text("%s/%s", measurement, split_names[split]);
        put_string(&value, 1, tag);
        put_float(&value, 2, (float)m->values[c * m->rows + row]);
        put_message(&summary, 1, &value);
        free(tag);
    }
    put_message(&event, 5, &summary);
    put_record(t, &event);
    text_free(&event);
    text_free(&summary);
    text_free(&value);
}
