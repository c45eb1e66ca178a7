// .npz: a zip archive of .npy files, by libzip from and to memory. An entry's stated size is
// believed only as far as deflate can expand the bytes that are there. Archives are written without
// compression and with a fixed date, so that equal arrays make equal files.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { ENTRIES_LIMIT = 65536, DEFLATE_RATIO = 1040 };

static bool read_entry(zip_t *archive, zip_uint64_t i, uint64_t file_size, struct arrays *set,
                       struct problem *p) {
    zip_stat_t s;
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    if (zip_stat_index(archive, i, 0, &s) != 0 || (s.valid & needed) != needed)
        return problem_set(p, EXIT_content, "entry %llu is damaged", (unsigned long long)i);
    size_t length = strlen(s.name);
    if (length < 5 || strcmp(s.name + length - 4, ".npy") != 0)
        return problem_set(p, EXIT_content, "entry `%s` is no .npy file", s.name);
    uint64_t packed = s.comp_size < file_size ? s.comp_size : file_size;
    if (s.size > UINT64_C(1) << 40 || s.size / DEFLATE_RATIO > packed + 64)
        return problem_set(p, EXIT_content, "entry `%s` states an impossible size", s.name);
    char *data = memory_try((int64_t)s.size + 1, 1);
    if (!data)
        return problem_set(p, EXIT_environment, "out of memory for `%s`", s.name);
    struct array a = {0};
    zip_file_t *f = zip_fopen_index(archive, i, 0);
    bool good = f && zip_fread(f, data, s.size + 1) == (zip_int64_t)s.size;
    if (f && zip_fclose(f) != 0)
        good = false;
    if (!good)
        problem_set(p, EXIT_content, "entry `%s` is damaged", s.name);
    good = good && npy_parse(data, (int64_t)s.size, &a, p);
    free(data);
    if (!good)
        return false;
    a.name = memory_text("%.*s", (int)(length - 4), s.name);
    bool again = arrays_find(set, a.name);
    arrays_add(set, &a);
    return !again || problem_set(p, EXIT_content, "entry `%s` is there twice", s.name);
}

bool npz_parse(const void *data, int64_t n, struct arrays *set, struct problem *p) {
    zip_error_t e;
    *set = (struct arrays){0};
    zip_error_init(&e);
    zip_source_t *source = zip_source_buffer_create(data, (zip_uint64_t)n, 0, &e);
    zip_t *archive = source ? zip_open_from_source(source, ZIP_RDONLY, &e) : NULL;
    if (!archive) {
        problem_set(p, EXIT_content, "it is no .npz file: %s", zip_error_strerror(&e));
        zip_source_free(source);
        zip_error_fini(&e);
        return false;
    }
    zip_int64_t entries = zip_get_num_entries(archive, 0);
    bool good = entries <= ENTRIES_LIMIT ||
                problem_set(p, EXIT_content, "it has %lld entries", (long long)entries);
    for (zip_int64_t i = 0; good && i < entries; i++)
        good = read_entry(archive, (zip_uint64_t)i, (uint64_t)n, set, p);
    zip_discard(archive);
    if (!good)
        arrays_free(set);
    return good;
}

bool npz_read(const char *path, struct arrays *set, struct problem *p) {
    char *data;
    int64_t n;
    *set = (struct arrays){0};
    if (!nf_load(path, INT64_C(1) << 40, &data, &n, p))
        return false;
    bool good = npz_parse(data, n, set, p);
    free(data);
    return good || problem_of_file(p, path);
}

// ---- writing
static bool add_entry(zip_t *archive, const struct array *a, struct problem *p) {
    char *data;
    int64_t n;
    if (!npy_format(a, &data, &n, p))
        return false;
    char *name = memory_text("%s.npy", a->name);
    zip_source_t *source = zip_source_buffer(archive, data, (zip_uint64_t)n, 1); // frees data
    zip_int64_t i = source ? zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8) : -1;
    bool good = i >= 0 &&
                zip_set_file_compression(archive, (zip_uint64_t)i, ZIP_CM_STORE, 0) == 0 &&
                zip_file_set_dostime(archive, (zip_uint64_t)i, 0, 1 << 5 | 1, 0) == 0;
    if (!good)
        problem_set(p, EXIT_environment, "cannot make the archive: %s", zip_strerror(archive));
    if (i < 0)
        zip_source_free(source);
    free(name);
    return good;
}

static bool take_archive(zip_source_t *source, const char *path, struct problem *p) {
    zip_stat_t s;
    if (zip_source_stat(source, &s) != 0 || zip_source_open(source) != 0)
        return problem_set(p, EXIT_environment, "cannot make the archive `%s`", path);
    char *data = memory_try((int64_t)s.size, 1);
    bool good = data && zip_source_read(source, data, s.size) == (zip_int64_t)s.size;
    zip_source_close(source);
    good = good ? nf_save(path, data, s.size, p)
                : problem_set(p, EXIT_environment, "out of memory for the archive `%s`", path);
    free(data);
    return good;
}

bool npz_write(const char *path, const struct arrays *set, struct problem *p) {
    zip_error_t e;
    zip_error_init(&e);
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, &e);
    zip_t *archive = source ? zip_open_from_source(source, ZIP_TRUNCATE, &e) : NULL;
    if (!archive) {
        zip_source_free(source);
        zip_error_fini(&e);
        return problem_set(p, EXIT_environment, "out of memory for the archive `%s`", path);
    }
    zip_source_keep(source);
    bool good = true;
    for (int64_t i = 0; good && i < set->n; i++)
        good = add_entry(archive, &set->at[i], p);
    if (!good)
        zip_discard(archive);
    else if (zip_close(archive) != 0) {
        good = problem_set(p, EXIT_environment, "cannot make the archive `%s`: %s", path,
                           zip_strerror(archive));
        zip_discard(archive);
    }
    good = good && take_archive(source, path, p);
    zip_source_free(source);
    return good;
}
