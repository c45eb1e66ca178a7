// Debug information: one compile unit, a subprogram for each function, a place in a .net file for
// each statement.
//
// An origin is a chain from the place inside a library layer out to the line that the user wrote.
// The place given to machine code is the innermost one in a file of the user's, so that a debugger
// and a profile speak in their lines. Paths are relative to the folder of the program, so that the
// same program gives the same bytes wherever it lies; a debugger finds the lines from there.
#include "internal.h"

#include <pthread.h>
#include <string.h>

struct debug_state {
    LLVMMetadataRef unit, type, file;
    LLVMMetadataRef scope; // of the function being built
    const struct origins *origins;
    origin_id at;     // of that function
    struct map files; // file_id -> index + 1 in `handles`
    VEC(LLVMMetadataRef) handles;
};

static LLVMMetadataRef make_file(struct codegen *c, const char *path) {
    const char *root = c->options.root ? c->options.root : "", *slash = strrchr(root, '/');
    size_t folder = slash ? (size_t)(slash - root) + 1 : 0;
    if (strncmp(path, root, folder) == 0)
        path += folder;
    return LLVMDIBuilderCreateFile(c->debug, path, strlen(path), ".", 1);
}

void debug_create(struct codegen *c, const char *module_name) {
    const char *producer = c->options.producer;
    if (!producer)
        return;
    c->debug = LLVMCreateDIBuilder(c->module);
    struct debug_state *d = c->debug_state = NEW(c->arena, struct debug_state);
    map_init(&d->files, c->arena);
    LLVMMetadataRef file = d->file = make_file(c, module_name);
    d->unit = LLVMDIBuilderCreateCompileUnit(c->debug, LLVMDWARFSourceLanguageC99, file, producer,
                                             strlen(producer), c->options.level > 0, "", 0, 0, "",
                                             0, LLVMDWARFEmissionLineTablesOnly, 0, false, false,
                                             "", 0, "", 0);
    d->type = LLVMDIBuilderCreateSubroutineType(c->debug, file, NULL, 0, LLVMDIFlagZero);
    module_flag(c, "Debug Info Version", LLVMDebugMetadataVersion());
    module_flag(c, "Dwarf Version", 5);
}

static LLVMMetadataRef find_file(struct codegen *c, file_id file) {
    struct debug_state *d = c->debug_state;
    uint32_t at;
    if (map_get(&d->files, file, &at))
        return d->handles.at[at];
    LLVMMetadataRef handle = make_file(c, source_path(c->options.sources, file));
    map_set(&d->files, file, d->handles.n);
    VEC_PUSH(c->arena, &d->handles, handle);
    return handle;
}

// Lines are counted when they are first asked for; parts of a program ask at the same time.
static void find_line(struct codegen *c, struct span at, int *line, int *column) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    source_position(c->options.sources, at, line, column);
    pthread_mutex_unlock(&one_at_a_time);
}

void debug_enter(struct codegen *c, LLVMValueRef function, const char *name,
                 const struct origins *o, origin_id at) {
    struct debug_state *d = c->debug_state;
    if (!d)
        return;
    int line = 0, column = 0;
    struct span place = origin_place(o, c->options.sources, at);
    if (place.file)
        find_line(c, place, &line, &column);
    LLVMMetadataRef file = place.file ? find_file(c, place.file) : d->file;
    const char *symbol = LLVMGetValueName2(function, &(size_t){0});
    d->scope = LLVMDIBuilderCreateFunction(
        c->debug, file, name, strlen(name), symbol, strlen(symbol), file, (unsigned)line, d->type,
        true, true, (unsigned)line, LLVMDIFlagZero, c->options.level > 0);
    LLVMSetSubprogram(function, d->scope);
    d->origins = o;
    d->at = at;
    debug_place(c, o, at);
}

void debug_resume(struct codegen *c, LLVMValueRef function, const struct origins *o, origin_id at) {
    struct debug_state *d = c->debug_state;
    if (!d)
        return;
    d->scope = LLVMGetSubprogram(function);
    d->origins = o;
    d->at = at;
}

void debug_place(struct codegen *c, const struct origins *o, origin_id at) {
    struct debug_state *d = c->debug_state;
    if (!d)
        return;
    int line = 0, column = 0;
    struct span place = origin_place(at ? o : d->origins, c->options.sources, at ? at : d->at);
    LLVMMetadataRef scope = d->scope;
    if (place.file) {
        find_line(c, place, &line, &column);
        LLVMMetadataRef file = find_file(c, place.file);
        if (file != LLVMDIScopeGetFile(d->scope))
            scope = LLVMDIBuilderCreateLexicalBlockFile(c->debug, d->scope, file, 0);
    }
    LLVMMetadataRef location =
        LLVMDIBuilderCreateDebugLocation(c->context, (unsigned)line, (unsigned)column, scope, NULL);
    LLVMSetCurrentDebugLocation2(c->builder, location);
}
