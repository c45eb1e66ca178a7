// What happens when LLVM cannot go on. It knows two ways, a call of its own handlers and C++'s when
// there is no memory; without handlers both abort, and leave what was written so far. Here netc says
// what is missing, removes its temporary files and ends with 3; any other failure is a bug (70).
//
// LLVM's handler for memory and C++'s have no C interface: they are looked up by their names in C++,
// and not set where a build of LLVM does not have them.
#include "internal.h"

#include <llvm-c/ErrorHandling.h>

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// No memory is asked for here, and any thread may come.
static NORETURN void end(int code, const char *what, const char *why, const char *help) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    const char *const parts[] = {"netc: ", what, why, "\n", help};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
            break;
    link_remove_temporaries();
    _exit(code);
}

static void no_memory(void) {
    struct rlimit r;
    bool limited = getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY;
    char limit[96] = "help: give it more, or split the program\n";
    if (limited)
        snprintf(limit, sizeof limit, "help: the limit of address space is %llu MiB (ulimit -v): raise it\n",
                 (unsigned long long)r.rlim_cur >> 20);
    end(EXIT_environment, "error: out of memory while machine code was made", "", limit);
}
static void on_bad_alloc(void *user, const char *reason, bool diagnose) {
    (void)user, (void)reason, (void)diagnose;
    no_memory();
}
static void on_fatal(const char *reason) {
    if (strcasestr(reason, "memory"))
        no_memory();
    end(EXIT_bug, "internal error in LLVM: ", reason,
        "netc: this is a bug in netc, not in your program; please report it with the `.net` file that shows it\n");
}

void codegen_catch_failures(void) {
    static bool is_done;
    void (*install)(void (*)(void *, const char *, bool), void *);
    void *(*set_new_handler)(void (*)(void));
    void *llvm = dlsym(RTLD_DEFAULT, "_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_"),
         *cxx = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
    if (is_done)
        return;
    is_done = true;
    LLVMInstallFatalErrorHandler(on_fatal);
    memcpy(&install, &llvm, sizeof llvm);
    memcpy(&set_new_handler, &cxx, sizeof cxx);
    if (install)
        install(on_bad_alloc, NULL);
    if (set_new_handler)
        set_new_handler(no_memory);
}
