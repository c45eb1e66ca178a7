// The life of one LLVM module: made for a target, verified, optimized by a short list of passes,
// written, disposed.
//
// Loop IR is already vectorized, tiled and in SSA form; what is left to LLVM is to clean up address
// arithmetic and hoist what does not change. A short list of passes does that in a fraction of the
// time of `default<O3>`, whose vectorizers would only undo the tiles; what -O3 adds here gained
// nothing measurable on LeNet and an MLP and costs a fifth more.
#include "internal.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

static const char *const pipelines[] = {
    [0] = "",
    [1] = "function(early-cse,simplifycfg,loop-mssa(licm))",
    [2] = "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm))",
    [3] =
        "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),"
        "indvars,"
        "loop-unroll<O3>,gvn,instcombine<no-verify-fixpoint>,loop-mssa(licm),dse,adce,simplifycfg)",
};

static bool create_machine(struct codegen *c, const char **error) {
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess,
                                                 LLVMCodeGenLevelDefault,
                                                 LLVMCodeGenLevelAggressive};
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(c->target.triple, &target, &message)) {
        *error = arena_strdup(c->arena, message);
        LLVMDisposeMessage(message);
        return false;
    }
    c->machine =
        LLVMCreateTargetMachine(target, c->target.triple, c->target.cpu, c->target.features,
                                levels[c->options.level], LLVMRelocPIC, LLVMCodeModelDefault);
    if (!c->machine)
        *error = arena_printf(c->arena, "LLVM makes no code for `%s`", c->target.triple);
    return c->machine != NULL;
}

void module_flag(struct codegen *c, const char *name, unsigned value) {
    LLVMAddModuleFlag(c->module, LLVMModuleFlagBehaviorWarning, name, strlen(name),
                      LLVMValueAsMetadata(LLVMConstInt(c->i32, value, false)));
}

struct codegen *codegen_create(struct arena *a, const char *name, const struct codegen_target *t,
                               const struct codegen_options *o, const char **error) {
    struct codegen *c = NEW(a, struct codegen);
    c->arena = a;
    c->options = *o;
    c->target = *t;
    if (!create_machine(c, error))
        return NULL;
    c->context = LLVMContextCreate();
    c->module = LLVMModuleCreateWithNameInContext(name, c->context);
    c->builder = LLVMCreateBuilderInContext(c->context);
    LLVMSetTarget(c->module, t->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->machine);
    LLVMSetModuleDataLayout(c->module, layout);
    LLVMDisposeTargetData(layout);
    c->i1 = LLVMInt1TypeInContext(c->context);
    c->i8 = LLVMInt8TypeInContext(c->context);
    c->i32 = LLVMInt32TypeInContext(c->context);
    c->i64 = LLVMInt64TypeInContext(c->context);
    c->f32 = LLVMFloatTypeInContext(c->context);
    c->f64 = LLVMDoubleTypeInContext(c->context);
    c->pointer = LLVMPointerTypeInContext(c->context, 0);
    c->nothing = LLVMVoidTypeInContext(c->context);
    module_flag(c, "PIC Level", 2);
    module_flag(c, "PIE Level", 2);
    if (strncmp(t->triple, "x86_64", 6) == 0)
        module_flag(c, "cf-protection-branch", 1);
    debug_create(c, name);
    return c;
}

void codegen_destroy(struct codegen *c) {
    if (c->debug)
        LLVMDisposeDIBuilder(c->debug);
    LLVMDisposeBuilder(c->builder);
    LLVMDisposeModule(c->module);
    LLVMContextDispose(c->context);
    LLVMDisposeTargetMachine(c->machine);
}

static void verify(struct codegen *c, const char *when) {
    char *message = NULL;
    if (!LLVMVerifyModule(c->module, LLVMReturnStatusAction, &message)) {
        LLVMDisposeMessage(message);
        return;
    }
    const char *dump = getenv("NETC_DUMP"); // a file for the module that LLVM refused
    char *ignored = NULL;
    if (dump && LLVMPrintModuleToFile(c->module, dump, &ignored))
        LLVMDisposeMessage(ignored);
    BUG("LLVM refuses the module %s: %s", when, message);
}

// Until LLVM 17 `instcombine` had no such option, and needed none.
static const char *for_this_llvm(struct arena *a, const char *passes) {
    static const char option[] = "<no-verify-fixpoint>";
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    if (major >= 18)
        return passes;
    struct text t;
    text_init(&t, a);
    for (const char *at; (at = strstr(passes, option)); passes = at + strlen(option))
        text_add_n(&t, passes, (size_t)(at - passes));
    text_add(&t, passes);
    return text_string(&t);
}
static void run_passes(struct codegen *c, const char *passes) {
    if (!*passes)
        return;
    passes = for_this_llvm(c->arena, passes);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopVectorization(options, false);
    LLVMPassBuilderOptionsSetSLPVectorization(options, false);
    LLVMErrorRef failure = LLVMRunPasses(c->module, passes, c->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (failure)
        BUG("LLVM's passes `%s`: %s", passes, LLVMGetErrorMessage(failure));
}

void codegen_optimize(struct codegen *c) {
    if (c->debug)
        LLVMDIBuilderFinalize(c->debug);
    verify(c, "before optimization");
    // What is left of a large program's kernels after the first level is not worth the time.
    run_passes(c, pipelines[c->options.is_large && c->options.level > 1 ? 1 : c->options.level]);
    if (c->unrolls && c->options.level > 0)
        run_passes(c, "function(loop-unroll<O1>)");
    verify(c, "after optimization");
}

static bool write_out(struct arena *a, const char *path, const char *data, size_t n,
                      const char **error) {
    if (path && link_is_temporary(path))
        return link_fill_temporary(a, path, data, n, error);
    if (path)
        return file_write(a, path, data, n, error);
    if (fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0)
        return true;
    *error = "standard output cannot be written";
    return false;
}

bool codegen_write(struct codegen *c, enum codegen_output kind, const char *path,
                   const char **error) {
    if (kind == CODEGEN_llvm) {
        char *text = LLVMPrintModuleToString(c->module);
        bool is_written = write_out(c->arena, path, text, strlen(text), error);
        LLVMDisposeMessage(text);
        return is_written;
    }
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    LLVMCodeGenFileType type = kind == CODEGEN_asm ? LLVMAssemblyFile : LLVMObjectFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, c->module, type, &message, &buffer))
        BUG("LLVM makes no code: %s", message);
    bool is_written =
        write_out(c->arena, path, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), error);
    LLVMDisposeMemoryBuffer(buffer);
    return is_written;
}
