// What a weights file says of the data that it was trained on, compared with the program and the data of
// now: the types of the fields (`type.x` = "[3, 8, 8]"), the names of the classes in their order
// (`classes.kind`, folders of pictures or words of a column), the statistics. A class is a number to the
// network: the same number has to mean the same word. Files of other programs say nothing of their data,
// and nothing is compared.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

// The names of the classes of a field, as the file has them; false: it has none.
bool weights_classes(const json_t *metadata, int64_t raw, struct names *names) {
    char *key = memory_text("classes.%s", nr_program.raw[raw].name);
    const char *text = weights_text(metadata, key);
    json_t *list = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    *names = (struct names){0};
    if (json_is_array(list)) {
        *names = (struct names){(int64_t)json_array_size(list), memory_get((int64_t)json_array_size(list), sizeof(char *))};
        for (int64_t k = 0; k < names->n; k++) {
            const char *name = json_string_value(json_array_get(list, (size_t)k));
            names->at[k] = memory_text("%s", name ? name : "");
        }
    }
    json_decref(list);
    free(key);
    return names->n > 0;
}

// "`cat`, `dog`, .."
static const char *names_text(const struct names *names) {
    char text[200] = "";
    size_t at = 0;
    for (int64_t k = 0; k < names->n && at < 120; k++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s`%.30s`", k ? ", " : "", names->at[k]);
    return memory_text("%s%s", text, at < 120 ? "" : ", ..");
}

static void check_names(const json_t *metadata, const char *path, const struct dataset *d, int64_t raw) {
    const char *field = nr_program.raw[raw].name,
               *help = "give the data with the classes of the training, or train on this data";
    struct names had;
    const struct names *now = &d->classes[raw];
    bool named = weights_classes(metadata, raw, &had);
    if (!named && !now->n)
        return;
    if (!named)
        die_help(EXIT_content, help, "`%s` was trained with numbers for the classes of `%s`, this data has words: %s",
                 path, field, names_text(now));
    if (!now->n)
        die_help(EXIT_content, help, "`%s` was trained with words for the classes of `%s`: %s; this data has numbers",
                 path, field, names_text(&had));
    for (int64_t k = 0; k < had.n || k < now->n; k++)
        if (k >= had.n || k >= now->n || strcmp(had.at[k], now->at[k]) != 0)
            die_help(EXIT_content, help,
                     "`%s` was trained with the classes %s of `%s`, this data has %s: class %lld is `%s` there and `%s` here",
                     path, names_text(&had), field, names_text(now), (long long)k,
                     k < had.n ? had.at[k] : "", k < now->n ? now->at[k] : "");
}

// Only what was trained on data says what its classes were.
void weights_check_classes(const json_t *metadata, const char *path, const struct dataset *d) {
    for (int64_t i = 0; weights_text(metadata, "data") && i < nr_program.n_raw; i++)
        if (nr_program.raw[i].classes > 0)
            check_names(metadata, path, d, i);
}

// "[3, 8, 8] u8", of an axis that differs between samples `*`.
static char *type_text(const struct nr_field *f) {
    char text[200] = "[";
    size_t at = 1;
    for (int64_t k = 0; k < f->rank; k++) {
        bool own = f->bounded && f->bounded[k];
        at += (size_t)snprintf(text + at, sizeof text - at, own ? "%s*" : "%s%lld", k ? ", " : "", (long long)f->shape[k]);
    }
    return f->classes > 0 ? memory_text("%s], class(%lld)", text, (long long)f->classes) : memory_text("%s]", text);
}

void weights_add_fields(json_t *metadata) {
    for (int64_t i = 0; i < nr_program.n_raw; i++) {
        if (nr_program.raw[i].made || bounded_companion(&nr_program.raw[i]))
            continue;
        char *key = memory_text("type.%s", nr_program.raw[i].name);
        char *text = type_text(&nr_program.raw[i]);
        json_object_set_new(metadata, key, json_string(text));
        free(text);
        free(key);
    }
}

// The same, where `*` on either side is any extent: weights of a program with bounded axes serve one of
// fixed axes as well.
static bool types_fit(const char *a, const char *b) {
    while (*a && *b) {
        size_t n = strcspn(a, ",]"), k = strcspn(b, ",]");
        bool any = (n > 0 && a[n - 1] == '*') || (k > 0 && b[k - 1] == '*');
        if (!any && (n != k || strncmp(a, b, n) != 0))
            return false;
        a += n;
        b += k;
        if (*a != *b)
            return false;
        if (*a == ']')
            return strcmp(a, b) == 0;
        a += *a != 0;
        b += *b != 0;
    }
    return *a == *b;
}

// The program's fields are those that the weights were trained on, and so are the statistics of them.
void weights_check_fields(const struct weights *w) {
    for (int64_t i = 0; i < nr_program.n_raw; i++) {
        const struct nr_field *f = &nr_program.raw[i];
        char *key = memory_text("type.%s", f->name), *now = type_text(f);
        const char *had = weights_text(w->metadata, key);
        struct names names;
        if (had && !types_fit(had, now))
            die_help(EXIT_content, "use weights that this program trained, or the program as it was",
                     "`%s` was trained with `%s: %s`, the program has `%s: %s`", w->path, f->name, had, f->name, now);
        if (f->classes > 0 && weights_classes(w->metadata, i, &names) && names.n != f->classes)
            die(EXIT_content, "`%s` was trained with %lld classes of `%s`, %s; the program has `class(%lld)`", w->path,
                (long long)names.n, f->name, names_text(&names), (long long)f->classes);
        free(key);
        free(now);
    }
    for (int64_t i = 0; weights_text(w->metadata, "data") && i < nr_program.n_fitted; i++)
        if (!arrays_find(&w->set, nr_program.fitted[i].name))
            die_help(EXIT_content, "use weights that this program trained, or the program as it was",
                     "`%s` lacks `%s`, which the program measures of its training data", w->path, nr_program.fitted[i].name);
}
