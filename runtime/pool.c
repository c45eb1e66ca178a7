// The threads. nr_parallel splits [0, n) into chunks whose borders depend on n and the chunk size
// alone and hands them out by an atomic counter, so that results never depend on the number of
// threads (DESIGN.md decision 10). Workers spin for a short while between jobs, then sleep on a
// futex. A call from inside a body runs on its own thread.
//
// A job is published by raising `ticket`; a worker takes part by counting itself into `inside` and
// checking that the ticket is still the one it saw, so that the caller may return as soon as all
// chunks are done and nobody is inside.
//
// Kernels' pieces lie in a scratch of the thread, megabytes in wide nets, made when it first runs a
// kernel with such pieces; stacks stay small.
#include "runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#else
#define RELAX() atomic_signal_fence(memory_order_seq_cst)
#endif

enum { SPINS = 20000, MAX_THREADS = 1024, STACK_BYTES = 1 << 20 };
static int spins = SPINS; // none where there are more threads than cores

static struct {
    nr_body *body;
    void *const *context;
    int64_t n, chunk;
    _Alignas(64) _Atomic int64_t next;
    _Alignas(64) _Atomic uint32_t ticket; // odd: a job is open
    _Alignas(64) _Atomic int32_t inside, sleepers;
} job;
static int64_t n_threads = 1;
static _Thread_local bool busy;
static _Thread_local struct {
    char *at;
    int64_t bytes;
} scratch;

// Denormals are kept and rounding is to nearest in every thread, whatever some library set
// (TRUST.md section 2).
void floating_point_setup(void) {
#if defined(__x86_64__)
    _mm_setcsr(0x1F80);
#endif
}

int64_t pool_cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
int64_t pool_threads(void) { return n_threads; }

void *nr_scratch(int64_t at, int64_t bytes) {
    if (scratch.bytes < bytes) {
        free(scratch.at);
        scratch.at = memory_room(bytes, 1);
        scratch.bytes = bytes;
    }
    return scratch.at + at;
}

static void run_chunks(void) {
    int64_t chunk = job.chunk, n = job.n;
    nr_body *body = job.body;
    void *const *context = job.context;
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&job.next, chunk, memory_order_relaxed);
        if (begin >= n)
            return;
        body(context, begin, n - begin < chunk ? n : begin + chunk);
    }
}

// Waits for a ticket other than `seen`, which is returned.
static uint32_t wait_for_job(uint32_t seen) {
    for (int i = 0; i < spins; i++) {
        uint32_t now = atomic_load_explicit(&job.ticket, memory_order_acquire);
        if (now != seen && now & 1)
            return now;
        RELAX();
    }
    atomic_fetch_add(&job.sleepers, 1);
    for (;;) {
        uint32_t now = atomic_load(&job.ticket);
        if (now != seen && now & 1) {
            atomic_fetch_sub(&job.sleepers, 1);
            return now;
        }
        syscall(SYS_futex, &job.ticket, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
    }
}

static void *worker(void *unused) {
    (void)unused;
    floating_point_setup();
    blas_thread_setup();
    busy = true;
    for (uint32_t seen = 0;;) {
        seen = wait_for_job(seen);
        atomic_fetch_add(&job.inside, 1);
        if (atomic_load(&job.ticket) == seen)
            run_chunks();
        atomic_fetch_sub(&job.inside, 1);
    }
    return NULL;
}

void pool_stay_out(void) { busy = true; }

void nr_parallel(nr_body *body, void *const *context, int64_t n, int64_t chunk) {
    if (n <= 0)
        return;
    if (busy || n_threads == 1 || n <= chunk) {
        for (int64_t begin = 0; begin < n; begin += chunk)
            body(context, begin, n - begin < chunk ? n : begin + chunk);
        return;
    }
    busy = true;
    job.body = body;
    job.context = context;
    job.n = n;
    job.chunk = chunk;
    atomic_store(&job.next, 0);
    atomic_fetch_add(&job.ticket, 1);
    if (atomic_load(&job.sleepers) > 0)
        syscall(SYS_futex, &job.ticket, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0);
    run_chunks();
    atomic_fetch_add(&job.ticket, 1); // closed: nobody enters any more
    for (int i = 0; atomic_load(&job.inside) > 0; i++) {
        RELAX();
        if (i > spins / 16) // a worker is not running: let it
            sched_yield();
    }
    busy = false;
}

void pool_start(int64_t threads) {
    n_threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    spins = n_threads > pool_cores() ? 0 : SPINS;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int64_t i = 1; i < n_threads; i++) {
        pthread_t thread;
        int e = pthread_create(&thread, &attributes, worker, NULL);
        if (e != 0) {
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            die_help(EXIT_environment, "ask for fewer with --threads",
                     "cannot start thread %lld of %lld: %s", (long long)i + 1, (long long)n_threads,
                     strerror(e));
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}
