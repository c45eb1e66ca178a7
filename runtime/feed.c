// Batches beside the computation: while step k runs, threads of their own read, prepare and augment
// the batches of the next steps. A batch is made whole by one thread, in buffers of its own, from
// its rows and its step alone, so its bits are those that the training thread would have made; they
// are handed over in order. At most `n_sets` batches are ahead, and all memory is asked for when
// the feed is opened.
//
// An augmentation that reads what training changes (parameters, states, measurements) cannot run
// ahead; it stays with the training thread. With --threads 1 nothing runs ahead: each batch is read
// and made before its step.
//
// A failure on the way (a damaged picture, a check of generated code) is kept with its batch and
// ends the process when that batch's step comes, as it would have without the feed.
#include "runtime.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORKERS = 4 };

// The buffers of one batch.
struct batch_set {
    void **raw, **fields;
    int64_t n, ready; // samples; 1 + the batch that lies here, 0: none
    bool failed;
    struct problem problem;
};

struct worker {
    struct feed *feed;
    struct model *m; // shares what training leaves alone; batch, scratch and builtins are its own
};

struct feed {
    struct model *m;
    const struct dataset *d;
    bool ahead, augments, augments_ahead;
    int64_t n_workers, n_sets;
    struct worker *workers;
    struct batch_set *sets;
    // of the running pass
    int64_t *rows; // a copy
    int64_t room, n_rows, batch, n_batches;
    struct builtins first; // of batch `from`
    int64_t from;
    // under the lock: the next batch to make, batches taken, threads at work
    pthread_mutex_t lock;
    pthread_cond_t wanted, done;
    int64_t next, taken, working;
    bool paused;
};

static bool reads_what_training_changes(const struct nr_graph *g) {
    for (int64_t i = 0; i < g->n_inputs + g->n_outputs; i++)
        switch (g->slots[i].role) {
        case NR_raw:
        case NR_field:
        case NR_fitted:
        case NR_hyper:
        case NR_builtin:
            break;
        default:
            return true;
        }
    return false;
}

static int64_t rows_of(const struct feed *f, int64_t k) {
    int64_t at = k * f->batch;
    return f->n_rows - at < f->batch ? f->n_rows - at : f->batch;
}

static struct builtins now_of(const struct feed *f, int64_t k) {
    struct builtins now = f->first;
    now.draw_step += k - f->from;
    now.step += (double)(k - f->from);
    return now;
}

// ---- a worker
static void exchange(struct model *m, struct batch_set *s) {
    void **raw = m->raw, **fields = m->fields;
    m->raw = s->raw;
    m->fields = s->fields;
    s->raw = raw;
    s->fields = fields;
}

static void make_batch(struct worker *w, struct batch_set *s, int64_t k) {
    struct feed *f = w->feed;
    struct model *m = w->m;
    struct trap trap;
    exchange(m, s);
    s->n = rows_of(f, k);
    m->now = now_of(f, k);
    m->trap = &trap;
    s->failed = setjmp(trap.back) != 0;
    if (s->failed) {
        s->problem = trap.problem;
    } else {
        model_prepare(m, f->d, f->rows + k * f->batch, s->n);
        if (f->augments_ahead)
            model_augment(m, s->n);
    }
    m->trap = NULL;
    exchange(m, s);
}

static void *work(void *context) {
    struct worker *w = context;
    struct feed *f = w->feed;
    floating_point_setup();
    blas_thread_setup();
    pool_stay_out();
    pthread_mutex_lock(&f->lock);
    for (;;) {
        while (f->paused || f->next >= f->n_batches || f->next >= f->taken + f->n_sets)
            pthread_cond_wait(&f->wanted, &f->lock);
        int64_t k = f->next++;
        struct batch_set *s = &f->sets[k % f->n_sets];
        f->working++;
        pthread_mutex_unlock(&f->lock);
        make_batch(w, s, k);
        pthread_mutex_lock(&f->lock);
        s->ready = k + 1;
        f->working--;
        pthread_cond_broadcast(&f->done);
    }
    return NULL;
}

// ---- opening
static void start_workers(struct feed *f) {
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int64_t i = 0; i < f->n_workers; i++) {
        pthread_t thread;
        int e = pthread_create(&thread, &attributes, work, &f->workers[i]);
        if (e != 0)
            die_help(EXIT_environment, "with --threads 1 batches are read without it",
                     "cannot start a thread that reads batches: %s", strerror(e));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static bool can_augment_ahead(void) {
    bool can = false;
    for (int64_t i = 0; i < nr_program.n_graphs; i++)
        can |= nr_program.graphs[i].kind == NR_augment &&
               !reads_what_training_changes(&nr_program.graphs[i]);
    return can;
}

struct feed *feed_open(struct model *m, const struct dataset *d) {
    struct feed *f = memory_get(1, sizeof *f);
    f->m = m;
    f->d = d;
    f->ahead = pool_threads() > 1 && (can_augment_ahead() || data_is_decoded_late(d));
    f->paused = true;
    if (!f->ahead)
        return f;
    // as many samples as the model's own buffers hold, which take part in the exchange
    int64_t most = data_is_decoded_late(d) ? MOST_WORKERS : 1, capacity = m->capacity;
    f->n_workers = pool_threads() < most ? pool_threads() : most;
    f->n_sets = f->n_workers + 1;
    memory_require(model_helper_bytes(capacity) * f->n_workers +
                       model_set_bytes(capacity) * f->n_sets,
                   "the batches that are read ahead");
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wanted, NULL);
    pthread_cond_init(&f->done, NULL);
    f->workers = memory_get(f->n_workers, sizeof *f->workers);
    f->sets = memory_get(f->n_sets, sizeof *f->sets);
    for (int64_t i = 0; i < f->n_workers; i++)
        f->workers[i] = (struct worker){f, model_helper(m, capacity)};
    for (int64_t i = 0; i < f->n_sets; i++)
        model_make_set(capacity, &f->sets[i].raw, &f->sets[i].fields);
    start_workers(f);
    return f;
}

// No thread is at work until the next pass.
void feed_pause(struct feed *f) {
    if (!f->ahead)
        return;
    pthread_mutex_lock(&f->lock);
    f->paused = true;
    while (f->working > 0)
        pthread_cond_wait(&f->done, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

// The passes that follow are those of the model's stage.
void feed_stage(struct feed *f, int64_t batch) {
    const struct nr_graph *g = model_graph(NR_augment);
    feed_pause(f);
    f->batch = batch;
    f->augments = g;
    f->augments_ahead = g && !reads_what_training_changes(g);
}

// ---- a pass
// The batches of `rows` from number `from` on; `now` holds for that one. A pass that has not ended
// is given up.
void feed_start(struct feed *f, const int64_t *rows, int64_t n, int64_t from,
                const struct builtins *now) {
    feed_pause(f);
    if (n > f->room) {
        free(f->rows);
        f->rows = memory_room(n, sizeof *rows);
        f->room = n;
    }
    memcpy(f->rows, rows, (size_t)n * sizeof *rows);
    f->n_rows = n;
    f->n_batches = (n + f->batch - 1) / f->batch;
    f->from = f->next = f->taken = from;
    f->first = *now;
    if (!f->ahead)
        return;
    pthread_mutex_lock(&f->lock);
    for (int64_t i = 0; i < f->n_sets; i++)
        f->sets[i].ready = 0;
    f->paused = false;
    pthread_cond_broadcast(&f->wanted);
    pthread_mutex_unlock(&f->lock);
}

static void take_ahead(struct feed *f, int64_t k) {
    struct batch_set *s = &f->sets[k % f->n_sets];
    pthread_mutex_lock(&f->lock);
    while (s->ready != k + 1)
        pthread_cond_wait(&f->done, &f->lock);
    if (s->failed)
        die_problem(&s->problem);
    exchange(f->m, s);
    f->taken = k + 1;
    pthread_cond_broadcast(&f->wanted);
    pthread_mutex_unlock(&f->lock);
}

int64_t feed_next(struct feed *f) {
    int64_t k = f->taken, n = rows_of(f, k);
    f->m->batch_rows = f->rows + k * f->batch;
    if (f->ahead) {
        take_ahead(f, k);
    } else {
        model_prepare(f->m, f->d, f->rows + k * f->batch, n);
        f->taken++;
    }
    if (f->augments && !(f->ahead && f->augments_ahead))
        model_augment(f->m, n);
    return n;
}
