/* Constants that are computed from constants, kept in the weight store: how they are named there. */
#ifndef INFER_RUNTIME_WEIGHTS_DERIVE_H
#define INFER_RUNTIME_WEIGHTS_DERIVE_H

#include "graph/steps/step.h"
#include "runtime/weights/stored.h"
#include "runtime/weights/weights.h"

/* Smaller results stay with their graph; so do those that no key can name. */
#define STORED_LEAST 1024

/* Sees each pack that is made of, or stored for, what lies in the file, each time that a program asks for it. */
struct pack_observer {
    void (*packed)(void *user, const struct stored_wanted *pack, const void *data);
    void *user;
};

/* Who shares out the tasks of a pack: calls `work` for all of them, and returns when they are done. */
struct pack_threads {
    void (*run)(void *user, int tasks, void (*work)(void *work_user, int first, int last, int lane), void *work_user);
    void *user;
};

/* The results that a session, or a program, uses. A result is named by the operator, its attributes and its operands
 * (of a step: by family, parameters and operands), and an operand by what it is: small content itself, another result
 * by its own name, and what lasts as long as the session by its address. */
struct derived {
    struct result_store store;
    struct weight_holder holder;
    /* What lasts: the model's constants in its file, and the memory of the session's graph. */
    const char *file;
    size_t file_bytes;
    const struct region *session;
    const struct stored_packs *stored;    /* in that file; NULL: none */
    struct pack_threads threads;          /* run NULL: the calling thread does all */
    const struct pack_observer *observer; /* NULL: nobody looks. Set before the first program */
};

/* A session's, which counts on `account` (NULL: on none); lists go in its region. */
void derived_init(struct derived *derived, struct weights *weights, struct weight_account *account, const void *file,
                  size_t file_bytes, struct region *session);
/* A program's, which has beside its own results those of `outer`: its session's, or its parent's. */
void derived_init_within(struct derived *derived, const struct derived *outer, struct region *region);

/* Pack `which` of the step's plan: as the file has it, or made by the step's kernel from one of its inputs. Where no
 * name lasts for the input, the pack is the program's own: it goes in `region` then, and its bytes are added to *own.
 * `limit` is what the session's limit leaves. */
enum status derived_pack(struct derived *derived, const struct step *step, int which, size_t limit,
                         struct region *region, size_t *own, const void **pack, struct error *error);

/* Where constants of steps on a device go: a store whose entries lie in its memory. */
struct upload {
    struct weight_holder *holder;
    enum status (*copy)(void *user, void *to, const void *from, size_t bytes, struct error *error); /* done on return */
    void *user;
    const void *owner; /* of the holder: what no name lasts for is named by its address, and a number */
    uint64_t *unnamed; /* how many there are of those */
};

/* The same pack as derived_pack makes, on the device; it passes through memory of the region's allocator. */
enum status derived_upload_pack(struct derived *derived, struct upload *upload, const struct step *step, int which,
                                const void **address, struct error *error);
/* A constant as it is: a root, of at least one byte. */
enum status derived_upload(struct derived *derived, struct upload *upload, const struct value *constant,
                           const void **address, struct error *error);

/* For those of its own results that are read: one mark each, in the region; NULL: no memory. */
unsigned char *derived_marks(const struct derived *derived, struct region *region);
void derived_mark(const struct derived *derived, unsigned char *marks, const struct value *value); /* NULL is fine */
void derived_mark_pack(const struct derived *derived, unsigned char *marks, const void *pack);
/* Lets go of results that have no mark; values of the graph that lie in them are constants no more. */
void derived_keep_marked(struct derived *derived, const unsigned char *marks, const struct graph *graph);

#endif
