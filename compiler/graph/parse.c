// Reads the text form of graphs that print.c writes; also what people write by hand.
//
// In: any bytes. Out: a graph built by the constructors, or one located message and NULL. Nothing
// is trusted: sizes, ranks, numbers of axes and nesting are checked before a constructor sees them.
// The types at the end of each line are checked against what the constructors made.
#include "text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 200,  // nested parentheses and brackets
    MAX_PARTS = 4096, // operands of one sum, product or call
    MAX_WORD = 256,
};
static const int64_t MAX_INTEGER = (int64_t)1 << 40;
static const int64_t MAX_EXTENT = (int64_t)1 << 31;

struct reader {
    struct graph *g;
    struct diags *d;
    file_id file;
    const char *text;
    size_t n, at;
    bool failed;
    int depth;
    struct map numbers;     // %number to node
    uint32_t n_out, n_axes; // of the node being read
    const char *axes[MAX_AXES];
    extent extents[MAX_AXES];
};

struct type {
    enum dtype dtype;
    uint32_t rank;
    extent shape[MAX_RANK];
};

// ---- messages; after the first the reader only unwinds

static struct span here(const struct reader *r, size_t begin) {
    size_t end = r->at > begin ? r->at : begin + 1 < r->n ? begin + 1 : r->n;
    return (struct span){r->file, (uint32_t)begin, (uint32_t)end};
}

static void expected(struct reader *r, const char *what) {
    if (!r->failed)
        diag_graph_expected(r->d, here(r, r->at), what);
    r->failed = true;
}

static void unknown(struct reader *r, size_t begin, const char *name) {
    if (!r->failed)
        diag_graph_unknown_name(r->d, here(r, begin), name);
    r->failed = true;
}

static void refuse(struct reader *r, size_t begin, const char *why) {
    if (!r->failed)
        diag_graph_refused(r->d, here(r, begin), why);
    r->failed = true;
}

static void enter(struct reader *r) {
    if (++r->depth > MAX_DEPTH)
        refuse(r, r->at, "expressions nest more than 200 deep");
}

// ---- words

static char peek(const struct reader *r, size_t ahead) {
    return r->at + ahead < r->n ? r->text[r->at + ahead] : 0;
}

static void skip(struct reader *r) {
    while (r->at < r->n) {
        if (r->text[r->at] == '#')
            while (r->at < r->n && r->text[r->at] != '\n')
                r->at++;
        else if (isspace((unsigned char)r->text[r->at]))
            r->at++;
        else
            return;
    }
}

static bool accept(struct reader *r, const char *mark) {
    skip(r);
    size_t n = strlen(mark);
    if (r->failed || r->n - r->at < n || memcmp(r->text + r->at, mark, n))
        return false;
    r->at += n;
    return true;
}

static bool require(struct reader *r, const char *mark) {
    if (accept(r, mark))
        return true;
    char what[16];
    snprintf(what, sizeof what, "`%s`", mark);
    expected(r, what);
    return false;
}

// A bare word, interned; NULL (and nothing consumed) if there is none.
static const char *word(struct reader *r) {
    skip(r);
    size_t n = 0;
    if (r->failed || !text_is_name_byte(peek(r, 0), true))
        return NULL;
    while (text_is_name_byte(peek(r, n), false) && peek(r, n))
        n++;
    if (n > MAX_WORD) {
        refuse(r, r->at, "a name of more than 256 bytes");
        return NULL;
    }
    r->at += n;
    return intern_n(r->text + r->at - n, n);
}

static bool accept_word(struct reader *r, const char *want) {
    size_t at = r->at;
    const char *w = word(r);
    if (w && !strcmp(w, want))
        return true;
    r->at = at;
    return false;
}

static const char *quoted(struct reader *r) {
    if (!accept(r, "`"))
        return NULL;
    size_t begin = r->at;
    while (r->at < r->n && r->text[r->at] != '`' && r->text[r->at] != '\n')
        r->at++;
    size_t n = r->at - begin;
    if (memchr(r->text + begin, 0, n) || n > MAX_WORD || !require(r, "`")) {
        expected(r, "a name between backticks");
        return "";
    }
    return intern_n(r->text + begin, n);
}

static const char *name(struct reader *r) {
    const char *s = quoted(r);
    if (!s && !r->failed)
        s = word(r);
    if (!s)
        expected(r, "a name");
    return s ? s : "";
}

static int64_t integer(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    bool negative = accept(r, "-");
    skip(r);
    int64_t v = 0;
    if (!isdigit((unsigned char)peek(r, 0)))
        expected(r, "an integer");
    while (!r->failed && isdigit((unsigned char)peek(r, 0))) {
        v = 10 * v + (r->text[r->at++] - '0');
        if (v > MAX_INTEGER)
            refuse(r, begin, "an integer beyond 2^40");
    }
    return r->failed ? 0 : negative ? -v : v;
}

static double number(struct reader *r) {
    char buffer[64];
    size_t n = 0, begin = r->at;
    while (n < sizeof buffer - 1) {
        char c = peek(r, n);
        bool sign = (c == '+' || c == '-') && n && strchr("eE", buffer[n - 1]);
        if (!isdigit((unsigned char)c) && c != '.' && c != 'e' && c != 'E' && !sign)
            break;
        buffer[n++] = c;
    }
    buffer[n] = 0;
    char *end;
    double v = strtod(buffer, &end);
    if (end == buffer)
        expected(r, "a number");
    r->at = begin + (size_t)(end - buffer);
    return v;
}

// ---- extents and types

static extent find_symbol(const struct reader *r, const char *s) {
    for (uint32_t k = 0; k < r->g->symbols.n; k++)
        if (r->g->symbols.at[k].name == s)
            return -(extent)(k + 1);
    return 0;
}

static extent read_extent(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    const char *s = word(r);
    extent e = s ? find_symbol(r, s) : integer(r);
    if (s && !e)
        unknown(r, begin, s);
    else if (!s && !r->failed && (e < 1 || e > MAX_EXTENT))
        refuse(r, begin, "a size is at least 1 and at most 2^31");
    return r->failed ? 1 : e;
}

static enum dtype read_dtype(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    const char *s = word(r);
    for (enum dtype t = DTYPE_bool; s && t <= DTYPE_f64; t++)
        if (!strcmp(s, dtype_name(t)))
            return t;
    r->at = begin;
    expected(r, "a type: bool u8 i32 i64 f32 f64");
    return DTYPE_f64;
}

static struct type read_type(struct reader *r) {
    struct type t = {.dtype = read_dtype(r)};
    require(r, "[");
    if (accept(r, "]"))
        return t;
    do {
        if (t.rank == MAX_RANK)
            refuse(r, r->at, "a shape of more than 8 axes");
        else
            t.shape[t.rank++] = read_extent(r);
    } while (!r->failed && accept(r, ","));
    require(r, "]");
    return t;
}

// ---- indices

static node_id named_input(const struct reader *r, const char *s) {
    for (uint32_t k = 0; k < r->g->inputs.n; k++)
        if (graph_node(r->g, r->g->inputs.at[k])->name == s)
            return r->g->inputs.at[k];
    return 0;
}

static int find_axis(const struct reader *r, const char *s) {
    for (uint32_t a = 0; a < r->n_axes; a++)
        if (r->axes[a] == s)
            return (int)a;
    return -1;
}

static index_id read_index(struct reader *r);
static expr_id read_value(struct reader *r);

static node_id numbered_node(struct reader *r) {
    size_t begin = r->at;
    int64_t v = isdigit((unsigned char)peek(r, 0)) ? integer(r) : -1;
    uint32_t n = 0;
    if (v < 0)
        expected(r, "the number of a node");
    else if (!map_get(&r->numbers, (uint64_t)v, &n))
        refuse(r, begin, "no earlier line makes this node");
    return n;
}

// A read whose name is done: its indices.
static expr_id read_at(struct reader *r, size_t begin, node_id n) {
    index_id at[MAX_RANK];
    uint32_t rank = 0;
    if (r->failed)
        return expr_const(r->g, 0);
    if (accept(r, "[") && !accept(r, "]")) {
        enter(r);
        do {
            if (rank == MAX_RANK)
                refuse(r, r->at, "more than 8 indices");
            else
                at[rank++] = read_index(r);
        } while (!r->failed && accept(r, ","));
        require(r, "]");
        r->depth--;
    }
    if (!r->failed && rank != graph_node(r->g, n)->rank)
        refuse(r, begin, "the number of indices is not the number of axes");
    return r->failed ? expr_const(r->g, 0) : expr_read(r->g, n, rank, at);
}

static index_id data_index(struct reader *r, size_t begin, expr_id read) {
    const struct expr *x = graph_expr(r->g, read);
    if (!r->failed && x->kind == EXPR_read && dtype_is_real(graph_node(r->g, x->node)->dtype))
        refuse(r, begin, "an index reads integers");
    return r->failed ? index_constant(r->g, 0) : index_data(r->g, read);
}

static index_id index_word(struct reader *r, size_t begin, const char *s) {
    int axis = find_axis(r, s);
    extent symbol = find_symbol(r, s);
    if (!strcmp(s, "data") && accept(r, "(")) {
        index_id i = data_index(r, begin, read_value(r));
        require(r, ")");
        return i;
    }
    skip(r);
    if (peek(r, 0) != '[' && axis >= 0)
        return index_axis(r->g, (uint32_t)axis);
    if (peek(r, 0) != '[' && symbol)
        return index_symbol(r->g, symbol);
    node_id n = named_input(r, s);
    if (!n)
        unknown(r, begin, s);
    return data_index(r, begin, read_at(r, begin, n));
}

static index_id index_atom(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    if (accept(r, "(")) {
        enter(r);
        index_id i = r->failed ? 0 : read_index(r);
        require(r, ")");
        r->depth--;
        return r->failed ? index_constant(r->g, 0) : i;
    }
    if (accept(r, "%"))
        return data_index(r, begin, read_at(r, begin, numbered_node(r)));
    if (isdigit((unsigned char)peek(r, 0)))
        return index_constant(r->g, integer(r));
    const char *s = peek(r, 0) == '`' ? quoted(r) : word(r);
    if (!s) {
        expected(r, "an index");
        return index_constant(r->g, 0);
    }
    return index_word(r, begin, s);
}

static index_id index_product(struct reader *r) {
    bool negative = accept(r, "-");
    index_id i = index_atom(r);
    for (int k = 0; !r->failed && k < MAX_PARTS; k++) {
        int64_t a, b;
        size_t begin = r->at;
        if (accept(r, "*")) {
            index_id j = index_atom(r);
            if (index_is_constant(r->g, j, &b))
                i = index_scale(r->g, i, b);
            else if (index_is_constant(r->g, i, &a))
                i = index_scale(r->g, j, a);
            else
                refuse(r, begin, "a product of two axes is no index");
        } else if (accept(r, "/")) {
            int64_t by = integer(r);
            if (by < 1)
                refuse(r, begin, "an index is divided by a positive integer");
            else
                i = index_divide(r->g, i, by);
        } else {
            break;
        }
    }
    return negative ? index_scale(r->g, i, -1) : i;
}

static index_id read_index(struct reader *r) {
    index_id i = index_product(r);
    for (int k = 0; !r->failed && k < MAX_PARTS; k++) {
        if (accept(r, "+"))
            i = index_add(r->g, i, index_product(r));
        else if (accept(r, "-"))
            i = index_add(r->g, i, index_scale(r->g, index_product(r), -1));
        else
            break;
    }
    if (r->g->tables->overflow)
        refuse(r, r->at, "an index beyond 64 bits");
    return i;
}

// `0 <= index < size` or `index == index`
static struct guard read_guard(struct reader *r) {
    size_t begin = r->at;
    struct guard guard = {read_index(r), 1};
    int64_t zero = 1;
    if (accept(r, "==")) {
        index_id right = read_index(r);
        guard.index = index_add(r->g, guard.index, index_scale(r->g, right, -1));
        return guard;
    }
    if (!index_is_constant(r->g, guard.index, &zero) || zero != 0)
        refuse(r, begin, "a guard is `0 <= index < size` or `index == index`");
    require(r, "<=");
    guard.index = read_index(r);
    require(r, "<");
    guard.bound = read_extent(r);
    return guard;
}

static uint32_t read_guards(struct reader *r, struct guard *guards) {
    uint32_t n = 0;
    do {
        if (n == MAX_AXES)
            refuse(r, r->at, "more than 24 guards");
        else
            guards[n++] = read_guard(r);
    } while (!r->failed && accept(r, ","));
    return n;
}

// ---- values

static expr_id read_bracket(struct reader *r) {
    struct guard guards[MAX_AXES];
    enter(r);
    uint32_t n = r->failed ? 0 : read_guards(r, guards);
    require(r, "]");
    require(r, "(");
    expr_id e = r->failed ? 0 : read_value(r);
    require(r, ")");
    r->depth--;
    return r->failed ? expr_const(r->g, 0) : expr_bracket(r->g, n, guards, e);
}

static expr_id read_call(struct reader *r, size_t begin, enum op op) {
    VEC(expr_id) args = {0};
    const struct op_info *info = &op_table[op];
    enter(r);
    do {
        if (!r->failed && args.n < MAX_PARTS)
            VEC_PUSH(r->g->arena, &args, read_value(r));
    } while (!r->failed && accept(r, ","));
    require(r, ")");
    r->depth--;
    bool fits = info->flags & COMM ? args.n >= 2 : (int)args.n == info->n_inputs;
    if (!r->failed && (info->flags & STRUCTURAL))
        refuse(r, begin, "a structural operation stands alone on its line");
    else if (!r->failed && !fits)
        refuse(r, begin, "a function with a wrong number of arguments");
    return r->failed ? expr_const(r->g, 0) : expr_op(r->g, op, args.n, args.at);
}

static expr_id value_word(struct reader *r, size_t begin, const char *s) {
    bool reads = peek(r, 0) == '[';
    int axis = find_axis(r, s);
    extent symbol = find_symbol(r, s);
    if (!reads && axis >= 0)
        return expr_index(r->g, index_axis(r->g, (uint32_t)axis));
    if (!reads && symbol)
        return expr_extent(r->g, symbol);
    if (!strcmp(s, "inf") || !strcmp(s, "nan"))
        return expr_const(r->g, *s == 'i' ? INFINITY : NAN);
    enum op op = op_find(s);
    if (!strcmp(s, "index") && accept(r, "(")) {
        enter(r);
        index_id i = r->failed ? 0 : read_index(r);
        require(r, ")");
        r->depth--;
        return r->failed ? expr_const(r->g, 0) : expr_index(r->g, i);
    }
    if (op != OP_none && accept(r, "("))
        return read_call(r, begin, op);
    node_id n = named_input(r, s);
    if (!n)
        unknown(r, begin, s);
    return read_at(r, begin, n);
}

static expr_id value_atom(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    char c = peek(r, 0);
    if (accept(r, "(")) {
        enter(r);
        expr_id e = r->failed ? 0 : read_value(r);
        require(r, ")");
        r->depth--;
        return r->failed ? expr_const(r->g, 0) : e;
    }
    if (accept(r, "["))
        return read_bracket(r);
    if (accept(r, "%"))
        return read_at(r, begin, numbered_node(r));
    if (isdigit((unsigned char)c) || c == '.')
        return expr_const(r->g, number(r));
    if (c == '`') {
        const char *s = quoted(r);
        node_id n = named_input(r, s);
        if (!n)
            unknown(r, begin, s);
        return read_at(r, begin, n);
    }
    const char *s = word(r);
    if (!s) {
        expected(r, "a value");
        return expr_const(r->g, 0);
    }
    return value_word(r, begin, s);
}

static expr_id value_unary(struct reader *r) {
    if (accept(r, "-")) {
        enter(r);
        expr_id e = r->failed ? expr_const(r->g, 0) : value_unary(r);
        r->depth--;
        return expr_negate(r->g, e);
    }
    expr_id base = value_atom(r);
    if (r->failed || !accept(r, "^"))
        return base;
    bool negative = accept(r, "-");
    expr_id exponent = value_atom(r);
    return expr_op2(r->g, OP_pow, base, negative ? expr_negate(r->g, exponent) : exponent);
}

static expr_id value_product(struct reader *r) {
    VEC(expr_id) parts = {0};
    VEC_PUSH(r->g->arena, &parts, value_unary(r));
    while (!r->failed && parts.n < MAX_PARTS) {
        if (accept(r, "*"))
            VEC_PUSH(r->g->arena, &parts, value_unary(r));
        else if (accept(r, "/"))
            VEC_PUSH(r->g->arena, &parts,
                     expr_op2(r->g, OP_pow, value_unary(r), expr_const(r->g, -1)));
        else
            break;
    }
    return parts.n == 1 ? parts.at[0] : expr_op(r->g, OP_mul, parts.n, parts.at);
}

static expr_id value_sum(struct reader *r) {
    VEC(expr_id) parts = {0};
    VEC_PUSH(r->g->arena, &parts, value_product(r));
    while (!r->failed && parts.n < MAX_PARTS) {
        if (accept(r, "+"))
            VEC_PUSH(r->g->arena, &parts, value_product(r));
        else if (accept(r, "-"))
            VEC_PUSH(r->g->arena, &parts, expr_negate(r->g, value_product(r)));
        else
            break;
    }
    return parts.n == 1 ? parts.at[0] : expr_op(r->g, OP_add, parts.n, parts.at);
}

static expr_id read_value(struct reader *r) {
    static const struct {
        const char *mark;
        enum op op;
        bool swapped;
    } compares[] = {{"==", OP_eq, false}, {"!=", OP_ne, false}, {"<=", OP_le, false},
                    {">=", OP_le, true},  {"<", OP_lt, false},  {">", OP_lt, true}};
    expr_id left = value_sum(r);
    for (size_t k = 0; k < sizeof compares / sizeof *compares; k++) {
        if (r->failed || !accept(r, compares[k].mark))
            continue;
        expr_id right = value_sum(r);
        bool swapped = compares[k].swapped;
        return expr_op2(r->g, compares[k].op, swapped ? right : left, swapped ? left : right);
    }
    return left;
}

// ---- lines

static void read_axes(struct reader *r, uint32_t limit) {
    do {
        skip(r);
        size_t begin = r->at;
        const char *s = name(r);
        if (r->failed)
            return;
        if (find_axis(r, s) >= 0)
            refuse(r, begin, "two axes with one name");
        else if (r->n_axes == limit)
            refuse(r, begin, "too many axes");
        require(r, "<");
        extent e = read_extent(r);
        if (r->failed)
            return;
        r->axes[r->n_axes] = s;
        r->extents[r->n_axes++] = e;
    } while (accept(r, ","));
}

static void read_reduction(struct reader *r, struct comp *c) {
    size_t begin = r->at;
    const char *s = word(r);
    int reducer = s ? text_find_reducer(s) : -1;
    if (reducer < 0 || !accept(r, "[")) {
        r->at = begin;
        c->body = read_value(r);
        return;
    }
    c->reducer = (enum reducer)reducer;
    skip(r);
    if (peek(r, 0) != ']' && peek(r, 0) != '|')
        read_axes(r, MAX_AXES);
    if (accept(r, "|"))
        c->n_guards = read_guards(r, c->guards);
    require(r, "]");
    if (!r->failed)
        c->body = value_product(r);
}

static node_id read_operand(struct reader *r) {
    skip(r);
    size_t begin = r->at;
    if (accept(r, "%"))
        return numbered_node(r);
    const char *s = name(r);
    node_id n = r->failed ? 0 : named_input(r, s);
    if (!n)
        unknown(r, begin, s);
    return n;
}

struct call {
    enum op op;
    VEC(node_id) inputs;
    uint32_t n_attributes;
    int64_t attributes[MAX_RANK];
};

static void read_structural(struct reader *r, struct call *c) {
    do {
        node_id n = read_operand(r);
        if (!r->failed && c->inputs.n < MAX_PARTS)
            VEC_PUSH(r->g->arena, &c->inputs, n);
    } while (!r->failed && accept(r, ","));
    require(r, ")");
    if (!accept(r, "{") || accept(r, "}"))
        return;
    do {
        if (c->n_attributes == MAX_RANK)
            refuse(r, r->at, "more than 8 attributes");
        else
            c->attributes[c->n_attributes++] = c->op == OP_reshape ? read_extent(r) : integer(r);
    } while (!r->failed && accept(r, ","));
    require(r, "}");
}

static bool at_structural(struct reader *r, enum op *op) {
    skip(r);
    size_t begin = r->at;
    const char *s = word(r);
    *op = s ? op_find(s) : OP_none;
    if (*op != OP_none && (op_table[*op].flags & STRUCTURAL) && accept(r, "("))
        return true;
    r->at = begin;
    return false;
}

static void check_type(struct reader *r, size_t begin, node_id n, const struct type *t) {
    const struct node *x = graph_node(r->g, n);
    bool same = x->dtype == t->dtype && x->rank == t->rank;
    for (uint32_t k = 0; same && k < t->rank; k++)
        same = x->shape[k] == t->shape[k];
    if (!same)
        refuse(r, begin, "the type at the end of the line is not the type of the value");
}

// An axis list may be left out in a hand-written structural line only.
static void check_axes(struct reader *r, size_t begin, const struct type *t) {
    bool same = t->rank == r->n_out;
    for (uint32_t k = 0; same && k < t->rank; k++)
        same = r->extents[k] == t->shape[k];
    if (!same)
        refuse(r, begin, "the type at the end of the line is not the shape at its start");
}

static node_id build_comp(struct reader *r, size_t begin, struct comp *c, const struct type *t) {
    c->dtype = t->dtype;
    c->n_out = r->n_out;
    c->n_red = r->n_axes - r->n_out;
    memcpy(c->extents, r->extents, sizeof c->extents);
    check_axes(r, begin, t);
    node_id n = r->failed ? 0 : graph_comp(r->g, c);
    if (r->g->tables->overflow)
        refuse(r, begin, "an index beyond 64 bits");
    if (n)
        check_type(r, begin, n, t);
    return n;
}

static node_id build_call(struct reader *r, size_t begin, struct call *c, const struct type *t) {
    const char *error = NULL;
    if (r->failed)
        return 0;
    node_id n =
        graph_op(r->g, c->op, c->inputs.n, c->inputs.at, c->n_attributes, c->attributes, &error);
    if (!n)
        refuse(r, begin, error);
    else
        check_type(r, begin, n, t);
    return n;
}

static void read_line(struct reader *r) {
    size_t begin = r->at;
    struct comp c = {.reducer = RED_none};
    struct call call = {.op = OP_none};
    r->n_axes = 0;
    if (!isdigit((unsigned char)peek(r, 0)))
        expected(r, "the number of a node");
    int64_t v = r->failed ? 0 : integer(r);
    if (map_get(&r->numbers, (uint64_t)v, NULL))
        refuse(r, begin, "two nodes with one number");
    if (accept(r, "[")) {
        read_axes(r, MAX_RANK);
        require(r, "]");
    }
    r->n_out = r->n_axes;
    require(r, "=");
    if (r->failed)
        return;
    if (at_structural(r, &call.op))
        read_structural(r, &call);
    else
        read_reduction(r, &c);
    require(r, ":");
    skip(r);
    size_t type_at = r->at;
    struct type t = r->failed ? (struct type){0} : read_type(r);
    node_id n = call.inputs.n ? build_call(r, type_at, &call, &t)
                : r->failed   ? 0
                              : build_comp(r, type_at, &c, &t);
    if (r->failed)
        return;
    map_set(&r->numbers, (uint64_t)v, n);
    if (accept_word(r, "named"))
        graph_set_name(r->g, n, name(r));
}

// ---- heads and outputs

static void read_role(struct reader *r, enum role *role, uint32_t *ref, uint32_t *ref2) {
    uint32_t *to[] = {ref, ref2};
    skip(r);
    size_t begin = r->at;
    const char *s = word(r);
    *role = ROLE_none;
    *ref = *ref2 = 0;
    if (!s)
        return;
    int found = text_find_role(s);
    if (found < 0) {
        unknown(r, begin, s);
        return;
    }
    *role = (enum role)found;
    for (int k = 0; k < 2; k++) {
        skip(r);
        if (!r->failed && isdigit((unsigned char)peek(r, 0))) {
            int64_t v = integer(r);
            if (v > UINT32_MAX)
                refuse(r, begin, "a number beyond 2^32");
            *to[k] = (uint32_t)v;
        }
    }
}

static void read_input(struct reader *r) {
    enum role role;
    uint32_t ref, ref2;
    skip(r);
    size_t begin = r->at;
    const char *s = name(r);
    if (!r->failed && named_input(r, s))
        refuse(r, begin, "two inputs with one name");
    require(r, ":");
    struct type t = r->failed ? (struct type){0} : read_type(r);
    if (r->failed)
        return;
    read_role(r, &role, &ref, &ref2);
    if (!r->failed)
        graph_input(r->g, s, role, ref, ref2, t.dtype, t.rank, t.shape);
}

static void read_symbols(struct reader *r) {
    if (!accept_word(r, "where"))
        return;
    do {
        skip(r);
        size_t begin = r->at;
        const char *s = name(r);
        require(r, "<=");
        int64_t max = r->failed ? 1 : integer(r);
        if (!r->failed && (max < 1 || max > MAX_EXTENT))
            refuse(r, begin, "a size is at least 1 and at most 2^31");
        else if (!r->failed && (r->g->symbols.n == MAX_SYMBOLS || find_symbol(r, s)))
            refuse(r, begin, "a symbol declared twice, or more than 32 of them");
        if (!r->failed)
            graph_symbol(r->g, s, max);
    } while (!r->failed && accept(r, ","));
}

// The inputs use the symbols that `where` declares behind them.
static void skip_inputs(struct reader *r) {
    int depth = 1;
    while (r->at < r->n && depth) {
        char c = r->text[r->at];
        if (c == '`')
            quoted(r);
        else if (c == '#')
            skip(r);
        else
            r->at++;
        if (r->failed)
            return;
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
}

static void read_head(struct reader *r) {
    size_t inputs_at = r->at;
    skip_inputs(r);
    read_symbols(r);
    size_t body_at = r->at;
    r->at = inputs_at;
    skip(r);
    if (peek(r, 0) != ')')
        do
            read_input(r);
        while (!r->failed && accept(r, ","));
    require(r, ")");
    r->at = r->failed ? r->at : body_at;
}

static void read_outputs(struct reader *r) {
    do {
        enum role role;
        uint32_t ref, ref2;
        const char *s = name(r);
        require(r, "=");
        node_id n = r->failed ? 0 : read_operand(r);
        if (r->failed)
            return;
        read_role(r, &role, &ref, &ref2);
        graph_output(r->g, s, n, role, ref, ref2);
    } while (!r->failed && accept(r, ","));
}

static void read_body(struct reader *r) {
    require(r, "{");
    while (!r->failed && accept(r, "%"))
        read_line(r);
    if (!r->failed && accept_word(r, "return"))
        read_outputs(r);
    if (!accept(r, "}"))
        expected(r, "a line `%number[axes] = value : type`, `return` or `}`");
}

struct graph *graph_parse(struct arena *a, const char *text, size_t n, size_t *used,
                          struct diags *d, file_id f) {
    struct reader r = {.d = d, .file = f, .text = text, .n = n, .at = used ? *used : 0};
    skip(&r);
    if (used)
        *used = n;
    if (r.at >= n)
        return NULL; // nothing more
    r.g = graph_create(a, NULL, "");
    map_init(&r.numbers, a);
    if (!accept_word(&r, "graph"))
        expected(&r, "`graph`");
    r.g->name = name(&r);
    require(&r, "(");
    if (!r.failed)
        read_head(&r);
    if (!r.failed)
        read_body(&r);
    if (r.failed)
        return NULL;
    if (used)
        *used = r.at;
    return r.g;
}
