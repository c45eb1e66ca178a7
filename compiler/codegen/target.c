// The machine that code is made for: the one at hand, or a CPU by LLVM's name, and what lowering
// must know of it.
//
// LLVM's C interface does not tell what a named CPU can do, so the names that can be given stand in
// a table with their vector width; the machine at hand is asked for its features.
#include "internal.h"

#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <string.h>

struct cpu {
    const char *name;
    uint32_t vector_bits;
    bool has_fma;
};
static const struct cpu cpus[] = {
    {"x86-64", 128, false},        {"x86-64-v2", 128, false},     {"x86-64-v3", 256, true},
    {"x86-64-v4", 512, true},      {"nehalem", 128, false},       {"westmere", 128, false},
    {"sandybridge", 256, false},   {"ivybridge", 256, false},     {"haswell", 256, true},
    {"broadwell", 256, true},      {"skylake", 256, true},        {"alderlake", 256, true},
    {"skylake-avx512", 512, true}, {"cascadelake", 512, true},    {"cooperlake", 512, true},
    {"icelake-client", 512, true}, {"icelake-server", 512, true}, {"tigerlake", 512, true},
    {"rocketlake", 512, true},     {"sapphirerapids", 512, true}, {"emeraldrapids", 512, true},
    {"graniterapids", 512, true},  {"bdver2", 128, true},         {"znver1", 256, true},
    {"znver2", 256, true},         {"znver3", 256, true},         {"znver4", 512, true},
    {"znver5", 512, true},         {"generic", 128, false},
};
static const char *const cpus_with_bf16[] = {"cooperlake",    "sapphirerapids", "emeraldrapids",
                                             "graniterapids", "znver4",         "znver5"};
enum { N_CPUS = sizeof cpus / sizeof cpus[0] };

static const char *take(struct arena *a, char *from_llvm) {
    const char *copy = arena_strdup(a, from_llvm);
    LLVMDisposeMessage(from_llvm);
    return copy;
}

static bool has_feature(const char *features, const char *name) {
    size_t n = strlen(name);
    for (const char *at = features; (at = strstr(at, name)); at += n)
        if (at > features && at[-1] == '+' && (at[n] == ',' || !at[n]))
            return true;
    return false;
}

static void describe_host(struct arena *a, struct codegen_target *t) {
    t->cpu = take(a, LLVMGetHostCPUName());
    t->features = take(a, LLVMGetHostCPUFeatures());
    bool is_wide = has_feature(t->features, "avx512f") && has_feature(t->features, "avx512vl") &&
                   has_feature(t->features, "avx512dq") && has_feature(t->features, "avx512bw");
    t->has_bf16 = is_wide && has_feature(t->features, "avx512bf16");
    bool is_arm = strncmp(t->triple, "aarch64", 7) == 0;
    t->loop.vector_bits = is_wide ? 512 : has_feature(t->features, "avx2") ? 256 : 128;
    t->loop.has_fma = is_arm || has_feature(t->features, "fma");
    t->loop.n_registers = is_wide || is_arm ? 32 : 16;
}

static bool describe_named(struct arena *a, const char *name, struct codegen_target *t,
                           const char **error) {
    const char *names[N_CPUS];
    for (int i = 0; i < N_CPUS; i++) {
        names[i] = cpus[i].name;
        if (strcmp(name, cpus[i].name) != 0)
            continue;
        t->cpu = cpus[i].name;
        t->features = "";
        t->loop.vector_bits = cpus[i].vector_bits;
        t->loop.has_fma = cpus[i].has_fma;
        for (size_t k = 0; k < sizeof cpus_with_bf16 / sizeof *cpus_with_bf16; k++)
            t->has_bf16 |= strcmp(name, cpus_with_bf16[k]) == 0;
        t->loop.n_registers = cpus[i].vector_bits == 512 ? 32 : 16;
        return true;
    }
    const char *near = near_name(name, names, N_CPUS);
    *error = arena_printf(a, "no CPU is called `%s`; %s `%s`", name,
                          near ? "do you mean" : "try `native` or", near ? near : "x86-64-v3");
    return false;
}

// LLVM takes it as an option of the command line alone, for the whole process.
void codegen_spare_time(void) {
    static const char *const options[] = {"netc", "-disable-lsr"};
    static bool is_done;
    if (!is_done)
        LLVMParseCommandLineOptions(sizeof options / sizeof *options, options, NULL);
    is_done = true;
}

bool codegen_find_target(struct arena *a, const char *cpu, int level, struct codegen_target *t,
                         const char **error) {
    *t = (struct codegen_target){.loop.scalar = level == 0, .loop.no_blas = level == 0};
    codegen_catch_failures();
    if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter()) {
        *error = "this LLVM cannot make code for this machine";
        return false;
    }
    t->triple = take(a, LLVMGetDefaultTargetTriple());
    if (!cpu || strcmp(cpu, "native") == 0) {
        describe_host(a, t);
        return true;
    }
    return describe_named(a, cpu, t, error);
}
