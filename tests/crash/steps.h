/* What the parts of the shim share: see steps.c. */
#ifndef STEPS_H
#define STEPS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* The function that this one stands in front of. */
#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { GO, TEAR, FAIL };

/* Notes a step; GO to take it, TEAR to take half of it and die, FAIL with errno set. */
HIDDEN int step(const char *call, const char *path, int is_write, int needs_room);

/* Path below the root, or NULL; `buffer` has room for PATH_MAX bytes and gets the whole path. */
HIDDEN const char *path_of_fd(int fd, char *buffer);
HIDDEN const char *path_at(int folder, const char *path, char *buffer);

/* What is to be opened where `path` is asked for: random numbers come from a file of zeros where they are fixed. */
HIDDEN const char *source_of(const char *path);

#endif
