// Random comprehensions: what a written node means, computed here straight from the random text of
// it, against the interpreter on the canonical node. Each one is also verified, printed and read
// back.
//
// The written node is a tree of this file's own (struct part); it is turned into expressions by the
// constructors, so their simplifications are tested too. Semantics tested: a reduction leaves out
// the terms whose unbracketed reads fall outside, those of branches that are not taken left aside;
// brackets are 0 where a guard is false.
#include "../../compiler/graph/graph.h"

#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_CASES = 10000, N_INPUTS = 4, MAX_N = 4, N_CLASSES = 4, MAX_PARTS = 200 };

static uint64_t state;

static uint32_t draw(uint32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

struct affine {
    int coefficient[6], constant, divisor;
};
enum part_kind {
    PART_const,
    PART_axis,
    PART_size,
    PART_read,
    PART_op,
    PART_bracket,
    PART_equal,
    PART_match
};
struct part {
    enum part_kind kind;
    double value;
    int axis;
    int input;
    struct affine
        at[3];    // of a read; of an equality: at[0] - at[1]; of a match: at[0] == classes[axis]
    bool data[3]; // read: this index is classes[axis..] instead
    enum op op;
    int n;
    struct part *part[3];
};
struct written {
    enum reducer reducer;
    int n_out, n_red;
    extent extents[6];
    int n_guards;
    struct affine guard[2];
    extent bound[2];
    struct part *body;
};

static struct part parts[MAX_PARTS];
static int n_parts;
static int n_axes; // of the node being made
static extent shapes[N_INPUTS][3];
static uint32_t ranks[N_INPUTS];
static struct tensor tensors[N_INPUTS];
static int64_t size_n;

static struct part *new_part(enum part_kind kind) {
    struct part *p = &parts[n_parts++];
    *p = (struct part){.kind = kind};
    return p;
}

// ---- making

static extent random_extent(void) { return draw(4) ? (extent)(1 + draw(5)) : -1; }

static struct affine random_affine(bool divide) {
    static const int coefficients[] = {1, 1, 1, 1, 2, 3, -1, -2};
    struct affine a = {.divisor = divide && !draw(5) ? 2 + (int)draw(2) : 1};
    for (uint32_t k = 0, n = 1 + draw(3); k < n && n_axes; k++)
        a.coefficient[draw((uint32_t)n_axes)] = coefficients[draw(8)];
    a.constant = draw(2) ? 0 : (int)draw(5) - 2;
    return a;
}

static struct part *random_read(void) {
    struct part *p = new_part(PART_read);
    p->input = (int)draw(N_INPUTS - 1); // the last holds classes
    for (uint32_t k = 0; k < ranks[p->input]; k++) {
        p->at[k] = random_affine(true);
        p->data[k] = shapes[p->input][k] == N_CLASSES && !draw(3);
    }
    return p;
}

// A read inside brackets that keep it in range.
static struct part *random_bracket(void) {
    struct part *p = new_part(PART_bracket);
    p->n = 1;
    p->part[0] = random_read();
    for (int k = 0; k < 3; k++)
        p->part[0]->data[k] = false;
    return p;
}

static struct part *random_part(int depth, bool bracketed);

// sigmoid(part) + 0.5
static struct part *positive(struct part *of) {
    struct part *s = new_part(PART_op), *half = new_part(PART_const), *sum = new_part(PART_op);
    *s = (struct part){.kind = PART_op, .op = OP_sigmoid, .n = 1, .part = {of}};
    half->value = 0.5;
    *sum = (struct part){.kind = PART_op, .op = OP_add, .n = 2, .part = {s, half}};
    return sum;
}

static struct part *random_op(int depth, bool bracketed) {
    static const enum op ops[] = {OP_add, OP_add, OP_mul, OP_mul, OP_mul, OP_tanh,   OP_exp,
                                  OP_abs, OP_max, OP_min, OP_lt,  OP_pow, OP_select, OP_sigmoid,
                                  OP_pow, OP_and, OP_or,  OP_not, OP_ne,  OP_cos,    OP_softplus};
    struct part *p = new_part(PART_op);
    p->op = ops[draw(sizeof ops / sizeof *ops)];
    p->n = p->op == OP_add || p->op == OP_mul ? 2 + (int)draw(2) : op_table[p->op].n_inputs;
    for (int k = 0; k < p->n; k++)
        p->part[k] = random_part(depth - 1, bracketed || p->op == OP_select);
    if (p->op == OP_pow) {
        static const double exponents[] = {1, 2, 3, 2, -1, -1, -2, 0.5, -0.5, 1.5};
        p->part[1] = new_part(PART_const);
        p->part[1]->value = exponents[draw(10)];
        if (draw(2) || p->part[1]->value < 1 || p->part[1]->value == 1.5)
            p->part[0] = positive(p->part[0]);
    }
    return p;
}

static struct part *random_part(int depth, bool bracketed) {
    if (depth > 0 && draw(4) && n_parts < MAX_PARTS - 20)
        return random_op(depth, bracketed);
    uint32_t k = draw(12);
    struct part *p;
    if (k == 0) {
        p = new_part(PART_const);
        p->value = draw(2)
                       ? 0.5
                       : (double)draw(5) - 2.5; // not 0: that drops the range of the other factors
    } else if (k == 1 && n_axes) {
        p = new_part(PART_axis);
        p->axis = (int)draw((uint32_t)n_axes);
    } else if (k == 2) {
        p = new_part(PART_size);
    } else if (k == 3 && n_axes) {
        p = new_part(PART_match);
        p->axis = (int)draw((uint32_t)n_axes);
        p->at[0] = random_affine(false);
        if (draw(2)) { // a plain axis, as in one-hot sums
            p->at[0] = (struct affine){.divisor = 1};
            p->at[0].coefficient[draw((uint32_t)n_axes)] = 1;
        }
    } else if (k == 4) {
        p = new_part(PART_equal);
        p->at[0] = random_affine(false);
        p->at[1] = random_affine(false);
    } else {
        p = bracketed || k < 8 ? random_bracket() : random_read();
    }
    return p;
}

static struct part *two(enum op op, struct part *a, struct part *b) {
    struct part *p = new_part(PART_op);
    *p = (struct part){.kind = PART_op, .op = op, .n = 2, .part = {a, b}};
    return p;
}

// A choice between bare reads. Nothing simplifies it away: what is not read leaves no term out.
static struct part *random_choice(bool nested) {
    struct part *s = new_part(PART_op);
    *s = (struct part){.kind = PART_op, .op = OP_select, .n = 3};
    s->part[0] = random_part(2, nested);
    for (int k = 1; k < 3; k++) {
        s->part[k] = draw(4) ? random_read() : random_choice(true);
        if (draw(3) == 0)
            s->part[k] = two(OP_mul, s->part[k], random_read());
    }
    if (draw(3) == 0) {
        struct part *half = new_part(PART_const);
        half->value = 0.5;
        return two(OP_add, s, half);
    }
    return draw(3) ? s : two(OP_mul, s, random_read());
}

static struct written random_written(void) {
    struct written w = {.reducer = draw(2) ? RED_sum : (enum reducer)draw(7)};
    n_parts = 0;
    w.n_out = (int)draw(4);
    w.n_red = w.reducer == RED_none ? 0 : 1 + (int)draw(3);
    n_axes = w.n_out + w.n_red;
    for (int a = 0; a < n_axes; a++)
        w.extents[a] = random_extent();
    w.n_guards = w.reducer == RED_none ? 0 : (int)draw(3);
    for (int k = 0; k < w.n_guards; k++) {
        w.guard[k] = random_affine(true);
        w.bound[k] = draw(3) ? (extent)(1 + draw(4)) : draw(2) ? 1 : -1;
    }
    bool branches = w.reducer == RED_sum && draw(3) == 0;
    w.body = branches ? random_choice(false) : random_part(3, w.reducer == RED_none);
    return w;
}

// ---- the meaning, from the tree

static int64_t size_of(extent e) { return e > 0 ? e : size_n; }

static bool affine_value(const struct affine *a, const int64_t *axes, int64_t *value) {
    int64_t sum = a->constant;
    for (int k = 0; k < n_axes; k++)
        sum += a->coefficient[k] * axes[k];
    *value = sum / a->divisor;
    return sum % a->divisor == 0;
}

static double class_at(const struct part *p, const int64_t *axes) {
    const struct tensor *t = &tensors[N_INPUTS - 1];
    return t->data[axes[p->axis] % t->count];
}

static bool read_in_range(const struct part *p, const int64_t *axes, int64_t *offset) {
    *offset = 0;
    for (uint32_t k = 0; k < ranks[p->input]; k++) {
        int64_t at, size = size_of(shapes[p->input][k]);
        if (p->data[k])
            at = (int64_t)class_at(p, axes);
        else if (!affine_value(&p->at[k], axes, &at) || at < 0 || at >= size)
            return false;
        *offset = *offset * size + at;
    }
    return true;
}

static double value_of(const struct part *p, const int64_t *axes);

static const struct part *taken(const struct part *select, const int64_t *axes) {
    return select->part[value_of(select->part[0], axes) != 0 ? 1 : 2];
}

// Are all unbracketed reads in range, of branches those that are taken?
static bool term_counts(const struct part *p, const int64_t *axes) {
    int64_t offset;
    if (p->kind == PART_read)
        return read_in_range(p, axes, &offset);
    if (p->kind == PART_op && p->op == OP_select)
        return term_counts(p->part[0], axes) && term_counts(taken(p, axes), axes);
    for (int k = 0; p->kind == PART_op && k < p->n; k++)
        if (!term_counts(p->part[k], axes))
            return false;
    return true;
}

static double value_of(const struct part *p, const int64_t *axes) {
    int64_t a = 0, b = 0;
    double args[3] = {0};
    switch (p->kind) {
    case PART_const:
        return p->value;
    case PART_axis:
        return (double)axes[p->axis];
    case PART_size:
        return (double)size_n;
    case PART_equal:
        affine_value(&p->at[0], axes, &a);
        affine_value(&p->at[1], axes, &b);
        return a == b;
    case PART_match:
        affine_value(&p->at[0], axes, &a);
        return a == (int64_t)class_at(p, axes);
    case PART_read:
        read_in_range(p, axes, &a);
        return tensors[p->input].data[a];
    case PART_bracket:
        return read_in_range(p->part[0], axes, &a) ? tensors[p->part[0]->input].data[a] : 0;
    case PART_op:
        if (p->op == OP_select)
            return value_of(taken(p, axes), axes);
        for (int k = 0; k < p->n; k++)
            args[k] = value_of(p->part[k], axes);
        return eval_scalar_op(p->op, (uint32_t)p->n, args);
    }
    return NAN;
}

static bool guards_hold(const struct written *w, const int64_t *axes) {
    for (int k = 0; k < w->n_guards; k++) {
        int64_t at;
        if (!affine_value(&w->guard[k], axes, &at) || at < 0 || at >= size_of(w->bound[k]))
            return false;
    }
    return true;
}

static bool advance(const struct written *w, int first, int end, int64_t *axes) {
    for (int a = end; a-- > first;) {
        if (++axes[a] < size_of(w->extents[a]))
            return true;
        axes[a] = 0;
    }
    return false;
}

// *terms: how many counted
static double meaning(const struct written *w, int64_t *axes, int *terms) {
    bool low = w->reducer == RED_max || w->reducer == RED_argmax;
    double sum = 0, product = 1, best = low ? -INFINITY : INFINITY;
    int64_t at = 0, chosen = 0;
    *terms = 0;
    do {
        if (guards_hold(w, axes) && term_counts(w->body, axes)) {
            double x = value_of(w->body, axes);
            sum += x;
            product *= x;
            if (!*terms || (low ? x > best : x < best))
                best = x, chosen = at;
            ++*terms;
        }
        at++;
    } while (advance(w, w->n_out, n_axes, axes));
    return w->reducer == RED_prod                            ? product
           : w->reducer == RED_none || w->reducer == RED_sum ? sum
           : w->reducer == RED_max || w->reducer == RED_min  ? best
                                                             : (double)chosen;
}

// Of an argmax: the value of the body at the chosen place, NAN where that does not count. Ties
// within rounding may be broken either way.
static double value_at_choice(const struct written *w, const int64_t *outputs, int64_t choice) {
    int64_t axes[6], at = 0;
    memcpy(axes, outputs, sizeof axes);
    do {
        if (at++ == choice)
            return guards_hold(w, axes) && term_counts(w->body, axes) ? value_of(w->body, axes)
                                                                      : NAN;
    } while (advance(w, w->n_out, n_axes, axes));
    return NAN;
}

// ---- the same through the constructors

static node_id inputs[N_INPUTS];

static index_id build_affine(struct graph *g, const struct affine *a) {
    index_id i = index_constant(g, a->constant);
    for (int k = 0; k < n_axes; k++)
        i = index_add(g, i, index_scale(g, index_axis(g, (uint32_t)k), a->coefficient[k]));
    return index_divide(g, i, a->divisor);
}

static expr_id build_read(struct graph *g, const struct part *p) {
    index_id at[3];
    for (uint32_t k = 0; k < ranks[p->input]; k++) {
        at[k] = build_affine(g, &p->at[k]);
        if (p->data[k]) {
            index_id axis = index_axis(g, (uint32_t)p->axis);
            at[k] = index_data(g, expr_read(g, inputs[N_INPUTS - 1], 1, &axis));
        }
    }
    return expr_read(g, inputs[p->input], ranks[p->input], at);
}

static expr_id build_part(struct graph *g, const struct part *p) {
    expr_id args[3];
    struct guard guards[3];
    switch (p->kind) {
    case PART_const:
        return expr_const(g, p->value);
    case PART_axis:
        return expr_index(g, index_axis(g, (uint32_t)p->axis));
    case PART_size:
        return expr_extent(g, -1);
    case PART_read:
        return build_read(g, p);
    case PART_equal:
        return expr_op2(g, OP_eq, expr_index(g, build_affine(g, &p->at[0])),
                        expr_index(g, build_affine(g, &p->at[1])));
    case PART_match:
        args[0] =
            expr_read(g, inputs[N_INPUTS - 1], 1, (index_id[]){index_axis(g, (uint32_t)p->axis)});
        return expr_op2(g, OP_eq, expr_index(g, build_affine(g, &p->at[0])), args[0]);
    case PART_bracket:
        for (uint32_t k = 0; k < ranks[p->part[0]->input]; k++)
            guards[k] =
                (struct guard){build_affine(g, &p->part[0]->at[k]), shapes[p->part[0]->input][k]};
        return expr_bracket(g, ranks[p->part[0]->input], guards, build_read(g, p->part[0]));
    case PART_op:
        for (int k = 0; k < p->n; k++)
            args[k] = build_part(g, p->part[k]);
        return expr_op(g, p->op, (uint32_t)p->n, args);
    }
    return 0;
}

// The range guards of unbracketed reads, written out: a body that simplifies may lose its reads.
static void add_range_guards(struct graph *g, const struct part *p, struct comp *c) {
    int n = p->kind != PART_op ? 0 : p->op == OP_select ? 1 : p->n;
    for (int k = 0; k < n; k++)
        add_range_guards(g, p->part[k], c);
    for (uint32_t k = 0; p->kind == PART_read && k < ranks[p->input]; k++)
        if (!p->data[k] && c->n_guards < MAX_AXES)
            c->guards[c->n_guards++] =
                (struct guard){build_affine(g, &p->at[k]), shapes[p->input][k]};
}

static bool may_lose_reads(void) {
    for (int k = 0; k < n_parts; k++)
        if (parts[k].kind >= PART_bracket || parts[k].op == OP_lt || parts[k].op == OP_select ||
            parts[k].op == OP_and || parts[k].op == OP_or || parts[k].op == OP_not ||
            parts[k].op == OP_ne || parts[k].op == OP_max || parts[k].op == OP_min)
            return true;
    return false;
}

static node_id build(struct graph *g, const struct written *w) {
    struct comp c = {.reducer = w->reducer,
                     .dtype = DTYPE_f64,
                     .n_out = (uint32_t)w->n_out,
                     .n_red = (uint32_t)w->n_red,
                     .n_guards = (uint32_t)w->n_guards};
    memcpy(c.extents, w->extents, sizeof w->extents);
    for (int k = 0; k < w->n_guards; k++)
        c.guards[k] = (struct guard){build_affine(g, &w->guard[k]), w->bound[k]};
    c.body = build_part(g, w->body);
    if (w->reducer != RED_none && may_lose_reads())
        add_range_guards(g, w->body, &c);
    return graph_comp(g, &c);
}

// ---- showing what was written

static void show_affine(const struct affine *a) {
    printf("(");
    for (int k = 0; k < n_axes; k++)
        if (a->coefficient[k])
            printf("%+d*a%d", a->coefficient[k], k);
    printf("%+d)/%d", a->constant, a->divisor);
}

static void show_part(const struct part *p) {
    static const char *const names[] = {"const", "axis",    "size",  "read",
                                        "op",    "bracket", "equal", "match"};
    printf("%s", p->kind == PART_op ? op_table[p->op].name : names[p->kind]);
    printf(p->kind == PART_const ? "(%g" : p->kind == PART_axis ? "(" : "(", p->value);
    if (p->kind == PART_axis)
        printf("%d", p->axis);
    if (p->kind == PART_read)
        printf("%d ", p->input);
    uint32_t shown = p->kind == PART_equal   ? 2
                     : p->kind == PART_match ? 1
                     : p->kind == PART_read  ? ranks[p->input]
                                             : 0;
    if (p->kind == PART_match)
        printf("classes[a%d] ", p->axis);
    for (uint32_t k = 0; k < shown; k++) {
        if (p->data[k])
            printf("data %d", p->axis);
        else
            show_affine(&p->at[k]);
        printf(" ");
    }
    for (int k = 0; k < p->n; k++)
        show_part(p->part[k]);
    printf(")");
}

static void show(const struct written *w) {
    printf("reducer %d, %d + %d axes of", w->reducer, w->n_out, w->n_red);
    for (int a = 0; a < n_axes; a++)
        printf(" %lld", (long long)w->extents[a]);
    for (int k = 0; k < w->n_guards; k++) {
        printf(" | ");
        show_affine(&w->guard[k]);
        printf(" < %lld", (long long)w->bound[k]);
    }
    printf("\n");
    show_part(w->body);
    printf("\n");
}

// ---- comparing

static void fill_inputs(struct arena *a) {
    for (int k = 0; k < N_INPUTS; k++) {
        struct tensor t = {.rank = ranks[k], .count = 1};
        for (uint32_t d = 0; d < t.rank; d++)
            t.count *= t.shape[d] = size_of(shapes[k][d]);
        t.data = NEW_ARRAY(a, t.count, double);
        for (int64_t e = 0; e < t.count; e++)
            t.data[e] = k == N_INPUTS - 1 ? draw(N_CLASSES) : draw(2000) / 1000.0 - 1;
        tensors[k] = t;
    }
}

// Is a class compared with an axis that does not hold all classes? It might come to stand alone
// there, and data is taken to be in range for its axis.
static bool misses_classes(const struct written *w, const struct affine *a) {
    for (int k = 0; k < n_axes; k++)
        if (a->coefficient[k] && w->extents[k] < N_CLASSES)
            return true;
    return false;
}

// Data stands in an index at an axis that runs over the classes' own; what does not fit is no data.
static void settle_data(const struct written *w) {
    for (int k = 0; k < n_parts; k++) {
        struct part *p = &parts[k];
        if (p->kind == PART_read && n_axes)
            p->axis = (int)draw((uint32_t)n_axes);
        bool fits = n_axes && w->extents[p->axis] == shapes[N_INPUTS - 1][0];
        for (int d = 0; d < 3 && p->kind == PART_read; d++)
            p->data[d] &= fits;
        if (p->kind == PART_match && (!fits || misses_classes(w, &p->at[0])))
            *p = (struct part){.kind = PART_const, .value = 0.75};
    }
}

static bool is_choice(const struct written *w) { return w->reducer >= RED_argmax; }

static void compare(struct arena *a, struct graph *g, const struct written *w, int number) {
    struct tensor out = {0};
    const char *error = NULL;
    int64_t axes[6] = {0};
    size_n = 1 + draw(MAX_N);
    fill_inputs(a);
    bool done = graph_eval(a, g, &size_n, tensors, &out, NULL, &error);
    if (!done && is_choice(w) && strstr(error, "among nothing"))
        return;
    for (int64_t k = 0; k == 0 || k < out.count; k++) {
        int terms;
        double want = meaning(w, axes, &terms);
        if (!terms && is_choice(w))
            return; // a choice among nothing
        if (!done)
            fail_msg("case %d: %s\n%s", number, error, graph_text(a, g));
        double got = out.data[k];
        if (is_choice(w) && got != want) {
            got = value_at_choice(w, axes, (int64_t)got);
            want = value_at_choice(w, axes, (int64_t)want);
        }
        if (!(want == got || fabs(want - got) <= 1e-9 * fmax(1, fabs(want))))
            fail_msg("case %d, N = %lld, element %lld: %.17g instead of %.17g\n%s", number,
                     (long long)size_n, (long long)k, out.data[k], want, graph_text(a, g));
        advance(w, 0, w->n_out, axes);
    }
}

static void check_text(struct arena *a, struct graph *g, int number) {
    const char *wrong = graph_verify(g);
    if (wrong && !strstr(wrong, "nothing to choose"))
        fail_msg("case %d: %s", number, wrong);
    wrong = graph_verify_text(g);
    if (wrong)
        fail_msg("case %d: %s", number, wrong);
    (void)a;
}

static void one_case(struct arena *a, int number) {
    state = (uint64_t)number * 0x9E3779B97F4A7C15u + 12345;
    struct graph *g = graph_create(a, NULL, "random");
    graph_symbol(g, "N", MAX_N);
    g->derived = number % 2; // no value here is 0 where it divides
    for (int k = 0; k < N_INPUTS; k++) {
        ranks[k] = k == N_INPUTS - 1 ? 1 : draw(4);
        for (uint32_t d = 0; d < ranks[k]; d++)
            shapes[k][d] = random_extent();
        inputs[k] = graph_input(g, (const char *[]){"x", "W", "b", "classes"}[k], ROLE_none, 0, 0,
                                k == N_INPUTS - 1 ? DTYPE_i32 : DTYPE_f64, ranks[k], shapes[k]);
    }
    struct written w = random_written();
    settle_data(&w);
    if (getenv("GRAPH_CASE"))
        show(&w);
    graph_output(g, "y", build(g, &w), ROLE_none, 0, 0);
    check_text(a, g, number);
    for (int k = 0; k < 2; k++)
        compare(a, g, &w, number);
}

static void test_random_comprehensions(void **unused) {
    const char *only = getenv("GRAPH_CASE"), *count = getenv("GRAPH_CASES");
    int first = only ? atoi(only) : 0, n = only ? first + 1 : count ? atoi(count) : N_CASES;
    struct arena *a = arena_create("test");
    for (int k = first; k < n; k++) {
        one_case(a, k);
        arena_reset(a);
    }
    arena_destroy(a);
    (void)unused;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_comprehensions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
