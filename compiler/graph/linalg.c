// Gaussian elimination, Cholesky, Jacobi rotations: the textbook forms, for small matrices.
#include "linalg.h"

#include <math.h>
#include <string.h>

enum { MAX_SWEEPS = 60 };

static void swap_rows(double *a, int64_t width, int64_t i, int64_t j) {
    for (int64_t k = 0; k < width; k++) {
        double t = a[i * width + k];
        a[i * width + k] = a[j * width + k];
        a[j * width + k] = t;
    }
}

static int64_t pivot_row(const double *a, int64_t n, int64_t column) {
    int64_t best = column;
    for (int64_t i = column + 1; i < n; i++)
        if (fabs(a[i * n + column]) > fabs(a[best * n + column]))
            best = i;
    return best;
}

bool linalg_solve(double *a, double *b, int64_t n, int64_t m) {
    for (int64_t c = 0; c < n; c++) {
        int64_t p = pivot_row(a, n, c);
        if (!(fabs(a[p * n + c]) > 0))
            return false;
        swap_rows(a, n, c, p);
        swap_rows(b, m, c, p);
        for (int64_t i = c + 1; i < n; i++) {
            double f = a[i * n + c] / a[c * n + c];
            for (int64_t k = c; k < n; k++)
                a[i * n + k] -= f * a[c * n + k];
            for (int64_t k = 0; k < m; k++)
                b[i * m + k] -= f * b[c * m + k];
        }
    }
    for (int64_t i = n; i-- > 0;)
        for (int64_t k = 0; k < m; k++) {
            for (int64_t j = i + 1; j < n; j++)
                b[i * m + k] -= a[i * n + j] * b[j * m + k];
            b[i * m + k] /= a[i * n + i];
        }
    return true;
}

bool linalg_cholesky(double *a, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        double d = a[j * n + j];
        for (int64_t k = 0; k < j; k++)
            d -= a[j * n + k] * a[j * n + k];
        if (!(d > 0))
            return false;
        a[j * n + j] = sqrt(d);
        for (int64_t i = j + 1; i < n; i++) {
            for (int64_t k = 0; k < j; k++)
                a[i * n + j] -= a[i * n + k] * a[j * n + k];
            a[i * n + j] /= a[j * n + j];
        }
        for (int64_t i = 0; i < j; i++)
            a[i * n + j] = 0;
    }
    return true;
}

// ---- eigenvalues: cyclic Jacobi

static void rotate_pair(double *x, double *y, double c, double s) {
    double t = *x;
    *x = c * t - s * *y;
    *y = s * t + c * *y;
}

static void rotate(double *a, double *v, int64_t n, int64_t p, int64_t q) {
    if (a[p * n + q] == 0)
        return;
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int64_t k = 0; k < n; k++)
        rotate_pair(&a[k * n + p], &a[k * n + q], c, s);
    for (int64_t k = 0; k < n; k++)
        rotate_pair(&a[p * n + k], &a[q * n + k], c, s);
    for (int64_t k = 0; k < n; k++)
        rotate_pair(&v[k * n + p], &v[k * n + q], c, s);
}

static void swap_columns(double *v, int64_t rows, int64_t width, int64_t i, int64_t j) {
    for (int64_t k = 0; k < rows; k++) {
        double t = v[k * width + i];
        v[k * width + i] = v[k * width + j];
        v[k * width + j] = t;
    }
}

// +1 or -1: the sign of the entry of greatest magnitude of a column
static double column_sign(const double *v, int64_t rows, int64_t width, int64_t column) {
    int64_t best = 0;
    for (int64_t k = 1; k < rows; k++)
        if (fabs(v[k * width + column]) > fabs(v[best * width + column]))
            best = k;
    return v[best * width + column] < 0 ? -1 : 1;
}

static void scale_column(double *v, int64_t rows, int64_t width, int64_t column, double by) {
    for (int64_t k = 0; k < rows; k++)
        v[k * width + column] *= by;
}

void linalg_eigh(double *a, double *values, double *v, int64_t n) {
    memset(v, 0, (size_t)(n * n) * sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        v[i * n + i] = 1;
        for (int64_t j = 0; j < i; j++)
            a[j * n + i] = a[i * n + j];
    }
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                rotate(a, v, n, p, q);
    for (int64_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
    for (int64_t i = 0; i < n; i++) {
        int64_t least = i;
        for (int64_t j = i + 1; j < n; j++)
            if (values[j] < values[least])
                least = j;
        double t = values[i];
        values[i] = values[least];
        values[least] = t;
        swap_columns(v, n, n, i, least);
        scale_column(v, n, n, i, column_sign(v, n, n, i));
    }
}

// ---- singular values: one-sided Jacobi on the columns of w [m, n], V collects the rotations

static void orthogonalize(double *w, double *v, int64_t m, int64_t n, int64_t p, int64_t q) {
    double alpha = 0, beta = 0, gamma = 0;
    for (int64_t k = 0; k < m; k++) {
        alpha += w[k * n + p] * w[k * n + p];
        beta += w[k * n + q] * w[k * n + q];
        gamma += w[k * n + p] * w[k * n + q];
    }
    if (gamma == 0)
        return;
    double zeta = (beta - alpha) / (2 * gamma);
    double t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    double c = 1 / sqrt(1 + t * t), s = c * t;
    for (int64_t k = 0; k < m; k++)
        rotate_pair(&w[k * n + p], &w[k * n + q], c, s);
    for (int64_t k = 0; k < n; k++)
        rotate_pair(&v[k * n + p], &v[k * n + q], c, s);
}

static double column_norm(const double *w, int64_t m, int64_t n, int64_t column) {
    double sum = 0;
    for (int64_t k = 0; k < m; k++)
        sum += w[k * n + column] * w[k * n + column];
    return sqrt(sum);
}

// m >= n
static void tall_svd(double *w, double *u, double *s, double *v, double *full, int64_t m,
                     int64_t n) {
    memset(full, 0, (size_t)(n * n) * sizeof *full);
    for (int64_t i = 0; i < n; i++)
        full[i * n + i] = 1;
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                orthogonalize(w, full, m, n, p, q);
    for (int64_t i = 0; i < n; i++) {
        int64_t best = i;
        for (int64_t j = i + 1; j < n; j++)
            if (column_norm(w, m, n, j) > column_norm(w, m, n, best))
                best = j;
        swap_columns(w, m, n, i, best);
        swap_columns(full, n, n, i, best);
        s[i] = column_norm(w, m, n, i);
        scale_column(w, m, n, i, s[i] > 0 ? 1 / s[i] : 0);
    }
    memcpy(u, w, (size_t)(m * n) * sizeof *u);
    memcpy(v, full, (size_t)(n * n) * sizeof *v);
}

void linalg_svd(const double *a, double *u, double *s, double *v, double *work, int64_t m,
                int64_t n) {
    int64_t k = m < n ? m : n;
    if (m >= n) {
        memcpy(work, a, (size_t)(m * n) * sizeof *work);
        tall_svd(work, u, s, v, work + m * n, m, n);
    } else { // A' = V diag(s) U'
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++)
                work[j * m + i] = a[i * n + j];
        tall_svd(work, v, s, u, work + m * n, n, m);
    }
    for (int64_t i = 0; i < k; i++) {
        double sign = column_sign(u, m, k, i);
        scale_column(u, m, k, i, sign);
        scale_column(v, n, k, i, sign);
    }
}
