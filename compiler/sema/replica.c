// Families: `network Member[10]`, `instance head[8] = dense(64)`.
//
// A family is one text and n objects. Its parameters and states are n rows of the program's tables,
// one after the other in the flat buffer, and one tensor in the graphs, with an axis in front; the
// body sees the member's share, read at the member's index. Where that index is a letter, the body
// is mapped over it like any call: one batched program.
#include "internal.h"

#include <string.h>

int64_t sema_members(const struct replicas *r) {
    int64_t n = 1;
    for (uint32_t k = 0; k < r->n; k++)
        n *= r->at[k].count;
    return n;
}

bool sema_add_replica(struct sema *s, struct frame *f, struct object *o, const char *name,
                      const struct ast *count) {
    enum { FAMILY_LIMIT = 10000 };
    struct replicas *r = &o->replicas;
    int64_t n;
    if (!value_whole(s, f, sema_expr(s, f, count), count->at, "the number of members", &n))
        return false;
    if (n < 1 || n > FAMILY_LIMIT || n * sema_members(r) > FAMILY_LIMIT) {
        diag_family_size(s->diags, count->at, name, (long long)n, FAMILY_LIMIT);
        return false;
    }
    if (r->n == MAX_REPLICAS) {
        diag_family_depth(s->diags, count->at, MAX_REPLICAS);
        return false;
    }
    r->at[r->n++] = (struct replica){name, n, 0};
    o->path = intern(arena_printf(s->arena, "%s[]", o->path));
    return true;
}

bool sema_is_family(const struct value *v) {
    bool object = v->kind == VALUE_network || v->kind == VALUE_instance;
    return object && v->object->replicas.n &&
           !v->object->replicas.at[v->object->replicas.n - 1].index;
}

int64_t sema_family_range(const struct value *v) {
    return v->object->replicas.at[v->object->replicas.n - 1].count;
}

// The one index of `n`, a letter or known when compiling; 0 after an error. `count` 0: not known
// here, how many there are.
static index_id member_index(struct sema *s, struct frame *f, const struct ast *n, int64_t count,
                             const char *of) {
    const struct ast *list = n->kid[AST_element_indices], *at = list->kid[0];
    int64_t low = 0, high = 0, whole;
    if (list->n_kids != 1 || at->kind == AST_rest) {
        diag_too_many_indices(s->diags, n->at, of, (int)list->n_kids);
        return 0;
    }
    struct value *v = sema_expr(s, f, at);
    index_id index = 0;
    if (value_is_bad(v))
        return 0;
    if (v->kind == VALUE_number || v->kind == VALUE_truth) {
        if (!value_whole(s, f, v, at->at, "an index", &whole))
            return 0;
        index = index_constant(s->graph, whole);
        low = high = whole;
    } else if (v->kind == VALUE_tensor && v->rank == 0 && v->index &&
               graph_index(s->graph, v->index)->divisor == 1 &&
               sema_index_range(s, f, v->index, &low, &high))
        index = v->index;
    if (!index)
        diag_family_index(s->diags, at->at, of, value_words(s, v));
    else if (count && (low < 0 || high >= count)) {
        diag_index_outside(s->diags, at->at, ast_spelling(s->arena, n), (long long)low,
                           (long long)high, (long long)count);
        return 0;
    }
    return index;
}

struct value *sema_member(struct sema *s, struct frame *f, const struct ast *n,
                          struct value *family) {
    const char *words = value_words(s, family);
    if (!sema_is_family(family)) {
        diag_no_family(s->diags, n->at, words, ast_spelling(s->arena, n));
        return value_poison(s);
    }
    index_id index = member_index(s, f, n, sema_family_range(family), words);
    if (!index)
        return value_poison(s);
    struct value *member = value_shape_like(s, family);
    member->object = arena_copy(s->arena, family->object, sizeof *family->object);
    member->object->replicas.at[member->object->replicas.n - 1].index = index;
    return member;
}

// In a path: the index after the part `name`.
bool sema_path_index(struct sema *s, struct frame *f, const struct ast *n, const char *name,
                     struct replicas *r) {
    index_id index = member_index(s, f, n, 0, arena_printf(s->arena, "`%s`", name));
    if (index && r->n == MAX_REPLICAS) {
        diag_family_depth(s->diags, n->at, MAX_REPLICAS);
        return false;
    }
    if (index)
        r->at[r->n++] = (struct replica){name, 0, index};
    return index != 0;
}

// ---- names

// The path with an index in each `[]`.
static const char *filled_path(struct sema *s, const char *path, const char *const *indices) {
    struct text t;
    text_init(&t, s->arena);
    uint32_t k = 0;
    for (const char *c = path; *c; c++) {
        if (c[0] == '[' && c[1] == ']') {
            text_printf(&t, "[%s]", indices[k++]);
            c++;
        } else
            text_printf(&t, "%c", *c);
    }
    return intern(text_string(&t));
}

void sema_name_member(struct sema *s, struct program_tensor *t, const char *family,
                      const struct replicas *r, int64_t member) {
    const char *indices[MAX_REPLICAS];
    t->member = member;
    t->members = sema_members(r);
    t->n_replicas = r->n;
    if (r->n == 0)
        return;
    t->family = family;
    for (uint32_t k = r->n; k-- > 0; member /= r->at[k].count) {
        t->replicas[k] = r->at[k].count;
        indices[k] = arena_printf(s->arena, "%lld", (long long)(member % r->at[k].count));
    }
    t->name = filled_path(s, family, indices);
}

// For people: `Member[3]` where the index is known, else `Member[0..9]`.
const char *sema_shown_path(struct sema *s, const char *path, const struct replicas *r) {
    const char *indices[MAX_REPLICAS];
    int64_t c;
    if (!path || r->n == 0)
        return path;
    for (uint32_t k = 0; k < r->n; k++)
        indices[k] = !r->at[k].count && !index_is_constant(s->graph, r->at[k].index, &c) ? ".."
                     : r->at[k].index && index_is_constant(s->graph, r->at[k].index, &c)
                         ? arena_printf(s->arena, "%lld", (long long)c)
                         : arena_printf(s->arena, "0..%lld", (long long)r->at[k].count - 1);
    return filled_path(s, path, indices);
}

uint32_t sema_find_tensor(const struct program_tensor *at, uint32_t n, const char *path) {
    for (uint32_t i = 0; i < n; i++)
        if ((at[i].family ? at[i].family : at[i].name) == path)
            return i;
    return UINT32_MAX;
}

// ---- a member's share of a stacked tensor: the axes in front are read at the indices. An index
// that is not given leaves its axis whole.
struct value *sema_member_read(struct sema *s, struct value *stacked, const struct replicas *r) {
    if (r->n == 0 || value_is_bad(stacked))
        return stacked;
    struct value *v = value_shape_like(s, stacked);
    index_id by[MAX_RANK] = {0};
    v->rank = 0;
    for (uint32_t k = 0; k < stacked->rank; k++) {
        if (k < r->n && r->at[k].index) {
            by[k] = r->at[k].index;
            continue;
        }
        by[k] = index_axis(s->graph, v->rank);
        v->shape[v->rank] = stacked->shape[k];
        v->axis[v->rank++] = stacked->axis[k];
    }
    for (uint32_t k = v->rank; k < MAX_RANK; k++)
        v->axis[k] = NULL;
    v->expr = expr_substitute(s->graph, value_expr(s, stacked), stacked->rank, by);
    return v;
}

// ---- selections

static const char *part_end(const char *p) {
    const char *dot = strchr(p, '.');
    return dot ? dot : p + strlen(p);
}

// Is the part `head[3]` of a path the part `head[]` of a pattern? Indices are compared elsewhere.
static bool same_part(const char *pattern, const char *path) {
    size_t n = strcspn(pattern, ".["), m = strcspn(path, ".[");
    return n == m && strncmp(pattern, path, n) == 0;
}

static bool path_matches(const char *pattern, const char *path) {
    const char *rest = part_end(pattern), *after = part_end(path);
    if (rest - pattern == 1 && *pattern == '*') { // any number of parts
        if (!*rest)
            return true;
        for (const char *p = path; p; p = *part_end(p) ? part_end(p) + 1 : NULL)
            if (path_matches(rest + 1, p))
                return true;
        return false;
    }
    if (!same_part(pattern, path))
        return false;
    if (!*rest)
        return true; // a whole network or layer
    return *after && path_matches(rest + 1, after + 1);
}

bool sema_path_matches(const char *pattern, const struct program_tensor *t) {
    return path_matches(pattern, t->family ? t->family : t->name);
}

struct replicas sema_replicas_of(struct sema *s, const struct program_tensor *t,
                                 const struct replicas *given) {
    struct replicas r = {.n = t->n_replicas};
    uint32_t k = 0;
    for (const char *p = t->family; p && k < r.n; p = *part_end(p) ? part_end(p) + 1 : NULL) {
        size_t n = strcspn(p, ".[");
        if (p[n] != '[')
            continue;
        r.at[k].count = t->replicas[k];
        for (uint32_t i = 0; i < given->n; i++)
            if (strlen(given->at[i].name) == n && strncmp(given->at[i].name, p, n) == 0)
                r.at[k].index = given->at[i].index;
        r.at[k].name = intern(arena_strndup(s->arena, p, n));
        k++;
    }
    return r;
}

// Are all given indices inside?
bool sema_members_exist(struct sema *s, const struct replicas *r) {
    for (uint32_t k = 0; k < r->n; k++) {
        int64_t low, high;
        if (r->at[k].index &&
            (!index_range(s->graph, r->at[k].index, LETTER_END, s->letter_bound, &low, &high) ||
             low < 0 || high >= r->at[k].count))
            return false;
    }
    return true;
}

bool sema_selects(struct sema *s, const char *pattern, const struct replicas *given,
                  const struct program_tensor *t) {
    if (!sema_path_matches(pattern, t))
        return false;
    struct replicas r = sema_replicas_of(s, t, given);
    int64_t member = t->member, c;
    for (uint32_t k = r.n; k-- > 0; member /= t->replicas[k])
        if (r.at[k].index &&
            (!index_is_constant(s->graph, r.at[k].index, &c) || c != member % t->replicas[k]))
            return false;
    return true;
}

// Is the tensor below this path, as shown?
bool sema_below(const char *shown, const struct program_tensor *t) {
    const char *name = t->name;
    for (;;) {
        size_t n = strcspn(shown, ".[");
        if (strncmp(shown, name, n) != 0 || (name[n] && !strchr(".[", name[n])))
            return false;
        shown += n;
        name += n;
        if (*shown == '[') {
            size_t m = strcspn(shown, "]"), k = strcspn(name, "]");
            bool range = memchr(shown, '.', m) != NULL;
            if (*name != '[' || (!range && (m != k || strncmp(shown, name, m) != 0)))
                return false;
            shown += m + 1;
            name += k + 1;
        }
        if (!*shown)
            return *name == '.';
        if (*shown != '.' || *name != '.')
            return false;
        shown++;
        name++;
    }
}
