// The columns of formatted lines.
//
// What the author aligned stays aligned: pieces of one class that stood in one source column of
// neighbouring lines, with extra blanks before one of them, form a group and get the column of the
// widest. A line that goes on with a statement stays under the piece under which it was written.
// In data, train, fit, search, step and stage blocks the arguments of head words and the operators of
// short definitions form a column whatever the author did; trailing comments of consecutive lines too.
//
// A group's column is the least that fits all members. Within a line groups are met in the order of
// their source columns, so sweeping over the lines until nothing moves comes to an end.
#include "format.h"

#include <string.h>

#include "net_parser.h"

enum { COMMENT_COLUMN = 55, MOST_SWEEPS = 100 };

static uint32_t root(struct layout *l, uint32_t i) {
    while (l->pieces.at[i].group != i) {
        uint32_t above = l->pieces.at[i].group;
        l->pieces.at[i].group = l->pieces.at[above].group;   // halve the path
        i = above;
    }
    return i;
}

static void join(struct layout *l, uint32_t i, uint32_t j) {
    i = root(l, i);
    j = root(l, j);
    if (i != j) l->pieces.at[i > j ? i : j].group = i > j ? j : i;
}

// ---- the column of arguments in blocks of head words

static bool is_aligned_head(int kind) {
    switch (kind) {
    case TOK_DATA: case TOK_TRAIN: case TOK_FIT: case TOK_READ: case TOK_GENERATE: case TOK_SPLIT: case TOK_MINIMIZE:
    case TOK_MAXIMIZE: case TOK_MEASURE: case TOK_PREDICT: case TOK_AUGMENT: case TOK_BATCH: case TOK_EPOCHS:
    case TOK_STEPS: case TOK_STRATEGY: case TOK_REPORT: case TOK_SAVE: case TOK_REQUIRE: case TOK_STOP: case TOK_KEEP:
    case TOK_PARAM: case TOK_STATE: case TOK_INSTANCE:
        return true;
    }
    return false;
}

// The argument of a head word's line, or the operator of an untyped definition; 0 if neither.
static uint32_t aligned_piece(const struct layout *l, const struct line *line) {
    const struct piece *x = &l->pieces.at[line->first];
    if (is_aligned_head(x->kind)) {
        uint32_t words = x->kind == TOK_STOP || x->kind == TOK_KEEP ? 2 : 1;
        return line->n > words && l->pieces.at[line->first + words].kind >= 0 ? line->first + words : 0;
    }
    if (x->kind != TOK_NAME) return 0;
    int depth = 0;
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        switch (l->pieces.at[i].kind) {
        case TOK_LBRACKET: depth++; break;
        case TOK_RBRACKET: depth--; break;
        case TOK_ASSIGN: case TOK_UPDATE: case TOK_DRAWN: case TOK_IN: return depth == 0 ? i : 0;
        case TOK_NAME: case TOK_COMMA: break;
        default:
            if (depth == 0) return 0;
        }
    }
    return 0;
}

// Columns from the first piece to just before piece `to`, without alignment.
static int natural_width(const struct layout *l, const struct line *line, uint32_t to) {
    int width = 0;
    for (uint32_t i = line->first; i < to; i++) width += (i > line->first ? l->pieces.at[i].gap : 0) + l->pieces.at[i].width;
    return width;
}

static bool is_head_line(const struct layout *l, const struct line *line) {
    return is_aligned_head(l->pieces.at[line->first].kind);
}

static bool shares_source_column(const struct layout *l, const uint32_t *targets, const uint32_t *lines, uint32_t n,
                                 uint32_t target) {
    for (uint32_t i = 0; i < n; i++) {
        if (is_head_line(l, &l->lines.at[lines[i]]) &&
            l->pieces.at[targets[i]].source_column == l->pieces.at[target].source_column) {
            return true;
        }
    }
    return false;
}

// One run of statements without a blank line: join what belongs to its column.
static void align_run(struct layout *l, const uint32_t *targets, const uint32_t *lines, uint32_t n) {
    int widest = 0;
    uint32_t leader = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct line *line = &l->lines.at[lines[i]];
        if (!is_head_line(l, line)) continue;
        int width = natural_width(l, line, targets[i]);
        if (width > widest) widest = width;
        leader = targets[i];
    }
    if (widest == 0) return;
    for (uint32_t i = 0; i < n; i++) {
        const struct line *line = &l->lines.at[lines[i]];
        bool fits = natural_width(l, line, targets[i]) <= widest;
        if (!fits && !shares_source_column(l, targets, lines, n, targets[i])) continue;
        l->pieces.at[targets[i]].forced = true;
        for (uint32_t k = line->first; k < targets[i]; k++) l->pieces.at[k].left_of_forced = true;
        join(l, leader, targets[i]);
    }
}

struct run {
    uint32_t block;
    VEC(uint32_t) targets;
    VEC(uint32_t) lines;
};

static void end_run(struct layout *l, struct run *r) {
    if (r->lines.n) align_run(l, r->targets.at, r->lines.at, r->lines.n);
    r->lines.n = r->targets.n = 0;
}

// A block inside a run ends it: what stands behind the block is a run of its own.
static void align_heads(struct layout *l) {
    struct run r = {0};
    for (uint32_t i = 0; i < l->lines.n; i++) {
        const struct line *line = &l->lines.at[i];
        if (!line->begins || line->statement == 0) {
            if (line->blank_before) end_run(l, &r);
            continue;
        }
        if (line->blank_before || line->broken || line->block != r.block || !line->heads) end_run(l, &r);
        r.block = line->block;
        if (!line->heads || line->broken) continue;
        uint32_t target = aligned_piece(l, line);
        if (!target) continue;
        VEC_PUSH(l->arena, &r.targets, target);
        VEC_PUSH(l->arena, &r.lines, i);
    }
    end_run(l, &r);
}

// ---- what the author aligned

// Lines above among which a partner is looked for; operators of definitions may have other lines
// between them.
enum { REACH = 12 };

static bool may_align(const struct piece *x) {
    return x->gap > 0 && !x->forced && !x->left_of_forced && x->align != ALIGN_comment;
}

static bool joins_above(struct layout *l, const struct line *above, uint32_t i) {
    const struct piece *x = &l->pieces.at[i];
    for (uint32_t k = above->first + 1; k < above->first + above->n; k++) {
        const struct piece *y = &l->pieces.at[k];
        if (y->source_column == x->source_column && y->align == x->align && may_align(y)) {
            join(l, i, k);
            return true;
        }
    }
    return false;
}

static void join_with_lines_above(struct layout *l, uint32_t line, uint32_t i) {
    const struct line *own = &l->lines.at[line];
    if (own->blank_before) return;
    int reach = l->pieces.at[i].align == ALIGN_operator && own->begins ? REACH : 1;
    for (uint32_t k = line; k > 0 && reach > 0; k--, reach--) {
        const struct line *above = &l->lines.at[k - 1];
        if (above->block == own->block && joins_above(l, above, i)) return;
        if (above->blank_before || above->block != own->block) return;
    }
}

// `|>` stands under `|>`, `->` under `->`, `else` under `if`; other pieces under any.
static bool may_stand_under(int kind, const struct piece *above) {
    switch (kind) {
    case TOK_PIPE: case TOK_ARROW: return above->kind == kind;
    case TOK_ELSE: return above->kind == TOK_IF;
    case TOK_USING: case TOK_OVER: return above->kind == TOK_USING || above->kind == TOK_OVER;
    }
    return above->kind >= 0 && above->kind != TOK_RBRACE;
}

// A line that goes on with a statement stands under the piece of the statement under which it was written.
static void anchor(struct layout *l, uint32_t line) {
    const struct line *own = &l->lines.at[line];
    const struct piece *x = &l->pieces.at[own->first];
    int reach = 4 * REACH;
    for (uint32_t k = line; k > 0 && reach > 0; k--, reach--) {
        const struct line *above = &l->lines.at[k - 1];
        if (above->statement != own->statement) continue;
        for (uint32_t i = above->first + above->begins; i < above->first + above->n; i++) {
            const struct piece *y = &l->pieces.at[i];
            if (y->source_column != x->source_column || y->left_of_forced || !may_stand_under(x->kind, y)) continue;
            join(l, own->first, i);
            return;
        }
        if (above->begins) return;
    }
}

static void align_source(struct layout *l) {
    for (uint32_t i = 0; i < l->lines.n; i++) {
        const struct line *line = &l->lines.at[i];
        if (line->anchored) anchor(l, i);
        for (uint32_t k = line->first + 1; k < line->first + line->n; k++) {
            if (may_align(&l->pieces.at[k])) join_with_lines_above(l, i, k);
        }
    }
}

// ---- columns

// A group that nobody padded and nothing stands under is none.
static bool *active_groups(struct layout *l) {
    bool *active = NEW_ARRAY(l->arena, l->pieces.n + 1, bool);
    for (uint32_t i = 0; i < l->lines.n; i++) {
        const struct line *line = &l->lines.at[i];
        for (uint32_t k = line->first; k < line->first + line->n; k++) {
            const struct piece *x = &l->pieces.at[k];
            bool anchored = k == line->first && line->anchored;
            if ((x->padded && may_align(x)) || x->forced || anchored) active[root(l, k)] = true;
        }
    }
    return active;
}

static bool sweep(struct layout *l, const bool *active, int *columns) {
    bool moved = false;
    for (uint32_t i = 0; i < l->lines.n; i++) {
        const struct line *line = &l->lines.at[i];
        int end = line->indent;
        for (uint32_t k = line->first; k < line->first + line->n; k++) {
            struct piece *x = &l->pieces.at[k];
            int column = end + (k > line->first ? x->gap : 0);
            uint32_t g = root(l, k);
            if (active[g]) {
                if (columns[g] < column) {
                    columns[g] = column;
                    moved = true;
                }
                column = columns[g];
            }
            x->column = column;
            end = column + x->width;
        }
    }
    return moved;
}

static struct piece *trailing_comment(struct layout *l, const struct line *line) {
    if (line->n < 2) return NULL;
    struct piece *x = &l->pieces.at[line->first + line->n - 1];
    return x->kind < 0 ? x : NULL;
}

static void align_comments(struct layout *l) {
    for (uint32_t i = 0; i < l->lines.n;) {
        uint32_t end = i;
        int column = COMMENT_COLUMN;
        struct piece *x;
        while (end < l->lines.n && (x = trailing_comment(l, &l->lines.at[end])) != NULL &&
               (end == i || !l->lines.at[end].blank_before)) {
            if (x->column > column) column = x->column;
            end++;
        }
        for (; i < end; i++) trailing_comment(l, &l->lines.at[i])->column = column;
        if (end < l->lines.n && !trailing_comment(l, &l->lines.at[end])) i = end + 1;
    }
}

void layout_align(struct layout *l) {
    align_heads(l);
    align_source(l);
    bool *active = active_groups(l);
    int *columns = NEW_ARRAY(l->arena, l->pieces.n + 1, int);
    for (int i = 0; i < MOST_SWEEPS && sweep(l, active, columns); i++) {}
    align_comments(l);
}
