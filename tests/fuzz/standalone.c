// Runs a fuzz target without libFuzzer: every seed, then mutations of seeds, the same ones for the
// same -seed. An input on which the target ends the process is kept as fuzz-crash in the current folder.
//
//   fuzz_NAME [-runs=N] [-seed=S] [-words=FILE] FILE|FOLDER...
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SEEDS = 4096, MAX_SIZE = 1 << 16 };

struct input {
    uint8_t *data;
    size_t n;
};
static struct input seeds[MAX_SEEDS];
static size_t n_seeds;
static uint8_t *volatile current;
static volatile size_t current_size;
static volatile bool running;

// Pieces that mutations put in: they reach further into a reader than random bytes do.
static const char *const pieces[] = {
    "\n", " ", "(", ")", "[", "]", "{", "}", ",", ";", "=", "<-", "->", "|>", "..", ".", ":", "~", "^", "-", "+", "*",
    "\"", "#", "\\", "0", "1e9", "1e999", "-1", "9223372036854775808", "4294967296", "not ", "if ", " else ", " over ",
    "sum[", " where ", "for i < 3 { ", "fn f(x) = ", "layer L(x: [n]) -> [n] { x }\n", "\xc3\xa9", "\xff", "true",
    "repeat up to ", "param ", " every ", "all",
};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static uint64_t state = 1;
static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void keep_crash(void) {
    if (!running) return;
    running = false;
    FILE *f = fopen("fuzz-crash", "wb");
    if (!f) return;
    fwrite(current, 1, current_size, f);
    fclose(f);
    fprintf(stderr, "the input is in fuzz-crash (%zu bytes)\n", (size_t)current_size);
}

static void on_signal(int number) {
    keep_crash();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(uint8_t *data, size_t n) {
    current = data;
    current_size = n;
    running = true;
    LLVMFuzzerTestOneInput(data, n);
    running = false;
}

static void add_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || n_seeds == MAX_SEEDS) {
        fprintf(stderr, "%s is left out\n", path);
        if (f) fclose(f);
        return;
    }
    struct input in = {malloc(MAX_SIZE), 0};
    if (!in.data) abort();
    in.n = fread(in.data, 1, MAX_SIZE, f);
    fclose(f);
    seeds[n_seeds++] = in;
}

static void add(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') add(below);
        free(names[i]);
    }
    if (n >= 0) free(names);
}

static void replace(struct input *in, size_t at, size_t drop, const uint8_t *with, size_t n) {
    if (at > in->n) at = in->n;
    if (drop > in->n - at) drop = in->n - at;
    if (in->n - drop + n > MAX_SIZE) return;
    memmove(in->data + at + n, in->data + at + drop, in->n - at - drop);
    if (n) memcpy(in->data + at, with, n);
    in->n = in->n - drop + n;
}

static void mutate(struct input *in) {
    static uint8_t copy[MAX_SIZE];
    size_t at = draw(in->n + 1), length = 1 + draw(32);
    uint8_t byte = (uint8_t)draw(256);
    const struct input *other = &seeds[draw(n_seeds)];
    const char *piece = pieces[draw(N_PIECES)];
    switch (draw(6)) {
    case 0: replace(in, at, 1, &byte, 1); break;
    case 1: replace(in, at, length, NULL, 0); break;
    case 2: replace(in, at, draw(2), (const uint8_t *)piece, strlen(piece)); break;
    case 3:
        if (length > in->n - at) length = in->n - at;
        memcpy(copy, in->data + at, length);
        replace(in, draw(in->n + 1), 0, copy, length);
        break;
    case 4: {
        size_t from = draw(other->n + 1);
        if (length > other->n - from) length = other->n - from;
        replace(in, at, 0, other->data + from, length);
        break;
    }
    case 5: {   // the same piece many times: nesting
        size_t n = strlen(piece), times = 1 + draw(300);
        while (times-- > 0) replace(in, at, 0, (const uint8_t *)piece, n);
        break;
    }
    }
}

int main(int argc, char **argv) {
    unsigned long runs = 1000;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0) {
            runs = strtoul(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "-seed=", 6) == 0) {
            state = strtoul(argv[i] + 6, NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
        } else {
            add(argv[i]);
        }
    }
    if (n_seeds == 0) seeds[n_seeds++] = (struct input){(uint8_t *)"", 0};
    atexit(keep_crash);
    for (int i = 0; i < 4; i++) signal((int[]){SIGSEGV, SIGABRT, SIGFPE, SIGBUS}[i], on_signal);
    for (size_t i = 0; i < n_seeds; i++) run(seeds[i].data, seeds[i].n);
    static uint8_t space[MAX_SIZE];
    for (unsigned long i = 0; i < runs; i++) {
        const struct input *from = &seeds[draw(n_seeds)];
        struct input in = {space, from->n};
        memcpy(space, from->data, from->n);
        for (uint64_t k = 1 + draw(4); k > 0; k--) mutate(&in);
        run(in.data, in.n);
    }
    printf("%zu seeds, %lu mutations\n", n_seeds, runs);
    return 0;
}
