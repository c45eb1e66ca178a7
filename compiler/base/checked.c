// Integer arithmetic that base.h does not inline.
#include "base.h"

int64_t gcd_i64(int64_t a, int64_t b) {
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
    uint64_t y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    while (y) {
        uint64_t r = x % y;
        x = y;
        y = r;
    }
    CHECK(x <= INT64_MAX, "gcd of the two least integers");
    return (int64_t)x;
}
