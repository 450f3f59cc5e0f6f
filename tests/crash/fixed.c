/* A fixed clock and fixed random numbers, so that the same step leaves the same bytes whenever the program is
 * stopped there. With STEPS_TIME (seconds since 1970) the time of day stands still there, and every source of random
 * numbers gives a sequence that depends on it alone; time that only passes (CLOCK_MONOTONIC) is left as it is. And
 * the program is told of one processor, so that the order of its work does not vary. */
#include "steps.h"

#include <sched.h>

static long long standing; /* 0: nothing is fixed */
static atomic_ullong drawn;

__attribute__((constructor)) static void fix(void) {
    const char *time = getenv("STEPS_TIME");
    if (time) standing = atoll(time);
}

const char *source_of(const char *path) {
    return standing && path && !strcmp(path, "/dev/urandom") ? "/dev/zero" : path;
}

/* SplitMix64, https://prng.di.unimi.it/splitmix64.c */
static unsigned long long next(void) {
    unsigned long long z = (unsigned long long)standing * 0x2545F4914F6CDD1DULL;
    z += (atomic_fetch_add(&drawn, 1) + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static void fill(unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        unsigned long long number = next();
        memcpy(bytes + i, &number, count - i < 8 ? count - i : 8);
    }
}

ssize_t getrandom(void *bytes, size_t count, unsigned flags) {
    REAL(getrandom);
    if (!standing) return real(bytes, count, flags);
    fill(bytes, count);
    return (ssize_t)count;
}

int getentropy(void *bytes, size_t count) {
    REAL(getentropy);
    if (!standing) return real(bytes, count);
    fill(bytes, count);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    if (!standing || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return real(clock, now);
    now->tv_sec = (time_t)standing;
    now->tv_nsec = 0;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    if (!standing) return real(now, zone);
    now->tv_sec = (time_t)standing;
    now->tv_usec = 0;
    return 0;
}

time_t time(time_t *now) {
    REAL(time);
    time_t found = standing ? (time_t)standing : real(NULL);
    if (now) *now = found;
    return found;
}

int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) {
    REAL(sched_getaffinity);
    int found = real(process, size, set);
    if (!standing || found < 0) return found;
    int first = 0;
    while (first < (int)(8 * size) - 1 && !CPU_ISSET_S(first, size, set)) first++;
    CPU_ZERO_S(size, set);
    CPU_SET_S(first, size, set);
    return found;
}
