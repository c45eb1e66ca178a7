// The words of the text form, shared by print.c and parse.c.
#pragma once

#include "tables.h"

int text_find_role(const char *s); // -1 if unknown
int text_find_reducer(const char *s); // -1 if unknown
bool text_role_has_ref(enum role r);  // printed with its number
bool text_role_has_ref2(enum role r);
bool text_is_keyword(const char *s); // cannot stand bare as a name
bool text_is_name_byte(char c, bool first);
void text_number(struct text *t, double v); // the shortest form that reads back exactly
