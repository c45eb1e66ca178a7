// Any bytes as loop IR: reading ends, says what is wrong, the verifier bears what is read, and what was read prints as
// text that reads back as the same text.
#include "../../compiler/loop/loop.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_create("fuzz");
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    struct loop_module *m = loop_parse(a, (const char *)data, size, d, source_add(s, "fuzz.li", (const char *)data, size));
    if (!m && diags_errors(d) == 0) {
        fprintf(stderr, "a text was refused without a message\n");
        abort();
    }
    if (m) {
        loop_verify(a, m);
        const char *text = loop_text(a, m);
        struct loop_module *again = loop_parse(a, text, strlen(text), d, source_add(s, "again.li", text, strlen(text)));
        if (!again || strcmp(text, loop_text(a, again)) != 0) {
            fprintf(stderr, "printed loop IR does not read back:\n%s\n", text);
            abort();
        }
    }
    arena_destroy(a);
    return 0;
}
