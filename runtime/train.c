// `train`: epochs of steps over a shuffled split, the measurements after each, the rules that stop
// and keep, the run's folder. Where a run stands is (epoch, position): everything random follows
// from it and the seed, so a resumed run goes on to the same bits. SIGINT, SIGTERM, SIGHUP and
// SIGXCPU end it after the running step with everything saved; a second SIGINT or SIGTERM at once.
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define P nr_program

enum { MANY_EPOCHS = 200 }; // from here on a line a second

static volatile sig_atomic_t caught;
// A terminal that closes sends SIGHUP twice, the limit of processor time SIGXCPU every second: these
// are no second wish of a person.
static void on_signal(int number) {
    if (caught && (number == SIGINT || number == SIGTERM)) {
        nf_unlock();
        _exit(128 + number);
    }
    if (!caught)
        caught = number;
}
static void catch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        bool is_nohup = numbers[i] == SIGHUP && sigaction(SIGHUP, NULL, &old) == 0 &&
                        old.sa_handler == SIG_IGN;
        if (!is_nohup)
            sigaction(numbers[i], &a, NULL);
    }
}

// ---- what a run prints
// A column for each label: what several stages measure under one name stands in one column.
static bool is_column(int64_t k) {
    const struct nr_measure *m = &P.measures[k];
    for (int64_t i = 0; i < k; i++)
        if (strcmp(P.measures[i].label, m->label) == 0)
            return false;
    return !m->is_gradient;
}

// Not where every measurement of the label is one of the training samples alone.
static bool is_validated(int64_t k) {
    for (int64_t g = 0; g < P.n_graphs; g++)
        for (int64_t i = P.graphs[g].n_inputs;
             P.graphs[g].kind == NR_evaluate && i < P.graphs[g].n_inputs + P.graphs[g].n_outputs;
             i++) {
            const struct nr_slot *s = &P.graphs[g].slots[i];
            if ((s->role == NR_loss || s->role == NR_measure) &&
                strcmp(P.measures[s->ref].label, P.measures[k].label) == 0)
                return true;
        }
    return false;
}

static const struct nr_stage *stage_of(const struct run *r) { return &P.stages[r->stage]; }

static bool is_of_stage(const struct run *r, int64_t k) {
    return P.measures[k].stage < 0 || P.measures[k].stage == r->stage;
}

// The measurement of the running stage in the column of measurement k, or -1.
static int64_t in_column(const struct run *r, int64_t k) {
    for (int64_t i = 0; i < P.n_measures; i++)
        if (is_of_stage(r, i) && strcmp(P.measures[i].label, P.measures[k].label) == 0)
            return i;
    return -1;
}

static double measure(const struct run *r, int64_t k, int split) {
    return r->m->measures[k * NR_n_splits + split];
}

static void add_metrics_header(struct run *r) {
    text_add(&r->metrics, P.stages[0].name ? "stage,epoch,step" : "epoch,step");
    for (int s = NR_train; s <= NR_validation; s++) {
        if (s == NR_validation && !r->d->splits[s].exists)
            break;
        for (int64_t k = 0; k < P.n_measures; k++)
            if (is_column(k) && (s == NR_train || is_validated(k)))
                text_add(&r->metrics, ",%s.%s", split_names[s], P.measures[k].label);
        if (s == NR_train)
            text_add(&r->metrics, ",train.gradient");
    }
    text_add(&r->metrics, ",kept,seconds\n");
}

static void add_number(struct text *t, const struct run *r, int64_t k, int split) {
    if (k < 0)
        text_add(t, ",");
    else
        text_add(t, ",%.9g", measure(r, k, split));
}

static void add_metrics(struct run *r, bool kept, double seconds) {
    if (stage_of(r)->name)
        text_add(&r->metrics, "%s,", stage_of(r)->name);
    text_add(&r->metrics, "%lld,%lld", (long long)r->epoch, (long long)r->step);
    for (int s = NR_train; s <= NR_validation; s++) {
        if (s == NR_validation && !r->d->splits[s].exists)
            break;
        for (int64_t k = 0; k < P.n_measures; k++)
            if (is_column(k) && (s == NR_train || is_validated(k)))
                add_number(&r->metrics, r, in_column(r, k), s);
        if (s == NR_train)
            add_number(&r->metrics, r, stage_of(r)->gradient, s);
    }
    text_add(&r->metrics, ",%d,%.3f\n", kept, seconds);
}

static void print_epoch(const struct run *r, bool kept, double seconds) {
    struct text line = {0};
    bool validates = r->d->splits[NR_validation].exists;
    if (stage_of(r)->name)
        text_add(&line, "%s: ", stage_of(r)->name);
    text_add(&line, "epoch %lld/%lld ", (long long)(r->epoch - r->first_epoch),
             (long long)r->epochs);
    for (int s = NR_train; s <= (validates ? NR_validation : NR_train); s++) {
        text_add(&line, " %s", split_names[s]);
        for (int64_t k = 0; k < P.n_measures; k++)
            if (s == NR_train ? is_of_stage(r, k) : measure_is_evaluated(k))
                text_add(&line, " %s %.4f", P.measures[k].label, measure(r, k, s));
        text_add(&line, " ");
    }
    text_add(&line, " %.1f s%s", seconds, kept && validates ? " *" : "");
    log_note("%s", line.at);
    free(line.at);
}

static void print_resume_command(const struct run *r) {
    struct text line = {0};
    text_add(&line, "%s train --resume --out %s", shell_word(r->o->program), shell_word(r->folder));
    if (r->o->epochs)
        text_add(&line, " --epochs %lld", (long long)r->o->epochs);
    if (r->o->no_report)
        text_add(&line, " --no-report");
    log_note("saved after step %lld; to go on: %s", (long long)r->step, line.at);
    free(line.at);
}

// ---- an epoch
static void set_builtins(struct run *r) {
    r->m->now = (struct builtins){.seed = (int64_t)r->m->seed,
                                  .draw_step = r->step,
                                  .step = (double)(r->step - r->first_step),
                                  .steps = (double)(r->total - r->first_step),
                                  .epoch = (double)(r->epoch - r->first_epoch),
                                  .epochs = (double)r->epochs};
}

static void run_step(struct run *r) {
    struct model *m = r->m;
    set_builtins(r);
    model_step(m, feed_next(r->feed));
    for (int64_t k = 0; k < P.n_measures; k++)
        r->sums[k] += m->batch_measures[k];
    r->sums[P.n_measures] += m->gradient_norm;
    r->position++;
    r->step++;
}

static bool keep_by_default(struct run *r) {
    if (!r->d->splits[NR_validation].exists || !stage_of(r)->minimizes ||
        !measure_is_evaluated(stage_of(r)->loss))
        return true;
    double loss = measure(r, stage_of(r)->loss, NR_validation);
    if (!(loss < r->best_loss))
        return false;
    r->best_loss = loss;
    return true;
}

// The weights of now, and what was measured of them.
static void keep_epoch(struct run *r) {
    run_keep_best(r);
    memcpy(r->kept_measures, r->m->measures,
           (size_t)(P.n_measures * NR_n_splits) * sizeof *r->kept_measures);
}

// Measurements, rules, one line. The weights of the epoch are kept or not.
static void end_epoch(struct run *r, double began) {
    struct model *m = r->m;
    double steps = (double)r->position;
    for (int64_t k = 0; k < P.n_measures; k++)
        if (is_of_stage(r, k))
            m->measures[k * NR_n_splits + NR_train] =
                r->sums[P.measures[k].is_gradient ? P.n_measures : k] / steps;
    memset(r->sums, 0, (size_t)(P.n_measures + 1) * sizeof *r->sums);
    set_builtins(r);
    if (r->d->splits[NR_validation].exists)
        evaluate_split(m, r->d, NR_validation, r->batch);
    bool ruled = model_rules(m), kept = ruled && stage_of(r)->has_keep ? m->keep : keep_by_default(r);
    r->epoch++;
    r->position = 0;
    if (kept)
        keep_epoch(r);
    r->stopped = ruled && stage_of(r)->has_stop && m->stop;
    double now = log_clock();
    add_metrics(r, kept, r->spent + now - r->start);
    bool last = r->step >= r->total || r->stopped;
    if (last || r->epochs <= MANY_EPOCHS ||
        now - r->printed >= 1) { // full-batch runs have thousands
        print_epoch(r, kept, now - began);
        r->printed = now;
    }
    run_outputs(r, NR_every_epochs, r->epoch);
}

static void run_epoch(struct run *r, struct progress *bar) {
    double began = log_clock();
    const struct split *train = &r->d->splits[NR_train];
    if (stage_of(r)->batch_all)
        memcpy(r->order, train->rows, (size_t)train->n * sizeof *r->order);
    else
        data_shuffle(train, r->m->seed, r->epoch, r->order);
    set_builtins(r);
    feed_start(r->feed, r->order, train->n, r->position, &r->m->now);
    while (r->position < r->per_epoch && r->step < r->total) {
        run_step(r);
        progress_step(bar, r->step, r->m->loss);
        run_outputs(r, NR_every_steps, r->step);
        if (caught && (r->position < r->per_epoch && r->step < r->total))
            return;
    }
    run_check_finite(r);
    end_epoch(r, began);
}

// ---- stages
// How long the stage is; it begins at first_epoch and first_step.
static void plan(struct run *r) {
    const struct split *train = &r->d->splits[NR_train];
    const struct nr_stage *s = stage_of(r);
    int64_t wanted = s->minimizes ? r->o->epochs : 0;
    r->batch = batch_size(r->o, train->n);
    if (r->batch > train->n)
        r->batch = train->n;
    r->per_epoch = (train->n + r->batch - 1) / r->batch;
    if (wanted || s->steps <= 0) {
        r->epochs = wanted ? wanted : s->epochs > 0 ? s->epochs : 1;
        r->total = r->epochs * r->per_epoch;
    } else {
        r->total = s->steps;
        r->epochs = (r->total + r->per_epoch - 1) / r->per_epoch;
    }
    r->total += r->first_step;
}

void run_enter_stage(struct run *r, int64_t stage) {
    if (r->feed)
        feed_pause(r->feed);
    r->stage = stage;
    model_stage(stage);
    plan(r);
    if (r->feed)
        feed_stage(r->feed, r->batch);
    model_forget_gradient(r->m);
}

static void say_stopped(const struct run *r) {
    const char *name = stage_of(r)->name;
    bool any = r->best_epoch > r->first_epoch;
    log_note("%s%sstopped after epoch %lld by the program's rule; the weights of epoch %lld are kept",
             name ? name : "", name ? ": " : "", (long long)(r->epoch - r->first_epoch),
             (long long)((any ? r->best_epoch : r->epoch) - r->first_epoch));
}

// A stage in which nothing was ever better keeps what it has at its end.
static void keep_last(struct run *r) {
    const char *name = stage_of(r)->name;
    if (r->best_epoch > r->first_epoch)
        return;
    if (stage_of(r)->minimizes)
        log_note("%s%s`keep if` held after none of the %lld epochs%s; the last weights are kept",
                 name ? name : "", name ? ": " : "", (long long)(r->epoch - r->first_epoch),
                 r->d->splits[NR_validation].exists
                     ? " (where the program has none, it asks for the lowest `validation.loss`)" : "");
    keep_epoch(r);
}

// A stage leaves the weights that it kept; then the updates that follow it.
static void end_stage(struct run *r) {
    progress_clear();
    if (r->stopped)
        say_stopped(r);
    if (r->stage + 1 == P.n_stages)
        return;
    keep_last(r);
    run_use_best(r);
    set_builtins(r);
    model_between(r->m, r->d);
    run_check_finite(r);
    r->first_epoch = r->epoch;
    r->first_step = r->step;
    r->position = 0;
    r->stopped = false;
    r->best_loss = (double)INFINITY;
    run_enter_stage(r, r->stage + 1);
    memset(r->sums, 0, (size_t)(P.n_measures + 1) * sizeof *r->sums);
}

// Of the stage; the updates after the last one are done by finish.
static bool is_done(const struct run *r) { return r->step >= r->total || r->stopped; }

// ---- the command

static void make_buffers(struct run *r) {
    int64_t params = 0, states = 0;
    for (int64_t i = 0; i < P.n_params; i++)
        params = P.params[i].offset + P.params[i].count > params
                     ? P.params[i].offset + P.params[i].count
                     : params;
    for (int64_t i = 0; i < P.n_states; i++)
        states = P.states[i].offset + P.states[i].count > states
                     ? P.states[i].offset + P.states[i].count
                     : states;
    r->order = memory_get(r->d->splits[NR_train].n, sizeof *r->order);
    r->sums = memory_get(P.n_measures + 1, sizeof *r->sums);
    r->kept_measures = memory_get(P.n_measures * NR_n_splits, sizeof *r->kept_measures);
    bool chooses = r->d->splits[NR_validation].exists;
    for (int64_t i = 0; i < P.n_stages; i++)
        chooses |= P.stages[i].has_keep != 0;
    if (chooses) {
        r->best_params = memory_get(params, dtype_bytes(P.real));
        r->best_states = memory_get(states, 8);
    }
    r->best_loss = (double)INFINITY;
}

static void check_program(void) {
    bool any = false;
    for (int64_t i = 0; i < P.n_graphs; i++)
        any |= P.graphs[i].kind == NR_gradient_graph;
    if (!any)
        die(EXIT_content, "the program minimizes nothing, so there is nothing to train");
}

// Some readers bring splits or do not, as their files have it.
static void check_splits(const struct dataset *d) {
    for (int64_t i = 0; i < P.n_graphs; i++)
        for (int64_t k = 0; k < P.graphs[i].n_inputs; k++) {
            const struct nr_slot *s = &P.graphs[i].slots[k];
            if (s->role == NR_measure && !d->splits[s->ref2].exists)
                die_help(EXIT_content, "add its files, or `split` some rows of another one",
                         "the program reads `%s.%s`, and the data has no split `%s`",
                         split_names[s->ref2], P.measures[s->ref].name, split_names[s->ref2]);
        }
}

// Of all stages: memory is asked for once.
static int64_t most_samples(const struct run *r) {
    int64_t samples = r->d->splits[NR_train].n, most = r->batch;
    for (int64_t i = 0; i < P.n_stages; i++) {
        int64_t n = P.stages[i].batch_all ? samples : r->o->batch ? r->o->batch : P.stages[i].batch;
        n = n < samples ? n : samples;
        most = n > most ? n : most;
    }
    return most;
}

static void start_run(struct run *r, struct options *o) {
    struct checkpoint c = {0};
    struct weights w;
    r->folder = o->out ? o->out : memory_text("runs/%s", P.name);
    run_check_folder(r);
    if (o->resume)
        checkpoint_open(r, &c, o);
    if (o->weights)
        weights_read(&w, o->weights);
    need_check(o);
    data_read(r->d, o->data);
    data_hash(r->d);
    r->data_folder = o->data ? realpath(o->data, NULL) : NULL;
    data_split(r->d, o->seed);
    check_splits(r->d);
    run_create_folder(r);
    r->m = model_open(o, NULL);
    run_enter_stage(r, 0);
    make_buffers(r);
    r->start = log_clock();
    r->written = r->start;
    if (o->resume)
        checkpoint_stage(r, &c);
    model_batch(r->m, most_samples(r));
    r->feed = feed_open(r->m, r->d);
    feed_stage(r->feed, r->batch);
    if (o->resume) {
        if (data_is_made())
            model_fit(r->m, r->d); // what procedures made for each sample is not in the checkpoint
        checkpoint_restore(r, &c);
        r->begun = true;
        run_write_config(r);
        if (r->total < r->step)
            die(EXIT_usage, "`--epochs %lld`: the run has done %lld steps, which is more",
                (long long)o->epochs, (long long)r->step);
    } else {
        model_init(r->m);
        model_fit(r->m, r->d);
        if (o->weights)
            run_take_weights(r, &w);
        run_clear_folder(r);
        add_metrics_header(r);
    }
    run_remember_infinite(r);
}

static void describe(const struct run *r) {
    int64_t params = 0;
    for (int64_t i = 0; i < P.n_params; i++)
        params += P.params[i].count;
    struct text splits = {0};
    for (int s = 0; s < NR_n_splits; s++)
        if (r->d->splits[s].exists)
            text_add(&splits, "%s%s %lld", splits.n ? ", " : "", split_names[s],
                     (long long)r->d->splits[s].n);
    log_note("%s: %lld parameters; %s samples; batches of %lld; %lld thread%s; seed %llu; run `%s`",
             P.name, (long long)params, splits.at, (long long)r->batch, (long long)pool_threads(),
             pool_threads() == 1 ? "" : "s", (unsigned long long)r->m->seed, r->folder);
    if (is_done(r) && r->stage + 1 == P.n_stages)
        log_note("the run has ended, after epoch %lld of %lld (step %lld)%s; what it gave follows", (long long)(r->epoch - r->first_epoch),
                 (long long)r->epochs, (long long)r->step, r->stopped ? ", by the program's rule" : "; --epochs N makes it longer");
    else if (r->step)
        log_note("resumed after step %lld, in epoch %lld of %lld%s%s", (long long)r->step,
                 (long long)(r->epoch - r->first_epoch + 1), (long long)r->epochs,
                 stage_of(r)->name ? " of " : "", stage_of(r)->name ? stage_of(r)->name : "");
    free(splits.at);
}

// The kept weights, and the updates after the last stage. The checkpoint is from before them, so
// that a run can be made longer.
static void finish(struct run *r) {
    bool any = r->best_epoch > r->first_epoch;
    keep_last(r);
    run_use_best(r);
    if (!any)
        run_save_best(r);
    if (model_graph(NR_between)) {
        int64_t epoch = r->best_epoch;
        set_builtins(r);
        model_between(r->m, r->d);
        run_check_finite(r);
        run_keep_best(r);
        r->best_epoch = epoch;
        run_save_best(r);
    }
    feed_pause(r->feed);
    model_stage(-1);
}

static bool is_reported(int64_t split) {
    for (int64_t i = 0; i < P.n_graphs; i++)
        for (int64_t k = 0; k < P.graphs[i].n_inputs; k++)
            if (P.graphs[i].kind == NR_report && P.graphs[i].unit == NR_at_end &&
                P.graphs[i].slots[k].role == NR_measure && P.graphs[i].slots[k].ref2 == split)
                return true;
    return false;
}

// The report and the JSON result speak of the kept weights: every split is evaluated with them, the
// training split where a report reads it. What is measured in training steps alone (the gradient) is
// that of the epoch that was kept.
static void print_results(struct run *r) {
    json_t *result = json_object();
    int64_t done = (r->best_epoch - r->first_epoch) * r->per_epoch;
    memcpy(r->m->measures, r->kept_measures,
           (size_t)(P.n_measures * NR_n_splits) * sizeof *r->kept_measures);
    r->m->now.epoch = (double)(r->best_epoch - r->first_epoch - 1);
    r->m->now.step = (double)(done < r->step - r->first_step ? done : r->step - r->first_step);
    for (int s = NR_train; s < NR_n_splits; s++)
        if (r->d->splits[s].exists && (s != NR_train || is_reported(s)))
            evaluate_split(r->m, r->d, s, r->batch);
    json_t *report = report_values(r->m, NR_at_end, 0);
    r->results = json_incref(report);
    run_outputs(r, NR_at_end, 0);
    if (r->o->json) {
        json_object_set_new(result, "run", json_text(r->folder));
        json_object_set_new(result, "epochs", json_integer((json_int_t)r->epoch));
        json_object_set_new(result, "steps", json_integer((json_int_t)r->step));
        json_object_set_new(result, "kept_epoch", json_integer((json_int_t)r->best_epoch));
        json_object_set_new(result, "report", report);
        print_json(result);
        return;
    }
    print_report(report, "");
    json_decref(report);
    json_decref(result);
}

// Layers can ask for a number of samples in a step; an epoch's last step has what is left.
static void check_steps(struct run *r) {
    const struct nr_graph *g = model_graph(NR_admit);
    int64_t samples = r->d->splits[NR_train].n, sizes[2] = {r->batch, samples % r->batch};
    for (int k = 0; k < 2 && g; k++) {
        if (!sizes[k])
            continue;
        model_run(r->m, g, sizes[k]);
        for (int64_t i = 0; i < r->m->n_values; i++)
            if (array_value(&r->m->values[i], 0) == 0)
                die_help(EXIT_content,
                         k ? memory_text("%lld samples in batches of %lld leave %lld for an epoch's last step: take another "
                                         "--batch, or split off another number of samples",
                                         (long long)samples, (long long)r->batch, (long long)sizes[k])
                           : "a step needs more samples: a larger --batch, or more samples in `train`",
                         "%s, which does not hold in a training step of %lld sample%s", r->m->values[i].name,
                         (long long)sizes[k], sizes[k] == 1 ? "" : "s");
    }
}

static void run_stage(struct run *r, struct progress *bar) {
    if (!is_done(r))
        check_steps(r);
    while (!is_done(r) && !caught) {
        run_epoch(r, bar);
        if (log_clock() - r->written > 1 && r->position == 0) {
            run_save(r);
            run_draw(r, false);
        }
    }
}

int command_train(const struct options *given) {
    struct options o = *given;
    struct dataset d;
    struct run r = {.o = &o, .d = &d};
    struct progress bar;
    check_program();
    catch_signals();
    start_run(&r, &o);
    describe(&r);
    for (bool last = false; !last && !caught;) {
        progress_start(&bar, r.step, r.total, r.per_epoch, r.epochs);
        run_stage(&r, &bar);
        last = r.stage + 1 == P.n_stages;
        if (is_done(&r))
            end_stage(&r);
    }
    progress_clear();
    run_save(&r);
    run_draw(&r, true);
    if (caught && !is_done(&r)) {
        print_resume_command(&r);
        return 128 + caught;
    }
    finish(&r);
    print_results(&r);
    run_report(&r);
    return EXIT_done;
}
