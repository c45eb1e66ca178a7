// pictures("DIR"): folders of pictures, one folder a class. DIR/train/CLASS/* with DIR/validation
// (or DIR/val) and DIR/test beside it, or DIR/CLASS/*, where all are training samples; or a plain
// list, pictures("DIR", list = "list.csv"), with a line `FILE,CLASS` or `FILE,CLASS,SPLIT` for each
// picture. Classes are the sorted names.
//
// What is kept of a picture is its path and its class. It is decoded into a batch when the batch is
// read, by the threads of the pool or of the feed, so that a set may be larger than memory; a
// damaged file is found then and named.
#include "reading.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIZE_LIMIT = 32768 };

struct listing {
    struct reading *r;
    struct pictures *set;
    const char *root;
    struct names classes;
    int64_t capacity, others; // files that are no pictures
    bool numbered;            // classes of the list are numbers
};

// ---- arguments
static const struct nr_argument *argument(const struct nr_reader *reader, const char *name) {
    for (int64_t i = 0; i < reader->n_arguments; i++)
        if (reader->arguments[i].name && strcmp(reader->arguments[i].name, name) == 0)
            return &reader->arguments[i];
    return NULL;
}

int64_t pictures_size(const struct nr_reader *reader) {
    const struct nr_argument *size = argument(reader, "size");
    if (!size)
        return 0;
    if (size->text || !(size->number >= 1) || size->number > SIZE_LIMIT ||
        size->number != (double)(int64_t)size->number)
        die(EXIT_content, "`size` of reader `pictures` is a whole number from 1 to %d", SIZE_LIMIT);
    return (int64_t)size->number;
}

static int64_t check_field(const struct nr_reader *reader) {
    const struct nr_field *f = &nr_program.raw[reader->first_field];
    int64_t size = pictures_size(reader), channels = f->rank == 3 ? f->shape[0] : 1;
    char shape[160];
    if (reader->n_fields > 2 || (reader->n_fields == 2 && (f[1].classes == 0 || f[1].rank != 0)))
        die(EXIT_content, "reader `pictures` gives two fields, a picture and its `class(n)`");
    if (f->rank < 2 || f->rank > 3 || f->classes > 0 || (channels != 1 && channels != 3))
        die_help(EXIT_content, "declare it as [3, h, w], or as [1, h, w] for grey",
                 "field `%s` of reader `pictures` has the shape %s", f->name,
                 shape_text(shape, f->rank, f->shape));
    if (size && bounded_field(f))
        die_help(EXIT_content, "leave `size` out: pictures keep their own",
                 "`size = %lld` makes all pictures of one size, but `%s` takes any",
                 (long long)size, f->name);
    for (int64_t i = f->rank - 2; size && i < f->rank; i++)
        if (f->shape[i] > size)
            die_help(EXIT_content, "give a larger size, or a smaller field",
                     "pictures of a shorter side of `size = %lld` hold no field `%s` of %lldx%lld",
                     (long long)size, f->name, (long long)f->shape[f->rank - 1],
                     (long long)f->shape[f->rank - 2]);
    return size;
}

// ---- folders
static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

// The names in a folder, sorted, without hidden ones.
static struct names read_folder(const char *path) {
    struct names found = {0};
    int64_t capacity = 0;
    DIR *d = opendir(path);
    if (!d)
        die(EXIT_environment, "cannot read `%s`: %s", path, strerror(errno));
    errno = 0;
    for (struct dirent *e; (e = readdir(d)); errno = 0) {
        if (e->d_name[0] == '.')
            continue;
        if (found.n == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            char **more = memory_room(capacity, sizeof *more);
            if (found.n)
                memcpy(more, found.at, (size_t)found.n * sizeof *more);
            free(found.at);
            found.at = more;
        }
        found.at[found.n++] = memory_text("%s", e->d_name);
    }
    int error = errno;
    closedir(d);
    if (error)
        die(EXIT_environment, "cannot read `%s`: %s", path, strerror(error));
    if (found.n)
        qsort(found.at, (size_t)found.n, sizeof *found.at, compare_text);
    return found;
}

static void free_names(struct names *names) {
    for (int64_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
    *names = (struct names){0};
}

static bool is_picture(const char *name) {
    const char *end = strrchr(name, '.');
    return end && (strcasecmp(end, ".png") == 0 || strcasecmp(end, ".jpg") == 0 ||
                   strcasecmp(end, ".jpeg") == 0);
}

// ---- the list of pictures
// Takes `path`, which is relative to the root.
static void add_picture(struct listing *l, char *path, int64_t class) {
    struct pictures *set = l->set;
    if (set->n == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 1024;
        char **paths = memory_room(l->capacity, sizeof *paths);
        int32_t *classes = memory_room(l->capacity, sizeof *classes);
        if (set->n) {
            memcpy(paths, set->paths, (size_t)set->n * sizeof *paths);
            memcpy(classes, set->classes, (size_t)set->n * sizeof *classes);
        }
        free(set->paths);
        free(set->classes);
        set->paths = paths;
        set->classes = classes;
    }
    set->paths[set->n] = path;
    set->classes[set->n++] = (int32_t) class;
}

static int64_t find_class(const struct listing *l, const char *name) {
    char **found = l->classes.n ? bsearch(&name, l->classes.at, (size_t)l->classes.n,
                                          sizeof(char *), compare_text)
                                : NULL;
    return found ? found - l->classes.at : -1;
}

static void keep_folders(const char *path, struct names *names) {
    int64_t n = 0;
    for (int64_t i = 0; i < names->n; i++) {
        char *full = memory_text("%s/%s", path, names->at[i]);
        if (is_folder(full))
            names->at[n++] = names->at[i];
        else
            free(names->at[i]);
        free(full);
    }
    names->n = n;
}

// The pictures below root/folder, or below the root itself (folder NULL), are a split.
static void add_split(struct listing *l, const char *folder, int split) {
    char *path = folder ? memory_text("%s/%s", l->root, folder) : memory_text("%s", l->root);
    struct names classes = read_folder(path);
    int64_t before = l->set->n;
    keep_folders(path, &classes);
    for (int64_t c = 0; c < classes.n; c++) {
        char *inner = memory_text("%s/%s", path, classes.at[c]);
        int64_t class = find_class(l, classes.at[c]), had = l->set->n;
        if (class < 0)
            die(EXIT_content, "`%s` is no class of the training pictures", inner);
        struct names files = read_folder(inner);
        for (int64_t i = 0; i < files.n; i++)
            if (is_picture(files.at[i]))
                add_picture(l,
                            folder ? memory_text("%s/%s/%s", folder, classes.at[c], files.at[i])
                                   : memory_text("%s/%s", classes.at[c], files.at[i]),
                            class);
            else
                l->others++;
        if (l->set->n == had && split == NR_train)
            die(EXIT_content, "`%s` holds no pictures (.png, .jpg, .jpeg)", inner);
        free_names(&files);
        free(inner);
    }
    if (l->set->n == before)
        die(EXIT_content, "`%s` holds no folders with pictures", path);
    l->r->rows[split] = l->set->n - before;
    free_names(&classes);
    free(path);
}

static void list_folders(struct listing *l) {
    static const struct {
        const char *name;
        int split;
    } parts[] = {{"validation", NR_validation}, {"val", NR_validation}, {"test", NR_test}};
    char *train = memory_text("%s/train", l->root);
    bool parted = is_folder(train);
    const char *of_classes = parted ? train : l->root;
    l->classes = read_folder(of_classes);
    keep_folders(of_classes, &l->classes);
    if (l->classes.n == 0)
        die_help(EXIT_content, "one folder for each class is needed, with its pictures in it",
                 "`%s` holds no folders", of_classes);
    add_split(l, parted ? "train" : NULL, NR_train);
    for (size_t i = 0; parted && i < sizeof parts / sizeof *parts; i++) {
        char *path = memory_text("%s/%s", l->root, parts[i].name);
        if (is_folder(path) && l->r->rows[parts[i].split] == 0)
            add_split(l, parts[i].name, parts[i].split);
        free(path);
    }
    free(train);
}

// ---- a plain list
static void list_classes(struct listing *l, const struct table *t, const char *path) {
    double v;
    char **words = memory_get(t->rows, sizeof *words);
    int64_t n = 0;
    l->numbered = true;
    for (int64_t i = 0; i < t->rows; i++) {
        words[i] = t->cells[i * t->columns + 1];
        l->numbered = l->numbered && table_number(words[i], &v) && v >= 0 && v < 1e6 &&
                      v == (double)(int64_t)v;
    }
    qsort(words, (size_t)t->rows, sizeof *words, compare_text);
    for (int64_t i = 0; i < t->rows; i++)
        if (i == 0 || strcmp(words[i], words[n - 1]) != 0)
            words[n++] = words[i];
    l->classes = (struct names){n, memory_get(n, sizeof(char *))};
    for (int64_t i = 0; i < n; i++)
        l->classes.at[i] = memory_text("%s", words[i]);
    free(words);
}

static int split_of(const struct table *t, int64_t row, const char *path) {
    if (t->columns == 2)
        return NR_train;
    const char *name = t->cells[row * t->columns + 2];
    for (int s = 0; s < NR_n_splits; s++)
        if (strcmp(name, split_names[s]) == 0)
            return s;
    die(EXIT_content, "%s:%lld: `%s` is no split: train, validation and test are known", path,
        (long long)t->lines[row], name);
}

static void list_file(struct listing *l, const char *name) {
    struct table t;
    struct problem p;
    double v;
    char *path = memory_text("%s/%s", l->root, name);
    if (!locate_name_is_safe(name, &p) || !table_read(path, NULL, &t, &p))
        reading_die(&p, path);
    if (t.columns < 2 || t.columns > 3)
        die(EXIT_content,
            "%s:%lld: %lld columns; a list has FILE, CLASS and, where there are "
            "several, SPLIT",
            path, (long long)t.lines[0], (long long)t.columns);
    if (t.header && is_picture(t.header[0]))
        die_help(EXIT_content, "write classes as numbers everywhere, or nowhere",
                 "%s:%lld: class `%s` is a word, those below are numbers", path,
                 (long long)t.lines[0] - 1, t.header[1]);
    list_classes(l, &t, path);
    for (int s = 0; s < NR_n_splits; s++)
        for (int64_t row = 0; row < t.rows; row++) {
            const char *file = t.cells[row * t.columns], *class = t.cells[row * t.columns + 1];
            if (split_of(&t, row, path) != s)
                continue;
            if (!locate_name_is_safe(file, &p))
                die(EXIT_content, "%s:%lld: `%s` must be a path below `%s`", path,
                    (long long)t.lines[row], file, l->root);
            int64_t k = l->numbered && table_number(class, &v) ? (int64_t)v : find_class(l, class);
            if (l->r->reader->n_fields == 2 && k >= reading_field(l->r, 1)->classes)
                die(EXIT_content, "%s:%lld: class `%s` is outside `%s: class(%lld)`", path,
                    (long long)t.lines[row], class, reading_field(l->r, 1)->name,
                    (long long)reading_field(l->r, 1)->classes);
            add_picture(l, memory_text("%s", file), k);
            l->r->rows[s]++;
        }
    table_free(&t);
    free(path);
}

// ---- the reader
static void take_classes(struct listing *l) {
    struct reading *r = l->r;
    int64_t raw = r->reader->first_field + 1;
    struct array *a = &r->d->raw[raw];
    struct problem p;
    if (!l->numbered)
        reading_classes(r->d, raw, l->classes.n, (const char *const *)l->classes.at, l->root);
    if (!array_make(a, NR_i32, 1, &l->set->n, &p))
        die_problem(&p);
    memcpy(a->data, l->set->classes, (size_t)l->set->n * sizeof(int32_t));
    reading_fit(reading_field(r, 1), a, l->root);
}

void read_pictures(struct reading *r) {
    int64_t first = r->reader->first_field;
    const struct nr_argument *list = argument(r->reader, "list");
    struct pictures *set = memory_get(1, sizeof *set);
    struct listing l = {.r = r, .set = set};
    struct problem p;
    char *root;
    set->size = check_field(r->reader);
    if (!locate_directory(r->name, r->folder, &root, &p))
        die_problem(&p);
    l.root = set->root = root;
    if (list && !list->text)
        die(EXIT_content, "`list` of reader `pictures` is the name of a file");
    if (list)
        list_file(&l, list->text);
    else
        list_folders(&l);
    if (l.others)
        log_note("%lld files below `%s` are no pictures (.png, .jpg, .jpeg) and are left out",
                 (long long)l.others, root);
    r->d->late[first] = set;
    r->d->raw[first] = (struct array){.dtype = reading_field(r, 0)->dtype,
                                      .rank = 1 + reading_field(r, 0)->rank,
                                      .shape = {set->n}};
    shape_copy(r->d->raw[first].shape + 1, reading_field(r, 0)->rank, reading_field(r, 0)->shape);
    if (r->reader->n_fields == 2)
        take_classes(&l);
    free_names(&l.classes);
    free(set->classes);
    set->classes = NULL;
}

// ---- decoding
bool pictures_place(const struct array *rgba, int64_t size, const struct nr_field *f, void *to,
                    const char *path, struct problem *p) {
    return size ? image_fit(rgba, size, f, to, path, p) : image_to_field(rgba, f, to, path, p);
}

struct decoding {
    const struct pictures *set;
    const struct nr_field *field;
    int32_t *extents[2]; // where the heights and widths of a bounded field go, or NULL
    const int64_t *rows;
    char *to;
    int64_t bytes;
    struct problem *problems; // code 0: none
};

static void decode(void *const *context, int64_t begin, int64_t end) {
    const struct decoding *d = context[0];
    for (int64_t i = begin; i < end; i++) {
        struct array rgba;
        struct problem *p = &d->problems[i];
        char *path = memory_text("%s/%s", d->set->root, d->set->paths[d->rows[i]]);
        p->code = 0;
        if (bounded_field(d->field))
            memset(d->to + i * d->bytes, 0, (size_t)d->bytes);
        if (image_read(path, &rgba, p) &&
            pictures_place(&rgba, d->set->size, d->field, d->to + i * d->bytes, path, p) &&
            bounded_picture(d->field, rgba.shape, path, p)) {
            p->code = 0;
            for (int k = 0; k < 2; k++)
                if (d->extents[k])
                    d->extents[k][i] = (int32_t)rgba.shape[k];
        }
        array_free(&rgba);
        free(path);
    }
}

// Pictures `rows` into [n, ..] of the field; of several damaged ones the first is reported.
bool pictures_gather(const struct pictures *set, int64_t field, const int64_t *rows, int64_t n,
                     void *to, void *const *raw, struct problem *p) {
    const struct nr_field *f = &nr_program.raw[field];
    struct decoding d = {.set = set,
                         .field = f,
                         .rows = rows,
                         .to = to,
                         .bytes = dtype_bytes(f->dtype) * shape_count(f->rank, f->shape),
                         .problems = memory_get(n, sizeof *d.problems)};
    bool good = true;
    for (int64_t k = 0; raw && bounded_field(f) && k < 2; k++)
        if (f->bounded[f->rank - 2 + k])
            d.extents[k] = raw[f->bounded[f->rank - 2 + k] - 1];
    nr_parallel(decode, (void *const[]){&d}, n, 1);
    for (int64_t i = 0; i < n && good; i++)
        if (d.problems[i].code) {
            *p = d.problems[i];
            good = false;
        }
    free(d.problems);
    return good;
}

// ---- what a run remembers of them
struct hashing {
    const struct pictures *set;
    uint64_t *sums;
};

// A file that cannot be read is reported when it is decoded.
static void hash_files(void *const *context, int64_t begin, int64_t end) {
    const struct hashing *h = context[0];
    for (int64_t i = begin; i < end; i++) {
        struct problem p;
        char *data, *path = memory_text("%s/%s", h->set->root, h->set->paths[i]);
        int64_t n;
        h->sums[i] = UINT64_MAX;
        if (nf_load(path, INT64_C(1) << 40, &data, &n, &p)) {
            h->sums[i] = data_block_hash(data, (size_t)n) ^ (uint64_t)n * 0x9FB21C651E98DF25u;
            free(data);
        }
        free(path);
    }
}

// Of paths and contents: a picture that another one of the same size replaced is another set.
uint64_t pictures_hash(const struct pictures *set, uint64_t h) {
    struct hashing all = {set, memory_get(set->n, sizeof(uint64_t))};
    nr_parallel(hash_files, (void *const[]){&all}, set->n, 1);
    for (int64_t i = 0; i < set->n; i++) {
        for (const char *c = set->paths[i]; *c; c++)
            h = (h ^ (unsigned char)*c) * 0x9FB21C651E98DF25u;
        h = (h ^ all.sums[i]) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    free(all.sums);
    return h;
}
