// From loop IR and the program's tables to an object file and a linked trainer; the only room that
// knows LLVM.
//
// One `struct codegen` is one LLVM module: create it for a target, add the kernels and entries of a
// loop module, add the descriptor, then write LLVM text, assembly or an object. Every entry is a
// global function `net.NAME` of type nr_entry (runtime/netrt.h); kernels are local functions.
// Functions that can fail for reasons outside of netc return false (NULL) and say in *error why; a
// module that LLVM refuses is a bug of ours.
#pragma once

#include "../loop/loop.h"

struct codegen_target {
    const char *triple, *cpu, *features; // as LLVM names them
    struct loop_target loop;             // what lowering needs to know
    bool has_bf16;                       // an instruction that multiplies pairs of bf16 (AVX512_BF16)
};

struct codegen_options {
    int level;                     // -O0 .. -O3
    bool sanitize;                 // code that looks before it touches memory (sanitize.c)
    bool is_large;                 // a program whose code takes seconds to make: fewer passes
    const char *producer;          // "netc 0.1.0", for the debug information; NULL: none is made
    const char *root;              // the program's .net file: debug paths are relative to its folder
    const struct sources *sources; // of the origins in the loop module
};

enum codegen_output { CODEGEN_llvm, CODEGEN_asm, CODEGEN_obj };

// ---- fatal.c
void codegen_catch_failures(void); // before any call of LLVM

// ---- target.c
// `cpu`: NULL or "native" is the machine at hand, else a name of LLVM's, such as x86-64-v3.
bool codegen_find_target(struct arena *a, const char *cpu, int level, struct codegen_target *t,
                         const char **error);

// ---- module.c
struct codegen;
struct codegen *codegen_create(struct arena *a, const char *name, const struct codegen_target *t,
                               const struct codegen_options *o, const char **error);
void codegen_destroy(struct codegen *c);
void codegen_optimize(
    struct codegen *c); // verifies, then runs the passes of the level; once, at the end
// `path` NULL: standard output.
bool codegen_write(struct codegen *c, enum codegen_output kind, const char *path,
                   const char **error);

// ---- kernel.c
void codegen_add_module(struct codegen *c, const struct loop_module *m);

// ---- descriptor.c
// Defines `nr_program`; the entries of `m` have the names of the program's graphs, one for each, in
// order.
void codegen_add_program(struct codegen *c, const struct program *p, const struct loop_module *m);

// ---- parts.c
// The objects of a trainer. A large program is cut into parts that are made at the same time, each
// in an LLVM context of its own; the cut depends on the program alone. Fills paths[0 .. result - 1]
// with new temporary files; 0 on failure.
struct codegen_job {
    const char *name;
    const struct codegen_target *target;
    const struct codegen_options *options;
    const struct loop_module *loops;
    const struct program *program;
};
enum { CODEGEN_MAX_PARTS = 4 };
uint32_t codegen_write_objects(struct arena *a, const struct codegen_job *j,
                               const char *paths[CODEGEN_MAX_PARTS], const char **error);

// ---- link.c, temporary.c
struct link_options {
    const char *runtime; // path of libnetrt.a; NULL: nothing of it is needed
    bool shared;         // a library instead of a trainer (tests)
};
// A new empty file in the folder for temporary files, removed when netc ends for whatever reason it
// can catch.
const char *link_temporary(struct arena *a, const char *suffix, const char **error);
// The same beside `output`, for what is renamed to it.
const char *link_temporary_beside(struct arena *a, const char *output, const char **error);
bool link_is_temporary(const char *path);
bool link_fill_temporary(struct arena *a, const char *path, const char *data, size_t n, const char **error);
void link_remove_temporaries(void);
extern volatile int link_child; // `cc` at work, 0: none
// Links the objects into `output`, by way of a temporary name beside it.
bool link_trainer(struct arena *a, uint32_t n_objects, const char *const *objects,
                  const char *output, const struct link_options *o, const char **error);

// ---- load.c: into this process
typedef void loaded_entry(void *const *slot, int64_t n);
struct loaded_job {
    struct arena *arena;
    const struct loop_module *loops;
    const struct program *program; // NULL: no descriptor
    const struct codegen_target *target;
    int level;
    const char *runtime; // path of libnetrt.a; NULL: nothing of it is called
    bool sanitize;
};
void *codegen_load(const struct loaded_job *j, const char **error); // NULL: why not
loaded_entry *codegen_find(struct arena *a, void *handle, const char *entry);
void codegen_unload(void *handle);
