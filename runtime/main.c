// The entry of every trainer: checks the descriptor, reads the command line, starts the threads,
// runs the command.
#include "runtime.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// Before any library starts: OpenBLAS would start a thread for each processor, each with a buffer of
// its own that is asked for without end, and no variable of ours could stop it later. Only plain
// memory and system calls are safe at this point.
enum { START_MIB = 48 }; // what libraries and the threads' stacks take at the start

static char *text_number(char *end, uint64_t v) { // written before `end`
    do
        *--end = (char)('0' + v % 10);
    while (v /= 10);
    return end;
}

// The C library takes the environment as the kernel laid it down, with no room for one more: the
// first variable that no library's start looks at gives up its place until main().
static char **borrowed, *lender;
static void use_one_blas_thread(char **environment) {
    static char one[] = "OPENBLAS_NUM_THREADS=1";
    static const char *const kept[] = {"OPENBLAS_C", "OPENBLAS_V", "GOTO", "OMP", "LD_", "MALLOC", "GLIBC", "ASAN", "UBSAN", "LSAN", "TSAN"};
    for (char **e = environment; *e; e++) {
        bool is_kept = false, is_it = strncmp(*e, one, sizeof one - 2) == 0;
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            is_kept |= strncmp(*e, kept[i], strlen(kept[i])) == 0;
        if (is_it || (!borrowed && !is_kept)) {
            if (borrowed)
                *borrowed = lender;
            borrowed = e;
            lender = *e;
            *e = one;
        }
        if (is_it)
            return;
    }
}
static void give_back_variable(void) {
    if (borrowed)
        *borrowed = lender;
}

static void check_address_space(int argc, char **argv, char **environment) {
    static const char before[] = "error: ", middle[] = " MiB of address space are needed to start, the limit (ulimit -v) is ",
                      after[] = " MiB, most of which the program and its libraries take\n";
    struct rlimit r;
    (void)argc, (void)argv;
    use_one_blas_thread(environment);
    if (getrlimit(RLIMIT_AS, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return;
    size_t bytes = (size_t)START_MIB << 20;
    void *tried = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (tried != MAP_FAILED) {
        munmap(tried, bytes);
        return;
    }
    char text[256], limit[24], need[24], *at = text;
    char *l = text_number(limit + sizeof limit, r.rlim_cur >> 20), *w = text_number(need + sizeof need, START_MIB);
    at = mempcpy(at, before, sizeof before - 1);
    at = mempcpy(at, w, (size_t)(need + sizeof need - w));
    at = mempcpy(at, middle, sizeof middle - 1);
    at = mempcpy(at, l, (size_t)(limit + sizeof limit - l));
    at = mempcpy(at, after, sizeof after - 1);
    ssize_t written = write(STDERR_FILENO, text, (size_t)(at - text));
    _exit(written < 0 ? EXIT_bug : EXIT_environment);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **,
                                                            char **) = check_address_space;

static void check_descriptor(void) {
    if (nr_program.version != NR_VERSION)
        die(EXIT_bug, "the program was compiled for runtime interface %lld, this runtime has %d",
            (long long)nr_program.version, NR_VERSION);
}

static void print_version(void) {
    printf("%s, compiled from %s by %s, program %016llx\n", nr_program.name, nr_program.source,
           nr_program.compiler, (unsigned long long)nr_program.hash);
}

static int run(const struct options *o) {
    switch (o->command) {
    case CMD_train:
        return command_train(o);
    case CMD_eval:
        return command_eval(o);
    case CMD_predict:
        return command_predict(o);
    case CMD_info:
        return command_info(o);
    case CMD_init:
        return command_init(o);
    case CMD_trace:
        return command_trace(o);
    case CMD_check_gradients:
        return command_check_gradients(o);
    case CMD_bench:
        return command_bench(o);
    case CMD_report:
        return command_report(o);
    case CMD_samples:
        return command_samples(o);
    case CMD_none:
        break;
    }
    return EXIT_bug;
}

int main(int argc, char **argv) {
    struct options o;
    signal(SIGPIPE, SIG_IGN); // a closed pipe is a write error, reported as such
    signal(SIGXFSZ, SIG_IGN); // and so is a file that the limit lets grow no further
    setlocale(LC_ALL, "C");
    give_back_variable();
    json_set_alloc_funcs(memory_json, free);
    log_setup(false, COLOR_auto);
    check_descriptor();
    args_parse(&o, argc, argv);
    log_setup(o.quiet, o.color);
    if (o.command == CMD_none) {
        if (strcmp(argv[1], "--version") == 0)
            print_version();
        else
            args_help(CMD_none, o.program);
    } else {
        floating_point_setup();
        bool computes = o.command != CMD_info && o.command != CMD_init;
        int64_t threads = !computes ? 1 : o.threads ? o.threads : pool_cores();
        blas_setup(nr_program.batch_all ? INT64_MAX : nr_program.batch, threads);
        if (computes)
            pool_start(threads);
    }
    int code = o.command == CMD_none ? EXIT_done : run(&o);
    nf_unlock();
    if (fflush(stdout) != 0 || ferror(stdout))
        die(EXIT_environment, "cannot write to standard output");
    return code;
}
