// What the pictures of a run are made of: checks of event records, escaped text, ticks, charts of
// awkward numbers, tables of bytes that are none, pictures in base64.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct nr_program nr_program = {.version = NR_VERSION, .name = "test", .source = "test.net"};

// Published values: RFC 3720, appendix B.4.
static void test_crc(void **state) {
    unsigned char bytes[32];
    assert_int_equal(events_crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(events_crc32c("", 0), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(events_crc32c(bytes, 32), 0x8A9136AAu);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(events_crc32c(bytes, 32), 0x62A8AB43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(events_crc32c(bytes, 32), 0x46DD794Eu);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(events_crc32c(bytes, 32), 0x113FDB5Cu);
}

static void expect_escaped(const char *text, int64_t most, const char *wanted) {
    struct text t = {0};
    text_escape_cut(&t, text, most);
    assert_string_equal(t.at ? t.at : "", wanted);
    text_free(&t);
}

static void test_escapes(void **state) {
    expect_escaped("a<b> & \"c\" 'd'", 99, "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
    expect_escaped("\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80", 99, "\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80");
    expect_escaped("a\x01" "b\x7F", 99, "a\xEF\xBF\xBD" "b\xEF\xBF\xBD");
    expect_escaped("\xC3", 99, "\xEF\xBF\xBD");                 // cut off
    expect_escaped("\xC0\xAF", 99, "\xEF\xBF\xBD\xEF\xBF\xBD"); // not the shortest form
    expect_escaped("\xED\xA0\x80", 99, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"); // half a pair
    expect_escaped("\xEF\xBF\xBE", 99, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"); // no character
    expect_escaped("\xF5\x80\x80\x80", 1, "\xE2\x80\xA6");
    expect_escaped("\xC3\xBC\xC3\xBC\xC3\xBC", 3, "\xC3\xBC\xC3\xBC\xC3\xBC");
    expect_escaped("\xC3\xBC\xC3\xBC\xC3\xBC&", 3, "\xC3\xBC\xC3\xBC\xE2\x80\xA6");
}

// Ticks lie in the range, stand at 1, 2 or 5 times a power of ten apart, and there are some.
static void test_ticks(void **state) {
    static const double ranges[][2] = {{0, 1},        {0.123, 0.131}, {-5, 1234},  {1, 10},
                                       {1e-9, 3e-9},  {-1e8, 1e9},    {0, 1e300},  {-3, -2.5},
                                       {0.1, 0.30001}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        double low = ranges[i][0], high = ranges[i][1], ticks[16];
        int n = svg_ticks(low, high, 6, false, ticks);
        assert_in_range(n, 2, 8);
        double step = ticks[1] - ticks[0], lead = step / pow(10, floor(log10(step) + 1e-6));
        assert_true(fabs(lead - 1) < 1e-6 || fabs(lead - 2) < 1e-6 || fabs(lead - 5) < 1e-6);
        for (int k = 0; k < n; k++)
            assert_true(ticks[k] >= low - 1e-6 * step && ticks[k] <= high + 1e-6 * step);
        for (int k = 1; k < n; k++)
            assert_true(fabs(ticks[k] - ticks[k - 1] - step) < 1e-6 * step);
    }
    double ticks[16];
    assert_int_equal(svg_ticks(1, 4, 8, true, ticks), 4); // whole numbers only
}

static int64_t count_of(const char *text, const char *part) {
    int64_t n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

static char *drawn(int64_t n, const double *y) {
    struct text t = {0};
    double *x = memory_get(n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)i + 1;
    struct chart c = {.title = "<loss>", .x_name = "epoch", .n = n, .x = x, .n_series = 1,
                      .series = {{"train", 0, y}}, .marked = -1};
    svg_chart(&t, &c);
    free(x);
    return t.at;
}

static void test_gaps(void **state) {
    const double y[] = {1, 2, NAN, 3, 4, INFINITY, 5}, nothing[] = {NAN, NAN}, same[] = {7, 7, 7};
    char *svg = drawn(7, y);
    const char *line = strstr(svg, "class=\"l s0\"");
    assert_non_null(line);
    char *end = strchr(line, '/');
    *end = 0;
    assert_int_equal(count_of(line, "M"), 3); // three pieces
    assert_int_equal(count_of(line, "L"), 2);
    free(svg);
    svg = drawn(2, nothing);
    assert_null(strstr(svg, "<circle"));
    free(svg);
    svg = drawn(3, same);
    assert_int_equal(count_of(svg, "<circle class=\"f0\""), 3);
    assert_non_null(strstr(svg, "&lt;loss&gt;"));
    free(svg);
}

// A spike of one epoch in 5,000 is a place of its own in the line, at the top of the plot.
static void test_thinning(void **state) {
    double *y = memory_get(5000, sizeof *y);
    for (int i = 0; i < 5000; i++)
        y[i] = 1 + 0.001 * sin(i);
    y[3333] = 9;
    char *svg = drawn(5000, y), *line = strstr(svg, "class=\"l s0\""), *end = strchr(line, '/');
    *end = 0;
    double least = 1e9;
    for (char *at = line; (at = strpbrk(at + 1, "ML"));) {
        double px, py;
        if (sscanf(at + 1, "%lf %lf", &px, &py) == 2)
            least = py < least ? py : least;
    }
    assert_true(least < 60 && least > 44);
    assert_true(count_of(line, "L") < 1700);
    free(svg);
    free(y);
}

// Any bytes: no crash, and what is accepted has as many numbers as it says.
static void test_tables_of_bytes(void **state) {
    static const char letters[] = "0123456789.,,,\n\n-+eEnaif x\xFF";
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        char text[200];
        int64_t n = 0, most = (int64_t)(x % sizeof text);
        for (; n < most; n++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[n] = letters[x % (sizeof letters - 1)];
        }
        struct metrics m;
        struct problem p = {0};
        if (!metrics_parse(text, n, &m, &p)) {
            assert_true(p.message[0]);
            continue;
        }
        volatile double sum = 0;
        for (int64_t i = 0; i < m.rows * m.columns; i++)
            sum = sum + m.values[i];
        metrics_kept(&m);
        metrics_free(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),      cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_ticks),    cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_thinning), cmocka_unit_test(test_tables_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
