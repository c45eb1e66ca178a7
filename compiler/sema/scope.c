// Names inside bodies. A scope is a list of bindings; the innermost comes first.
#include "internal.h"

struct scope *scope_new(struct sema *s, struct scope *parent, bool is_function) {
    struct scope *scope = NEW(s->arena, struct scope);
    scope->parent = parent;
    scope->is_function = is_function;
    return scope;
}

void scope_bind(struct sema *s, struct scope *scope, const char *name, struct value *v,
                struct span at) {
    if (name[0] == '_' && name[1] == 0)
        return;
    struct binding *b = NEW(s->arena, struct binding);
    *b = (struct binding){.name = name, .value = v, .at = at, .next = scope->first};
    scope->first = b;
}

// Does the name, looked up here, belong to a block around a branch of a run-time `if`?
bool scope_leaves_branch(const struct scope *scope, const char *name) {
    for (bool left = false; scope; scope = scope->parent) {
        for (const struct binding *b = scope->first; b; b = b->next)
            if (b->name == name)
                return left;
        left |= scope->is_branch;
        if (scope->is_function)
            return false;
    }
    return false;
}

struct binding *scope_find(struct scope *scope, const char *name, bool stop_at_function) {
    for (; scope; scope = scope->parent) {
        for (struct binding *b = scope->first; b; b = b->next)
            if (b->name == name)
                return b;
        if (stop_at_function && scope->is_function)
            return NULL;
    }
    return NULL;
}
