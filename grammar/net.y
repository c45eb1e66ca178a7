/* The grammar of `.net` files (docs/language.md). Actions build nodes and do nothing else; the one
   statement serves all blocks, and which statements a block takes is sema's business.

   `NL` is the end of a statement as compiler/ast/parse.c gives it out: between statements, never
   before `}` or after `{`. Head words arrive as their tokens at the start of a statement and as names
   elsewhere. No expression may continue with `{`: that keeps `if c {` and `for i < n {` free of
   conflicts. Add rules so that %expect 0 holds; precedence is not the way to silence a conflict. */

%require "3.8"
%expect 0
%define api.prefix {net_}
%define api.pure full
%define api.token.prefix {TOK_}
%define api.location.type {struct span}
%define parse.error custom
%define parse.lac full
%locations
%param {struct parser *p}

%code requires {
#include "compiler/ast/parser.h"
}

%code {
#define YYMAXDEPTH 10000
#define YYINITDEPTH 256
#define YYLTYPE_IS_TRIVIAL 1
#define YYLLOC_DEFAULT(Current, Rhs, N)                                                            \
    (Current) = (N) ? (struct span){YYRHSLOC(Rhs, 1).file, YYRHSLOC(Rhs, 1).begin, YYRHSLOC(Rhs, N).end} \
                    : (struct span){YYRHSLOC(Rhs, 0).file, YYRHSLOC(Rhs, 0).end, YYRHSLOC(Rhs, 0).end}

static int net_lex(YYSTYPE *value, YYLTYPE *at, struct parser *p);
static void net_error(const YYLTYPE *at, struct parser *p, const char *message);

#define NONE ((struct ast *)NULL)
#define NODE(kind, at, text, ...) parse_node(p, AST_##kind, at, text, __VA_ARGS__)
#define LEAF(kind, at, text) parse_node(p, AST_##kind, at, text)
#define EMPTY(at) ast_new(p->arena, AST_list, at, 0)
#define LIST(at, first) ast_push(p->arena, EMPTY(at), first)
#define PUSH(list, item) ast_push(p->arena, list, item)
#define BINARY(left, op, right, at) parse_node(p, AST_binary, at, op, left, right)
}

%union {
    struct ast *node;
    const char *text;
}

%token EOF 0 "the end of the file"
%token NL "the end of the line"
%token <text> NAME "a name" NUMBER "a number" STRING "a string" REDUCER "a reducer"

%token IF "if" ELSE "else" OVER "over" USING "using" WHERE "where" FROM "from" IN "in" OF "of"
%token WHEN "when" EVERY "every" TRUE "true" FALSE "false" ALL "all"
%token <text> IMPORT "import" HYPER "hyper" FN "fn" LAYER "layer" NETWORK "network" DRAW "draw"
%token <text> OPTIMIZER "optimizer" PROCEDURE "procedure" DATA "data" TRAIN "train" FIT "fit"
%token <text> SEARCH "search" REQUIRE "require" PARAM "param" STATE "state" INSTANCE "instance"
%token <text> FOR "for" SCAN "scan" REPEAT "repeat up to" STOP "stop" KEEP "keep" READ "read"
%token <text> GENERATE "generate" SPLIT "split" MINIMIZE "minimize" MAXIMIZE "maximize"
%token <text> MEASURE "measure" PREDICT "predict" AUGMENT "augment" BATCH "batch" EPOCHS "epochs"
%token <text> STEPS "steps" STEP "step" STAGE "stage" STRATEGY "strategy" REPORT "report" SAVE "save"

%token ARROW "->" UPDATE "<-" ASSIGN "=" DRAWN "~" COLON ":" COMMA "," DOT "." REST ".."
%token LPAREN "(" RPAREN ")" LBRACKET "[" RBRACKET "]" LBRACE "{" RBRACE "}"
%token <text> PIPE "|>" OR "or" AND "and" NOT "not" EQ "==" NE "!=" LT "<" LE "<=" GT ">" GE ">="
%token <text> PLUS "+" MINUS "-" TIMES "*" DIVIDE "/" MOD "%" POWER "^"

%left "|>"
%left "or"
%left "and"
%precedence "not"
%nonassoc "==" "!=" "<" "<=" ">" ">="
%left "+" "-"
%precedence REDUCTION
%left "*" "/" "%"
%precedence NEGATION
%right "^"

%type <node> decls decl function params param_list param results result_list result type shape
%type <node> body block stmts stmt own_list own index index_list starts start start_list fields field parts part
%type <node> every items item exprs expr operand default element postfix args arg_list arg primary
%type <node> conditional replicas opt_type opt_value opt_when opt_where
%type <text> reducer

%start file

%%

/* ---- the file */

file
    : decls                                 { p->root = NODE(file, @$, NULL, $1); }
    | %empty                                { p->root = NODE(file, @$, NULL, EMPTY(@$)); }
    ;
decls
    : decl                                  { $$ = $1 ? LIST(@1, $1) : EMPTY(@1); }
    | decls newline decl      { $$ = $3 ? PUSH($1, $3) : $1; }
    ;
decl
    : "import" STRING                       { $$ = NODE(import, @$, NULL, LEAF(string, @2, $2)); }
    | "hyper" NAME "=" expr                 { $$ = NODE(hyper, @$, $2, $4); }
    | NAME "=" expr                         { $$ = NODE(constant, @$, $1, $3); }
    | "require" expr                        { $$ = NODE(require, @$, NULL, $2); }
    | function
    | "draw" NAME params results body       { $$ = NODE(draw_def, @$, $2, $3, $4, $5); }
    | "layer" NAME params results block     { $$ = NODE(layer, @$, $2, $3, $4, $5); }
    | "network" NAME replicas params results block
                                            { $$ = NODE(network, @$, $2, $3, $4, $5, $6); }
    | "procedure" NAME params results block { $$ = NODE(procedure, @$, $2, $3, $4, $5); }
    | "optimizer" NAME params block         { $$ = NODE(optimizer, @$, $2, $3, $4); }
    | "optimizer" NAME params "over" "all" block
                                            { $$ = parse_flag(NODE(optimizer, @$, $2, $3, $6), AST_over_all); }
    | "data" NAME block                     { $$ = NODE(data, @$, $2, $3); }
    | "train" NAME block                    { $$ = NODE(train, @$, $2, $3); }
    | "fit" NAME block                      { $$ = NODE(fit, @$, $2, $3); }
    | "search" NAME block                   { $$ = NODE(search, @$, $2, $3); }
    | error                                 { $$ = NONE; if (parse_resync(p)) yyclearin; }
    ;
newline
    : "the end of the line"                 { yyerrok; }
    ;
function
    : "fn" NAME params results body         { $$ = NODE(function, @$, $2, $3, $4, $5); }
    ;
replicas
    : %empty                                { $$ = NONE; }
    | "[" expr "]"                          { $$ = $2; }
    ;

/* ---- signatures */

params
    : "(" ")"                               { $$ = EMPTY(@$); }
    | "(" param_list ")"                    { $$ = $2; }
    ;
param_list
    : param                                 { $$ = LIST(@1, $1); }
    | param_list "," param                  { $$ = PUSH($1, $3); }
    ;
param
    : NAME opt_type opt_value               { $$ = NODE(param, @$, $1, $2, $3); }
    ;
opt_type
    : %empty                                { $$ = NONE; }
    | ":" type                              { $$ = $2; }
    ;
opt_value
    : %empty                                { $$ = NONE; }
    | "=" expr                              { $$ = $2; }
    ;
results
    : %empty                                { $$ = EMPTY(@$); }
    | "->" result_list                      { $$ = $2; }
    ;
result_list
    : result                                { $$ = LIST(@1, $1); }
    | result_list "," result                { $$ = PUSH($1, $3); }
    ;
result
    : type                                  { $$ = NODE(result, @$, NULL, $1); }
    | NAME ":" type                         { $$ = NODE(result, @$, $1, $3); }
    ;
type
    : shape                                 { $$ = NODE(type, @$, NULL, NONE, $1); }
    | NAME                                  { $$ = NODE(type, @$, $1, NONE, NONE); }
    | NAME shape                            { $$ = NODE(type, @$, $1, NONE, $2); }
    | NAME "(" expr ")"                     { $$ = NODE(type, @$, $1, $3, NONE); }
    | NAME "(" expr ")" shape               { $$ = NODE(type, @$, $1, $3, $5); }
    ;
shape
    : "[" "]"                               { $$ = NODE(shape, @$, NULL, EMPTY(@$)); }
    | "[" exprs "]"                         { $$ = NODE(shape, @$, NULL, $2); }
    ;
body
    : "=" expr                              { $$ = $2; }
    | block
    ;
block
    : "{" "}"                               { $$ = ast_new(p->arena, AST_block, @$, 0); }
    | "{" stmts "}"                         { $$ = parse_block(p, $2, @$); }
    ;
stmts
    : stmt                                  { $$ = $1 ? LIST(@1, $1) : EMPTY(@1); }
    | stmts newline stmt      { $$ = $3 ? PUSH($1, $3) : $1; }
    ;

/* ---- statements */

stmt
    : exprs                                 { $$ = NODE(value, @$, NULL, $1); }
    | exprs "=" expr                        { $$ = NODE(define, @$, NULL, parse_targets(p, $1), NONE, $3); }
    | exprs "~" expr opt_when               { $$ = NODE(sample, @$, NULL, parse_targets(p, $1), NONE, $3, $4); }
    | expr "<-" expr                        { $$ = NODE(update, @$, NULL, parse_target(p, $1), $3); }
    | NAME ":" type "=" expr                { $$ = NODE(define, @$, NULL, LIST(@1, LEAF(name, @1, $1)), $3, $5); }
    | NAME ":" type "~" expr                { $$ = NODE(sample, @$, NULL, LIST(@1, LEAF(name, @1, $1)), $3, $5, NONE); }
    | NAME "in" expr opt_when               { $$ = NODE(among, @$, NULL, LEAF(name, @1, $1), $3, $4); }
    | function
    | "param" own_list                      { $$ = NODE(own_param, @$, NULL, $2); }
    | "state" own_list                      { $$ = NODE(own_state, @$, NULL, $2); }
    | "instance" NAME replicas "=" expr     { $$ = NODE(instance, @$, $2, $3, $5); }
    | "for" NAME "<" expr block             { $$ = NODE(for, @$, $2, $4, $5); }
    | "scan" index starts block             { $$ = NODE(scan, @$, NULL, $2, $3, $4); }
    | "repeat up to" expr block             { $$ = NODE(repeat, @$, NULL, $2, $3); }
    | "stop" "if" expr                      { $$ = NODE(stop, @$, NULL, $3); }
    | "keep" "if" expr                      { $$ = NODE(keep, @$, NULL, $3); }
    | "require" expr                        { $$ = NODE(require, @$, NULL, $2); }
    | "read" expr "->" fields               { $$ = NODE(read, @$, NULL, $2, $4); }
    | "generate" expr                       { $$ = NODE(generate, @$, NULL, $2); }
    | "split" NAME "=" expr "of" NAME       { $$ = parse_second(NODE(split, @$, $2, $4), $6); }
    | "data" NAME                           { $$ = parse_second(LEAF(use, @$, $1), $2); }
    | "train" NAME                          { $$ = parse_second(LEAF(use, @$, $1), $2); }
    | "fit" NAME                            { $$ = parse_second(LEAF(use, @$, $1), $2); }
    | "minimize" expr                       { $$ = NODE(minimize, @$, NULL, $2, EMPTY(@$)); }
    | "minimize" expr parts                 { $$ = NODE(minimize, @$, NULL, $2, $3); }
    | "maximize" expr                       { $$ = NODE(maximize, @$, NULL, $2); }
    | "measure" items                       { $$ = NODE(measure, @$, NULL, $2); }
    | "predict" items                       { $$ = NODE(predict, @$, NULL, $2); }
    | "report" items every                  { $$ = NODE(report, @$, NULL, $2, $3); }
    | "save" items every                    { $$ = NODE(save, @$, NULL, $2, $3); }
    | "augment" NAME "<-" expr              { $$ = NODE(augment, @$, $2, $4); }
    | "batch" expr                          { $$ = NODE(batch, @$, NULL, $2); }
    | "batch" "all"                         { $$ = NODE(batch, @$, NULL, NONE); }
    | "epochs" expr                         { $$ = NODE(epochs, @$, NULL, $2); }
    | "steps" expr                          { $$ = NODE(steps, @$, NULL, $2); }
    | "strategy" expr                       { $$ = NODE(strategy, @$, NULL, $2); }
    | "step" NAME block                     { $$ = NODE(step, @$, $2, $3); }
    | "stage" NAME block                    { $$ = NODE(stage, @$, $2, $3); }
    | error                                 { $$ = NONE; if (parse_resync(p)) yyclearin; }
    ;
opt_when
    : %empty                                { $$ = NONE; }
    | "when" expr                           { $$ = $2; }
    ;
own_list
    : own                                   { $$ = LIST(@1, $1); }
    | own_list "," own                      { $$ = PUSH($1, $3); }
    ;
own
    : NAME opt_type "=" expr                { $$ = NODE(own, @$, $1, $2, $4); }
    | NAME opt_type "~" expr                { $$ = parse_flag(NODE(own, @$, $1, $2, $4), AST_drawn); }
    ;
starts
    : %empty                                { $$ = EMPTY(@$); }
    | "from" start_list                     { $$ = $2; }
    ;
start_list
    : start                                 { $$ = LIST(@1, $1); }
    | start_list "," start                  { $$ = PUSH($1, $3); }
    ;
start
    : postfix "=" expr                      { $$ = NODE(start, @$, NULL, parse_target(p, $1), $3); }
    ;
fields
    : field                                 { $$ = LIST(@1, $1); }
    | fields "," field                      { $$ = PUSH($1, $3); }
    ;
field
    : NAME ":" type                         { $$ = NODE(field, @$, $1, $3); }
    ;
parts
    : part                                  { $$ = LIST(@1, $1); }
    | parts part                            { $$ = PUSH($1, $2); }
    ;
part
    : "using" expr                          { $$ = NODE(part, @$, NULL, NONE, $2); }
    | "over" exprs "using" expr             { $$ = NODE(part, @$, NULL, $2, $4); }
    ;
every
    : %empty                                { $$ = NONE; }
    | "every" NAME                          { $$ = NODE(every, @$, $2, NONE); }
    | "every" expr NAME                     { $$ = NODE(every, @$, $3, $2); }
    ;
items
    : item                                  { $$ = LIST(@1, $1); }
    | items "," item                        { $$ = PUSH($1, $3); }
    ;
item
    : expr                                  { $$ = NODE(item, @$, NULL, $1); }
    | NAME "=" expr                         { $$ = NODE(item, @$, $1, $3); }
    ;

/* ---- expressions */

exprs
    : expr                                  { $$ = LIST(@1, $1); }
    | exprs "," expr                        { $$ = PUSH($1, $3); }
    ;
expr
    : operand
    | expr "|>" expr                        { $$ = BINARY($1, $2, parse_stage(p, $3), @$); }
    | expr "or" expr                        { $$ = BINARY($1, $2, $3, @$); }
    | expr "and" expr                       { $$ = BINARY($1, $2, $3, @$); }
    | "not" expr                            { $$ = NODE(unary, @$, $1, $2); }
    | expr "==" expr                        { $$ = BINARY($1, $2, $3, @$); }
    | expr "!=" expr                        { $$ = BINARY($1, $2, $3, @$); }
    | expr "<" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | expr "<=" expr                        { $$ = BINARY($1, $2, $3, @$); }
    | expr ">" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | expr ">=" expr                        { $$ = BINARY($1, $2, $3, @$); }
    | expr "+" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | expr "-" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | reducer "[" index_list opt_where "]" expr %prec REDUCTION
                                            { $$ = NODE(reduce, @$, $1, $3, $4, $6); }
    | expr "*" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | expr "/" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | expr "%" expr                         { $$ = BINARY($1, $2, $3, @$); }
    | "-" expr %prec NEGATION               { $$ = NODE(unary, @$, $1, $2); }
    | expr "^" expr                         { $$ = BINARY($1, $2, $3, @$); }
    ;
index_list
    : index                                 { $$ = LIST(@1, $1); }
    | index_list "," index                  { $$ = PUSH($1, $3); }
    ;
index
    : NAME                                  { $$ = NODE(index, @$, $1, NONE); }
    | NAME "<" expr                         { $$ = NODE(index, @$, $1, $3); }
    ;
opt_where
    : %empty                                { $$ = NONE; }
    | "where" expr                          { $$ = $2; }
    ;
operand
    : postfix
    | element "else" default                { $$ = NODE(otherwise, @$, NULL, $1, $3); }
    ;
default
    : operand
    | "-" operand                           { $$ = NODE(unary, @$, $1, $2); }
    ;
element
    : postfix "[" exprs "]"                 { $$ = NODE(element, @$, NULL, $1, $3); }
    ;
postfix
    : primary
    | element
    | postfix "(" args ")"                  { $$ = NODE(call, @$, NULL, $1, $3); }
    | postfix "." NAME                      { $$ = NODE(member, @$, $3, $1); }
    | postfix "." "*"                       { $$ = NODE(member, @$, $3, $1); }
    ;
args
    : %empty                                { $$ = EMPTY(@$); }
    | arg_list
    ;
arg_list
    : arg                                   { $$ = LIST(@1, $1); }
    | arg_list "," arg                      { $$ = PUSH($1, $3); }
    ;
arg
    : expr
    | NAME "=" expr                         { $$ = NODE(argument, @$, $1, $3); }
    | "over" "=" expr                       { $$ = NODE(argument, @$, intern("over"), $3); }
    ;
primary
    : NAME                                  { $$ = LEAF(name, @$, $1); }
    | NUMBER                                { $$ = parse_number(p, $1, @$); }
    | STRING                                { $$ = LEAF(string, @$, $1); }
    | "true"                                { $$ = parse_truth(p, 1, @$); }
    | "false"                               { $$ = parse_truth(p, 0, @$); }
    | ".."                                  { $$ = LEAF(rest, @$, NULL); }
    | "(" expr ")"                          { $$ = parse_parens(p, $2, @$); }
    | "[" exprs "]"                         { $$ = NODE(stack, @$, NULL, $2); }
    | reducer "(" args ")"                  { $$ = NODE(call, @$, NULL, LEAF(name, @1, $1), $3); }
    | conditional
    ;
reducer
    : REDUCER
    | "all"                                 { $$ = intern("all"); }
    ;
conditional
    : "if" expr block                       { $$ = NODE(conditional, @$, NULL, $2, $3, NONE); }
    | "if" expr block "else" block          { $$ = NODE(conditional, @$, NULL, $2, $3, $5); }
    | "if" expr block "else" conditional    { $$ = NODE(conditional, @$, NULL, $2, $3, $5); }
    ;

%%

static int net_lex(YYSTYPE *value, YYLTYPE *at, struct parser *p) {
    struct token t = parse_next(p);
    value->text = t.text;
    *at = t.at;
    return t.kind;
}

// Only bison itself calls this: the stack has reached YYMAXDEPTH.
static void net_error(const YYLTYPE *at, struct parser *p, const char *message) {
    (void)message;
    diag_nested_too_deeply(p->diags, *at, MAX_NESTING);
}

static int yyreport_syntax_error(const yypcontext_t *context, struct parser *p) {
    yysymbol_kind_t kinds[YYNTOKENS];
    const char *names[YYNTOKENS];
    int n = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
    for (int i = 0; i < n; i++) names[i] = yysymbol_name(kinds[i]);
    parse_report(p, names, n < 0 ? 0 : n);
    return 0;
}
