/* The weight store: what is derived from a model's constants (an f32 copy of f16 weights, a cast, packed panels), made
 * once a model and shared by its sessions, shapes and contexts.
 *
 * An entry is found by a key: bytes of any length that say all its content depends on. Where they name memory by its
 * address, that memory must live as long as whoever holds the entry: the model's file does, and so does what belongs to
 * the session of a holder. Memory of a program does not, for its addresses come back with other content; nor does
 * another entry, which is named by its own key within the key.
 *
 * An entry lives as long as someone holds it. Were it to live as long as the model, then sessions with other options,
 * and shapes met once, would pile up in it; and a caller who drops a session for the memory's sake would get none back.
 * The price is that a session made after the last one was released makes its entries anew, as it makes its programs. */
#ifndef INFER_RUNTIME_WEIGHTS_WEIGHTS_H
#define INFER_RUNTIME_WEIGHTS_WEIGHTS_H

#include "kernels/budget.h"

#include <pthread.h>
#include <stdatomic.h>

#define WEIGHT_BUCKETS 256

/* Who counts together what they hold: a session and its programs. However many of its holders have an entry, it is
 * reserved once in the budget, before it is made. */
struct weight_account {
    struct budget *budget; /* NULL: only counted */
    atomic_size_t bytes;
    atomic_size_t table_bytes; /* beside these: of its claims on what other accounts have made */
};

/* Of one account on one entry. */
struct weight_claim {
    struct weight_claim *next;
    struct weight_account *account;
    int holders; /* of the account that have the entry */
};

struct weight {
    void *data; /* at a multiple of ALIGNMENT; written by its maker, then never again */
    size_t bytes;
    const void *key;
    size_t key_bytes;
    size_t size; /* all that the allocator is asked for: data, key and this */

    /* The store's. */
    struct weight *next;
    uint64_t hash;
    int references;
    enum { WEIGHT_MAKING, WEIGHT_READY, WEIGHT_FAILED } state;
    pthread_t maker;
    struct weight_claim first; /* the maker's; account NULL: not, or no more */
    struct weight_claim *claims;
};

struct weights {
    const struct allocator *allocator;
    const struct allocator *memory; /* of the data: the same, or a device's, whose data the host cannot touch */
    pid_t process; /* that made it: where another one forked off, nobody waits any more for what was being made */
    pthread_mutex_t mutex; /* of all below and of the store's part of each entry; never held while one is made */
    pthread_cond_t made;   /* an entry is ready, or failed */
    struct weight *buckets[WEIGHT_BUCKETS];
    atomic_size_t bytes; /* of all entries; see struct weight's size */
};

/* `memory` is where the data lie: NULL: the allocator's. Where it is not and has too little, weights_get is
 * OUT_OF_MEMORY with no sentence: who knows that memory has one. */
void weights_init(struct weights *weights, const struct allocator *allocator, const struct allocator *memory);
void weights_free(struct weights *weights); /* when nobody holds an entry any more */

/* The entries that one program, or one session, uses: a reference to each, counted once. For one thread. */
struct weight_holder {
    struct weights *weights;
    /* The session's, or the parent program's, which lives longer: what is held there is not held here as well. */
    const struct weight_holder *outer;
    struct region *region;   /* of the list below */
    struct weight **entries; /* by the address of their data */
    int count, capacity;
    int awaited;                    /* entries being made, which there is room for: a maker may ask for others */
    size_t bytes;                   /* of these, and of the outer ones */
    struct weight_account *account; /* what counts them; NULL: none does */
};

/* account NULL: that of the outer one, if there is one. */
void weight_holder_init(struct weight_holder *holder, struct weights *weights, const struct weight_holder *outer,
                        struct weight_account *account, struct region *region);
void weight_holder_free(struct weight_holder *holder); /* one that is all zero is fine */
/* The list's memory comes from the region from now on; it is copied. False: no memory, and nothing has changed. */
bool weight_holder_move(struct weight_holder *holder, struct region *region);

/* Writes all of an entry's data. May ask for other entries, of which its own is made: not for the one it makes, which
 * is an error, nor for one made of that. */
typedef enum status weight_maker(void *user, void *data, struct error *error);

/* Finds the entry of a key, or makes it, and holds it. bytes > 0.
 *
 * Of several threads that want the same one, one makes it, and the others wait. Where it fails, its error is its own:
 * it may have come to a limit that others do not have, so the next of them tries itself.
 *
 * `limit` is what the holder may still take. What it does not hold yet and would take more is refused before it is
 * made, and so is what the budget of its account has no room for, whether or not it exists already: what a session
 * needs is counted against its own limit alone, so two sessions with different limits both count what they share, and
 * neither is let through, or refused, because the other one came first. Errors: MEMORY_LIMIT, OUT_OF_MEMORY, the
 * maker's. */
enum status weights_get(struct weight_holder *holder, const void *key, size_t key_bytes, size_t bytes, size_t limit,
                        weight_maker *make, void *user, const struct weight **entry, struct error *error);

/* The entry, of the holder or an outer one, in whose data `pointer` lies; NULL: none. */
const struct weight *weight_holder_find(const struct weight_holder *holder, const void *pointer);
/* Of its own entries, lets go of those that are not used, by index. Their data may be gone then. */
void weight_holder_keep(struct weight_holder *holder, const unsigned char *used);
/* The index of the entry of its own in whose data `pointer` lies; -1: none. */
int weight_holder_index(const struct weight_holder *holder, const void *pointer);

#endif
