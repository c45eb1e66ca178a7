// OpenBLAS as a guest: one thread in each call, for the work is split here, and memory that is known.
//
// It maps a buffer for every call that runs at the same time as others and, refused, tries again
// without end. So under a limit of address space the buffers of all threads are asked for in
// advance, by programs that call it at all: gemm.c and linalg.c are linked into those alone, which
// is what the weak symbols tell; the others are linked without it. Its own threads, each with a buffer, are never started: main.c
// says so in the environment before it is loaded.
#include "runtime.h"

#include <dlfcn.h>
#include <string.h>

#define BUFFER (INT64_C(128) << 20) // of OpenBLAS on x86-64

extern const char linalg_is_linked __attribute__((weak));
void gemm_choose(int64_t batch) __attribute__((weak));

static void (*omp_threads)(int);

// OpenMP builds of OpenBLAS let each calling thread's OpenMP setting override
// openblas_set_num_threads, so both are set.
void blas_thread_setup(void) {
    if (omp_threads)
        omp_threads(1);
}

static bool find(const char *name, void *function, size_t size) {
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

void blas_setup(int64_t batch, int64_t threads) {
    bool multiplies = &gemm_choose != NULL, is_used = multiplies || &linalg_is_linked != NULL;
    if (!is_used)
        return;
    memory_keep_space(threads * BUFFER, "the buffers of the linear algebra library");
    void (*set_threads)(int);
    int (*get_parallel)(void);
    if (find("openblas_set_num_threads", &set_threads, sizeof set_threads))
        set_threads(1);
    enum { OPENMP = 2 };
    if (find("openblas_get_parallel", &get_parallel, sizeof get_parallel) && get_parallel() == OPENMP)
        find("omp_set_num_threads", &omp_threads, sizeof omp_threads);
    blas_thread_setup();
    if (!multiplies)
        return;
    gemm_choose(batch);
    memory_keep_space(-BUFFER, NULL); // the one of this thread is there now
}
