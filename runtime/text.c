// Text that grows: printed into, put into byte by byte, or escaped for XML and HTML. Names come
// from programs, files and folders, so any bytes may come: what is no UTF-8, and what XML 1.0 does
// not allow even as a reference, becomes U+FFFD.
#include "report.h"

#include <stdlib.h>
#include <string.h>

static void need(struct text *t, int64_t n) {
    if (t->n + n + 1 <= t->capacity)
        return;
    int64_t capacity = 2 * t->capacity + n + 4096;
    char *more = memory_get(capacity, 1);
    if (t->n)
        memcpy(more, t->at, (size_t)t->n);
    free(t->at);
    t->at = more;
    t->capacity = capacity;
}

void text_add(struct text *t, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    need(t, n);
    vsnprintf(t->at + t->n, (size_t)n + 1, fmt, again);
    va_end(again);
    t->n += n;
}

void text_put(struct text *t, const void *data, int64_t n) {
    need(t, n);
    if (n > 0)
        memcpy(t->at + t->n, data, (size_t)n);
    t->n += n;
    t->at[t->n] = 0;
}

void text_free(struct text *t) {
    free(t->at);
    *t = (struct text){0};
}

// The bytes of the character at s, 0: it is none that XML may hold.
static int character(const unsigned char *s) {
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7F ? 1 : s[0] == '\t' || s[0] == '\n';
    int n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    uint32_t code = s[0] & (0xFFu >> (n + 1));
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3Fu);
    }
    bool shortest = code >= (n == 4 ? 0x10000u : n == 3 ? 0x800u : 0x80u);
    bool allowed =
        code <= 0x10FFFF && !(code >= 0xD800 && code < 0xE000) && (code & 0xFFFE) != 0xFFFE;
    return shortest && allowed ? n : 0;
}

static void put_character(struct text *t, const char *s, int n) {
    static const struct {
        char c;
        const char *as;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        if (*s == escapes[i].c) {
            text_add(t, "%s", escapes[i].as);
            return;
        }
    if (n > 0)
        text_put(t, s, n);
    else
        text_add(t, "\xEF\xBF\xBD");
}

static int64_t length(const char *s) {
    int64_t count = 0;
    for (; *s; count++) {
        int n = character((const unsigned char *)s);
        s += n ? n : 1;
    }
    return count;
}

void text_escape_cut(struct text *t, const char *s, int64_t most) {
    bool cut = length(s) > most;
    for (int64_t i = 0; *s && (!cut || i < most - 1); i++) {
        int n = character((const unsigned char *)s);
        put_character(t, s, n);
        s += n ? n : 1;
    }
    if (cut)
        text_add(t, "\xE2\x80\xA6");
}

void text_escape(struct text *t, const char *s) { text_escape_cut(t, s, INT64_MAX); }

json_t *json_text(const char *name) {
    if (!name)
        return json_null();
    json_t *plain = json_string(name);
    if (plain)
        return plain;
    struct text t = {0};
    for (const char *s = name; *s;) {
        size_t left = strlen(s);
        json_t *one = NULL;
        for (size_t n = 1; n <= 4 && n <= left && !one; n++) {
            one = json_stringn(s, n);
            if (one) {
                text_put(&t, s, (int64_t)n);
                s += n;
            }
        }
        if (!one) {
            text_add(&t, "\xEF\xBF\xBD");
            s++;
        }
        json_decref(one);
    }
    plain = json_string(t.at);
    text_free(&t);
    return plain;
}
