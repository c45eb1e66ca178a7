// A train block on its way to a program: its stages, and the walk through its statements. Only
// train.c and stage.c include this.
//
// A block without `stage` has one stage that is the block itself, so everything below goes stage by
// stage. The statements of the block hold in every stage, its own come after them; `minimize`,
// `stop if`, `keep if`, `batch`, `epochs` and `steps` of a stage take the place of the block's.
#pragma once

#include "internal.h"

struct stage {
    const char *name;         // `first`, `round_3`; NULL: the block itself
    const struct ast *node;   // AST_stage, or the train block
    const struct ast *body;   // its statements
    const struct ast *minimize; // NULL: states settle
    struct span at;
    uint32_t n_stop, n_keep, n_augment; // the stage's own
};
struct train {
    struct ast *block;
    const struct ast *body;
    uint32_t n_stop, n_keep, n_augment;
    VEC(struct stage) stages;
    uint32_t now;             // the stage whose graphs are made
    struct frame at_stage;    // at the end of it, in the gradient graph
};
// Called with the frame at the end of a stage.
typedef void stage_visit(struct sema *s, struct frame *f, struct train *t, uint32_t stage);
enum { STAGE_none = -1, STAGE_every = -2 };

static inline bool has_stages(const struct train *t) { return t->stages.at[0].name != NULL; }

// ---- stage.c
// Runs the definitions of the block in the graph under construction, visits the stage `wanted` at
// its place, and goes on to the block's end; returns the block's frame there. Definitions that only
// other stages need are left out.
struct frame train_walk(struct sema *s, struct train *t, int64_t wanted, stage_visit *visit);
// The same for the graph of the updates between the stages `after` and after + 1; false: there are
// none.
bool train_walk_updates(struct sema *s, struct train *t, int64_t after);
struct frame train_frame(struct sema *s, const struct train *t); // without any definition
// Finds the stages of the block, `for` expanded; their lines become rows of the program.
bool train_find_stages(struct sema *s, struct train *t);
// The i-th statement that holds in the stage t->now, the block's first; NULL: there are no more.
const struct ast *train_line(const struct train *t, uint32_t i);
bool train_defines(enum ast_kind k);
// `first.loss` where several stages minimize, else `loss`.
const char *train_graph_name(struct sema *s, const struct train *t, const char *name);
void train_add_measures(struct sema *s, struct train *t);
