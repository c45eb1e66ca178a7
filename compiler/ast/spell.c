// Expressions and types on one line, for messages: the least parentheses that keep the meaning.
#include "ast.h"

#include <string.h>

// How tightly an operator binds (LANGUAGE: precedence); a looser operand needs parentheses.
enum level {
    LEVEL_pipe = 1, LEVEL_or, LEVEL_and, LEVEL_not, LEVEL_compare, LEVEL_sum, LEVEL_reduce, LEVEL_product,
    LEVEL_minus, LEVEL_power, LEVEL_else, LEVEL_postfix,
};

static enum level binary_level(const char *op) {
    static const struct {
        const char *op;
        enum level level;
    } table[] = {{"|>", LEVEL_pipe}, {"or", LEVEL_or}, {"and", LEVEL_and}, {"+", LEVEL_sum}, {"-", LEVEL_sum},
                 {"*", LEVEL_product}, {"/", LEVEL_product}, {"%", LEVEL_product}, {"^", LEVEL_power}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].op, op) == 0) return table[i].level;
    }
    return LEVEL_compare;
}

static enum level level_of(const struct ast *n) {
    switch (n->kind) {
    case AST_binary: return binary_level(n->text);
    case AST_unary: return n->text[0] == '-' ? LEVEL_minus : LEVEL_not;
    case AST_reduce: return LEVEL_reduce;
    case AST_otherwise: return LEVEL_else;
    default: return LEVEL_postfix;
    }
}

static void spell(struct text *t, const struct ast *n);

static void spell_at(struct text *t, const struct ast *n, enum level least) {
    bool parens = n && level_of(n) < least;
    if (parens) text_add_char(t, '(');
    spell(t, n);
    if (parens) text_add_char(t, ')');
}

static void spell_list(struct text *t, const struct ast *list, const char *before, const char *after) {
    text_add(t, before);
    for (uint32_t i = 0; list && i < list->n_kids; i++) {
        if (i) text_add(t, ", ");
        spell(t, list->kid[i]);
    }
    text_add(t, after);
}

// `2^-x` needs no parentheses; comparisons do not chain.
static void spell_binary(struct text *t, const struct ast *n) {
    enum level own = binary_level(n->text);
    bool right = own == LEVEL_power, none = own == LEVEL_compare;
    const struct ast *r = n->kid[AST_binary_right];
    spell_at(t, n->kid[AST_binary_left], right || none ? own + 1 : own);
    text_printf(t, right ? "%s" : " %s ", n->text);
    bool prefix = right && r->kind == AST_unary && r->text[0] == '-';
    spell_at(t, r, prefix ? level_of(r) : right ? own : own + 1);
}

// The default is an operand or `-` and an operand.
static void spell_otherwise(struct text *t, const struct ast *n) {
    const struct ast *value = n->kid[AST_otherwise_value];
    bool minus = value->kind == AST_unary && value->text[0] == '-';
    spell(t, n->kid[AST_otherwise_element]);
    text_add(t, minus ? " else -" : " else ");
    spell_at(t, minus ? value->kid[AST_unary_operand] : value, LEVEL_else);
}

static void spell_string(struct text *t, const char *s) {
    text_add_char(t, '"');
    for (; *s; s++) {
        if (*s == '\n') {
            text_add(t, "\\n");
        } else if (*s == '\t') {
            text_add(t, "\\t");
        } else {
            if (*s == '"' || *s == '\\') text_add_char(t, '\\');
            text_add_char(t, *s);
        }
    }
    text_add_char(t, '"');
}

static void spell_block(struct text *t, const struct ast *block) {
    text_add(t, "{");
    for (uint32_t i = 0; i < block->n_kids; i++) {
        text_add(t, i ? "; " : " ");
        spell(t, block->kid[i]);
    }
    text_add(t, " }");
}

static void spell_reduce(struct text *t, const struct ast *n) {
    spell_list(t, n->kid[AST_reduce_indices], arena_printf(t->arena, "%s[", n->text), "");
    if (n->kid[AST_reduce_where]) {
        text_add(t, " where ");
        spell(t, n->kid[AST_reduce_where]);
    }
    text_add(t, "] ");
    spell_at(t, n->kid[AST_reduce_operand], LEVEL_reduce);
}

static void spell_conditional(struct text *t, const struct ast *n) {
    text_add(t, "if ");
    spell(t, n->kid[AST_conditional_condition]);
    text_add_char(t, ' ');
    spell(t, n->kid[AST_conditional_then]);
    if (!n->kid[AST_conditional_otherwise]) return;
    text_add(t, " else ");
    spell(t, n->kid[AST_conditional_otherwise]);
}

static void spell_type(struct text *t, const struct ast *n) {
    if (n->text) text_add(t, n->text);
    if (n->kid[AST_type_argument]) {
        text_add_char(t, '(');
        spell(t, n->kid[AST_type_argument]);
        text_add_char(t, ')');
    }
    if (n->kid[AST_type_shape]) spell(t, n->kid[AST_type_shape]);
}

static void spell_definition(struct text *t, const struct ast *n, const char *op) {
    spell_list(t, n->kid[AST_define_targets], "", "");
    if (n->kid[AST_define_type]) {
        text_add(t, ": ");
        spell(t, n->kid[AST_define_type]);
    }
    text_printf(t, " %s ", op);
    spell(t, n->kid[AST_define_value]);
}

static void spell(struct text *t, const struct ast *n) {
    if (!n) return;
    switch (n->kind) {
    case AST_string: spell_string(t, n->text); break;
    case AST_boolean: text_add(t, n->value != 0 ? "true" : "false"); break;
    case AST_rest: text_add(t, ".."); break;
    case AST_stack: spell_list(t, n->kid[AST_stack_values], "[", "]"); break;
    case AST_unary:
        text_add(t, n->text[0] == '-' ? "-" : "not ");
        spell_at(t, n->kid[AST_unary_operand], level_of(n));
        break;
    case AST_binary: spell_binary(t, n); break;
    case AST_reduce: spell_reduce(t, n); break;
    case AST_index:
        text_add(t, n->text);
        if (n->kid[AST_index_bound]) text_add(t, " < ");
        spell(t, n->kid[AST_index_bound]);
        break;
    case AST_element:
        spell_at(t, n->kid[AST_element_array], LEVEL_postfix);
        spell_list(t, n->kid[AST_element_indices], "[", "]");
        break;
    case AST_otherwise: spell_otherwise(t, n); break;
    case AST_call:
        spell_at(t, n->kid[AST_call_callee], LEVEL_postfix);
        spell_list(t, n->kid[AST_call_arguments], "(", ")");
        break;
    case AST_argument:
        text_printf(t, "%s = ", n->text);
        spell(t, n->kid[AST_argument_value]);
        break;
    case AST_member:
        spell_at(t, n->kid[AST_member_object], LEVEL_postfix);
        text_printf(t, ".%s", n->text);
        break;
    case AST_conditional: spell_conditional(t, n); break;
    case AST_block: spell_block(t, n); break;
    case AST_type: spell_type(t, n); break;
    case AST_shape: spell_list(t, n->kid[AST_shape_dims], "[", "]"); break;
    case AST_list: spell_list(t, n, "", ""); break;
    case AST_value: spell_list(t, n->kid[AST_value_values], "", ""); break;
    case AST_define: spell_definition(t, n, "="); break;
    case AST_sample: spell_definition(t, n, "~"); break;
    default:   // names and numbers; of other statements the name alone
        text_add(t, n->text ? n->text : ast_kind_words(n->kind));
    }
}

const char *ast_spelling(struct arena *a, const struct ast *n) {
    struct text t;
    text_init(&t, a);
    spell(&t, n);
    return text_string(&t);
}
