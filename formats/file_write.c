#include "formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_ATTEMPTS 1000

static enum status cannot(struct error *error, const char *name, const char *what)
{
    return error_set(error, STATUS_IO, "%s: cannot %s: %s", name, what, strerror(errno));
}

static bool write_bytes(int descriptor, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_parts(int descriptor, size_t count, const struct file_part *parts)
{
    for (size_t i = 0; i < count; i++)
        if (!write_bytes(descriptor, parts[i].bytes, parts[i].size))
            return false;
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

/* Opens a new file in the folder of `target` and puts its name in `name`. Not mkstemp: it would ignore the umask. */
static int create_beside(const char *target, char *name, size_t bytes)
{
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target) + 1 : 0;
    for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
        int length = snprintf(name, bytes, "%.*s.infer-%ld-%d", folder, target, (long)getpid(), attempt);
        if (length < 0 || (size_t)length >= bytes) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

/* Writes and closes. The sync matters only where there is an old file to lose: without it a power cut soon after the
 * rename could leave neither. */
static bool fill(int descriptor, size_t count, const struct file_part *parts, const struct stat *old)
{
    bool filled = write_parts(descriptor, count, parts);
    if (filled && old)
        filled = fchmod(descriptor, old->st_mode & 07777) == 0 && fsync(descriptor) == 0;
    int first_errno = errno;
    if (close(descriptor) != 0)
        return false;
    errno = first_errno;
    return filled;
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
    if (fill(descriptor, count, parts, exists ? &info : NULL) && rename(temporary, target) == 0)
        return STATUS_OK;
    enum status status = cannot(error, path, "write");
    unlink(temporary);
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t size, struct error *error)
{
    return file_write_parts(path, 1, &(struct file_part){bytes, size}, error);
}
