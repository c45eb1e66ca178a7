// Scalar expressions to loop statements (body.h).
//
// Numbers: f32 where an f32 is involved (unless the node is f64), f64 where only f64 scalars are
// (hyperparameters, bias corrections of optimizers), integers exactly as i32 or i64, comparisons as
// bool. A constant takes the type of its surroundings. Reads under a bracket are masked by its
// guards, so that nothing outside a tensor is touched.
#include "body.h"

// types of constants, which adapt
enum { FLEXIBLE_whole = -1, FLEXIBLE_real = -2 };

void body_start(struct body *c, struct build *b, const struct graph *g) {
    *c = (struct body){.b = b, .g = g, .real = DTYPE_f32, .lanes = 1, .next_axis = MAX_AXES};
    map_init(&c->uniform, b->arena);
    body_move(c);
}

void body_move(struct body *c) { map_init(&c->memo, c->b->arena); }

int64_t tensor_extent(const struct graph *g, node_id n, uint32_t dimension) {
    const struct node *x = graph_node(g, n);
    int64_t room = g->room && dimension + 1 == x->rank ? g->room[n] : 0;
    return graph_extent_max(g, x->shape[dimension]) + room;
}

int64_t tensor_stride(const struct graph *g, node_id n, uint32_t dimension) {
    const struct node *x = graph_node(g, n);
    int64_t stride = 1;
    for (uint32_t d = dimension + 1; d < x->rank; d++)
        stride *= tensor_extent(g, n, d);
    return stride;
}
double tensor_bytes(const struct graph *g, node_id n) {
    const struct node *x = graph_node(g, n);
    double bytes = (double)dtype_size(x->dtype);
    for (uint32_t d = 0; d < x->rank; d++)
        bytes *= (double)graph_extent_max(g, x->shape[d]);
    return bytes;
}

struct loop_affine body_extent(struct body *c, extent e) {
    return e >= 1 ? affine_constant(e) : affine_n(c->b->arena);
}

// ---- masks
// The part of a mask that all lanes share: what a read that is the same in all lanes depends on.
static value_id uniform_part(struct body *c, value_id mask) {
    uint32_t part = 0;
    if (!mask || build_type(c->b, mask).lanes == 1)
        return mask;
    map_get(&c->uniform, mask, &part);
    return part;
}

value_id body_and(struct body *c, value_id x, value_id y) {
    value_id both = build_and(c->b, x, y);
    if (both && both != x && both != y && build_type(c->b, both).lanes > 1)
        map_set(&c->uniform, both, build_and(c->b, uniform_part(c, x), uniform_part(c, y)));
    return both;
}

// ---- indices
struct number {
    struct loop_affine at;
    int64_t ramp;
}; // before the division

static struct number affine_part(struct body *c, const struct index *x) {
    struct arena *a = c->b->arena;
    struct number s = {affine_constant(x->constant), 0};
    for (uint32_t i = 0; i < x->n_terms; i++) {
        const struct term *t = &x->terms[i];
        if (t->kind == TERM_axis) {
            s.at = affine_add(a, s.at, affine_scale(a, c->axis[t->ref], t->coefficient));
            s.ramp += c->ramp[t->ref] * t->coefficient;
        } else if (t->kind == TERM_symbol) {
            s.at = affine_add(a, s.at, affine_scale(a, affine_n(a), t->coefficient));
        }
    }
    return s;
}

static bool divide_exactly(struct arena *a, struct number *s, int64_t by) {
    if (by == 1)
        return true;
    if (s->ramp % by || s->at.constant % by)
        return false;
    for (uint32_t i = 0; i < s->at.n_terms; i++)
        if (s->at.terms[i].coefficient % by)
            return false;
    struct loop_affine y = affine_scale(a, s->at, 1);
    y.constant /= by;
    for (uint32_t i = 0; i < y.n_terms; i++)
        y.terms[i].coefficient /= by;
    s->at = y;
    s->ramp /= by;
    return true;
}

static bool has_data(const struct index *x) {
    return x->n_terms > 0 && x->terms[x->n_terms - 1].kind == TERM_data;
}

static value_id i64_number(struct body *c, int64_t x) {
    return build_number(c->b, (struct loop_type){DTYPE_i64, 1}, (double)x);
}

// sum of coefficient * data; 0 if there is none
static value_id data_part(struct body *c, const struct index *x, value_id mask) {
    value_id sum = 0;
    for (uint32_t i = 0; i < x->n_terms; i++) {
        if (x->terms[i].kind != TERM_data)
            continue;
        value_id v = body_value(c, x->terms[i].ref, DTYPE_i64, mask);
        if (x->terms[i].coefficient != 1)
            v = build_apply2(c->b, OP_mul, DTYPE_i64, v, i64_number(c, x->terms[i].coefficient));
        sum = sum ? build_apply2(c->b, OP_add, DTYPE_i64, sum, v) : v;
    }
    return sum;
}

static value_id as_value(struct body *c, struct number s, value_id data) {
    value_id v = build_index(c->b, (struct loop_type){DTYPE_i64, c->lanes}, s.at, s.ramp);
    return data ? build_apply2(c->b, OP_add, DTYPE_i64, v, data) : v;
}

// The whole index as an i64 value (floor of the division where it is not exact)
static value_id index_value(struct body *c, index_id i, value_id mask) {
    const struct index *x = graph_index(c->g, i);
    struct number s = affine_part(c, x);
    if (!has_data(x) && divide_exactly(c->b->arena, &s, x->divisor))
        return as_value(c, s, 0);
    value_id v = as_value(c, s, data_part(c, x, mask));
    return x->divisor == 1 ? v : build_plain(c->b, LOOP_quotient, v, i64_number(c, x->divisor), 0);
}

static value_id add_offset(struct body *c, value_id sum, value_id v, int64_t stride) {
    if (stride != 1)
        v = build_apply2(c->b, OP_mul, DTYPE_i64, v, i64_number(c, stride));
    return sum ? build_apply2(c->b, OP_add, DTYPE_i64, sum, v) : v;
}

struct loop_access_at body_address(struct body *c, node_id n, uint32_t rank, const index_id *at,
                                   value_id mask) {
    struct loop_access_at m = {.mask = mask, .at = affine_constant(0)};
    bool varies = false; // some index moves with the lanes, even where the address does not
    for (uint32_t d = 0; d < rank; d++) {
        const struct index *x = graph_index(c->g, at[d]);
        int64_t stride = tensor_stride(c->g, n, d);
        struct number s = affine_part(c, x);
        if (x->divisor == 1 || (!has_data(x) && divide_exactly(c->b->arena, &s, x->divisor))) {
            m.at = affine_add(c->b->arena, m.at, affine_scale(c->b->arena, s.at, stride));
            m.stride += s.ramp * stride;
            varies |= s.ramp != 0;
            if (has_data(x))
                m.offset = add_offset(c, m.offset, data_part(c, x, mask), stride);
        } else {
            m.offset = add_offset(c, m.offset, index_value(c, at[d], mask), stride);
        }
    }
    m.buffer = c->buffer(c->context, n);
    if (!varies && (!m.offset || build_type(c->b, m.offset).lanes == 1))
        m.mask = uniform_part(c, mask);
    return m;
}

// ---- guards
static struct loop_affine last_plus_one(struct body *c, extent bound, int64_t divisor) {
    struct loop_affine h = body_extent(c, bound);
    return divisor == 1 ? h
                        : affine_shift(affine_scale(c->b->arena, affine_shift(h, -1), divisor), 1);
}

value_id body_guard(struct body *c, struct guard g, value_id mask) {
    const struct index *x = graph_index(c->g, g.index);
    struct number s = affine_part(c, x);
    if (!has_data(x) && divide_exactly(c->b->arena, &s, x->divisor))
        return build_inside(c->b, c->lanes, s.at, s.ramp, body_extent(c, g.bound));
    struct loop_affine high = last_plus_one(c, g.bound, x->divisor);
    value_id v = as_value(c, s, data_part(c, x, mask)), inside;
    if (has_data(x)) {
        value_id top = build_index(c->b, (struct loop_type){DTYPE_i64, 1}, high, 0);
        inside = body_and(c, build_apply2(c->b, OP_le, DTYPE_bool, i64_number(c, 0), v),
                          build_apply2(c->b, OP_lt, DTYPE_bool, v, top));
    } else {
        inside = build_inside(c->b, c->lanes, s.at, s.ramp, high);
    }
    if (x->divisor == 1)
        return inside;
    value_id rest = build_plain(c->b, LOOP_remainder, v, i64_number(c, x->divisor), 0);
    return body_and(c, inside, build_apply2(c->b, OP_eq, DTYPE_bool, rest, i64_number(c, 0)));
}

bool body_never(struct body *c, struct guard g) {
    const struct index *x = graph_index(c->g, g.index);
    struct number s = affine_part(c, x);
    int64_t rest = s.at.constant;
    s.at.constant = 0;
    return !has_data(x) && rest % x->divisor && divide_exactly(c->b->arena, &s, x->divisor);
}

value_id body_guards(struct body *c, uint32_t n, const struct guard *g, value_id mask) {
    for (uint32_t i = 0; i < n; i++)
        mask = body_and(c, mask, body_guard(c, g[i], mask));
    return mask;
}

// ---- types
static int unify(struct body *c, int x, int y) {
    if (x == y)
        return x;
    if (x < 0 && y < 0)
        return FLEXIBLE_real;
    if (x < 0 || y < 0) {
        int flexible = x < 0 ? x : y, other = x < 0 ? y : x;
        if (dtype_is_real((enum dtype)other) || flexible == FLEXIBLE_whole)
            return other == DTYPE_bool ? DTYPE_i32 : other;
        return c->real;
    }
    if (dtype_is_real((enum dtype)x) && dtype_is_real((enum dtype)y))
        return c->real;   // f32 and f64 meet
    return x > y ? x : y; // enum dtype goes from narrow to wide, reals last
}

static int type_of(struct body *c, expr_id e);

static int type_of_args(struct body *c, const struct expr *x, uint32_t from) {
    int t = type_of(c, x->args[from]);
    for (uint32_t i = from + 1; i < x->n_args; i++)
        t = unify(c, t, type_of(c, x->args[i]));
    return t;
}

static int type_of_op(struct body *c, const struct expr *x) {
    if (op_table[x->op].flags & RANDOM)
        return c->real;
    if (op_table[x->op].flags & COMPARE)
        return DTYPE_bool;
    if (x->op == OP_select)
        return type_of_args(c, x, 1);
    int t = type_of_args(c, x, 0);
    switch (x->op) {
    case OP_add:
    case OP_mul:
        return t >= 0 && !dtype_is_real((enum dtype)t) ? DTYPE_i64 : t;
    case OP_max:
    case OP_min:
    case OP_mod:
    case OP_abs:
    case OP_sign:
    case OP_floor:
    case OP_ceil:
        return t == DTYPE_bool || t == DTYPE_u8 ? DTYPE_i32 : t;
    default:
        return t >= 0 && dtype_is_real((enum dtype)t) ? t : (int)c->real;
    }
}

static int type_of_index(struct body *c, index_id i) {
    const struct index *x = graph_index(c->g, i);
    int64_t least = x->constant, greatest = x->constant;
    for (uint32_t k = 0; k < x->n_terms; k++) {
        const struct term *t = &x->terms[k];
        if (t->kind != TERM_axis ||
            c->extents[t->ref] < 1) // samples are not bounded at compile time
            return DTYPE_i64;
        int64_t reach = t->coefficient * (c->extents[t->ref] - 1);
        *(reach < 0 ? &least : &greatest) += reach;
    }
    return x->divisor == 1 && least > INT32_MIN && greatest < INT32_MAX ? DTYPE_i32 : DTYPE_i64;
}

static int type_of(struct body *c, expr_id e) {
    const struct expr *x = graph_expr(c->g, e);
    switch (x->kind) {
    case EXPR_const:
        return x->value == (double)(int64_t)x->value && x->value < 1e15 && x->value > -1e15
                   ? FLEXIBLE_whole
                   : FLEXIBLE_real;
    case EXPR_index:
        return type_of_index(c, x->index);
    case EXPR_extent:
        return DTYPE_i64;
    case EXPR_read: {
        enum dtype t = graph_node(c->g, x->node)->dtype;
        if (t == DTYPE_f32)
            return c->real;
        return t == DTYPE_u8 ? DTYPE_i32 : (int)t;
    }
    case EXPR_bracket:
        return type_of(c, x->args[0]);
    default:
        return type_of_op(c, x);
    }
}

static enum dtype settle(struct body *c, int t, enum dtype want) {
    if (t >= 0)
        return (enum dtype)t;
    if (t == FLEXIBLE_whole)
        return want == DTYPE_bool ? DTYPE_i32 : want;
    return dtype_is_real(want) ? want : c->real;
}

enum dtype body_dtype(struct body *c, expr_id e) { return settle(c, type_of(c, e), c->real); }

// ---- operations
static value_id one(struct body *c, enum dtype t) {
    return build_number(c->b, (struct loop_type){t, 1}, 1);
}

static bool is_power(const struct graph *g, expr_id e, double *exponent) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_op && x->op == OP_pow && expr_is_const(g, x->args[1], exponent);
}

static value_id times(struct body *c, enum dtype t, value_id x, value_id y) {
    return x && y ? build_apply2(c->b, OP_mul, t, x, y) : x ? x : y;
}

// Whole powers, and quarters by roots.
static value_id power_by(struct body *c, value_id x, double k, enum dtype t) { // k > 0
    if (k > 8 || 4 * k != (double)(int)(4 * k))
        return build_apply2(c->b, OP_pow, t, x, build_number(c->b, (struct loop_type){t, 1}, k));
    int n = (int)k, quarters = (int)(4 * k) % 4;
    value_id result = 0, root = quarters ? build_plain(c->b, LOOP_sqrt, x, 0, 0) : 0;
    if (quarters & 1)
        result = build_plain(c->b, LOOP_sqrt, root, 0, 0);
    if (quarters & 2)
        result = times(c, t, result, root);
    for (value_id square = x; n; n >>= 1) {
        if (n & 1)
            result = times(c, t, result, square);
        if (n > 1)
            square = times(c, t, square, square);
    }
    return result;
}

static value_id power(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    double k;
    value_id base = body_value(c, x->args[0], t, mask);
    if (!expr_is_const(c->g, x->args[1], &k) || k == 0)
        return build_apply2(c->b, OP_pow, t, base, body_value(c, x->args[1], t, mask));
    if (k > 0)
        return power_by(c, base, k, t);
    return build_plain(c->b, LOOP_divide, one(c, t), power_by(c, base, -k, t), 0);
}

// a product: factors with a negative constant exponent go under one division
static value_id product(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    value_id above = 0, below = 0;
    for (uint32_t i = 0; i < x->n_args; i++) {
        double k;
        if (dtype_is_real(t) && is_power(c->g, x->args[i], &k) && k < 0) {
            value_id base = body_value(c, graph_expr(c->g, x->args[i])->args[0], t, mask);
            below = times(c, t, below, power_by(c, base, -k, t));
        } else {
            above = times(c, t, above, body_value(c, x->args[i], t, mask));
        }
    }
    if (!below)
        return above;
    return build_plain(c->b, LOOP_divide, above ? above : one(c, t), below, 0);
}

// -1 * y as an addend: gives y; 0 if it is no such product
static value_id negated(struct body *c, expr_id e, enum dtype t, value_id mask) {
    const struct expr *x = graph_expr(c->g, e);
    if (x->kind != EXPR_op || x->op != OP_mul)
        return 0;
    uint32_t minus = x->n_args;
    for (uint32_t i = 0; i < x->n_args; i++) {
        double k;
        if (expr_is_const(c->g, x->args[i], &k) && k == -1)
            minus = i;
    }
    if (minus == x->n_args || x->n_args > 16)
        return 0;
    uint32_t rest[16];
    struct expr y = *x;
    y.args = rest;
    y.n_args = 0;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (i != minus)
            rest[y.n_args++] = x->args[i];
    return product(c, &y, t, mask);
}

static value_id sum(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    value_id total = 0, less = 0;
    for (uint32_t i = 0; i < x->n_args; i++) {
        value_id v = negated(c, x->args[i], t, mask);
        if (v && total)
            total = build_plain(c->b, LOOP_subtract, total, v, 0);
        else if (v)
            less = less ? build_apply2(c->b, OP_add, t, less, v) : v;
        else {
            v = body_value(c, x->args[i], t, mask);
            total = total ? build_apply2(c->b, OP_add, t, total, v) : v;
        }
        if (total && less) {
            total = build_plain(c->b, LOOP_subtract, total, less, 0);
            less = 0;
        }
    }
    if (!total)
        total = build_plain(c->b, LOOP_subtract, build_number(c->b, (struct loop_type){t, 1}, 0),
                            less, 0);
    return total;
}

static value_id comparison(struct body *c, const struct expr *x, value_id mask) {
    bool logical = x->op == OP_not || x->op == OP_and || x->op == OP_or;
    enum dtype t = logical ? DTYPE_bool : settle(c, type_of_args(c, x, 0), c->real);
    if (!logical && t == DTYPE_bool)
        t = DTYPE_i32;
    value_id args[4];
    for (uint32_t i = 0; i < x->n_args; i++)
        args[i] = body_value(c, x->args[i], t, mask);
    return build_apply(c->b, x->op, DTYPE_bool, x->n_args, args);
}

static value_id operation(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    value_id args[4] = {0};
    switch (x->op) {
    case OP_add:
        return sum(c, x, t, mask);
    case OP_mul:
        return product(c, x, t, mask);
    case OP_pow:
        return power(c, x, t, mask);
    case OP_select:
        args[0] = body_value(c, x->args[0], DTYPE_bool, mask);
        args[1] = body_value(c, x->args[1], t, mask);
        args[2] = body_value(c, x->args[2], t, mask);
        return build_apply(c->b, OP_select, t, 3, args);
    case OP_floor:
    case OP_ceil:
        if (!dtype_is_real(t))
            return body_value(c, x->args[0], t, mask);
        break;
    default:
        break;
    }
    if (op_table[x->op].flags & COMPARE)
        return comparison(c, x, mask);
    CHECK(x->n_args <= 4, "`%s` with %u arguments", op_table[x->op].name, x->n_args);
    for (uint32_t i = 0; i < x->n_args; i++)
        args[i] = body_value(c, x->args[i], op_table[x->op].flags & RANDOM ? DTYPE_i64 : t, mask);
    return build_apply(c->b, x->op, t, x->n_args, args);
}

// ---- reads
static value_id read_bound(struct body *c, const struct expr *x) {
    for (uint32_t i = 0; i < c->n_bindings; i++) {
        if (c->bindings[i].node != x->node)
            continue;
        for (uint32_t d = 0; d < x->n_args; d++) {
            uint32_t axis;
            CHECK(index_is_axis(c->g, x->args[d], &axis) && axis == (c->bound ? c->bound[d] : d),
                  "a fused node is not read at its own index");
        }
        return c->bindings[i].value;
    }
    return 0;
}

// How far apart a tensor's elements at `at` are along an axis.
static int64_t step_along(const struct body *c, node_id n, uint32_t rank, const index_id *at,
                          uint32_t axis) {
    int64_t step = 0;
    for (uint32_t d = 0; d < rank; d++) {
        const struct index *x = graph_index(c->g, at[d]);
        for (uint32_t t = 0; t < x->n_terms; t++)
            if (x->terms[t].kind == TERM_axis && x->terms[t].ref == axis)
                step += x->terms[t].coefficient * tensor_stride(c->g, n, d) / x->divisor;
    }
    return step;
}

// The machine finds what comes next within a page by itself.
int64_t body_ahead(const struct body *c, node_id n, int64_t apart) {
    enum { PAGE = 4096 };
    int64_t element = (int64_t)dtype_size(graph_node(c->g, n)->dtype);
    for (uint32_t i = 0; c->far && i < c->far->n; i++)
        if (c->far->node[i] == n)
            return c->far->bytes / element;
    apart *= c->next_step;
    return c->next_axis < MAX_AXES && apart * element >= PAGE ? apart : 0;
}

static value_id read(struct body *c, const struct expr *x, value_id mask) {
    value_id v = read_bound(c, x);
    if (v)
        return v;
    struct loop_access_at at = body_address(c, x->node, x->n_args, x->args, mask);
    if (at.stride == 1 && !at.mask && !at.offset) {
        uint32_t next = c->bound && c->next_axis < MAX_AXES ? c->bound[c->next_axis] : c->next_axis;
        at.ahead = body_ahead(c, x->node, step_along(c, x->node, x->n_args, x->args, next));
    }
    return build_load(c->b, c->lanes, at);
}

static value_id bracket(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    value_id inside = 0;
    for (uint32_t i = 0; i < x->n_guards; i++)
        inside = body_and(c, inside, body_guard(c, x->guards[i], body_and(c, mask, inside)));
    value_id v = body_value(c, x->args[0], t, body_and(c, mask, inside));
    if (!inside)
        return v;
    value_id args[3] = {inside, v, build_number(c->b, (struct loop_type){t, 1}, 0)};
    return build_apply(c->b, OP_select, t, 3, args);
}

static value_id natural(struct body *c, const struct expr *x, enum dtype t, value_id mask) {
    switch (x->kind) {
    case EXPR_const:
        return build_number(c->b, (struct loop_type){t, 1}, x->value);
    case EXPR_index: {
        const struct index *i = graph_index(c->g, x->index);
        struct number s = affine_part(c, i);
        if (!has_data(i) && divide_exactly(c->b->arena, &s, i->divisor))
            return build_index(c->b, (struct loop_type){t, c->lanes}, s.at, s.ramp);
        return index_value(c, x->index, mask);
    }
    case EXPR_extent:
        return build_index(c->b, (struct loop_type){t, 1}, body_extent(c, x->symbol), 0);
    case EXPR_read:
        return read(c, x, mask);
    case EXPR_bracket:
        return bracket(c, x, t, mask);
    default:
        return operation(c, x, t, mask);
    }
}

value_id body_value(struct body *c, expr_id e, enum dtype want, value_id mask) {
    uint64_t key = (uint64_t)e << 34 | (uint64_t)want << 31 | mask;
    uint32_t known;
    if (map_get(&c->memo, key, &known))
        return known;
    const struct expr *x = graph_expr(c->g, e);
    value_id v = build_cast(c->b, want, natural(c, x, settle(c, type_of(c, e), want), mask));
    map_set(&c->memo, key, v);
    return v;
}
