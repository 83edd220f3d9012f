/*
 * Clocks that jump when told to: a library for LD_PRELOAD, used by tests/it/support/clock.rs.
 *
 * It stands between a program and the C library's clock_gettime, gettimeofday and time, and adds to each clock what the
 * control file CLOCK_FAULTS_CONTROL says, which is mapped into memory, so that a test can change it while the program
 * runs. Waits whose end is a moment of such a clock (futexes, clock_nanosleep) take as long as they would without it.
 *
 * What it does not see: system calls and reads of the clock made without the C library. A wait that has begun before a
 * clock jumps ends as if it had not: where the real clock jumps, the kernel would end it early.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NANOS 1000000000LL

/* What each clock is ahead, in nanoseconds. The test writes them. */
struct control {
    int64_t wall;      /* CLOCK_REALTIME */
    int64_t monotonic; /* CLOCK_MONOTONIC, which stands still while the machine sleeps */
    int64_t boot;      /* CLOCK_BOOTTIME, which does not */
    uint64_t reads;    /* how often a clock was read; the program writes it */
};

static struct control *control;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CLOCK_FAULTS_CONTROL");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (!path)
        return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED)
        control = map;
}

/* What a clock is ahead. Those that count the processor's time never are. */
static int64_t ahead(clockid_t clock) {
    int64_t *offset;
    if (!control)
        return 0;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        offset = &control->wall;
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        offset = &control->monotonic;
        break;
    case CLOCK_BOOTTIME:
        offset = &control->boot;
        break;
    default:
        return 0;
    }
    return __atomic_load_n(offset, __ATOMIC_SEQ_CST);
}

/* A moment so many nanoseconds later, which may be negative; never before the clock's own zero. */
static struct timespec later(struct timespec at, int64_t by) {
    int64_t nanos = at.tv_sec * NANOS + at.tv_nsec + by;
    if (nanos < 0)
        nanos = 0;
    struct timespec moved = {nanos / NANOS, nanos % NANOS};
    return moved;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = real_clock_gettime ? real_clock_gettime(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    if (failed)
        return failed;
    if (control)
        __atomic_add_fetch(&control->reads, 1, __ATOMIC_RELAXED);
    *now = later(*now, ahead(clock));
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec read;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &read) != 0)
        return -1;
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec read;
    if (clock_gettime(CLOCK_REALTIME, &read) != 0)
        return -1;
    if (now)
        *now = read.tv_sec;
    return read.tv_sec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "clock_nanosleep");
    if (!(flags & TIMER_ABSTIME) || !time)
        return real(clock, flags, time, left);
    struct timespec until = later(*time, -ahead(clock));
    return real(clock, flags, &until, left);
}

/* Rust waits for locks, channels and threads by the futex call, until a moment of the clock that it has read. */
long syscall(long number, ...) {
    long arguments[6];
    struct timespec until;
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex && arguments[3]) {
        int command = (int)arguments[1] & FUTEX_CMD_MASK;
        if (command == FUTEX_WAIT_BITSET) {
            clockid_t clock = (arguments[1] & FUTEX_CLOCK_REALTIME) ? CLOCK_REALTIME : CLOCK_MONOTONIC;
            until = later(*(const struct timespec *)arguments[3], -ahead(clock));
            arguments[3] = (long)&until;
        }
    }
    if (!real_syscall)
        real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
