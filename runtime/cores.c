#include "runtime/cores.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_PATH 1024 /* of a group: its stack is the caller's, who may have little. A longer one sets no quota */

/* The beginning of a small file as text; false where it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    size_t used = 0;
    ssize_t got = 0;
    do {
        got = read(descriptor, text + used, size - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    close(descriptor);
    text[used] = '\0';
    return got == 0;
}

static int cores_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period >= INT_MAX)
        return INT_MAX;
    return (int)(quota / period + (quota % period != 0));
}

/* cpu.max is "200000 100000", or "max 100000" where there is no quota. */
static int cores_version_2(const char *group)
{
    char path[LONGEST_PATH + 32], text[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (!read_text(path, text, sizeof text) || sscanf(text, "%lld %lld", &quota, &period) != 2)
        return INT_MAX;
    return cores_of(quota, period);
}

/* cpu.cfs_quota_us is -1 where there is no quota. */
static int cores_version_1(const char *group)
{
    char path[LONGEST_PATH + 32], quota[64], period[64];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    if (!read_text(path, quota, sizeof quota))
        return INT_MAX;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    if (!read_text(path, period, sizeof period))
        return INT_MAX;
    return cores_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The least of a group and those around it, up to the mount. In a container the group's path may be that of the host,
 * of which nothing is there but the mount itself: files that are missing set no quota. */
static int cores_upward(const char *mount, const char *group, int (*cores)(const char *group))
{
    char path[LONGEST_PATH];
    size_t root = strlen(mount);
    if (snprintf(path, sizeof path, "%s%s", mount, group) >= (int)sizeof path)
        return INT_MAX;
    int least = INT_MAX;
    for (;;) {
        int here = cores(path);
        least = here < least ? here : least;
        char *slash = strrchr(path + root, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static bool has_cpu(const char *controllers)
{
    for (const char *p = controllers; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == ',' || p[3] == '\0'))
            return true;
    }
    return false;
}

/* A line is "4:cpu,cpuacct:/group" in version 1 and "0::/group" in version 2. */
static int cores_of_line(const char *controllers, const char *group, const char *mount)
{
    char hierarchy[LONGEST_PATH];
    if (!*controllers)
        return cores_upward(mount, group, cores_version_2);
    int length = snprintf(hierarchy, sizeof hierarchy, "%s/%s", mount, controllers);
    if (!has_cpu(controllers) || length >= (int)sizeof hierarchy)
        return INT_MAX;
    return cores_upward(hierarchy, group, cores_version_1);
}

int quota_cores(const char *list, const char *mount)
{
    char text[4096], *next;
    int least = INT_MAX;
    if (!read_text(list, text, sizeof text))
        return INT_MAX;
    for (char *line = text; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        int here = cores_of_line(controllers + 1, group, mount);
        least = here < least ? here : least;
    }
    return least;
}

int usable_cores(void)
{
    cpu_set_t set[16]; /* 16,384 processors */
    int cores = sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 1;
    int quota = quota_cores("/proc/self/cgroup", "/sys/fs/cgroup");
    int usable = quota < cores ? quota : cores;
    return usable > 0 ? usable : 1;
}
