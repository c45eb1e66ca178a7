// The entry of every trainer: checks the descriptor, reads the command line, starts the threads,
// runs the command.
#include "runtime.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// OpenBLAS asks for its buffers before main() and, refused, asks again for ever. So a process with
// too little address space for it (ulimit -v) is ended here, before any library starts; only system
// calls are safe at this point.
static void check_address_space(int argc, char **argv, char **environment) {
    static const char message[] = "error: the address space limit (ulimit -v) is below 192 MiB, "
                                  "which the linear algebra library needs\n";
    struct rlimit r;
    (void)argc, (void)argv, (void)environment;
    if (getrlimit(RLIMIT_AS, &r) != 0 || r.rlim_cur >= (rlim_t)192 << 20)
        return;
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
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
        gemm_setup(nr_program.batch_all ? INT64_MAX : nr_program.batch);
        if (o.command != CMD_info && o.command != CMD_init)
            pool_start(o.threads ? o.threads : pool_cores());
    }
    int code = o.command == CMD_none ? EXIT_done : run(&o);
    nf_unlock();
    if (fflush(stdout) != 0 || ferror(stdout))
        die(EXIT_environment, "cannot write to standard output");
    return code;
}
