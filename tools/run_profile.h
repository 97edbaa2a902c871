/* A run as a Chrome trace, which chrome://tracing and Perfetto open. */
#ifndef INFER_TOOLS_RUN_PROFILE_H
#define INFER_TOOLS_RUN_PROFILE_H

#include "kernels/base.h"
#include "runtime/infer.h"

struct profile_event;

struct profile {
    struct region region; /* what the events point to */
    struct profile_event *events;
    size_t count, capacity;
    double origin, started; /* seconds_now */
    bool no_memory;
};

void profile_start(struct profile *profile);
void profile_free(struct profile *profile);
/* The two observers; `user` is the profile. */
void profile_before(void *user, const infer_step *step);
void profile_after(void *user, const infer_step *step);
enum status profile_write(const struct profile *profile, const char *path, const char *model, struct error *error);

#endif
