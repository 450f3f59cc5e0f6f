/* The steps that change names: creating, renaming, linking, removing. See steps.c. */
#include "steps.h"

/* "from -> to", if either lies below the root. */
static const char *both(int from_folder, const char *from, int to_folder, const char *to, char *buffer) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *a = path_at(from_folder, from, first), *b = path_at(to_folder, to, second);
    if (!a && !b) return NULL;
    snprintf(buffer, 2 * PATH_MAX, "%s -> %s", a ? a : "(outside)", b ? b : "(outside)");
    return buffer;
}

int rename(const char *from, const char *to) {
    char buffer[2 * PATH_MAX];
    REAL(rename);
    return step("rename", both(AT_FDCWD, from, AT_FDCWD, to, buffer), 0, 0) == FAIL ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char buffer[2 * PATH_MAX];
    REAL(renameat);
    return step("rename", both(from_folder, from, to_folder, to, buffer), 0, 0) == FAIL
               ? -1
               : real(from_folder, from, to_folder, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char buffer[2 * PATH_MAX];
    REAL(renameat2);
    return step("rename", both(from_folder, from, to_folder, to, buffer), 0, 0) == FAIL
               ? -1
               : real(from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to) {
    char buffer[PATH_MAX];
    REAL(link);
    return step("link", path_at(AT_FDCWD, to, buffer), 0, 1) == FAIL ? -1 : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char buffer[PATH_MAX];
    REAL(linkat);
    return step("link", path_at(to_folder, to, buffer), 0, 1) == FAIL ? -1
                                                                     : real(from_folder, from, to_folder, to, flags);
}

int symlink(const char *target, const char *path) {
    char buffer[PATH_MAX];
    REAL(symlink);
    return step("symlink", path_at(AT_FDCWD, path, buffer), 0, 1) == FAIL ? -1 : real(target, path);
}

/* What is not there is not removed: no step. */
static const char *existing(int folder, const char *path, char *buffer) {
    struct stat found;
    const char *below_root = path_at(folder, path, buffer);
    return below_root && lstat(buffer, &found) == 0 ? below_root : NULL;
}

int unlink(const char *path) {
    char buffer[PATH_MAX];
    REAL(unlink);
    return step("unlink", existing(AT_FDCWD, path, buffer), 0, 0) == FAIL ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    REAL(unlinkat);
    const char *call = flags & AT_REMOVEDIR ? "rmdir" : "unlink";
    return step(call, existing(folder, path, buffer), 0, 0) == FAIL ? -1 : real(folder, path, flags);
}

int rmdir(const char *path) {
    char buffer[PATH_MAX];
    REAL(rmdir);
    return step("rmdir", existing(AT_FDCWD, path, buffer), 0, 0) == FAIL ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    REAL(mkdir);
    return step("mkdir", path_at(AT_FDCWD, path, buffer), 0, 1) == FAIL ? -1 : real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    REAL(mkdirat);
    return step("mkdir", path_at(folder, path, buffer), 0, 1) == FAIL ? -1 : real(folder, path, mode);
}

/* Opening is a step if it makes a file or empties one. */
static int opening(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    struct stat found;
    const char *below_root = path_at(folder, path, buffer);
    if (!below_root || !(flags & (O_CREAT | O_TRUNC))) return GO;
    if (lstat(buffer, &found) != 0) return flags & O_CREAT ? step("create", below_root, 0, 1) : GO;
    return flags & O_TRUNC ? step("empty", below_root, 0, 0) : GO;
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = (mode_t)va_arg(more, int); \
        va_end(more); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE \
        REAL(name); \
        return opening(AT_FDCWD, path, flags) == FAIL ? -1 : real(source_of(path), flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE \
        REAL(name); \
        return opening(folder, path, flags) == FAIL ? -1 : real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
