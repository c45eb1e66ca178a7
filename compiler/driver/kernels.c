// `netc inspect --kernels`: the kernels of the training step in their order, with what each was
// recognized as, its plan, its work and bytes, the time that the cost model expects of one core,
// and beside it the measured time, where a profile (`./M bench --profile --json`) is given.
//
// A profile belongs to a program and a target: its kernels have to be those here, one for one.
#include "inspect.h"

#include <jansson.h>
#include <string.h>

struct kernel_row {
    const struct loop_entry *entry;
    const struct loop_step *step;
    uint32_t number; // of the step in the entry
    const char *name, *what, *layer, *place;
    double flops, bytes, predicted;
    double measured; // seconds; < 0: not known
};
struct kernel_rows {
    struct arena *arena;
    const struct program *program;
    const struct machine *machine;
    double samples;
    bool is_measured;
    VEC(struct kernel_row) all;
};

static void add_rows(struct kernel_rows *r, const struct loop_module *m,
                     const struct loop_entry *e) {
    const struct origins *o = r->program->origins;
    for (uint32_t i = 0; e->timed && i < e->steps.n; i++) {
        const struct loop_step *s = &e->steps.at[i];
        struct kernel_row k = {.entry = e, .step = s, .number = i, .measured = -1};
        k.name = loop_step_name(m, s);
        k.what = loop_step_what(r->arena, s);
        k.layer = origin_path(o, s->origin);
        k.place = origin_line(r->arena, o, o->sources, s->origin);
        VEC_PUSH(r->arena, &r->all, k);
    }
}

static void work_out(struct kernel_rows *r) {
    for (uint32_t i = 0; i < r->all.n; i++) {
        struct kernel_row *k = &r->all.at[i];
        k->flops = k->step->flops + k->step->flops_per_sample * r->samples;
        k->bytes = k->step->bytes + k->step->bytes_per_sample * r->samples;
        k->predicted = loop_predict(k->step, r->machine, r->samples);
    }
}

// ---- the profile
static struct kernel_row *find_row(struct kernel_rows *r, const char *graph, json_int_t step) {
    for (uint32_t i = 0; i < r->all.n; i++)
        if (r->all.at[i].number == step && strcmp(r->all.at[i].entry->name, graph) == 0)
            return &r->all.at[i];
    return NULL;
}

static const char *take_kernel(struct kernel_rows *r, json_t *from) {
    const char *graph, *what;
    json_int_t step;
    double ms;
    if (json_unpack(from, "{s:s, s:I, s:s, s:F}", "graph", &graph, "step", &step, "what", &what,
                    "ms", &ms) != 0 ||
        !(ms >= 0))
        return "a kernel in it lacks `graph`, `step`, `what` or `ms`";
    struct kernel_row *k = find_row(r, graph, step);
    if (!k)
        return arena_printf(r->arena, "it has step %lld of `%s`, which this program lacks",
                            (long long)step, graph);
    if (strcmp(k->what, what) != 0)
        return arena_printf(r->arena, "step %lld of `%s` is `%s` there and `%s` here",
                            (long long)step, graph, what, k->what);
    k->measured = 1e-3 * ms;
    return NULL;
}

static const char *take_profile(struct kernel_rows *r, json_t *root) {
    json_t *kernels = json_object_get(root, "kernels");
    json_int_t batch;
    if (!json_is_array(kernels) || json_unpack(root, "{s:I}", "batch", &batch) != 0 || batch < 1)
        return "it has no `kernels` or no `batch`";
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const char *wrong = take_kernel(r, json_array_get(kernels, i));
        if (wrong)
            return wrong;
    }
    r->samples = (double)batch;
    r->is_measured = true;
    return NULL;
}

// ---- as text
static void totals(struct text *t, const struct kernel_rows *r) {
    double flops = 0, bytes = 0, predicted = 0, measured = 0;
    for (uint32_t i = 0; i < r->all.n; i++) {
        const struct kernel_row *k = &r->all.at[i];
        flops += k->flops;
        bytes += k->bytes;
        predicted += k->predicted;
        measured += k->measured > 0 ? k->measured : 0;
    }
    text_printf(t, "\n%u kernels: %sFLOP, %sB, predicted %.3f ms", r->all.n,
                inspect_amount(t->arena, flops), inspect_amount(t->arena, bytes), 1e3 * predicted);
    if (r->is_measured)
        text_printf(t, ", measured %.3f ms", 1e3 * measured);
    text_printf(t,
                "\nFLOP, bytes at batch %.0f; bytes: each array, or the part that is read, once; "
                "predicted: of one core, by the cost model's constants\n",
                r->samples);
}

static void table(struct text *t, const struct kernel_rows *r) {
    const struct loop_entry *last = NULL;
    for (uint32_t i = 0; i < r->all.n; i++) {
        const struct kernel_row *k = &r->all.at[i];
        if (k->entry != last)
            text_printf(t, "%s%s\n%5s %10s %10s %12s %s kernel, layer, place\n", i ? "\n" : "",
                        k->entry->name, "step", "FLOP", "bytes", "predicted ms",
                        r->is_measured ? "measured ms" : "");
        last = k->entry;
        text_printf(t, "%5u %10s %10s %12.4f ", k->number, inspect_amount(t->arena, k->flops),
                    inspect_amount(t->arena, k->bytes), 1e3 * k->predicted);
        if (r->is_measured && k->measured >= 0)
            text_printf(t, "%11.4f ", 1e3 * k->measured);
        else if (r->is_measured)
            text_printf(t, "%11s ", "-");
        text_printf(t, " %s", k->what);
        if (k->step->why_scalar)
            text_printf(t, " (scalar, because %s)", k->step->why_scalar);
        text_printf(t, "; %s, %s\n", k->layer ? k->layer : "-", k->place ? k->place : "-");
    }
    totals(t, r);
}

// ---- as JSON
static json_t *row_json(const struct kernel_rows *r, const struct kernel_row *k) {
    json_t *nodes = json_array(), *row;
    for (uint32_t i = 0; i < k->step->n_verdicts; i++)
        json_array_append_new(nodes,
                              json_string(k->entry->verdicts.at[k->step->first_verdict + i].name));
    row = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:s?, s:f, s:f, s:f, s:o}",
                    "graph", k->entry->name, "step", (json_int_t)k->number, "kernel", k->name,
                    "family", k->step->family, "recognized", k->step->kind, "plan", k->step->plan,
                    "scalar_because", k->step->why_scalar, "what", k->what, "layer", k->layer,
                    "place", k->place, "flops", k->flops, "bytes", k->bytes, "predicted_ms",
                    1e3 * k->predicted, "nodes", nodes);
    CHECK(row, "kernel %u of `%s` has no JSON", k->number, k->entry->name);
    if (r->is_measured)
        json_object_set_new(row, "measured_ms",
                            k->measured >= 0 ? json_real(1e3 * k->measured) : json_null());
    return row;
}

static void print_json(struct text *t, const struct kernel_rows *r) {
    json_t *kernels = json_array();
    for (uint32_t i = 0; i < r->all.n; i++)
        json_array_append_new(kernels, row_json(r, &r->all.at[i]));
    json_t *root = json_pack("{s:s, s:f, s:o}", "train", r->program->name, "batch", r->samples,
                             "kernels", kernels);
    char *text = json_dumps(root, JSON_REAL_PRECISION(9) | JSON_ENSURE_ASCII);
    CHECK(text, "no JSON of %u kernels", r->all.n);
    text_add(t, text);
    text_add(t, "\n");
    free(text);
    json_decref(root);
}

const char *inspect_kernels(struct text *t, const struct program *p, const struct loop_module *m,
                            const struct machine *machine, const char *profile, size_t n,
                            bool as_json) {
    struct kernel_rows r = {.arena = t->arena,
                            .program = p,
                            .machine = machine,
                            .samples = p->batch > 0 ? (double)p->batch : 1};
    for (uint32_t i = 0; i < m->entries.n; i++)
        add_rows(&r, m, m->entries.at[i]);
    if (profile) {
        json_error_t error;
        json_t *root = json_loadb(profile, n, JSON_REJECT_DUPLICATES, &error);
        if (!root)
            return arena_printf(t->arena, "line %d: %s", error.line, error.text);
        const char *wrong = take_profile(&r, root);
        json_decref(root);
        if (wrong)
            return wrong;
    }
    work_out(&r);
    if (as_json)
        print_json(t, &r);
    else
        table(t, &r);
    return NULL;
}
