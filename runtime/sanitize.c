// What generated code asks when it was built with `netc build --sanitize`: does all that a statement is about to touch
// lie in its buffer? Elements are counted from the beginning of the buffer. A miss is a fault of netc, whatever the
// program or the data; it ends the trainer with exit code 70 and says where.
//
// Under AddressSanitizer (a runtime built with NETC_SANITIZE) the memory behind each slot of an entry is looked at too.
#include "runtime.h"

#include <string.h>

// libasan's, where it is linked
__attribute__((weak)) void *__asan_region_is_poisoned(void *from, size_t bytes);

static void miss(const char *what, int64_t at, int64_t size) {
    die_help(EXIT_bug, "this is a bug in netc; please report it with the `.net` file that shows it",
             "%s reaches element %lld of %lld", what, (long long)at, (long long)size);
}

static void check(const char *what, int64_t size, int64_t at) {
    if (at < 0 || at >= size)
        miss(what, at, size);
}

void nr_check_lanes(const char *what, int64_t size, int64_t at, int64_t stride, int64_t lanes, int64_t mask,
                    const int64_t *offsets) {
    for (int64_t i = 0; i < lanes; i++)
        if ((uint64_t)mask >> i & 1)
            check(what, size, at + i * stride + (offsets ? offsets[i] : 0));
}

// Least and greatest of at + i * step, i < n, summed over four dimensions; nothing is touched where one has no element.
void nr_check_box(const char *what, int64_t size, int64_t at, int64_t n1, int64_t step1, int64_t n2, int64_t step2,
                  int64_t n3, int64_t step3, int64_t n4, int64_t step4) {
    const int64_t n[] = {n1, n2, n3, n4}, step[] = {step1, step2, step3, step4};
    int64_t low = at, high = at;
    for (int i = 0; i < 4; i++) {
        if (n[i] <= 0)
            return;
        int64_t way = (n[i] - 1) * step[i];
        low += way < 0 ? way : 0;
        high += way > 0 ? way : 0;
    }
    check(what, size, low);
    check(what, size, high);
}

void nr_check_places(const char *what, int64_t size, int64_t at, const int64_t *places, int64_t n, int64_t width) {
    for (int64_t i = 0; i < n; i++) {
        check(what, size, at + places[i]);
        check(what, size, at + places[i] + width - 1);
    }
}

void nr_check_memory(const char *what, void *memory, int64_t bytes) {
    if (!memory && bytes)
        die(EXIT_bug, "%s: there is no memory behind it", what);
    char *wrong = __asan_region_is_poisoned && bytes ? __asan_region_is_poisoned(memory, (size_t)bytes) : NULL;
    if (wrong)
        die(EXIT_bug, "%s: of %lld bytes the memory behind it has %lld", what, (long long)bytes,
            (long long)(wrong - (char *)memory));
}

// NaN as reals, -1 as integers.
void nr_poison(void *memory, int64_t bytes) { memset(memory, 0xFF, (size_t)bytes); }
