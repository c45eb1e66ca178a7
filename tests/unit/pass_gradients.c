// Autodiff on one graph of each kind: first and second derivatives against central differences, and
// every pass switched off in turn changes nothing.
#include "../support/gradient_check.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct test_case {
    const char *name;
    const char *inputs;
    const char *lines; // the last one is the loss
};

static const struct test_case cases[] = {
    {"matrix product", "a: f64[3, 5], b: f64[5, 4]",
     "%1[i<3, j<4] = sum[k<5] a[i, k]*b[k, j] : f64[3, 4]\n"
     "%2 = sum[i<3, j<4] tanh(%1[i, j]) : f64[]\n"},
    {"batched product, one operand transposed", "a: f64[2, 3, 4], b: f64[2, 5, 4]",
     "%1[n<2, i<3, j<5] = sum[k<4] a[n, i, k]*b[n, j, k] : f64[2, 3, 5]\n"
     "%2 = sum[n<2, i<3, j<5] %1[n, i, j]^2 : f64[]\n"},
    {"dense layer with bias and batch", "x: f64[N, 4], W: f64[3, 4], b: f64[3]",
     "%1[n<N, k<3] = sum[i<4] W[k, i]*x[n, i] : f64[N, 3]\n"
     "%2[n<N, k<3] = tanh(%1[n, k] + b[k]) : f64[N, 3]\n"
     "%3 = sum[n<N, k<3] %2[n, k]^2 : f64[]\n"},
    {"quadratic form", "A: f64[4, 4], x: f64[4]",
     "%1 = sum[i<4, j<4] A[i, j]*x[i]*x[j] : f64[]\n"
     "%2 = sin(%1) : f64[]\n"},
    {"outer product", "x: f64[3], y: f64[4]",
     "%1[i<3, j<4] = x[i]*y[j] : f64[3, 4]\n"
     "%2 = sum[i<3, j<4] exp(%1[i, j]) : f64[]\n"},
    {"trace, a diagonal read", "A: f64[4, 4]", "%1 = sum[i<4] A[i, i]^3 : f64[]\n"},
    {"convolution", "W: f64[2, 3, 2, 2], x: f64[2, 3, 5, 5]",
     "%1[n<2, k<2, i<4, j<4] = sum[c<3, p<2, q<2] W[k, c, p, q]*x[n, c, i+p, j+q] : f64[2, 2, 4, "
     "4]\n"
     "%2 = sum[n<2, k<2, i<4, j<4] tanh(%1[n, k, i, j]) : f64[]\n"},
    {"convolution, stride 2, padding 1", "W: f64[2, 2, 3, 3], x: f64[1, 2, 5, 5]",
     "%1[n<1, k<2, i<3, j<3] = sum[c<2, p<3, q<3] W[k, c, p, q]*x[n, c, 2*i+p-1, 2*j+q-1] : f64[1, "
     "2, 3, 3]\n"
     "%2 = sum[n<1, k<2, i<3, j<3] tanh(%1[n, k, i, j]) : f64[]\n"},
    {"convolution, dilation 2, stride 3, padding 2", "W: f64[2, 3], x: f64[11]",
     "%1[k<2, i<4] = sum[p<3] W[k, p]*x[3*i+2*p-2] : f64[2, 4]\n"
     "%2 = sum[k<2, i<4] %1[k, i]^2 : f64[]\n"},
    {"depthwise convolution", "W: f64[3, 2], x: f64[3, 6]",
     "%1[c<3, i<5] = sum[p<2] W[c, p]*x[c, i+p] : f64[3, 5]\n"
     "%2 = sum[c<3, i<5] %1[c, i]^3 : f64[]\n"},
    {"grouped convolution", "W: f64[2, 2, 2, 2], x: f64[4, 5]",
     "%1[g<2, k<2, i<4] = sum[d<2, p<2] W[g, k, d, p]*x[2*g+d, i+p] : f64[2, 2, 4]\n"
     "%2 = sum[g<2, k<2, i<4] sin(%1[g, k, i]) : f64[]\n"},
    {"max pooling, windows apart", "x: f64[2, 4, 6]",
     "%1[c<2, i<2, j<3] = max[p<2, q<2] x[c, 2*i+p, 2*j+q] : f64[2, 2, 3]\n"
     "%2 = sum[c<2, i<2, j<3] %1[c, i, j]^3 : f64[]\n"},
    {"max pooling, windows overlap", "x: f64[2, 7]",
     "%1[c<2, i<3] = max[p<3] x[c, 2*i+p] : f64[2, 3]\n"
     "%2 = sum[c<2, i<3] exp(%1[c, i]) : f64[]\n"},
    {"average pooling", "x: f64[2, 6, 4]",
     "%1[c<2, i<3, j<2] = sum[p<2, q<2] x[c, 2*i+p, 2*j+q] : f64[2, 3, 2]\n"
     "%2 = sum[c<2, i<3, j<2] (%1[c, i, j]/4)^3 : f64[]\n"},
    {"non-overlapping patches", "W: f64[3, 2], x: f64[8]",
     "%1[k<3, i<4] = sum[p<2] W[k, p]*x[2*i+p] : f64[3, 4]\n"
     "%2 = sum[k<3, i<4] tanh(%1[k, i]) : f64[]\n"},
    {"batch normalization", "x: f64[N, 3], gamma: f64[3], beta: f64[3]",
     "%1[c<3] = sum[n<N] x[n, c] : f64[3]\n"
     "%2[c<3] = %1[c]/N : f64[3]\n"
     "%3[c<3] = sum[n<N] (x[n, c] - %2[c])^2 : f64[3]\n"
     "%4[c<3] = (%3[c]/N + 0.25)^-0.5 : f64[3]\n"
     "%5[n<N, c<3] = gamma[c]*(x[n, c] - %2[c])*%4[c] + beta[c] : f64[N, 3]\n"
     "%6 = sum[n<N, c<3] tanh(%5[n, c]) : f64[]\n"},
    {"layer normalization", "x: f64[2, 5], gamma: f64[5]",
     "%1[n<2] = sum[k<5] x[n, k] : f64[2]\n"
     "%2[n<2, k<5] = x[n, k] - %1[n]/5 : f64[2, 5]\n"
     "%3[n<2] = sum[k<5] %2[n, k]^2 : f64[2]\n"
     "%4[n<2, k<5] = gamma[k]*%2[n, k]*(%3[n]/5 + 0.1)^-0.5 : f64[2, 5]\n"
     "%5 = sum[n<2, k<5] sin(%4[n, k]) : f64[]\n"},
    {"local response normalization", "x: f64[6, 3]",
     "%1[a<6, i<3] = sum[d<3] x[a+d-1, i]^2 : f64[6, 3]\n"
     "%2[a<6, i<3] = x[a, i]*(2 + 0.3*%1[a, i])^-0.75 : f64[6, 3]\n"
     "%3 = sum[a<6, i<3] sin(%2[a, i]) : f64[]\n"},
    {"softmax", "x: f64[N, 4], t: f64[N, 4]",
     "%1[n<N] = max[k<4] x[n, k] : f64[N]\n"
     "%2[n<N, k<4] = exp(x[n, k] - %1[n]) : f64[N, 4]\n"
     "%3[n<N] = sum[k<4] %2[n, k] : f64[N]\n"
     "%4[n<N, k<4] = %2[n, k]/%3[n] : f64[N, 4]\n"
     "%5 = sum[n<N, k<4] t[n, k]*%4[n, k] : f64[]\n"},
    {"softmax with log-likelihood", "x: f64[N, 3], k: i32[N]",
     "%1[n<N] = max[k<3] x[n, k] : f64[N]\n"
     "%2[n<N, k<3] = exp(x[n, k] - %1[n]) : f64[N, 3]\n"
     "%3[n<N] = sum[k<3] %2[n, k] : f64[N]\n"
     "%4[n<N, k<3] = %2[n, k]/%3[n] : f64[N, 3]\n"
     "%5[n<N] = -log(%4[n, k[n]]) : f64[N]\n"
     "%6 = sum[n<N] %5[n] : f64[]\n"
     "%7 = %6/N : f64[]\n"},
    {"logistic regression", "x: f64[N, 3], w: f64[3], t: f64[N]",
     "%1[n<N] = sum[i<3] w[i]*x[n, i] : f64[N]\n"
     "%2[n<N] = 1/(1 + exp(-%1[n])) : f64[N]\n"
     "%3[n<N] = -(t[n]*log(%2[n]) + (1 - t[n])*log(1 - %2[n])) : f64[N]\n"
     "%4 = sum[n<N] %3[n] : f64[]\n"},
    {"log-sum-exp", "x: f64[3, 4]",
     "%1[n<3] = max[k<4] x[n, k] : f64[3]\n"
     "%2[n<3] = sum[k<4] exp(x[n, k] - %1[n]) : f64[3]\n"
     "%3[n<3] = %1[n] + log(%2[n]) : f64[3]\n"
     "%4 = sum[n<3] %3[n]^2 : f64[]\n"},
    {"attention", "q: f64[3, 2], k: f64[4, 2], v: f64[4, 2]",
     "%1[i<3, j<4] = sum[d<2] q[i, d]*k[j, d] : f64[3, 4]\n"
     "%2[i<3] = max[j<4] %1[i, j] : f64[3]\n"
     "%3[i<3, j<4] = exp(%1[i, j] - %2[i]) : f64[3, 4]\n"
     "%4[i<3] = sum[j<4] %3[i, j] : f64[3]\n"
     "%5[i<3, d<2] = sum[j<4] %3[i, j]*v[j, d] : f64[3, 2]\n"
     "%6 = sum[i<3, d<2] sin(%5[i, d]/%4[i]) : f64[]\n"},
    {"gather", "E: f64[3, 4], k: i32[N]",
     "%1[n<N, d<4] = E[k[n], d] : f64[N, 4]\n"
     "%2 = sum[n<N, d<4] %1[n, d]^3 : f64[]\n"},
    {"gather in a sum", "E: f64[3, 4], W: f64[2, 4], k: i32[N]",
     "%1[n<N, j<2] = sum[d<4] E[k[n], d]*W[j, d] : f64[N, 2]\n"
     "%2 = sum[n<N, j<2] tanh(%1[n, j]) : f64[]\n"},
    {"concat", "a: f64[2, 3], b: f64[4, 3]",
     "%1 = concat(a, b) : f64[6, 3]\n"
     "%2 = sum[i<6, j<3] (i + 1)*%1[i, j]^2 : f64[]\n"},
    {"reshape", "a: f64[4, 6], W: f64[3, 2, 4]",
     "%1 = reshape(a) {3, 2, 4} : f64[3, 2, 4]\n"
     "%2 = sum[i<3, j<2, k<4] W[i, j, k]*%1[i, j, k]^2 : f64[]\n"},
    {"product over an axis", "x: f64[3, 4]",
     "%1[i<3] = prod[j<4] x[i, j] : f64[3]\n"
     "%2 = sum[i<3] sin(%1[i]) : f64[]\n"},
    {"largest and smallest over two axes", "x: f64[2, 3, 4]",
     "%1[i<2] = max[j<3, k<4] x[i, j, k] : f64[2]\n"
     "%2[i<2] = min[j<3, k<4] x[i, j, k]^2 : f64[2]\n"
     "%3 = sum[i<2] %1[i]*%2[i] : f64[]\n"},
    {"weighted maximum, a generalized contraction", "a: f64[3, 4], b: f64[4, 2]",
     "%1[i<3, j<2] = max[k<4] (a[i, k] + b[k, j]) : f64[3, 2]\n"
     "%2 = sum[i<3, j<2] exp(%1[i, j]) : f64[]\n"},
    {"squared distances", "x: f64[3, 2], y: f64[4, 2]",
     "%1[i<3, j<4] = sum[k<2] (x[i, k] - y[j, k])^2 : f64[3, 4]\n"
     "%2 = sum[i<3, j<4] exp(-%1[i, j]) : f64[]\n"},
    {"relu with bias", "x: f64[3, 4], b: f64[4]",
     "%1[n<3, k<4] = max(x[n, k] + b[k], 0) : f64[3, 4]\n"
     "%2 = sum[n<3, k<4] %1[n, k]^3 : f64[]\n"},
    {"leaky and parametric slopes", "x: f64[3, 4], a: f64[4]",
     "%1[n<3, k<4] = max(x[n, k], 0) + a[k]*min(x[n, k], 0) : f64[3, 4]\n"
     "%2[n<3, k<4] = max(%1[n, k], 0.1*%1[n, k]) : f64[3, 4]\n"
     "%3 = sum[n<3, k<4] sin(%2[n, k]) : f64[]\n"},
    {"branches whose other side is not finite", "x: f64[6]",
     "%1[i<6] = select(0 < x[i], log(x[i]), x[i]^2) : f64[6]\n"
     "%2[i<6] = select(0 < x[i], x[i]^0.5, exp(x[i])) : f64[6]\n"
     "%3 = sum[i<6] %1[i]*%2[i] : f64[]\n"},
    {"slices with edges", "x: f64[5]",
     "%1[i<5] = [0 <= i-1 < 5](x[i-1]) + 2*x[i] + [0 <= i+1 < 5](x[i+1])*x[4-i] : f64[5]\n"
     "%2 = sum[i<5] %1[i]^2 : f64[]\n"},
    {"triangular product", "A: f64[4, 4], x: f64[4]",
     "%1[i<4] = sum[j<4 | 0 <= i-j < 4] A[i, j]*x[j] : f64[4]\n"
     "%2 = sum[i<4] sin(%1[i]) : f64[]\n"},
    {"Gaussian error unit", "x: f64[8]",
     "%1[i<8] = x[i]*(1 + erf(x[i]*0.7071067811865476))/2 : f64[8]\n"
     "%2 = sum[i<8] %1[i]^2 : f64[]\n"},
    {"power with a differentiable exponent", "x: f64[4], p: f64[4]",
     "%1[i<4] = (1 + x[i]^2)^p[i] : f64[4]\n"
     "%2 = sum[i<4] %1[i] : f64[]\n"},
    {"elastic penalty", "W: f64[3, 4]",
     "%1 = sum[i<3, j<4] abs(W[i, j]) : f64[]\n"
     "%2 = sum[i<3, j<4] W[i, j]^2 : f64[]\n"
     "%3 = 0.3*%1 + 0.7*%2 : f64[]\n"},
    {"dropout with a drawn mask", "x: f64[3, 4]",
     "%1[n<3, k<4] = x[n, k]*(uniform01(7, 0, 1, 4*n+k) < 0.5)/0.5 : f64[3, 4]\n"
     "%2 = sum[n<3, k<4] %1[n, k]^2 : f64[]\n"},
    {"solve", "A: f64[3, 3], b: f64[3]",
     "%1[i<3, j<3] = A[i, j] + 4*(i == j) : f64[3, 3]\n"
     "%2 = solve(%1, b) : f64[3]\n"
     "%3 = sum[i<3] sin(%2[i]) : f64[]\n"},
    {"solve with several right sides", "A: f64[3, 3], b: f64[3, 2]",
     "%1[i<3, j<3] = A[i, j] + 4*(i == j) : f64[3, 3]\n"
     "%2 = solve(%1, b) : f64[3, 2]\n"
     "%3 = sum[i<3, j<2] %2[i, j]^2 : f64[]\n"},
    {"cholesky", "A: f64[3, 3]",
     "%1[i<3, j<3] = sum[k<3] A[i, k]*A[j, k] : f64[3, 3]\n"
     "%2[i<3, j<3] = %1[i, j] + 2*(i == j) : f64[3, 3]\n"
     "%3 = cholesky(%2) : f64[3, 3]\n"
     "%4 = sum[i<3, j<3] sin(%3[i, j]) : f64[]\n"},
    {"eigenvalues and eigenvectors", "A: f64[3, 3]",
     "%1[i<3, j<3] = A[i, j] + A[j, i] + 3*i*(i == j) : f64[3, 3]\n"
     "%2 = eigh(%1) {0} : f64[3]\n"
     "%3 = eigh(%1) {1} : f64[3, 3]\n"
     "%4 = sum[i<3] sin(%2[i]) : f64[]\n"
     "%5 = sum[i<3, j<3] (1 + i + 2*j)*%3[i, j]^2 : f64[]\n"
     "%6 = %4 + %5 : f64[]\n"},
    {"contractive penalty", "x: f64[N, 3], W: f64[2, 3]",
     "%1[n<N, k<2] = sum[i<3] W[k, i]*x[n, i] : f64[N, 2]\n"
     "%2[n<N, k<2] = 1/(1 + exp(-%1[n, k])) : f64[N, 2]\n"
     "%3 = sum[n<N, k<2, i<3] (%2[n, k]*(1 - %2[n, k])*W[k, i])^2 : f64[]\n"},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static struct graph *make(struct arena *a, const void *what) {
    const struct test_case *c = what;
    const char *last = strrchr(c->lines, '%'); // of the last line, unless it reads a node
    for (const char *at = c->lines; (at = strchr(at, '\n')) && at[1]; at++)
        last = at + 1;
    if (!strchr(c->lines, '\n')[1])
        last = c->lines;
    int digits = (int)strspn(last + 1, "0123456789") + 1;
    const char *symbols = strchr(c->inputs, 'N') ? " where N <= 5" : "";
    return graph_of_text(a, arena_printf(a, "graph test(%s)%s {\n%s  return loss = %.*s\n}\n",
                                         c->inputs, symbols, c->lines, digits, last));
}

static void check_order(int order, double tolerance) {
    struct arena *a = arena_create("test");
    int64_t symbols[1] = {4};
    for (int i = 0; i < N_CASES; i++) {
        struct gradient_report r = check_gradients(a, (struct graph_source){make, &cases[i]}, order,
                                                   symbols, 11 + (uint64_t)i);
        if (r.failure)
            print_error("%s: %s\n", cases[i].name, r.failure);
        assert_null(r.failure);
        if (!(r.worst < tolerance) || r.compared <= r.skipped)
            print_error("%s: error %g, %d compared, %d skipped: %s\n", cases[i].name, r.worst,
                        r.compared, r.skipped, r.where ? r.where : "");
        assert_true(r.worst < tolerance);
        assert_true(r.compared > r.skipped);
        arena_reset(a);
    }
    arena_destroy(a);
}

static void test_first_derivatives(void **state) { check_order(1, 1e-7); }
static void test_second_derivatives(void **state) { check_order(2, 1e-6); }

static void test_passes_change_nothing(void **state) {
    struct arena *a = arena_create("test");
    for (int i = 0; i < N_CASES; i++)
        for (int order = 1; order <= 2; order++) {
            int64_t symbols[1] = {1 + (i + order) % 5};
            const char *which;
            struct graph_source s = {make, &cases[i]};
            double d = check_passes(a, s, order, symbols, 3 + (uint64_t)i, &which);
            if (!(d < 1e-9))
                print_error("%s, order %d: %g without `%s`\n", cases[i].name, order, d,
                            which ? which : "");
            assert_true(d < 1e-9);
            arena_reset(a);
        }
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_derivatives),
        cmocka_unit_test(test_second_derivatives),
        cmocka_unit_test(test_passes_change_nothing),
    };
    return cmocka_run_group_tests_name("pass_gradients", tests, NULL, NULL);
}
