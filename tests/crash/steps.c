/* Numbers the durable steps of a program and stops it at one of them. Preloaded (LD_PRELOAD), Linux only.
 *
 * A step is a call that writes, syncs, creates, renames, removes or cuts something below STEPS_ROOT.
 * Each is appended to STEPS_LOG as "number <tab> call <tab> flags <tab> path, relative to the root", flags:
 * w a write that can be torn, a a call that needs room on the disk.
 *
 * At step STEPS_AT happens STEPS_DO: kill (SIGKILL before the step), torn (half of the bytes, then SIGKILL),
 * eio (this one call fails with EIO), enospc (from here on every call that needs room fails with ENOSPC). */
#include "steps.h"

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static long stop_at;
static char stop_how[16];
static atomic_long counter;
static atomic_int full;

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("STEPS_ROOT"), *log = getenv("STEPS_LOG"), *at = getenv("STEPS_AT"),
               *how = getenv("STEPS_DO");
    if (!wanted || !realpath(wanted, root)) return;
    root_length = strlen(root);
    if (log) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    if (at) stop_at = atol(at);
    if (how) snprintf(stop_how, sizeof stop_how, "%s", how);
}

/* Path below the root, or NULL. */
static const char *below(const char *path) {
    if (!root_length || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return ".";
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

const char *path_of_fd(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    if (length <= 0) return NULL;
    buffer[length] = 0;
    return below(buffer);
}

const char *path_at(int folder, const char *path, char *buffer) {
    char base[PATH_MAX];
    if (!path) return NULL;
    if (path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
        return below(buffer);
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return NULL;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, PATH_MAX - 1);
        if (length <= 0) return NULL;
        base[length] = 0;
    }
    if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
    return below(buffer);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

int step(const char *call, const char *path, int is_write, int needs_room) {
    if (!path) return GO;
    long number = atomic_fetch_add(&counter, 1) + 1;
    char line[2 * PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld\t%s\t%s%s\t%s\n", number, call, is_write ? "w" : "",
                          needs_room ? "a" : "", path);
    if (log_fd >= 0) syscall(SYS_write, log_fd, line, (size_t)length);
    if (number == stop_at) {
        if (!strcmp(stop_how, "kill")) die();
        if (!strcmp(stop_how, "torn")) {
            if (is_write) return TEAR;
            die();
        }
        if (!strcmp(stop_how, "eio")) {
            errno = EIO;
            return FAIL;
        }
        if (!strcmp(stop_how, "enospc")) atomic_store(&full, 1);
    }
    if (needs_room && atomic_load(&full)) {
        errno = ENOSPC;
        return FAIL;
    }
    return GO;
}

static off_t size_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_size : 0;
}

static int grows(int fd, off_t from, size_t bytes) {
    if (from < 0) {
        int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
        from = flags & O_APPEND ? size_of(fd) : lseek(fd, 0, SEEK_CUR);
    }
    return from + (off_t)bytes > size_of(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char buffer[PATH_MAX];
    REAL(write);
    const char *path = path_of_fd(fd, buffer);
    switch (path ? step("write", path, 1, grows(fd, -1, count)) : GO) {
    case FAIL: return -1;
    case TEAR: real(fd, bytes, count / 2); die();
    }
    return real(fd, bytes, count);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *bytes, size_t count, offset_type at) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        const char *path = path_of_fd(fd, buffer); \
        switch (path ? step("pwrite", path, 1, grows(fd, at, count)) : GO) { \
        case FAIL: return -1; \
        case TEAR: real(fd, bytes, count / 2, at); die(); \
        } \
        return real(fd, bytes, count, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char buffer[PATH_MAX];
    REAL(writev);
    const char *path = path_of_fd(fd, buffer);
    switch (path ? step("writev", path, 1, grows(fd, -1, total(parts, count))) : GO) {
    case FAIL: return -1;
    case TEAR: real(fd, parts, count / 2); die();
    }
    return real(fd, parts, count);
}

#define PWRITEV(name, offset_type) \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type at) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        const char *path = path_of_fd(fd, buffer); \
        switch (path ? step("pwritev", path, 1, grows(fd, at, total(parts, count))) : GO) { \
        case FAIL: return -1; \
        case TEAR: real(fd, parts, count / 2, at); die(); \
        } \
        return real(fd, parts, count, at); \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define ON_FD(name, call) \
    int name(int fd) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        return step(call, path_of_fd(fd, buffer), 0, 0) == FAIL ? -1 : real(fd); \
    }
ON_FD(fsync, "fsync")
ON_FD(fdatasync, "fdatasync")
ON_FD(syncfs, "syncfs")

int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags) {
    char buffer[PATH_MAX];
    REAL(sync_file_range);
    return step("sync_file_range", path_of_fd(fd, buffer), 0, 0) == FAIL ? -1 : real(fd, from, bytes, flags);
}

#define TRUNCATE(name, offset_type) \
    int name(int fd, offset_type length) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        const char *path = path_of_fd(fd, buffer); \
        return path && step("ftruncate", path, 0, length > size_of(fd)) == FAIL ? -1 : real(fd, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define FALLOCATE(name, offset_type) \
    int name(int fd, int mode, offset_type from, offset_type length) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        return step("fallocate", path_of_fd(fd, buffer), 0, 1) == FAIL ? -1 : real(fd, mode, from, length); \
    }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

#define POSIX_FALLOCATE(name, offset_type) \
    int name(int fd, offset_type from, offset_type length) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        return step("fallocate", path_of_fd(fd, buffer), 0, 1) == FAIL ? errno : real(fd, from, length); \
    }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t bytes, unsigned flags) {
    char buffer[PATH_MAX];
    REAL(copy_file_range);
    const char *path = path_of_fd(out, buffer);
    switch (path ? step("copy_file_range", path, 1, 1) : GO) {
    case FAIL: return -1;
    case TEAR: real(in, from, out, to, bytes / 2, flags); die();
    }
    return real(in, from, out, to, bytes, flags);
}

#define SENDFILE(name, offset_type) \
    ssize_t name(int out, int in, offset_type *from, size_t bytes); \
    ssize_t name(int out, int in, offset_type *from, size_t bytes) { \
        char buffer[PATH_MAX]; \
        REAL(name); \
        const char *path = path_of_fd(out, buffer); \
        switch (path ? step("sendfile", path, 1, 1) : GO) { \
        case FAIL: return -1; \
        case TEAR: real(out, in, from, bytes / 2); die(); \
        } \
        return real(out, in, from, bytes); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

/* A reflink (FICLONE) or any other request on a file below the root that changes it. */
int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, ...);
    if (!real) real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    char buffer[PATH_MAX];
    if (request == 0x40049409UL && step("clone", path_of_fd(fd, buffer), 0, 1) == FAIL) return -1;
    return real(fd, request, argument);
}

/* msync has an address only: it is counted by that, whatever it maps. */
static const char *mapped(void) { return root_length ? "(mapping)" : NULL; }
int msync(void *address, size_t length, int flags) {
    REAL(msync);
    return step("msync", mapped(), 0, 0) == FAIL ? -1 : real(address, length, flags);
}
