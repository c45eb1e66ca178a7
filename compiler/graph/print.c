// The text form of graphs (.tg), as CORE.md section 1 writes nodes:
//
//     %1[n<N, k<10] = sum[i<784] W[k, i]*x[n, i] : f32[N, 10]
//
// In: a graph. Out: text that parse.c reads back into the identical graph. Nodes are numbered anew
// in order; with outputs, only what they need is printed. Guards that a read implies are left out:
// the reader adds them again. `/` in an index is exact division, in a value real division; an index
// with a divisor that stands as a value is written index(..).
#include "text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AXIS_NAME = 8 };
enum level { LEVEL_compare, LEVEL_sum, LEVEL_product, LEVEL_power, LEVEL_atom };

struct printer {
    struct graph *g;
    struct text out;
    uint32_t *numbers;  // of comprehensions and operations; 0: not printed
    const char **names; // of inputs, unique
    char axes[MAX_AXES][AXIS_NAME];
};

static const char *const role_names[] = {
    [ROLE_none] = "",           [ROLE_raw] = "raw",
    [ROLE_field] = "field",     [ROLE_fitted] = "fitted",
    [ROLE_param] = "param",     [ROLE_gradient] = "gradient",
    [ROLE_state] = "state",     [ROLE_theta] = "theta",
    [ROLE_slope] = "slope",     [ROLE_rule_state] = "rule_state",
    [ROLE_hyper] = "hyper",     [ROLE_builtin] = "builtin",
    [ROLE_measure] = "measure", [ROLE_memory] = "memory",
    [ROLE_value] = "value",     [ROLE_loss] = "loss",
    [ROLE_stop] = "stop",       [ROLE_keep] = "keep",
    [ROLE_total] = "total",     [ROLE_weight] = "weight",
    [ROLE_direction] = "direction",
};
static const char *const reducer_names[] = {
    [RED_none] = "",   [RED_sum] = "sum",       [RED_prod] = "prod",     [RED_max] = "max",
    [RED_min] = "min", [RED_argmax] = "argmax", [RED_argmin] = "argmin",
};

int text_find_role(const char *s) {
    for (int r = 1; r < (int)(sizeof role_names / sizeof *role_names); r++)
        if (!strcmp(role_names[r], s))
            return r;
    return -1;
}
int text_find_reducer(const char *s) {
    for (int r = 1; r < (int)(sizeof reducer_names / sizeof *reducer_names); r++)
        if (!strcmp(reducer_names[r], s))
            return r;
    return -1;
}
bool text_role_has_ref(enum role r) { return (r != ROLE_none && r < ROLE_loss) || r >= ROLE_total; }
bool text_role_has_ref2(enum role r) { return r == ROLE_rule_state || r == ROLE_measure; }

bool text_is_keyword(const char *s) {
    static const char *const words[] = {"graph", "where", "return", "named",
                                        "index", "data",  "inf",    "nan"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (!strcmp(words[k], s))
            return true;
    return op_find(s) != OP_none || text_find_reducer(s) > 0;
}

bool text_is_name_byte(char c, bool first) {
    unsigned char b = (unsigned char)c;
    return isalpha(b) || c == '_' || b >= 0x80 || (!first && (isdigit(b) || c == '.'));
}

// ---- names

static void print_quoted(struct printer *p, const char *name) {
    text_add_char(&p->out, '`');
    for (const char *c = name; *c; c++)
        text_add_char(&p->out, *c == '`' || *c == '\n' ? '\'' : *c);
    text_add_char(&p->out, '`');
}

static void print_name(struct printer *p, const char *name) {
    bool plain = *name && !text_is_keyword(name);
    for (const char *c = name; *c; c++)
        plain &= text_is_name_byte(*c, c == name);
    if (plain)
        text_add(&p->out, name);
    else
        print_quoted(p, name);
}

// A read of a scalar input that is called like a size stands in backticks.
static void print_input_name(struct printer *p, node_id n) {
    for (uint32_t s = 0; s < p->g->symbols.n; s++)
        if (!graph_node(p->g, n)->rank && p->g->symbols.at[s].name == p->names[n]) {
            print_quoted(p, p->names[n]);
            return;
        }
    print_name(p, p->names[n]);
}

static bool name_taken(const struct printer *p, uint32_t before, const char *name) {
    for (uint32_t k = 0; k < before; k++)
        if (p->names[p->g->inputs.at[k]] == name)
            return true;
    return false;
}

static void name_inputs(struct printer *p) {
    for (uint32_t k = 0; k < p->g->inputs.n; k++) {
        const char *base = graph_node(p->g, p->g->inputs.at[k])->name, *name = base;
        for (int copy = 2; name_taken(p, k, name); copy++)
            name = intern(arena_printf(p->g->arena, "%s.%d", base, copy));
        p->names[p->g->inputs.at[k]] = name;
    }
}

static void number_nodes(struct printer *p) {
    uint8_t *needed = graph_needed(p->g);
    uint32_t number = 0;
    for (node_id n = 1; n < p->g->nodes.n; n++)
        if (graph_node(p->g, n)->kind != NODE_input && (needed[n] || !p->g->outputs.n))
            p->numbers[n] = ++number;
}

static struct printer printer_for(struct arena *a, const struct graph *g) {
    struct printer p = {.g = (struct graph *)g};
    text_init(&p.out, a);
    p.numbers = NEW_ARRAY(a, g->nodes.n, uint32_t);
    p.names = NEW_ARRAY(a, g->nodes.n, const char *);
    name_inputs(&p);
    number_nodes(&p);
    return p;
}

// ---- axis letters

static bool letter_taken(const struct printer *p, uint32_t n, const char *name) {
    for (uint32_t a = 0; a < n; a++)
        if (!strcmp(p->axes[a], name))
            return true;
    for (uint32_t s = 0; s < p->g->symbols.n; s++)
        if (!strcmp(p->g->symbols.at[s].name, name))
            return true;
    for (uint32_t k = 0; k < p->g->inputs.n; k++) {
        node_id i = p->g->inputs.at[k];
        if (!graph_node(p->g, i)->rank && !strcmp(p->names[i], name))
            return true;
    }
    return false;
}

static void give_letter(struct printer *p, uint32_t axis, uint32_t n, const char *preferred) {
    if (p->axes[axis][0])
        return;
    char name[AXIS_NAME] = {0};
    const char *pools[] = {preferred, "abcdefghijklmopqrstuvwxyz"};
    for (int pool = 0; pool < 2; pool++)
        for (const char *c = pools[pool]; *c; c++) {
            name[0] = *c;
            if (!letter_taken(p, n, name)) {
                memcpy(p->axes[axis], name, sizeof name);
                return;
            }
        }
    for (unsigned char k = 1; k < 255; k++) {
        snprintf(name, sizeof name, "a%u", k);
        if (!letter_taken(p, n, name)) {
            memcpy(p->axes[axis], name, sizeof name);
            return;
        }
    }
}

// A kernel W[k, c, p, q] read at four plain axes, none of them the batch, names them.
static bool name_kernel(struct printer *p, const struct node *n, expr_id e, uint32_t n_axes) {
    struct expr x = *graph_expr(p->g, e);
    uint32_t at[4] = {0};
    if (x.kind == EXPR_op || x.kind == EXPR_bracket) {
        for (uint32_t k = 0; k < x.n_args; k++)
            if (name_kernel(p, n, x.args[k], n_axes))
                return true;
        return false;
    }
    if (x.kind != EXPR_read || x.n_args != 4 || !n->n_red)
        return false;
    for (int k = 0; k < 4; k++) {
        if (!index_is_axis(p->g, x.args[k], &at[k]) || at[k] >= n_axes)
            return false;
        if ((at[k] < n->rank ? n->shape[at[k]] : n->red[at[k] - n->rank]) < 0)
            return false;
        for (int j = 0; j < k; j++)
            if (at[j] == at[k])
                return false;
    }
    for (int k = 0; k < 4; k++)
        give_letter(p, at[k], n_axes, (const char *[]){"k", "c", "p", "q"}[k]);
    return true;
}

// n runs below N, t below T.
static const char *letter_of_symbol(const struct printer *p, extent e) {
    char letter[2] = {(char)tolower((unsigned char)p->g->symbols.at[-e - 1].name[0])};
    return letter[0] >= 'a' && letter[0] <= 'z' ? intern(letter) : "n";
}

static void name_axes(struct printer *p, const struct node *n) {
    static const char *const outputs[] = {"", "k", "ij", "kij", "kcpq"};
    static const char *const reduced[] = {"", "ikc", "pq", "cpq", "kcpq"};
    memset(p->axes, 0, sizeof p->axes);
    uint32_t all = n->rank + n->n_red, plain = 0;
    for (uint32_t a = 0; a < n->rank; a++) {
        if (n->shape[a] < 0)
            give_letter(p, a, all, letter_of_symbol(p, n->shape[a]));
        else
            plain++;
    }
    if (n->body)
        name_kernel(p, n, n->body, all);
    const char *letters = outputs[plain < 4 ? plain : 4];
    for (uint32_t a = 0, k = 0; a < n->rank; a++)
        if (n->shape[a] > 0)
            give_letter(p, a, all, k < strlen(letters) ? (char[2]){letters[k++]} : "lmijab");
    uint32_t summed = 0;
    for (uint32_t k = 0; k < n->n_red; k++)
        summed += n->red[k] > 0;
    letters = plain == 4 ? "ij" : reduced[summed < 4 ? summed : 4];
    for (uint32_t k = 0; k < n->n_red; k++)
        give_letter(p, n->rank + k, all, n->red[k] < 0 ? letter_of_symbol(p, n->red[k]) : letters);
}

// ---- numbers, extents, indices

void text_number(struct text *t, double v) {
    if (isnan(v) || isinf(v)) {
        text_add(t, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    char buffer[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buffer, sizeof buffer, "%.*g", digits, v);
        if (strtod(buffer, NULL) == v)
            break;
    }
    text_add(t, buffer);
}

static void print_extent(struct printer *p, extent e) {
    if (e > 0)
        text_printf(&p->out, "%lld", (long long)e);
    else
        text_add(&p->out, p->g->symbols.at[-e - 1].name);
}

static void print_expr(struct printer *p, expr_id e, enum level level);

static void print_term(struct printer *p, const struct term *t) {
    if (t->kind == TERM_axis)
        text_add(&p->out, p->axes[t->ref]);
    else if (t->kind == TERM_symbol)
        text_add(&p->out, p->g->symbols.at[t->ref - 1].name);
    else if (graph_expr(p->g, t->ref)->kind == EXPR_read)
        print_expr(p, t->ref, LEVEL_atom);
    else {
        text_add(&p->out, "data(");
        print_expr(p, t->ref, LEVEL_compare);
        text_add_char(&p->out, ')');
    }
}

// Terms with greater coefficients first: 2*i+p-1, i-p.
static void order_terms(struct graph *g, struct index *x) {
    struct term *terms = NEW_ARRAY(g->arena, x->n_terms + 1, struct term);
    for (uint32_t k = 0; k < x->n_terms; k++) {
        uint32_t j = k;
        for (; j > 0 && terms[j - 1].coefficient < x->terms[k].coefficient; j--)
            terms[j] = terms[j - 1];
        terms[j] = x->terms[k];
    }
    x->terms = terms;
}

static void print_index(struct printer *p, index_id i) {
    struct index x = *graph_index(p->g, i);
    bool parens = x.divisor > 1 && (x.n_terms > 1 || x.constant);
    order_terms(p->g, &x);
    bool constant_first = x.constant > 0 && x.n_terms && x.terms[0].coefficient < 0;
    text_add(&p->out, parens ? "(" : "");
    if (constant_first || !x.n_terms)
        text_printf(&p->out, "%lld", (long long)x.constant);
    for (uint32_t k = 0; k < x.n_terms; k++) {
        struct term t = x.terms[k];
        text_add(&p->out, t.coefficient < 0 ? "-" : k || constant_first ? "+" : "");
        if (t.coefficient != 1 && t.coefficient != -1)
            text_printf(&p->out, "%lld*", llabs(t.coefficient));
        print_term(p, &t);
    }
    if (!constant_first && x.constant && x.n_terms)
        text_printf(&p->out, "%+lld", (long long)x.constant);
    text_add(&p->out, parens ? ")" : "");
    if (x.divisor > 1)
        text_printf(&p->out, "/%lld", (long long)x.divisor);
}

static void print_guard(struct printer *p, const struct guard *guard) {
    if (guard->bound != 1) {
        text_add(&p->out, "0 <= ");
        print_index(p, guard->index);
        text_add(&p->out, " < ");
        print_extent(p, guard->bound);
        return;
    }
    struct index x = *graph_index(p->g, guard->index);
    index_id sides[2] = {index_constant(p->g, x.constant > 0 ? x.constant : 0),
                         index_constant(p->g, x.constant < 0 ? -x.constant : 0)};
    for (uint32_t k = 0; k < x.n_terms; k++) {
        struct term t = x.terms[k];
        int side = t.coefficient < 0;
        t.coefficient = llabs(t.coefficient);
        sides[side] = index_add(p->g, sides[side], index_make(p->g, 1, &t, 0, 1));
    }
    print_index(p, sides[0]);
    text_add(&p->out, " == ");
    print_index(p, sides[1]);
}

static void print_guards(struct printer *p, uint32_t n, const struct guard *guards) {
    for (uint32_t k = 0; k < n; k++) {
        if (k)
            text_add(&p->out, ", ");
        print_guard(p, &guards[k]);
    }
}

// ---- expressions

static bool constant_exponent(const struct printer *p, expr_id e, expr_id *base, double *exponent) {
    const struct expr *x = graph_expr(p->g, e);
    if (x->kind != EXPR_op || x->op != OP_pow || !expr_is_const(p->g, x->args[1], exponent))
        return false;
    *base = x->args[0];
    return true;
}

static void print_power(struct printer *p, expr_id base, double exponent) {
    if (exponent == 1) {
        print_expr(p, base, LEVEL_power);
        return;
    }
    print_expr(p, base, LEVEL_atom);
    text_add_char(&p->out, '^');
    if (exponent < 0 || isnan(exponent))
        text_add_char(&p->out, '(');
    text_number(&p->out, exponent);
    if (exponent < 0 || isnan(exponent))
        text_add_char(&p->out, ')');
}

static bool in_denominator(const struct printer *p, expr_id e) {
    expr_id base;
    double exponent;
    return constant_exponent(p, e, &base, &exponent) && exponent < 0 && isfinite(exponent);
}

// The factors with positive exponents, then those with negative ones under one `/`.
static void print_factors(struct printer *p, uint32_t n, const expr_id *args) {
    uint32_t above = 0, below = 0, k = 0;
    double value, exponent = 1;
    expr_id base = 0;
    if (expr_is_const(p->g, args[0], &value)) {
        k = 1;
        if (value == -1) {
            text_add_char(&p->out, '-');
        } else {
            text_number(&p->out, value);
            above++;
        }
    }
    for (uint32_t j = k; j < n; j++) {
        if (in_denominator(p, args[j])) {
            below++;
            continue;
        }
        if (above++)
            text_add_char(&p->out, '*');
        print_expr(p, args[j], LEVEL_power);
    }
    if (!below)
        return;
    text_add(&p->out, above ? (below > 1 ? "/(" : "/") : below > 1 ? "1/(" : "1/");
    for (uint32_t j = k, done = 0; j < n; j++) {
        if (!in_denominator(p, args[j]))
            continue;
        if (done++)
            text_add_char(&p->out, '*');
        constant_exponent(p, args[j], &base, &exponent);
        print_power(p, base, -exponent);
    }
    if (below > 1)
        text_add_char(&p->out, ')');
}

static bool is_negative(const struct printer *p, expr_id e) {
    const struct expr *x = graph_expr(p->g, e);
    double value;
    if (x->kind == EXPR_op && x->op == OP_mul)
        return expr_is_const(p->g, x->args[0], &value) && value < 0;
    return x->kind == EXPR_const && x->value < 0;
}

static void print_addend(struct printer *p, expr_id e, bool first) {
    struct expr x = *graph_expr(p->g, e);
    bool negative = is_negative(p, e);
    if (first && !negative) {
        print_expr(p, e, LEVEL_product);
        return;
    }
    text_add(&p->out, first ? "-" : negative ? " - " : " + ");
    if (!negative) {
        print_expr(p, e, LEVEL_product);
    } else if (x.kind == EXPR_const) {
        text_number(&p->out, -x.value);
    } else { // the sign is out: print |c| * rest
        double value = -graph_expr(p->g, x.args[0])->value;
        expr_id *args = NEW_ARRAY(p->g->arena, x.n_args, expr_id);
        memcpy(args, x.args, x.n_args * sizeof *args);
        args[0] = expr_const(p->g, value);
        print_factors(p, x.n_args - (value == 1), args + (value == 1));
    }
}

// Positive addends first, a constant last where it can be.
static void print_sum(struct printer *p, const struct expr *x) {
    bool first = true;
    for (int sign = 0; sign < 2; sign++)
        for (int constants = 0; constants < 2; constants++)
            for (uint32_t k = 0; k < x->n_args; k++) {
                bool constant = expr_is_const(p->g, x->args[k], NULL);
                if (is_negative(p, x->args[k]) != (sign == 1) || constant != (constants == 1))
                    continue;
                print_addend(p, x->args[k], first);
                first = false;
            }
}

static void print_read(struct printer *p, const struct expr *x) {
    if (p->numbers[x->node])
        text_printf(&p->out, "%%%u", p->numbers[x->node]);
    else if (p->names[x->node])
        print_input_name(p, x->node);
    else
        text_printf(&p->out, "%%dead%u", x->node);
    if (!x->n_args)
        return;
    text_add_char(&p->out, '[');
    for (uint32_t k = 0; k < x->n_args; k++) {
        if (k)
            text_add(&p->out, ", ");
        print_index(p, x->args[k]);
    }
    text_add_char(&p->out, ']');
}

static const char *infix(enum op op) {
    return op == OP_eq   ? " == "
           : op == OP_ne ? " != "
           : op == OP_lt ? " < "
           : op == OP_le ? " <= "
                         : NULL;
}

static void print_call(struct printer *p, const struct expr *x) {
    text_add(&p->out, op_table[x->op].name);
    text_add_char(&p->out, '(');
    for (uint32_t k = 0; k < x->n_args; k++) {
        if (k)
            text_add(&p->out, ", ");
        print_expr(p, x->args[k], LEVEL_compare);
    }
    text_add_char(&p->out, ')');
}

static enum level level_of(const struct printer *p, expr_id e) {
    const struct expr *x = graph_expr(p->g, e);
    if (x->kind == EXPR_index) {
        const struct index *i = graph_index(p->g, x->index);
        return i->divisor > 1 || index_is_axis(p->g, x->index, NULL) ? LEVEL_atom
               : i->n_terms > 1 || i->constant                       ? LEVEL_sum
                                                                     : LEVEL_product;
    }
    if (x->kind == EXPR_const)
        return x->value < 0 || isnan(x->value) ? LEVEL_sum : LEVEL_atom;
    if (x->kind != EXPR_op)
        return LEVEL_atom;
    if (x->op == OP_mul || in_denominator(p, e))
        return is_negative(p, e) ? LEVEL_sum : LEVEL_product;
    return infix(x->op)      ? LEVEL_compare
           : x->op == OP_add ? LEVEL_sum
           : x->op == OP_pow ? LEVEL_power
                             : LEVEL_atom;
}

static void print_op(struct printer *p, expr_id e, const struct expr *x) {
    expr_id base;
    double exponent;
    if (infix(x->op)) {
        print_expr(p, x->args[0], LEVEL_sum);
        text_add(&p->out, infix(x->op));
        print_expr(p, x->args[1], LEVEL_sum);
    } else if (x->op == OP_add) {
        print_sum(p, x);
    } else if (x->op == OP_mul) {
        print_factors(p, x->n_args, x->args);
    } else if (in_denominator(p, e)) {
        print_factors(p, 1, &e);
    } else if (constant_exponent(p, e, &base, &exponent)) {
        print_power(p, base, exponent);
    } else if (x->op == OP_pow) {
        print_expr(p, x->args[0], LEVEL_atom);
        text_add_char(&p->out, '^');
        print_expr(p, x->args[1], LEVEL_atom);
    } else {
        print_call(p, x);
    }
}

static void print_index_value(struct printer *p, index_id i) {
    bool divided = graph_index(p->g, i)->divisor > 1;
    text_add(&p->out, divided ? "index(" : "");
    print_index(p, i);
    text_add(&p->out, divided ? ")" : "");
}

static void print_expr(struct printer *p, expr_id e, enum level level) {
    struct expr x = *graph_expr(p->g, e);
    bool parens = level_of(p, e) < level;
    if (parens)
        text_add_char(&p->out, '(');
    switch (x.kind) {
    case EXPR_const:
        text_number(&p->out, x.value);
        break;
    case EXPR_extent:
        print_extent(p, x.symbol);
        break;
    case EXPR_index:
        print_index_value(p, x.index);
        break;
    case EXPR_read:
        print_read(p, &x);
        break;
    case EXPR_op:
        print_op(p, e, &x);
        break;
    case EXPR_bracket:
        text_add_char(&p->out, '[');
        print_guards(p, x.n_guards, x.guards);
        text_add(&p->out, "](");
        print_expr(p, x.args[0], LEVEL_compare);
        text_add_char(&p->out, ')');
        break;
    }
    if (parens)
        text_add_char(&p->out, ')');
}

// ---- nodes

struct guards {
    VEC(struct guard) all;
};

static void collect_implied(struct graph *g, struct guard guard, bool inside, void *context) {
    struct guards *s = context;
    if (inside)
        return;
    VEC_PUSH(g->arena, &s->all, guard);
}

static void print_axes(struct printer *p, uint32_t first, uint32_t n, const extent *extents) {
    for (uint32_t k = 0; k < n; k++) {
        text_printf(&p->out, "%s%s<", k ? ", " : "", p->axes[first + k]);
        print_extent(p, extents[k]);
    }
}

static bool among(const struct guards *s, const struct guard *guard) {
    for (uint32_t k = 0; k < s->all.n; k++)
        if (s->all.at[k].index == guard->index && s->all.at[k].bound == guard->bound)
            return true;
    return false;
}

// Guards that no read of the body implies.
static void print_node_guards(struct printer *p, const struct node *n) {
    extent box[MAX_AXES];
    struct guards implied = {0};
    const char *before = n->n_red ? " | " : "| ";
    for (uint32_t k = 0; k < n->rank + n->n_red; k++)
        box[k] = k < n->rank ? n->shape[k] : n->red[k - n->rank];
    range_guards(p->g, n->body, n->rank + n->n_red, box, 0, NULL, collect_implied, &implied);
    for (uint32_t k = 0; k < n->n_guards; k++) {
        if (among(&implied, &n->guards[k]))
            continue;
        text_add(&p->out, before);
        print_guard(p, &n->guards[k]);
        before = ", ";
    }
}

static void print_comp(struct printer *p, const struct node *n) {
    if (n->reducer != RED_none) {
        text_printf(&p->out, "%s[", reducer_names[n->reducer]);
        print_axes(p, n->rank, n->n_red, n->red);
        print_node_guards(p, n);
        text_add(&p->out, "] ");
    }
    print_expr(p, n->body, n->reducer == RED_none ? LEVEL_compare : LEVEL_product);
}

static void print_node_name(struct printer *p, node_id n) {
    if (p->numbers[n])
        text_printf(&p->out, "%%%u", p->numbers[n]);
    else if (p->names[n])
        print_name(p, p->names[n]);
    else
        text_printf(&p->out, "%%dead%u", n);
}

static void print_structural(struct printer *p, const struct node *n) {
    text_printf(&p->out, "%s(", op_table[n->op].name);
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        text_add(&p->out, k ? ", " : "");
        print_node_name(p, n->inputs[k]);
    }
    text_add(&p->out, ")");
    for (uint32_t k = 0; k < n->n_attributes; k++) {
        text_add(&p->out, k ? ", " : " {");
        if (n->op == OP_reshape)
            print_extent(p, n->attributes[k]);
        else
            text_printf(&p->out, "%lld", (long long)n->attributes[k]);
    }
    if (n->n_attributes)
        text_add(&p->out, "}");
}

static void print_type(struct printer *p, const struct node *n) {
    text_printf(&p->out, "%s[", dtype_name(n->dtype));
    for (uint32_t k = 0; k < n->rank; k++) {
        text_add(&p->out, k ? ", " : "");
        print_extent(p, n->shape[k]);
    }
    text_add_char(&p->out, ']');
}

static void print_node(struct printer *p, node_id id) {
    const struct node *n = graph_node(p->g, id);
    print_node_name(p, id);
    if (n->kind == NODE_comp) {
        name_axes(p, n);
        if (n->rank) {
            text_add_char(&p->out, '[');
            print_axes(p, 0, n->rank, n->shape);
            text_add_char(&p->out, ']');
        }
    }
    text_add(&p->out, " = ");
    if (n->kind == NODE_comp)
        print_comp(p, n);
    else
        print_structural(p, n);
    text_add(&p->out, " : ");
    print_type(p, n);
    if (n->name) {
        text_add(&p->out, " named ");
        print_name(p, n->name);
    }
}

// ---- graphs

static void print_role(struct printer *p, enum role role, uint32_t ref, uint32_t ref2) {
    if (role == ROLE_none)
        return;
    text_printf(&p->out, " %s", role_names[role]);
    if (text_role_has_ref(role) || ref || ref2)
        text_printf(&p->out, " %u", ref);
    if (text_role_has_ref2(role) || ref2)
        text_printf(&p->out, " %u", ref2);
}

static void print_head(struct printer *p) {
    struct graph *g = p->g;
    text_add(&p->out, "graph ");
    print_name(p, g->name);
    text_add_char(&p->out, '(');
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        const struct node *n = graph_node(g, g->inputs.at[k]);
        text_add(&p->out, k ? ", " : "");
        print_name(p, p->names[g->inputs.at[k]]);
        text_add(&p->out, ": ");
        print_type(p, n);
        print_role(p, n->role, n->ref, n->ref2);
    }
    text_add_char(&p->out, ')');
    for (uint32_t s = 0; s < g->symbols.n; s++)
        text_printf(&p->out, "%s%s <= %lld", s ? ", " : " where ", g->symbols.at[s].name,
                    (long long)g->symbols.at[s].max);
    text_add(&p->out, " {\n");
}

static void print_origin(struct printer *p, origin_id id) {
    const struct origins *o = p->g->origins;
    int line, column;
    if (!o || !o->sources || !id || id >= o->at.n || !o->at.at[id].at.file)
        return;
    source_position(o->sources, o->at.at[id].at, &line, &column);
    text_printf(&p->out, " # %s:%d", source_path(o->sources, o->at.at[id].at.file), line);
}

static void print_outputs(struct printer *p) {
    for (uint32_t k = 0; k < p->g->outputs.n; k++) {
        const struct output *out = &p->g->outputs.at[k];
        text_add(&p->out, k ? ", " : "  return ");
        print_name(p, out->name);
        text_add(&p->out, " = ");
        print_node_name(p, out->node);
        print_role(p, out->role, out->ref, out->ref2);
    }
    text_add(&p->out, p->g->outputs.n ? "\n}\n" : "}\n");
}

static const char *print_all(struct arena *a, const struct graph *g, bool origins) {
    struct printer p = printer_for(a, g);
    print_head(&p);
    for (node_id n = 1; n < g->nodes.n; n++) {
        if (!p.numbers[n])
            continue;
        text_add(&p.out, "  ");
        print_node(&p, n);
        if (origins)
            print_origin(&p, graph_node(g, n)->origin);
        text_add(&p.out, "\n");
    }
    print_outputs(&p);
    return text_string(&p.out);
}

const char *graph_text(struct arena *a, const struct graph *g) { return print_all(a, g, false); }

void graph_print(const struct graph *g, FILE *to, bool origins) {
    fputs(print_all(g->arena, g, origins), to);
}

const char *graph_node_text(struct arena *a, const struct graph *g, node_id n) {
    struct printer p = printer_for(a, g);
    if (graph_node(g, n)->kind == NODE_input) {
        print_node_name(&p, n);
        text_add(&p.out, ": ");
        print_type(&p, graph_node(g, n));
    } else {
        print_node(&p, n);
    }
    return text_string(&p.out);
}
