// Plain f64 linear algebra for the interpreter, row-major, no library: the second opinion on what
// the runtime gets from LAPACK. Signs: the entry of greatest magnitude of an eigenvector or left
// singular vector (the first of equals) is positive.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Solves A X = B for B [n, m]; false if A is singular. Overwrites both; B becomes X.
bool linalg_solve(double *a, double *b, int64_t n, int64_t m);
// A = L L'; the strict upper triangle of A becomes 0. False if A is not positive definite.
bool linalg_cholesky(double *a, int64_t n);
// Symmetric A (its lower triangle is used): values ascending, vectors in the columns of v.
void linalg_eigh(double *a, double *values, double *v, int64_t n);
// A [m, n] = U diag(s) V', k = min(m, n); s descending. `work` holds m*n + n*n doubles.
void linalg_svd(const double *a, double *u, double *s, double *v, double *work, int64_t m,
                int64_t n);
