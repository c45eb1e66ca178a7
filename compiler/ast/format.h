// Between print.c (tokens to lines) and align.c (columns of lines); nobody else includes it.
#pragma once

#include "parser.h"

// Pieces of one class may stand under each other.
enum align_class { ALIGN_word, ALIGN_operator, ALIGN_arrow, ALIGN_brace, ALIGN_bracket, ALIGN_pipe, ALIGN_comment };

struct piece {                // a token or a comment on its line of the output
    int kind;                 // token kind; -1: comment
    const char *text;
    uint32_t n;               // bytes of it
    int width;                // columns of it
    int gap;                  // blanks before it, unless it is aligned
    int source_column;        // from 0
    bool padded;              // the author put more blanks before it
    bool forced;              // belongs to its paragraph's column of arguments
    bool left_of_forced;
    enum align_class align;
    int column;
    uint32_t group;           // union-find: index of another piece of the group, or its own
};

struct line {
    uint32_t first, n;        // pieces
    int indent;               // column of the first piece, unless it is aligned
    uint32_t statement;       // 0: a comment of its own
    uint32_t block;           // the block that the statement stands in
    bool begins;              // the first line of its statement
    bool blank_before;
    bool anchored;            // may stand under a piece of the lines above it
    bool heads;               // stands directly in a data, train, fit, search, step or stage block
    bool broken;              // begins a statement that has a block over several lines
};

struct layout {
    struct arena *arena;
    VEC(struct piece) pieces;
    VEC(struct line) lines;
};

void layout_align(struct layout *l);
