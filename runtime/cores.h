/* How many processors this process may use. */
#ifndef INFER_RUNTIME_CORES_H
#define INFER_RUNTIME_CORES_H

/* The processors in its affinity mask, or fewer where its control group has a quota of processor time; at least 1. It
 * reads a few files each time: ask once. */
int usable_cores(void);

/* The quota of the groups named in `list` (/proc/self/cgroup) under `mount` (/sys/fs/cgroup) and of the groups around
 * them, versions 1 and 2, in whole processors rounded up; INT_MAX where there is none. */
int quota_cores(const char *list, const char *mount);

#endif
