/*
 * A disk that fails when told to: a library for LD_PRELOAD, used by tests/it/support/disk.rs.
 *
 * It stands between a program and the C library's calls that make files durable, write them and open them for writing.
 * Calls on files below the folder DISK_FAULTS_BELOW obey the control file DISK_FAULTS_CONTROL, which is mapped into
 * memory, so that a test can change it while the program runs. All other calls pass, as does everything where one of
 * the two variables is missing.
 *
 * What it does not see: system calls made without the C library, writes through a mapping, renames and removals.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* One kind of call. The test writes the first three fields, the program the last two. */
struct rule {
    uint32_t error; /* what a failing call reports; 0 while all is well */
    uint32_t pass;  /* calls that still succeed before the first one fails */
    uint32_t times; /* failures that are left; UINT32_MAX fails until healed */
    uint32_t seen;  /* calls since the file was made */
    uint32_t failed;
};

enum kind { SYNC, WRITE, OPEN, KINDS };

struct control {
    struct rule rules[KINDS];
    uint32_t slow_ms; /* added to each call of any kind */
};

static struct control *control;
static char below[PATH_MAX];
static size_t below_len;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("DISK_FAULTS_CONTROL");
    const char *folder = getenv("DISK_FAULTS_BELOW");
    if (!path || !folder || !*folder || strlen(folder) >= sizeof below)
        return;
    strcpy(below, folder);
    below_len = strlen(below);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED)
        control = map;
}

/* Whether a path is the folder or lies in it. */
static int is_below(const char *path) {
    return strncmp(path, below, below_len) == 0 && (path[below_len] == '/' || path[below_len] == '\0');
}

/* The path that a descriptor was opened by, links resolved. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len < 0)
        return 0;
    path[len] = '\0';
    return 1;
}

static int holds(int fd) {
    char path[PATH_MAX];
    int before = errno;
    int yes = control && path_of(fd, path) && is_below(path);
    errno = before;
    return yes;
}

/* Whether a name that is to be opened lies in the folder: its parent decides, as the file may not exist. */
static int holds_name(int folder, const char *name) {
    char base[PATH_MAX] = "", path[PATH_MAX * 2 + 2], parent[PATH_MAX];
    int before = errno, yes = 0;
    if (!control || strlen(name) >= PATH_MAX)
        return 0;
    int known = name[0] == '/' || (folder == AT_FDCWD ? getcwd(base, sizeof base) != NULL : path_of(folder, base));
    if (known) {
        snprintf(path, sizeof path, "%s/%s", base, name);
        *strrchr(path, '/') = '\0';
        yes = realpath(path[0] ? path : "/", parent) && is_below(parent);
    }
    errno = before;
    return yes;
}

/* Takes one from a number that is not zero; whether there was one to take. */
static int take(uint32_t *number) {
    uint32_t now = __atomic_load_n(number, __ATOMIC_SEQ_CST);
    while (now != 0)
        if (__atomic_compare_exchange_n(number, &now, now - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return 1;
    return 0;
}

/* Counts a call, delays it, and returns the error it has to fail with, or 0. */
static int fault(enum kind kind) {
    struct rule *rule = &control->rules[kind];
    uint32_t slow_ms = __atomic_load_n(&control->slow_ms, __ATOMIC_SEQ_CST);
    int before = errno;
    __atomic_add_fetch(&rule->seen, 1, __ATOMIC_SEQ_CST);
    if (slow_ms) {
        struct timespec left = {slow_ms / 1000, (long)(slow_ms % 1000) * 1000000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR)
            continue;
    }
    errno = before;
    int error = (int)__atomic_load_n(&rule->error, __ATOMIC_SEQ_CST);
    if (!error || take(&rule->pass))
        return 0;
    if (__atomic_load_n(&rule->times, __ATOMIC_SEQ_CST) != UINT32_MAX && !take(&rule->times))
        return 0;
    __atomic_add_fetch(&rule->failed, 1, __ATOMIC_SEQ_CST);
    return error;
}

/* The C library's own function of this name. */
#define REAL(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (!real)                                                                                                         \
        real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A call on a descriptor that reports -1 and errno. */
#define CALL(kind, result, name, parameters, arguments)                                                                \
    result name parameters {                                                                                           \
        static result(*real) parameters;                                                                               \
        if (!real)                                                                                                     \
            real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                                      \
        int error = holds(fd) ? fault(kind) : 0;                                                                       \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real arguments;                                                                                         \
    }

CALL(SYNC, int, fsync, (int fd), (fd))
CALL(SYNC, int, fdatasync, (int fd), (fd))
CALL(SYNC, int, sync_file_range, (int fd, off64_t from, off64_t len, unsigned flags), (fd, from, len, flags))
CALL(SYNC, int, syncfs, (int fd), (fd))
CALL(WRITE, ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
CALL(WRITE, ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(WRITE, ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at))
CALL(WRITE, ssize_t, pwrite64, (int fd, const void *bytes, size_t len, off64_t at), (fd, bytes, len, at))
CALL(WRITE, ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
CALL(WRITE, ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at))
CALL(WRITE, ssize_t, pwritev2, (int fd, const struct iovec *parts, int count, off_t at, int flags),
     (fd, parts, count, at, flags))
CALL(WRITE, ssize_t, pwritev64v2, (int fd, const struct iovec *parts, int count, off64_t at, int flags),
     (fd, parts, count, at, flags))
CALL(WRITE, ssize_t, copy_file_range,
     (int from, off64_t *from_at, int fd, off64_t *at, size_t len, unsigned flags), (from, from_at, fd, at, len, flags))
CALL(WRITE, ssize_t, sendfile, (int fd, int from, off_t *from_at, size_t len), (fd, from, from_at, len))
CALL(WRITE, ssize_t, sendfile64, (int fd, int from, off64_t *from_at, size_t len), (fd, from, from_at, len))
CALL(WRITE, int, ftruncate, (int fd, off_t len), (fd, len))
CALL(WRITE, int, ftruncate64, (int fd, off64_t len), (fd, len))
CALL(WRITE, int, fallocate, (int fd, int mode, off_t from, off_t len), (fd, mode, from, len))
CALL(WRITE, int, fallocate64, (int fd, int mode, off64_t from, off64_t len), (fd, mode, from, len))

/* These two return the error instead. */
int posix_fallocate(int fd, off_t from, off_t len) {
    REAL(int, "posix_fallocate", int, off_t, off_t);
    int error = holds(fd) ? fault(WRITE) : 0;
    return error ? error : real(fd, from, len);
}

int posix_fallocate64(int fd, off64_t from, off64_t len) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    int error = holds(fd) ? fault(WRITE) : 0;
    return error ? error : real(fd, from, len);
}

/* The error that opening a file for writing has to fail with, or 0. Reading is never hindered. */
static int fault_of_open(int folder, const char *name, int flags) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    return writes && holds_name(folder, name) ? fault(OPEN) : 0;
}

/* The mode, which is there only where a file may be made. */
#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

#define OPEN_CALL(name)                                                                                                \
    int name(const char *path, int flags, ...) {                                                                       \
        REAL(int, #name, const char *, int, ...);                                                                      \
        MODE(flags, mode)                                                                                              \
        int error = fault_of_open(AT_FDCWD, path, flags);                                                              \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real(path, flags, mode);                                                                                \
    }

#define OPENAT_CALL(name)                                                                                              \
    int name(int folder, const char *path, int flags, ...) {                                                           \
        REAL(int, #name, int, const char *, int, ...);                                                                 \
        MODE(flags, mode)                                                                                              \
        int error = fault_of_open(folder, path, flags);                                                                \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return real(folder, path, flags, mode);                                                                        \
    }

OPEN_CALL(open)
OPEN_CALL(open64)
OPENAT_CALL(openat)
OPENAT_CALL(openat64)
