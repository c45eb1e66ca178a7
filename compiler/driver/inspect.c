// The table of `netc inspect`: layers with shapes, parameters and work; totals; planned memory;
// what every node became.
#include "inspect.h"

#include <string.h>

static const struct loop_entry *entry_of(const struct program *p, const struct loop_module *m,
                                         enum graph_kind kind) {
    for (uint32_t i = 0; i < p->graphs.n && i < m->entries.n; i++)
        if (p->graphs.at[i].kind == kind)
            return m->entries.at[i];
    return NULL;
}

static bool inside(const char *path, const char *layer) {
    size_t n = strlen(layer);
    return path && strncmp(path, layer, n) == 0 && (path[n] == 0 || path[n] == '.');
}

// Operations of one sample in a layer, forward.
static double layer_work(const struct program *p, const struct loop_entry *e, const char *layer) {
    double flops = 0;
    for (uint32_t i = 0; e && i < e->verdicts.n; i++) {
        const struct loop_verdict *v = &e->verdicts.at[i];
        const char *path = v->origin ? p->origins->at.at[v->origin].path : NULL;
        if (inside(path, layer))
            flops += v->flops_per_sample;
    }
    return flops;
}

const char *inspect_amount(struct arena *a, double v) {
    if (v >= 1e9)
        return arena_printf(a, "%.2f G", v / 1e9);
    if (v >= 1e6)
        return arena_printf(a, "%.2f M", v / 1e6);
    if (v >= 1e3)
        return arena_printf(a, "%.1f k", v / 1e3);
    return arena_printf(a, "%.0f ", v);
}

static const char *shape_words(struct arena *a, uint32_t rank, const int64_t *shape) {
    struct text t;
    text_init(&t, a);
    text_add(&t, "[");
    for (uint32_t k = 0; k < rank; k++)
        text_printf(&t, "%s%lld", k ? ", " : "", (long long)shape[k]);
    text_add(&t, "]");
    return text_string(&t);
}

static void layers(struct text *t, const struct program *p, const struct loop_entry *forward) {
    size_t real = p->real == DTYPE_f64 ? 8 : 4;
    int width = 28;
    for (uint32_t i = 0; i < p->n_layers; i++)
        if ((int)strlen(p->layers[i].path) > width)
            width = (int)strlen(p->layers[i].path);
    text_printf(t, "%-*s %-18s %12s %12s %12s\n", width, "layer", "output", "parameters", "FLOP",
                "bytes");
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct program_layer *l = &p->layers[i];
        int64_t count = (int64_t)real;
        for (uint32_t k = 0; k < l->rank; k++)
            count *= l->shape[k];
        text_printf(t, "%-*s %-18s %12lld %12s %12s\n", width, l->path,
                    shape_words(t->arena, l->rank, l->shape), (long long)l->params,
                    inspect_amount(t->arena, layer_work(p, forward, l->path)),
                    inspect_amount(t->arena, (double)count));
    }
    text_add(t, "FLOP: operations of the forward pass for one sample; bytes: of the output of one "
                "sample\n");
}

static double field_bytes(const struct program_field *f) {
    double bytes = dtype_size(f->dtype);
    for (uint32_t d = 0; d < f->rank; d++)
        bytes *= (double)f->shape[d];
    return bytes;
}

// The batch as the files have it and as the graphs take it (twice, where augmentation makes the second).
static double batch_bytes(const struct program *p) {
    double bytes = 0, copies = 0;
    for (uint32_t i = 0; i < p->graphs.n; i++)
        copies += p->graphs.at[i].kind == GRAPH_augment;
    for (uint32_t i = 0; i < p->raw.n; i++)
        bytes += field_bytes(&p->raw.at[i]);
    for (uint32_t i = 0; i < p->fields.n; i++) {
        const struct program_field *f = &p->fields.at[i];
        bool is_own = !f->raw || p->raw.at[f->raw - 1].dtype != f->dtype;
        bytes += field_bytes(f) * ((is_own ? 1 : 0) + (copies > 0 ? 1 : 0));
    }
    return bytes * (double)p->batch;
}

static bool is_rule_state(const struct graph *g, uint32_t input, const struct node *like) {
    const struct node *x = graph_node(g, g->inputs.at[input]);
    return x->role == ROLE_rule_state && (!like || (x->ref == like->ref && x->ref2 == like->ref2));
}

// Elements of the optimizers' states: each once, though several graphs may read it.
static double state_count(const struct program *p) {
    double count = 0;
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        const struct graph *g = p->graphs.at[i].graph;
        for (uint32_t k = 0; k < g->inputs.n && p->graphs.at[i].kind == GRAPH_update; k++) {
            const struct node *x = graph_node(g, g->inputs.at[k]);
            bool is_known = false;
            for (uint32_t j = 0; j < i && !is_known; j++)
                for (uint32_t o = 0; o < p->graphs.at[j].graph->inputs.n; o++)
                    is_known |= p->graphs.at[j].kind == GRAPH_update &&
                                is_rule_state(p->graphs.at[j].graph, o, x);
            double each = 1;
            for (uint32_t d = 0; d < x->rank; d++)
                each *= (double)graph_extent_max(g, x->shape[d]);
            count += is_rule_state(g, k, NULL) && !is_known ? each : 0;
        }
    }
    return count;
}

// What choosing among epochs keeps besides: a second set of parameters.
static bool chooses(const struct program *p) {
    bool is_chosen = false;
    for (uint32_t i = 0; i < p->splits.n; i++)
        is_chosen |= strcmp(p->splits.at[i].name, "validation") == 0;
    for (uint32_t i = 0; i < p->stages.n; i++)
        is_chosen |= p->stages.at[i].has_keep;
    return is_chosen;
}

struct inspect_costs inspect_costs(const struct program *p, const struct loop_module *m) {
    struct inspect_costs c = {0};
    double real = p->real == DTYPE_f64 ? 8 : 4;
    for (uint32_t i = 0; i < p->params.n; i++)
        c.n_params += p->params.at[i].count;
    for (uint32_t i = 0; i < p->graphs.n && i < m->entries.n; i++) {
        const struct loop_entry *e = m->entries.at[i];
        double bytes = (double)e->arena + (double)e->arena_per_sample * (double)p->batch;
        if (p->graphs.at[i].kind != GRAPH_fit && p->graphs.at[i].kind != GRAPH_between &&
            p->graphs.at[i].kind != GRAPH_check && bytes > c.arena)
            c.arena = bytes;
        if (p->graphs.at[i].kind == GRAPH_gradient || p->graphs.at[i].kind == GRAPH_update)
            c.work += e->flops + e->flops_per_sample * (double)p->batch;
    }
    c.arena += (double)loop_scratch(m);
    c.params = (double)c.n_params * real;
    c.optimizer = state_count(p) * real;
    c.batch = batch_bytes(p);
    c.kept = chooses(p) ? c.params : 0;
    c.memory = 2 * c.params + c.optimizer + c.arena + c.batch + c.kept;
    return c;
}

static void totals(struct text *t, const struct program *p, const struct loop_module *m) {
    struct inspect_costs c = inspect_costs(p, m);
    int64_t states = 0;
    for (uint32_t i = 0; i < p->states.n; i++)
        states += p->states.at[i].count;
    text_printf(t, "\nparameters         %lld (%sB)\n", (long long)c.n_params,
                inspect_amount(t->arena, c.params));
    if (states)
        text_printf(t, "states             %lld\n", (long long)states);
    text_printf(t, "training step      %sFLOP at batch %lld\n", inspect_amount(t->arena, c.work),
                (long long)p->batch);
    text_printf(t,
                "planned memory     %sB: parameters %sB, gradients %sB, optimizer %sB, activations "
                "%sB, batch %sB",
                inspect_amount(t->arena, c.memory), inspect_amount(t->arena, c.params),
                inspect_amount(t->arena, c.params), inspect_amount(t->arena, c.optimizer),
                inspect_amount(t->arena, c.arena), inspect_amount(t->arena, c.batch));
    if (c.kept > 0)
        text_printf(t, ", kept weights %sB", inspect_amount(t->arena, c.kept));
    text_add(t, "\n");
}

static void hypers(struct text *t, const struct program *p) {
    if (p->hypers.n)
        text_add(t, "\nhyperparameters\n");
    for (uint32_t i = 0; i < p->hypers.n; i++) {
        const struct program_hyper *h = &p->hypers.at[i];
        text_printf(t, "  %-16s %-12s %-34s %s\n", h->name, h->text,
                    h->structural ? "structural: netc build -D" : "run time: a flag of the trainer",
                    h->help ? h->help : "");
    }
}

void inspect_table(struct text *t, const struct program *p, const struct loop_module *m) {
    layers(t, p, entry_of(p, m, GRAPH_evaluate));
    totals(t, p, m);
    hypers(t, p);
    const struct loop_entry *step = entry_of(p, m, GRAPH_gradient);
    if (!step)
        return;
    text_add(t, "\nthe gradient's nodes\n");
    for (uint32_t i = 0; i < step->verdicts.n; i++) {
        const struct loop_verdict *v = &step->verdicts.at[i];
        text_printf(t, "  %-24s %10s  %s\n", v->name ? v->name : "",
                    inspect_amount(t->arena, v->flops + v->flops_per_sample * (double)p->batch),
                    v->text ? v->text : v->family);
    }
}

// ---- Graphviz

static void quoted(struct text *t, const char *s) {
    text_add_char(t, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_add_char(t, '\\');
        text_add_char(t, *s);
    }
    text_add_char(t, '"');
}

struct edges {
    struct text *t;
    uint32_t graph, to;
};

static expr_id edge(struct graph *g, expr_id e, void *context) {
    struct edges *c = context;
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_read)
        text_printf(c->t, "    g%u_%u -> g%u_%u\n", c->graph, x->node, c->graph, c->to);
    return e;
}

static void dot_graph(struct text *t, struct graph *g, uint32_t number) {
    text_printf(t, "  subgraph cluster_%u {\n    label=", number);
    quoted(t, g->name);
    text_add(t, "\n");
    for (node_id n = 1; n < g->nodes.n; n++) {
        const struct node *x = graph_node(g, n);
        text_printf(t, "    g%u_%u [shape=%s, label=", number, n,
                    x->kind == NODE_input ? "ellipse" : "box");
        quoted(t, graph_node_text(t->arena, g, n));
        text_add(t, "]\n");
        struct edges c = {t, number, n};
        if (x->kind == NODE_comp)
            expr_rewrite(g, x->body, edge, &c);
        for (uint32_t i = 0; graph_node(g, n)->kind == NODE_op && i < graph_node(g, n)->n_inputs;
             i++)
            text_printf(t, "    g%u_%u -> g%u_%u\n", number, graph_node(g, n)->inputs[i], number,
                        n);
    }
    text_add(t, "  }\n");
}

void inspect_dot(struct text *t, const struct program *p) {
    text_add(t, "digraph program {\n  node [fontname=monospace]\n");
    for (uint32_t i = 0; i < p->graphs.n; i++)
        dot_graph(t, p->graphs.at[i].graph, i);
    text_add(t, "}\n");
}
