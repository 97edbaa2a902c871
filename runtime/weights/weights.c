#include "runtime/weights/weights.h"

#include "formats/hash.h"

#include <string.h>
#include <unistd.h>

void weights_init(struct weights *weights, const struct allocator *allocator, const struct allocator *memory)
{
    memset(weights, 0, sizeof *weights);
    weights->allocator = allocator;
    weights->memory = memory ? memory : allocator;
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
    release(weights->memory, entry->data, entry->bytes);
    release(weights->allocator, entry, entry->size - entry->bytes);
}

/* --- claims ---------------------------------------------------------------------------------------------- */

static struct weight_claim **find_claim(struct weight *entry, const struct weight_account *account)
{
    struct weight_claim **link = &entry->claims;
    while (*link && (*link)->account != account)
        link = &(*link)->next;
    return link;
}

static bool reserve(struct weight_account *account, size_t bytes)
{
    if (account->budget && !budget_reserve(account->budget, bytes))
        return false;
    atomic_fetch_add(&account->bytes, bytes);
    return true;
}

static void give_back(struct weight_account *account, size_t bytes)
{
    atomic_fetch_sub(&account->bytes, bytes);
    if (account->budget)
        budget_return(account->budget, bytes);
}

static void add_claim(struct weight *entry, struct weight_claim *claim, struct weight_account *account)
{
    *claim = (struct weight_claim){.next = entry->claims, .account = account, .holders = 1};
    entry->claims = claim;
}

static struct weight_claim *new_claim(const struct weights *weights, struct weight_account *account,
                                      struct error *error)
{
    static const char what[] = "for what is derived from weights";
    struct weight_claim *claim = account->budget ? budget_take(account->budget, sizeof *claim, what, error)
                                                 : allocate(weights->allocator, sizeof *claim, ALIGNMENT);
    if (claim)
        atomic_fetch_add(&account->table_bytes, sizeof *claim);
    else
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory %s", what);
    return claim;
}

static void free_claim(const struct weights *weights, struct weight_account *account, struct weight_claim *claim)
{
    atomic_fetch_sub(&account->table_bytes, sizeof *claim);
    release(account->budget ? &account->budget->allocator : weights->allocator, claim, sizeof *claim);
}

/* One holder less. Returns the claim where it was the account's last, which is then not among the entry's any more. The
 * store is locked. */
static struct weight_claim *drop_claim(struct weight *entry, const struct weight_account *account)
{
    struct weight_claim **link = account ? find_claim(entry, account) : NULL, *claim = link ? *link : NULL;
    if (!claim || --claim->holders > 0)
        return NULL;
    *link = claim->next;
    return claim;
}

static void let_go(struct weights *weights, struct weight_account *account, struct weight *entry)
{
    pthread_mutex_lock(&weights->mutex);
    struct weight_claim *claim = drop_claim(entry, account);
    bool last = --entry->references == 0;
    if (last && entry->state == WEIGHT_READY)
        unlink_entry(weights, entry);
    size_t size = entry->size;
    bool apart = claim && claim != &entry->first;
    pthread_mutex_unlock(&weights->mutex);
    if (apart)
        free_claim(weights, account, claim);
    if (last)
        free_entry(weights, entry);
    if (claim)
        give_back(account, size);
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

static enum status past_limit(size_t bytes, struct error *error)
{
    return error_set(error, STATUS_MEMORY_LIMIT,
                     "%zu bytes more would be derived from weights, which the memory limit has no room for", bytes);
}

static enum status fill(struct weights *weights, struct weight *entry, weight_maker *make, void *user,
                        struct error *error)
{
    entry->data = allocate(weights->memory, entry->bytes, ALIGNMENT);
    if (!entry->data && weights->memory != weights->allocator)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s", "");
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
        let_go(weights, entry->first.account, entry);
    return status;
}

/* --- holders --------------------------------------------------------------------------------------------- */

void weight_holder_init(struct weight_holder *holder, struct weights *weights, const struct weight_holder *outer,
                        struct weight_account *account, struct region *region)
{
    *holder = (struct weight_holder){
        .weights = weights,
        .outer = outer,
        .region = region,
        .bytes = outer ? outer->bytes : 0,
        .account = account || !outer ? account : outer->account,
    };
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

/* Room for one more entry, beside those that are being made; false: no memory. */
static bool has_room(struct weight_holder *holder)
{
    if (holder->count + holder->awaited < holder->capacity)
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

bool weight_holder_move(struct weight_holder *holder, struct region *region)
{
    struct weight **copy = region_array(region, (size_t)holder->count, sizeof *copy);
    if (!copy)
        return false;
    if (holder->count)
        memcpy(copy, holder->entries, (size_t)holder->count * sizeof *copy);
    holder->entries = copy;
    holder->capacity = holder->count;
    return true;
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
        let_go(holder->weights, holder->account, entry);
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

/* A new entry, reserved by the account, is claimed for it, put into the store and made; unless another thread was
 * first, whose entry it then is, without a claim. */
static enum status make_entry(struct weights *weights, struct weight_account *account, struct weight *fresh,
                              weight_maker *make, void *user, struct weight **entry, struct error *error)
{
    size_t size = fresh->size;
    if (account)
        add_claim(fresh, &fresh->first, account);
    pthread_mutex_lock(&weights->mutex);
    *entry = put_or_await(weights, fresh);
    pthread_mutex_unlock(&weights->mutex);
    if (*entry == fresh)
        return finish(weights, fresh, make, user, error);
    free_entry(weights, fresh);
    if (account)
        give_back(account, size);
    return *entry ? STATUS_OK : error_set(error, STATUS_UNSUPPORTED, "what is derived from weights needs itself");
}

/* Another holder of the account has the entry; this one is one more. */
static bool join_claim(struct weights *weights, struct weight_account *account, struct weight *entry)
{
    pthread_mutex_lock(&weights->mutex);
    struct weight_claim *claim = *find_claim(entry, account);
    if (claim)
        claim->holders++;
    pthread_mutex_unlock(&weights->mutex);
    return claim != NULL;
}

/* Of an entry that others have made, and that this thread has a reference to. */
static enum status claim_entry(struct weights *weights, struct weight_account *account, struct weight *entry,
                               struct error *error)
{
    if (!account || join_claim(weights, account, entry))
        return STATUS_OK;
    if (!reserve(account, entry->size))
        return past_limit(entry->size, error);
    struct error from = {0};
    struct weight_claim *claim = new_claim(weights, account, &from);
    if (!claim) {
        give_back(account, entry->size);
        return error_set(error, from.status, "%s", from.text);
    }
    pthread_mutex_lock(&weights->mutex);
    struct weight_claim *other = *find_claim(entry, account);
    if (other)
        other->holders++;
    else
        add_claim(entry, claim, account);
    pthread_mutex_unlock(&weights->mutex);
    if (other) {
        free_claim(weights, account, claim);
        give_back(account, entry->size);
    }
    return STATUS_OK;
}

/* A reference to the entry of a key that exists, or is being made by another thread; NULL: there is none. */
static struct weight *find_made(struct weights *weights, const void *key, size_t key_bytes, uint64_t hash)
{
    struct weight *entry;
    pthread_mutex_lock(&weights->mutex);
    do
        entry = find(weights, key, key_bytes, hash);
    while (entry && !(entry->state == WEIGHT_MAKING && pthread_equal(entry->maker, pthread_self())) &&
           !await(weights, entry));
    if (entry && entry->state == WEIGHT_MAKING) /* by this thread, which put_or_await finds out */
        entry = NULL;
    pthread_mutex_unlock(&weights->mutex);
    return entry;
}

static enum status obtain(struct weights *weights, struct weight_account *account, const void *key, size_t key_bytes,
                          uint64_t hash, size_t bytes, weight_maker *make, void *user, struct weight **entry,
                          struct error *error)
{
    *entry = find_made(weights, key, key_bytes, hash);
    if (!*entry) {
        size_t size = sizeof(struct weight) + key_bytes + bytes;
        if (account && !reserve(account, size))
            return past_limit(size, error);
        struct weight *fresh = new_entry(weights, key, key_bytes, hash, bytes);
        if (!fresh && account)
            give_back(account, size);
        if (!fresh)
            return no_memory(bytes, error);
        enum status status = make_entry(weights, account, fresh, make, user, entry, error);
        if (status != STATUS_OK || *entry == fresh)
            return status;
    }
    enum status status = claim_entry(weights, account, *entry, error);
    if (status != STATUS_OK)
        let_go(weights, NULL, *entry);
    return status;
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

enum status weights_get(struct weight_holder *holder, const void *key, size_t key_bytes, size_t bytes, size_t limit,
                        weight_maker *make, void *user, const struct weight **result, struct error *error)
{
    size_t size;
    uint64_t hash = xxh64(key, key_bytes, 0);
    struct weight *entry = find_held(holder, key, key_bytes, hash);
    *result = entry;
    if (entry)
        return STATUS_OK;
    if (!add_size(sizeof *entry + key_bytes, bytes, &size) || size > limit)
        return error_set(error, STATUS_MEMORY_LIMIT,
                         "%zu bytes more would be derived from weights, past the limit, which leaves %zu", bytes,
                         limit);
    if (!has_room(holder))
        return no_memory(bytes, error);
    holder->awaited++;
    enum status status =
        obtain(holder->weights, holder->account, key, key_bytes, hash, bytes, make, user, &entry, error);
    holder->awaited--;
    if (status != STATUS_OK)
        return status;
    add(holder, entry);
    *result = entry;
    return STATUS_OK;
}

void weight_holder_free(struct weight_holder *holder)
{
    for (int i = 0; i < holder->count; i++)
        let_go(holder->weights, holder->account, holder->entries[i]);
    *holder = (struct weight_holder){0};
}
