#include "formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME_ATTEMPTS 1000
#define PARTS_A_CALL 256

static enum status cannot(struct error *error, const char *name, const char *what)
{
    return error_set(error, STATUS_IO, "%s: cannot %s: %s", name, what, strerror(errno));
}

/* Writes the parts in as few calls as there can be, not one by one: Linux caches a file in blocks that are the larger
 * the more a call writes, and a mapping of 2 MB takes one page fault where such a block holds it, 32 otherwise. */
static bool write_parts(int descriptor, size_t count, const struct file_part *parts)
{
    size_t done = 0; /* bytes of the first part */
    while (count > 0) {
        struct iovec pieces[PARTS_A_CALL];
        int used = 0;
        for (; used < PARTS_A_CALL && (size_t)used < count; used++)
            pieces[used] = (struct iovec){(void *)(uintptr_t)parts[used].bytes, parts[used].size};
        pieces[0].iov_base = (char *)pieces[0].iov_base + done;
        pieces[0].iov_len -= done;
        ssize_t written = writev(descriptor, pieces, used);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        done += (size_t)written;
        for (; count > 0 && done >= parts->size; count--)
            done -= parts++->size;
    }
    return true;
}

/* A pipe, a terminal, /dev/null: nothing to keep, nothing to rename. */
static enum status write_in_place(const char *path, size_t count, const struct file_part *parts, struct error *error)
{
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0)
        return cannot(error, path, "open");
    bool written = write_parts(descriptor, count, parts);
    if (!written)
        cannot(error, path, "write");
    if (close(descriptor) != 0 && written) {
        cannot(error, path, "write");
        written = false;
    }
    return written ? STATUS_OK : STATUS_IO;
}

/* A name for a new file in the folder of `target`. */
static bool name_beside(const char *target, int attempt, char *name, size_t bytes)
{
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target) + 1 : 0;
    int length = snprintf(name, bytes, "%.*s.infer-%ld-%d", folder, target, (long)getpid(), attempt);
    errno = ENAMETOOLONG;
    return length >= 0 && (size_t)length < bytes;
}

/* A file without a name, which goes with the process should that be killed; -1: not on this file system. */
static int create_nameless(const char *target)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(target, '/');
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == target ? 1 : (int)(slash - target), target);
    if (access("/proc/self/fd", X_OK) != 0) /* the way to give it a name */
        return -1;
    return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
}

/* Opens a new file in the folder of `target` and puts its name in `name`, "" where it has none yet. Not mkstemp: it
 * would ignore the umask. */
static int create_beside(const char *target, char *name, size_t bytes)
{
    int descriptor = create_nameless(target);
    *name = '\0';
    for (int attempt = 0; descriptor < 0 && attempt < NAME_ATTEMPTS; attempt++) {
        if (!name_beside(target, attempt, name, bytes))
            return -1;
        descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno != EEXIST)
            return -1;
    }
    return descriptor;
}

static bool name_file(int descriptor, const char *target, char *name, size_t bytes)
{
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", descriptor);
    for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
        if (!name_beside(target, attempt, name, bytes))
            break;
        if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    *name = '\0';
    return false;
}

/* The sync matters only where there is an old file to lose: without it a power cut soon after the rename could leave
 * neither. */
static bool fill(int descriptor, size_t count, const struct file_part *parts, const struct stat *old)
{
    bool filled = write_parts(descriptor, count, parts);
    if (filled && old)
        filled = fchmod(descriptor, old->st_mode & 07777) == 0 && fsync(descriptor) == 0;
    return filled;
}

/* Writes, closes, and puts the file in the place of `target`. */
static bool replace(int descriptor, const char *target, char *name, size_t bytes, size_t count,
                    const struct file_part *parts, const struct stat *old)
{
    bool done = fill(descriptor, count, parts, old) && (*name || name_file(descriptor, target, name, bytes));
    int first_errno = errno;
    if (close(descriptor) != 0 && done)
        return false;
    errno = first_errno;
    return done && rename(name, target) == 0;
}

enum status file_write_parts(const char *path, size_t count, const struct file_part *parts, struct error *error)
{
    if (strcmp(path, "-") == 0)
        return write_parts(STDOUT_FILENO, count, parts) ? STATUS_OK : cannot(error, "standard output", "write");
    char resolved[PATH_MAX], temporary[PATH_MAX];
    const char *target = path;
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists) {
        if (S_ISDIR(info.st_mode))
            return error_set(error, STATUS_IO, "%s: cannot write: is a directory", path);
        if (!S_ISREG(info.st_mode))
            return write_in_place(path, count, parts, error);
        if (!realpath(path, resolved))
            return cannot(error, path, "write");
        target = resolved;
    }
    int descriptor = create_beside(target, temporary, sizeof temporary);
    if (descriptor < 0)
        return cannot(error, path, "make a new file beside it");
    if (replace(descriptor, target, temporary, sizeof temporary, count, parts, exists ? &info : NULL))
        return STATUS_OK;
    enum status status = cannot(error, path, "write");
    if (*temporary)
        unlink(temporary);
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t size, struct error *error)
{
    return file_write_parts(path, 1, &(struct file_part){bytes, size}, error);
}
