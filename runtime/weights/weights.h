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

#include "kernels/base.h"

#include <pthread.h>
#include <stdatomic.h>

#define WEIGHT_BUCKETS 256

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
    uint64_t counted; /* the last count it was part of */
};

struct weights {
    const struct allocator *allocator;
    pid_t process; /* that made it: where another one forked off, nobody waits any more for what was being made */
    pthread_mutex_t mutex; /* of all below and of the store's part of each entry; never held while one is made */
    pthread_cond_t made;   /* an entry is ready, or failed */
    struct weight *buckets[WEIGHT_BUCKETS];
    uint64_t counts;
    atomic_size_t bytes; /* of all entries; see struct weight's size */
};

void weights_init(struct weights *weights, const struct allocator *allocator);
void weights_free(struct weights *weights); /* when nobody holds an entry any more */

/* Those who count together what they hold: a session and its programs. Zeroed at first. */
struct weight_account {
    struct weight_holder *first;
};

/* The entries that one program, or one session, uses: a reference to each, counted once. For one thread, until it
 * joins an account; then it does not change any more. */
struct weight_holder {
    struct weights *weights;
    /* The session's, or the parent program's, which lives longer: what is held there is not held here as well. */
    const struct weight_holder *outer;
    struct region *region;   /* of the list below */
    struct weight **entries; /* by the address of their data */
    int count, capacity;
    size_t bytes; /* of these, and of the outer ones */
    struct weight_account *account;
    struct weight_holder *previous, *next; /* in it */
};

void weight_holder_init(struct weight_holder *holder, struct weights *weights, const struct weight_holder *outer,
                        struct region *region);
/* From now on it is among what weight_account_bytes counts. */
void weight_holder_join(struct weight_holder *holder, struct weight_account *account);
void weight_holder_free(struct weight_holder *holder); /* one that is all zero is fine */

/* Writes all of an entry's data. May ask for other entries, of which its own is made: not for the one it makes, which
 * is an error, nor for one made of that. */
typedef enum status weight_maker(void *user, void *data, struct error *error);

/* Finds the entry of a key, or makes it, and holds it. bytes > 0.
 *
 * Of several threads that want the same one, one makes it, and the others wait. Where it fails, its error is its own:
 * it may have come to a limit that others do not have, so the next of them tries itself.
 *
 * `budget` is what the holder's limit leaves. What it does not hold yet and would take more is refused before it is
 * made, whether or not it exists already: what a session needs is counted against its own limit alone, so two sessions
 * with different limits both count what they share, and neither is let through, or refused, because the other one
 * came first. Errors: MEMORY_LIMIT, OUT_OF_MEMORY, the maker's. */
enum status weights_get(struct weight_holder *holder, const void *key, size_t key_bytes, size_t bytes, size_t budget,
                        weight_maker *make, void *user, const struct weight **entry, struct error *error);

/* The entry, of the holder or an outer one, in whose data `pointer` lies; NULL: none. */
const struct weight *weight_holder_find(const struct weight_holder *holder, const void *pointer);
/* Of its own entries, lets go of those that are not used, by index. Their data may be gone then. */
void weight_holder_keep(struct weight_holder *holder, const unsigned char *used);
/* The index of the entry of its own in whose data `pointer` lies; -1: none. */
int weight_holder_index(const struct weight_holder *holder, const void *pointer);
/* What the holders of an account hold, each entry counted once. For any thread. */
size_t weight_account_bytes(struct weights *weights, const struct weight_account *account);

#endif
