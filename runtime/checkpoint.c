// The files of a run: config.json, metrics.csv, best.safetensors, last.safetensors, checkpoint. The
// checkpoint alone is what a resume reads; it holds everything that decides the following bits
// (parameters, states, optimizer states, memories of rules, the kept weights, sums of the running
// epoch, position) and the rows of metrics.csv. It is written last, so that a killed run finds
// files that are at most newer than it, and makes the same ones again; only the first one is
// written before the others, so that there never are weights without a checkpoint.
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define P nr_program
#define FORMAT "netc checkpoint 1"

json_t *run_config(const struct run *r) {
    json_t *hypers = json_object(), *splits = json_object();
    for (int64_t i = 0; i < P.n_hypers; i++)
        json_object_set_new(hypers, P.hypers[i].name,
                            P.hypers[i].structural ? json_string(P.hypers[i].text)
                                                   : json_real(r->m->hypers[i]));
    for (int s = 0; s < NR_n_splits; s++)
        if (r->d->splits[s].exists)
            json_object_set_new(splits, split_names[s],
                                json_integer((json_int_t)r->d->splits[s].n));
    char *hash = memory_text("%016llx", (unsigned long long)P.hash),
         *data = memory_text("%016llx", (unsigned long long)r->d->hash);
    json_t *config = json_pack("{s:s, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:s, s:o, s:s, s:o}",
                               "program", P.name, "source", json_text(P.source), "compiler", P.compiler,
                               "hash", hash, "seed", (json_int_t)r->m->seed, "batch",
                               (json_int_t)r->batch, "epochs", (json_int_t)r->epochs, "steps",
                               (json_int_t)r->total, "hyperparameters", hypers, "data", P.data_name,
                               "data_folder", json_text(r->data_folder), "data_hash", data, "splits", splits);
    free(hash);
    free(data);
    if (!config)
        die(EXIT_environment, "out of memory for the run's configuration");
    if (r->weights)
        json_object_set_new(config, "weights", json_text(r->weights));
    if (r->left_out)
        json_object_set(config, "left_out", r->left_out);
    return config;
}

void run_write_config(const struct run *r) {
    json_t *config = run_config(r);
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17)),
         *path = run_path(r, "config.json");
    struct problem p;
    if (!text)
        die(EXIT_environment, "out of memory for the run's configuration");
    char *line = memory_text("%s\n", text);
    if (!nf_save(path, line, strlen(line), &p))
        die_problem(&p);
    json_decref(config);
    free(text);
    free(line);
    free(path);
}

// ---- the kept weights
static int64_t real_bytes(void) { return dtype_bytes(P.real); }

void run_keep_best(struct run *r) {
    for (int64_t i = 0; r->best_params && i < P.n_params; i++)
        memcpy(r->best_params + P.params[i].offset * real_bytes(), model_param(r->m, i),
               (size_t)(P.params[i].count * real_bytes()));
    for (int64_t i = 0; r->best_params && i < P.n_states; i++)
        memcpy(r->best_states + state_place(i), model_state(r->m, i),
               (size_t)(P.states[i].count * dtype_bytes(P.states[i].dtype)));
    r->best_epoch = r->epoch;
    r->best_written = false;
}

void run_use_best(struct run *r) {
    for (int64_t i = 0; r->best_params && i < P.n_params; i++)
        memcpy(model_param(r->m, i), r->best_params + P.params[i].offset * real_bytes(),
               (size_t)(P.params[i].count * real_bytes()));
    for (int64_t i = 0; r->best_params && i < P.n_states; i++)
        memcpy(model_state(r->m, i), r->best_states + state_place(i),
               (size_t)(P.states[i].count * dtype_bytes(P.states[i].dtype)));
}

// weights_collect names and places the tensors of now; here the same with the kept copies.
static void collect_best(const struct run *r, struct arrays *set, const char *prefix) {
    int64_t from = set->n;
    weights_collect(r->m, set, prefix);
    for (int64_t i = 0; r->best_params && i < P.n_params; i++)
        set->at[from + i].data = r->best_params + P.params[i].offset * real_bytes();
    for (int64_t i = 0; r->best_params && i < P.n_states; i++)
        set->at[from + P.n_params + i].data = r->best_states + state_place(i);
}

static void release(struct arrays *set) {
    for (int64_t i = 0; i < set->n; i++)
        free(set->at[i].name);
    free(set->at);
    *set = (struct arrays){0};
}

static void set_number(json_t *metadata, const char *key, double v) {
    char *text = memory_text("%.17g", v);
    json_object_set_new(metadata, key, json_string(text));
    free(text);
}

static void write_set(const struct run *r, const char *name, struct arrays *set, json_t *metadata) {
    struct problem p;
    char *path = run_path(r, name);
    if (!safetensors_write(path, set, metadata, &p))
        die_problem(&p);
    json_decref(metadata);
    release(set);
    free(path);
}

static void write_weights(struct run *r, const char *name, bool best) {
    struct arrays set = {0};
    json_t *metadata = weights_metadata(r->m, r->d, "netc weights 1");
    set_number(metadata, "epoch", (double)(best ? r->best_epoch : r->epoch));
    if (best)
        collect_best(r, &set, "");
    else {
        set_number(metadata, "step", (double)r->step);
        weights_collect(r->m, &set, "");
    }
    write_set(r, name, &set, metadata);
}

// ---- the checkpoint: tensors `run/..` besides the weights and `best/..`
static void add(struct arrays *set, char *name, int64_t dtype, int64_t count, void *data) {
    struct array a = {
        .name = name, .dtype = dtype, .rank = 1, .shape = {count}, .count = count, .data = data};
    arrays_add(set, &a);
}

static void visit_state(struct run *r, struct arrays *set) {
    add(set, memory_text("run/sums"), NR_f64, P.n_measures + 1, r->sums);
    add(set, memory_text("run/measures"), NR_f64, P.n_measures * NR_n_splits, r->m->measures);
    add(set, memory_text("run/kept_measures"), NR_f64, P.n_measures * NR_n_splits, r->kept_measures);
    add(set, memory_text("run/memories"), NR_f64, P.n_memories, r->m->memories);
    for (int64_t i = 0; i < P.n_rule_states * P.n_segments; i++)
        if (r->m->rule_states[i])
            add(set,
                memory_text("run/%s/%lld", P.rule_states[i / P.n_segments].name,
                            (long long)(i % P.n_segments)),
                P.real, r->m->rule_counts[i], r->m->rule_states[i]);
}

static void write_checkpoint(struct run *r) {
    struct arrays set = {0};
    json_t *metadata = weights_metadata(r->m, r->d, FORMAT);
    weights_collect(r->m, &set, "");
    if (r->best_epoch && r->best_params)
        collect_best(r, &set, "best/");
    visit_state(r, &set);
    set_number(metadata, "stage", (double)r->stage);
    set_number(metadata, "first_epoch", (double)r->first_epoch);
    set_number(metadata, "first_step", (double)r->first_step);
    set_number(metadata, "epoch", (double)r->epoch);
    set_number(metadata, "position", (double)r->position);
    set_number(metadata, "step", (double)r->step);
    set_number(metadata, "epochs", (double)r->epochs);
    set_number(metadata, "steps", (double)r->total);
    set_number(metadata, "batch", (double)r->batch);
    set_number(metadata, "batch_flag", (double)r->o->batch);
    set_number(metadata, "best_epoch", (double)r->best_epoch);
    set_number(metadata, "stopped", r->stopped);
    set_number(metadata, "seconds", r->spent + log_clock() - r->start);
    char bits[32];
    snprintf(bits, sizeof bits, "%a", r->best_loss);
    json_object_set_new(metadata, "best_loss", json_string(bits));
    json_object_set_new(metadata, "metrics", json_string(r->metrics.at ? r->metrics.at : ""));
    if (r->data_folder) // left out where it is no UTF-8: a resume has to name it
        json_object_set_new(metadata, "data_folder", json_string(r->data_folder));
    if (r->weights)
        json_object_set_new(metadata, "weights", json_text(r->weights));
    if (r->left_out) {
        char *names = json_dumps(r->left_out, JSON_COMPACT);
        json_object_set_new(metadata, "left_out", json_string(names));
        free(names);
    }
    write_set(r, "checkpoint", &set, metadata);
}

void run_save_best(struct run *r) {
    write_weights(r, "best.safetensors", true);
    r->best_written = true;
}

void run_save(struct run *r) {
    struct problem p;
    char *path = run_path(r, "metrics.csv");
    run_check_finite(r);
    if (!r->begun) {
        write_checkpoint(r);
        run_write_config(r);
        r->begun = true;
    }
    write_weights(r, "last.safetensors", false);
    if (r->best_epoch && !r->best_written && (r->best_params || r->position == 0))
        run_save_best(r);
    if (!nf_save(path, r->metrics.at, (size_t)r->metrics.n, &p))
        die_problem(&p);
    write_checkpoint(r);
    r->written = log_clock();
    free(path);
}

// ---- resuming
static double number(const struct checkpoint *c, const char *key) {
    double v;
    if (!weights_number(c->metadata, key, &v))
        die(EXIT_content, "`%s` has no `%s`", c->path, key);
    return v;
}

// A whole number that this runtime can have written: no run counts further than `most`.
static int64_t counter(const struct checkpoint *c, const char *key, int64_t most) {
    double v = number(c, key);
    if (!(v >= 0 && v <= (double)most && v == floor(v)))
        die_help(EXIT_content, "no trainer of netc writes such a checkpoint; start a new run with --out",
                 "`%s` has %.17g as `%s`: a whole number from 0 to %lld is needed", c->path, v, key,
                 (long long)most);
    return (int64_t)v;
}

static void check_hypers(const struct checkpoint *c, struct options *o) {
    for (int64_t i = 0; i < P.n_hypers; i++) {
        if (P.hypers[i].structural)
            continue;
        char *key = memory_text("hyper.%s", P.hypers[i].name);
        double kept = number(c, key);
        if (o->hyper_given[i] && o->hypers[i] != kept)
            die_help(EXIT_usage, "leave the flag out, or start another run with --out",
                     "the run was started with `--%s %.9g`, a resume cannot change it to %.9g",
                     P.hypers[i].name, kept, o->hypers[i]);
        o->hypers[i] = kept;
        free(key);
    }
}

void checkpoint_open(struct run *r, struct checkpoint *c, struct options *o) {
    struct problem p;
    c->path = run_path(r, "checkpoint");
    if (access(c->path, F_OK) != 0)
        die_help(EXIT_environment, "start it without --resume", "there is no run in `%s` to resume",
                 r->folder);
    if (!safetensors_read(c->path, &c->set, &c->metadata, &p))
        die_problem(&p);
    const char *format = weights_text(c->metadata, "format"),
               *hash = weights_text(c->metadata, "hash"), *seed = weights_text(c->metadata, "seed");
    char *own = memory_text("%016llx", (unsigned long long)P.hash);
    if (!format || strcmp(format, FORMAT) != 0 || !seed)
        die(EXIT_content, "`%s` is no checkpoint of this version", c->path);
    if (!hash || strcmp(hash, own) != 0)
        die_help(EXIT_content, "start a new run with --out, or compile the program as it was",
                 "`%s` was written by another program (%s, this is %s)", c->path, hash ? hash : "?",
                 own);
    uint64_t kept = strtoull(seed, NULL, 10);
    if (o->has_seed && o->seed != kept)
        die_help(EXIT_usage, "leave --seed out, or start another run with --out",
                 "the run has seed %llu, a resume cannot change it", (unsigned long long)kept);
    o->seed = kept;
    check_hypers(c, o);
    if (o->batch && (double)o->batch != number(c, "batch"))
        die_help(EXIT_usage, "leave --batch out, or start another run with --out",
                 "the run has batches of %.0f, a resume cannot change it", number(c, "batch"));
    o->batch = counter(c, "batch_flag", P.batch_all ? MOST_STEPS : P.batch);
    const char *folder = weights_text(c->metadata, "data_folder");
    if (!o->data && folder)
        o->data = memory_text("%s", folder);
    free(own);
}

static void take(const struct checkpoint *c, const struct array *to) {
    struct array *a = arrays_find(&c->set, to->name);
    if (!a || a->dtype != to->dtype || a->count != to->count)
        die(EXIT_content, "`%s` has no `%s` that fits the program", c->path, to->name);
    memcpy(to->data, a->data, (size_t)(a->count * dtype_bytes(a->dtype)));
}

static void restore_weights(struct run *r, struct checkpoint *c) {
    struct arrays mine = {0}, best = {0};
    if (r->best_epoch && r->best_params) {
        collect_best(r, &best, "best/");
        for (int64_t i = 0; i < best.n; i++) {
            struct array flat = best.at[i];
            take(c, &flat);
        }
    }
    weights_collect(r->m, &mine, "");
    for (int64_t i = 0; i < mine.n; i++)
        take(c, &mine.at[i]);
    release(&best);
    release(&mine);
    r->m->has_fitted = true;
}

void checkpoint_stage(struct run *r, const struct checkpoint *c) {
    int64_t stage = counter(c, "stage", P.n_stages - 1);
    r->first_epoch = counter(c, "first_epoch", MOST_STEPS);
    r->first_step = counter(c, "first_step", MOST_STEPS);
    run_enter_stage(r, stage);
}

static NORETURN void contradicts(const struct run *r, const struct checkpoint *c) {
    die(EXIT_content, "`%s` contradicts itself: epoch %lld, step %lld of %lld in %lld epochs of %lld steps",
        c->path, (long long)r->epoch, (long long)r->step, (long long)r->total, (long long)r->epochs,
        (long long)r->per_epoch);
}

// The length of the stage: that of --epochs, else what the checkpoint says, which must be a length that a run
// can have.
static void restore_length(struct run *r, const struct checkpoint *c) {
    int64_t epochs = r->epochs, total = r->total, all;
    if (r->o->epochs)
        return;
    r->epochs = counter(c, "epochs", MOST_EPOCHS);
    r->total = counter(c, "steps", MOST_STEPS);
    if ((r->epochs != epochs || r->total != total) &&
        (!checked_mul(r->epochs, r->per_epoch, &all) || r->total != all + r->first_step))
        contradicts(r, c);
}

static void restore_position(struct run *r, const struct checkpoint *c) {
    r->epoch = counter(c, "epoch", MOST_STEPS);
    r->position = counter(c, "position", MOST_STEPS);
    r->step = counter(c, "step", MOST_STEPS);
    r->best_epoch = counter(c, "best_epoch", MOST_STEPS);
    r->spent = number(c, "seconds");
    r->stopped = counter(c, "stopped", 1) != 0;
    restore_length(r, c);
    int64_t epochs = r->epoch - r->first_epoch, steps = r->step - r->first_step, done;
    bool agree = checked_mul(epochs, r->per_epoch, &done) && steps == done + r->position;
    // the last epoch of a number of steps may be a part of one
    bool ends = r->position == 0 && steps > 0 && (steps + r->per_epoch - 1) / r->per_epoch == epochs;
    if (epochs < 0 || steps < 0 || r->position >= r->per_epoch || r->best_epoch > r->epoch ||
        !isfinite(r->spent) || r->spent < 0 || !(agree || ends))
        contradicts(r, c);
}

void checkpoint_restore(struct run *r, struct checkpoint *c) {
    char *hash = memory_text("%016llx", (unsigned long long)r->d->hash);
    const char *kept = weights_text(c->metadata, "data"),
               *metrics = weights_text(c->metadata, "metrics"),
               *loss = weights_text(c->metadata, "best_loss");
    weights_check_classes(c->metadata, c->path, r->d);
    if (!kept || strcmp(kept, hash) != 0)
        die_help(EXIT_content,
                 "resume with the data it was started with, or start a new run with --out",
                 "the data of `%s` has changed since the run in `%s` was started", P.data_name,
                 r->folder);
    free(hash);
    if (!metrics)
        die(EXIT_content, "`%s` has no `metrics`", c->path);
    restore_position(r, c);
    r->best_loss = loss ? strtod(loss, NULL) : (double)INFINITY;
    restore_weights(r, c);
    struct arrays set = {0};
    visit_state(r, &set);
    for (int64_t i = 0; i < set.n; i++)
        take(c, &set.at[i]);
    release(&set);
    text_add(&r->metrics, "%s", metrics);
    const char *weights = weights_text(c->metadata, "weights"),
               *left_out = weights_text(c->metadata, "left_out");
    r->weights = weights ? memory_text("%s", weights) : NULL;
    r->left_out = left_out ? json_loads(left_out, JSON_REJECT_DUPLICATES, NULL) : NULL;
    arrays_free(&c->set);
    json_decref(c->metadata);
}
