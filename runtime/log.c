// Messages, progress and the end of the process. All of it goes to standard error: standard output
// carries results alone. Colour follows --color, NO_COLOR, CLICOLOR_FORCE and whether standard
// error is a terminal; the progress bar is drawn on a terminal only and cleared before anything
// else is printed.
#include "run.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_flag dying = ATOMIC_FLAG_INIT;
static bool is_quiet, is_colored, is_terminal, bar_shown;

void log_setup(bool quiet, enum color color) {
    const char *none = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE"),
               *term = getenv("TERM");
    is_quiet = quiet;
    is_terminal = isatty(STDERR_FILENO);
    is_colored = is_terminal && term && strcmp(term, "dumb") != 0;
    if (force && *force && strcmp(force, "0") != 0)
        is_colored = true;
    if (none && *none)
        is_colored = false;
    if (color != COLOR_auto)
        is_colored = color == COLOR_always;
}

double log_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_labelled(const char *label, const char *color, const char *fmt, va_list args) {
    progress_clear();
    flockfile(stderr);
    fprintf(stderr, is_colored ? "\033[1;%sm%s:\033[0m " : "%.0s%s: ", color, label);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void log_note(const char *fmt, ...) {
    if (is_quiet)
        return;
    va_list args;
    va_start(args, fmt);
    progress_clear();
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}
void log_warning(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    print_labelled("warning", "35", fmt, args);
    va_end(args);
}
void log_help(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    print_labelled("help", "36", fmt, args);
    va_end(args);
}

bool problem_set(struct problem *p, int code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    p->code = code;
    p->help[0] = 0;
    vsnprintf(p->message, sizeof p->message, fmt, args);
    va_end(args);
    return false;
}
// The message of a reader of bytes gains the file's name; its help stays.
bool problem_of_file(struct problem *p, const char *path) {
    if (!strstr(p->message, path)) {
        char *said = memory_text("cannot read `%s`: %s", path, p->message);
        snprintf(p->message, sizeof p->message, "%s", said);
        free(said);
    }
    return false;
}
void problem_help(struct problem *p, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->help, sizeof p->help, fmt, args);
    va_end(args);
}

// Several threads may fail at once: the first one speaks and ends the process, the others wait for
// that.
static void enter_once(void) {
    while (atomic_flag_test_and_set(&dying))
        pause();
}
static NORETURN void leave(int code) {
    if (code == EXIT_bug)
        log_help(
            "this is an error of netc: please report it with the .net file and the command line");
    nf_unlock();
    fflush(NULL);
    _exit(code);
}
void die(int code, const char *fmt, ...) {
    va_list args;
    enter_once();
    va_start(args, fmt);
    print_labelled(code == EXIT_bug ? "internal error" : "error", "31", fmt, args);
    va_end(args);
    leave(code);
}
void die_help(int code, const char *help, const char *fmt, ...) {
    va_list args;
    enter_once();
    va_start(args, fmt);
    print_labelled(code == EXIT_bug ? "internal error" : "error", "31", fmt, args);
    va_end(args);
    log_help("%s", help);
    leave(code);
}
void die_problem(const struct problem *p) {
    if (p->help[0])
        die_help(p->code, p->help, "%s", p->message);
    die(p->code, "%s", p->message);
}

const char *log_time(char text[32], double seconds) {
    long s = seconds < 0 ? 0 : (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    return text;
}

// As a shell reads it back: plain if nothing in it is special, else between single quotes.
const char *shell_word(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:=@%";
    if (*word && strspn(word, plain) == strlen(word))
        return word;
    struct text quoted = {0};
    text_add(&quoted, "'");
    for (; *word; word++)
        if (*word == '\'')
            text_add(&quoted, "'\\''");
        else
            text_add(&quoted, "%c", *word);
    text_add(&quoted, "'");
    return quoted.at;
}

// ---- the progress bar
void progress_start(struct progress *p, int64_t first, int64_t total, int64_t per_epoch,
                    int64_t epochs) {
    *p = (struct progress){.start = log_clock(),
                           .first = first,
                           .total = total,
                           .per_epoch = per_epoch,
                           .epochs = epochs};
}

void progress_clear(void) {
    if (!bar_shown)
        return;
    fputs("\r\033[K", stderr);
    bar_shown = false;
}

static void draw_bar(int64_t done, int64_t of) {
    enum { WIDTH = 20 };
    int eighths = of > 0 ? (int)(done * WIDTH * 8 / of) : 0;
    static const char *const part[8] = {"",       "\u258f", "\u258e", "\u258d",
                                        "\u258c", "\u258b", "\u258a", "\u2589"};
    fputs(" \u2502", stderr);
    for (int i = 0; i < WIDTH; i++)
        fputs(eighths >= 8 * (i + 1) ? "\u2588"
              : eighths > 8 * i      ? part[eighths - 8 * i]
                                     : " ",
              stderr);
    fputs("\u2502 ", stderr);
}

void progress_step(struct progress *p, int64_t step, double loss) {
    double now = is_quiet || !is_terminal ? 0 : log_clock();
    if (now - p->shown < 0.1)
        return;
    p->shown = now;
    char left[32], spent[32];
    double rate = (double)(step - p->first) / (now - p->start + 1e-9);
    int64_t in_epoch = (step - 1) % p->per_epoch + 1;
    fprintf(stderr, "\r\033[Kepoch %lld/%lld", (long long)((step - 1) / p->per_epoch + 1),
            (long long)p->epochs);
    draw_bar(in_epoch, p->per_epoch);
    fprintf(stderr, "%lld/%lld  loss %.4f  %.0f steps/s  %s, %s left", (long long)in_epoch,
            (long long)p->per_epoch, loss, rate, log_time(spent, now - p->start),
            log_time(left, (double)(p->total - step) / (rate + 1e-9)));
    fflush(stderr);
    bar_shown = true;
}
