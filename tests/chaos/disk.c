/* Makes the disk under one directory fail as one byte of a shared file says. Preloaded into a server:
   CHAOS_DISK is that file, CHAOS_DISK_UNDER the directory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { WELL, FULL, READ_ONLY, WRITES_FAIL, SYNCS_FAIL, NEARLY_FULL };

static const volatile unsigned char *state;
static const char *under;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_DISK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  under = getenv("CHAOS_DISK_UNDER");
  if (fd < 0 || !under) return;
  void *found = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (found != MAP_FAILED) state = found;
}

static int now(void) { return state ? *state : WELL; }

static int is_ours(const char *path) { return strncmp(path, under, strlen(under)) == 0; }

static int is_our_file(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_ours(path);
}

/* The error of a write to the file, 0 for none. */
static int write_error(int fd) {
  int error = now() == FULL ? ENOSPC : now() == READ_ONLY ? EROFS : now() == WRITES_FAIL ? EIO : 0;
  return error && is_our_file(fd) ? error : 0;
}

static int sync_error(int fd) {
  return (now() == SYNCS_FAIL || now() == WRITES_FAIL) && is_our_file(fd) ? EIO : 0;
}

#define FAILING(error, result, name, parameters, arguments)      \
  result name parameters {                                       \
    static result(*real) parameters;                             \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);        \
    int why = error;                                             \
    if (why) {                                                   \
      errno = why;                                               \
      return -1;                                                 \
    }                                                            \
    return real arguments;                                       \
  }

FAILING(write_error(fd), ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
FAILING(write_error(fd), ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
FAILING(write_error(fd), ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
FAILING(write_error(fd), int, ftruncate, (int fd, off_t size), (fd, size))
FAILING(write_error(fd), int, ftruncate64, (int fd, off64_t size), (fd, size))
FAILING(sync_error(fd), int, fsync, (int fd), (fd))
FAILING(sync_error(fd), int, fdatasync, (int fd), (fd))

#define OPENING(name)                                                                      \
  int name(const char *path, int flags, ...) {                                             \
    static int (*real)(const char *, int, ...);                                            \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                  \
    va_list more;                                                                          \
    va_start(more, flags);                                                                 \
    int mode = va_arg(more, int);                                                          \
    va_end(more);                                                                          \
    if (now() == READ_ONLY && (flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_ours(path)) {  \
      errno = EROFS;                                                                       \
      return -1;                                                                           \
    }                                                                                      \
    return real(path, flags, mode);                                                        \
  }

OPENING(open)
OPENING(open64)

/* A hundredth, or nothing, is free. */
#define MEASURING(name, kind)                                    \
  int name(const char *path, struct kind *found) {               \
    static int (*real)(const char *, struct kind *);             \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);        \
    int result = real(path, found);                              \
    if (!result && (now() == FULL || now() == NEARLY_FULL)) {    \
      found->f_bfree = found->f_blocks / 100;                    \
      found->f_bavail = now() == FULL ? 0 : found->f_bfree;      \
    }                                                            \
    return result;                                               \
  }

MEASURING(statvfs, statvfs)
MEASURING(statvfs64, statvfs64)
