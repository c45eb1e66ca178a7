// The name that the user may have meant: the least edit distance (insert, delete, change, swap of
// neighbours), at most a third of the name's length and at least one. Letter case costs nothing.
#include "base.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 64 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool same(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t distance(const char *x, size_t n, const char *y, size_t m) {
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++) last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = least(least(last[j], row[j - 1]) + 1, last[j - 1] + !same(x[i - 1], y[j - 1]));
            bool swapped = i > 1 && j > 1 && same(x[i - 1], y[j - 2]) && same(x[i - 2], y[j - 1]);
            row[j] = swapped ? least(d, before[j - 2] + 1) : d;
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

const char *near_name(const char *name, const char *const *candidates, size_t n) {
    size_t length = strlen(name);
    if (length == 0 || length > LONGEST) return NULL;
    size_t limit = length / 3 > 1 ? length / 3 : 1;
    const char *best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(candidates[i]);
        if (m > LONGEST || m + limit < length || length + limit < m) continue;
        size_t d = distance(name, length, candidates[i], m);
        if (d >= least(length, m)) continue;   // nothing in common
        if (d < limit || (d == limit && !best)) {
            best = candidates[i];
            limit = d;
        }
    }
    return best;
}
