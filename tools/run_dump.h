/* Every intermediate of a run, a file each. */
#ifndef INFER_TOOLS_RUN_DUMP_H
#define INFER_TOOLS_RUN_DUMP_H

#include "runtime/session.h"

struct dump {
    const char *directory;
    const struct graph *graph; /* as imported */
    bool *shown;               /* by value id of that graph */
    struct error error;        /* the first failure */
};

/* To be called before anything runs: the session's programs keep their graphs, of which dump_finish reads. */
void dump_session(infer_session *session);
/* Makes the directory. */
enum status dump_start(struct dump *dump, const char *directory, const infer_model *model, struct error *error);
void dump_free(struct dump *dump);
/* The observer; `user` is the dump. */
void dump_value(void *user, const char *name, const infer_tensor *tensor);
/* Writes the values that were folded into constants, and calls `missing` with the name of each that has no file: no
 * step computes it, because it was fused with others or nothing needs it. */
enum status dump_finish(struct dump *dump, infer_session *session, const infer_tensor *inputs,
                        void (*missing)(void *user, const char *name), void *user, struct error *error);

#endif
