#include "runtime/weights/weights.h"

#include "formats/hash.h"

#include <string.h>
#include <unistd.h>

void weights_init(struct weights *weights, const struct allocator *allocator)
{
    memset(weights, 0, sizeof *weights);
    weights->allocator = allocator;
    weights->process = getpid();
    pthread_mutex_init(&weights->mutex, NULL);
    pthread_cond_init(&weights->made, NULL);
}

void weights_free(struct weights *weights)
{
    if (weights->process != getpid())
        return;
    pthread_cond_destroy(&weights->made);
    pthread_mutex_destroy(&weights->mutex);
}

/* --- entries --------------------------------------------------------------------------------------------- */

static struct weight **bucket_of(struct weights *weights, uint64_t hash)
{
    return &weights->buckets[hash % WEIGHT_BUCKETS];
}

static bool has_key(const struct weight *entry, const void *key, size_t key_bytes, uint64_t hash)
{
    return entry->hash == hash && entry->key_bytes == key_bytes && memcmp(entry->key, key, key_bytes) == 0;
}

static struct weight *find(struct weights *weights, const void *key, size_t key_bytes, uint64_t hash)
{
    struct weight *entry = *bucket_of(weights, hash);
    while (entry && !has_key(entry, key, key_bytes, hash))
        entry = entry->next;
    return entry;
}

static void unlink_entry(struct weights *weights, const struct weight *entry)
{
    struct weight **link = bucket_of(weights, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
}

/* Of an entry that is not in the store, or not any more. */
static void free_entry(struct weights *weights, struct weight *entry)
{
    if (entry->data)
        atomic_fetch_sub(&weights->bytes, entry->size);
    release(weights->allocator, entry->data, entry->bytes);
    release(weights->allocator, entry, entry->size - entry->bytes);
}

static void let_go(struct weights *weights, struct weight *entry)
{
    pthread_mutex_lock(&weights->mutex);
    bool last = --entry->references == 0;
    if (last && entry->state == WEIGHT_READY)
        unlink_entry(weights, entry);
    pthread_mutex_unlock(&weights->mutex);
    if (last)
        free_entry(weights, entry);
}

/* With its key, without its data. */
static struct weight *new_entry(struct weights *weights, const void *key, size_t key_bytes, uint64_t hash, size_t bytes)
{
    size_t own;
    struct weight *entry =
        add_size(sizeof *entry, key_bytes, &own) ? allocate(weights->allocator, own, ALIGNMENT) : NULL;
    if (!entry)
        return NULL;
    memcpy(entry + 1, key, key_bytes);
    *entry = (struct weight){.bytes = bytes,
                             .key = entry + 1,
                             .key_bytes = key_bytes,
                             .size = own + bytes,
                             .hash = hash,
                             .references = 1,
                             .maker = pthread_self()};
    return entry;
}

static enum status no_memory(size_t bytes, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for %zu bytes that are derived from weights", bytes);
}

static enum status fill(struct weights *weights, struct weight *entry, weight_maker *make, void *user,
                        struct error *error)
{
    entry->data = allocate(weights->allocator, entry->bytes, ALIGNMENT);
    if (!entry->data)
        return no_memory(entry->bytes, error);
    atomic_fetch_add(&weights->bytes, entry->size);
    return make(user, entry->data, error);
}

/* Makes an entry that this thread has put into the store. */
static enum status finish(struct weights *weights, struct weight *entry, weight_maker *make, void *user,
                          struct error *error)
{
    enum status status = fill(weights, entry, make, user, error);
    pthread_mutex_lock(&weights->mutex);
    entry->state = status == STATUS_OK ? WEIGHT_READY : WEIGHT_FAILED;
    if (status != STATUS_OK)
        unlink_entry(weights, entry);
    pthread_cond_broadcast(&weights->made);
    pthread_mutex_unlock(&weights->mutex);
    if (status != STATUS_OK)
        let_go(weights, entry);
    return status;
}

/* --- holders --------------------------------------------------------------------------------------------- */

void weight_holder_init(struct weight_holder *holder, struct weights *weights, const struct weight_holder *outer,
                        struct region *region)
{
    *holder =
        (struct weight_holder){.weights = weights, .outer = outer, .region = region, .bytes = outer ? outer->bytes : 0};
}

/* How many of its entries lie at lower addresses than `pointer`, or begin there. */
static int rank_of(const struct weight_holder *holder, const void *pointer)
{
    int low = 0, high = holder->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((uintptr_t)holder->entries[middle]->data <= (uintptr_t)pointer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int weight_holder_index(const struct weight_holder *holder, const void *pointer)
{
    int index = rank_of(holder, pointer) - 1;
    const struct weight *entry = index >= 0 ? holder->entries[index] : NULL;
    return entry && (uintptr_t)pointer - (uintptr_t)entry->data < entry->bytes ? index : -1;
}

const struct weight *weight_holder_find(const struct weight_holder *holder, const void *pointer)
{
    for (; holder; holder = holder->outer) {
        int index = weight_holder_index(holder, pointer);
        if (index >= 0)
            return holder->entries[index];
    }
    return NULL;
}

/* Room for one more entry; false: no memory. */
static bool has_room(struct weight_holder *holder)
{
    if (holder->count < holder->capacity)
        return true;
    int capacity = holder->capacity ? holder->capacity * 2 : 16;
    struct weight **larger = region_array(holder->region, (size_t)capacity, sizeof *larger);
    if (!larger)
        return false;
    if (holder->count)
        memcpy(larger, holder->entries, (size_t)holder->count * sizeof *larger);
    holder->entries = larger;
    holder->capacity = capacity;
    return true;
}

static void add(struct weight_holder *holder, struct weight *entry)
{
    int rank = rank_of(holder, entry->data);
    memmove(holder->entries + rank + 1, holder->entries + rank,
            (size_t)(holder->count - rank) * sizeof *holder->entries);
    holder->entries[rank] = entry;
    holder->count++;
    holder->bytes += entry->size;
}

void weight_holder_keep(struct weight_holder *holder, const unsigned char *used)
{
    int kept = 0;
    for (int i = 0; i < holder->count; i++) {
        struct weight *entry = holder->entries[i];
        if (used[i]) {
            holder->entries[kept++] = entry;
            continue;
        }
        holder->bytes -= entry->size;
        let_go(holder->weights, entry);
    }
    holder->count = kept;
}

/* --- getting one ----------------------------------------------------------------------------------------- */

/* Waits for an entry that was found in the locked store, and takes a reference. NULL: its maker failed. */
static struct weight *await(struct weights *weights, struct weight *entry)
{
    entry->references++;
    while (entry->state == WEIGHT_MAKING)
        pthread_cond_wait(&weights->made, &weights->mutex);
    if (entry->state == WEIGHT_READY)
        return entry;
    if (--entry->references == 0)
        free_entry(weights, entry);
    return NULL;
}

/* Puts `fresh` into the locked store, unless there is an entry of its key, which is waited for and returned. NULL: it
 * is this very thread that makes it. */
static struct weight *put_or_await(struct weights *weights, struct weight *fresh)
{
    for (;;) {
        struct weight *found = find(weights, fresh->key, fresh->key_bytes, fresh->hash);
        if (!found) {
            struct weight **bucket = bucket_of(weights, fresh->hash);
            fresh->next = *bucket;
            *bucket = fresh;
            return fresh;
        }
        if (found->state == WEIGHT_MAKING && pthread_equal(found->maker, pthread_self()))
            return NULL;
        if ((found = await(weights, found)) != NULL)
            return found;
    }
}

static enum status obtain(struct weights *weights, const void *key, size_t key_bytes, uint64_t hash, size_t bytes,
                          weight_maker *make, void *user, struct weight **entry, struct error *error)
{
    struct weight *fresh = new_entry(weights, key, key_bytes, hash, bytes);
    if (!fresh)
        return no_memory(bytes, error);
    pthread_mutex_lock(&weights->mutex);
    *entry = put_or_await(weights, fresh);
    pthread_mutex_unlock(&weights->mutex);
    if (*entry == fresh)
        return finish(weights, fresh, make, user, error);
    free_entry(weights, fresh);
    return *entry ? STATUS_OK : error_set(error, STATUS_UNSUPPORTED, "what is derived from weights needs itself");
}

/* The entry of a key, if the holder has it already. */
static struct weight *find_held(const struct weight_holder *holder, const void *key, size_t key_bytes, uint64_t hash)
{
    struct weights *weights = holder->weights;
    pthread_mutex_lock(&weights->mutex);
    struct weight *entry = find(weights, key, key_bytes, hash);
    if (entry && (entry->state != WEIGHT_READY || weight_holder_find(holder, entry->data) != entry))
        entry = NULL;
    pthread_mutex_unlock(&weights->mutex);
    return entry;
}

enum status weights_get(struct weight_holder *holder, const void *key, size_t key_bytes, size_t bytes, size_t budget,
                        weight_maker *make, void *user, const struct weight **result, struct error *error)
{
    size_t size;
    uint64_t hash = xxh64(key, key_bytes, 0);
    struct weight *entry = find_held(holder, key, key_bytes, hash);
    *result = entry;
    if (entry)
        return STATUS_OK;
    if (!add_size(sizeof *entry + key_bytes, bytes, &size) || size > budget)
        return error_set(error, STATUS_MEMORY_LIMIT,
                         "%zu bytes more would be derived from weights, past the limit, which leaves %zu", bytes,
                         budget);
    if (!has_room(holder))
        return no_memory(bytes, error);
    enum status status = obtain(holder->weights, key, key_bytes, hash, bytes, make, user, &entry, error);
    if (status != STATUS_OK)
        return status;
    add(holder, entry);
    *result = entry;
    return STATUS_OK;
}

/* --- accounts -------------------------------------------------------------------------------------------- */

void weight_holder_join(struct weight_holder *holder, struct weight_account *account)
{
    pthread_mutex_lock(&holder->weights->mutex);
    holder->account = account;
    holder->next = account->first;
    if (account->first)
        account->first->previous = holder;
    account->first = holder;
    pthread_mutex_unlock(&holder->weights->mutex);
}

static void leave(struct weight_holder *holder)
{
    pthread_mutex_lock(&holder->weights->mutex);
    if (holder->next)
        holder->next->previous = holder->previous;
    if (holder->previous)
        holder->previous->next = holder->next;
    else
        holder->account->first = holder->next;
    pthread_mutex_unlock(&holder->weights->mutex);
}

void weight_holder_free(struct weight_holder *holder)
{
    if (holder->account)
        leave(holder);
    for (int i = 0; i < holder->count; i++)
        let_go(holder->weights, holder->entries[i]);
    *holder = (struct weight_holder){0};
}

size_t weight_account_bytes(struct weights *weights, const struct weight_account *account)
{
    size_t bytes = 0;
    pthread_mutex_lock(&weights->mutex);
    weights->counts++;
    for (const struct weight_holder *holder = account->first; holder; holder = holder->next)
        for (int i = 0; i < holder->count; i++) {
            struct weight *entry = holder->entries[i];
            bytes += entry->counted != weights->counts ? entry->size : 0;
            entry->counted = weights->counts;
        }
    pthread_mutex_unlock(&weights->mutex);
    return bytes;
}
