/* The weight store: entries by key, made once, counted and refused by a limit, gone with their last holder. */
#include "tests/counting_allocator.h"
#include "tests/suites.h"

#include "runtime/weights/weights.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT SIZE_MAX

/* A store over a counting allocator; holders' lists come from a region outside it. */
struct bench {
    struct counting counting;
    struct allocator allocator;
    struct weights weights;
    struct region region;
};

static void begin(struct bench *bench)
{
    bench->counting = (struct counting){.fail_at = -1};
    bench->allocator = (struct allocator){counting_allocate, counting_release, &bench->counting};
    weights_init(&bench->weights, &bench->allocator, NULL);
    region_init(&bench->region, &default_allocator);
}

static void end(struct bench *bench)
{
    ck_assert_uint_eq(atomic_load(&bench->weights.bytes), 0);
    ck_assert_int_eq(atomic_load(&bench->counting.bytes), 0);
    weights_free(&bench->weights);
    region_free(&bench->region);
}

static struct weight_holder new_holder_of(struct bench *bench, struct weight_account *account)
{
    struct weight_holder holder;
    weight_holder_init(&holder, &bench->weights, NULL, account, &bench->region);
    return holder;
}

static struct weight_holder new_holder(struct bench *bench, const struct weight_holder *outer)
{
    struct weight_holder holder;
    weight_holder_init(&holder, &bench->weights, outer, NULL, &bench->region);
    return holder;
}

/* A maker that fills its entry with one byte. */
struct filling {
    char byte;
    size_t bytes;
    int failures; /* before it succeeds */
    atomic_int calls;
};

static enum status fill(void *user, void *data, struct error *error)
{
    struct filling *filling = user;
    if (atomic_fetch_add(&filling->calls, 1) < filling->failures)
        return error_set(error, STATUS_FAULT, "no filling");
    memset(data, filling->byte, filling->bytes);
    return STATUS_OK;
}

static enum status get(struct weight_holder *holder, const char *key, struct filling *filling, size_t budget,
                       const struct weight **entry, struct error *error)
{
    return weights_get(holder, key, strlen(key), filling->bytes, budget, fill, filling, entry, error);
}

static const struct weight *get_well(struct weight_holder *holder, const char *key, struct filling *filling)
{
    const struct weight *entry;
    struct error error = {0};
    ck_assert_msg(get(holder, key, filling, NO_LIMIT, &entry, &error) == STATUS_OK, "%s", error.text);
    ck_assert_uint_eq((uintptr_t)entry->data % ALIGNMENT, 0);
    ck_assert_uint_eq(entry->bytes, filling->bytes);
    for (size_t i = 0; i < entry->bytes; i++)
        ck_assert_int_eq(((char *)entry->data)[i], filling->byte);
    return entry;
}

/* --- keys and lives ----------------------------------------------------------------------------------------- */

START_TEST(an_entry_is_made_once_and_goes_with_its_last_holder)
{
    struct bench b;
    begin(&b);
    struct weight_holder first = new_holder(&b, NULL), second = new_holder(&b, NULL);
    struct filling filling = {.byte = 'a', .bytes = 1000};
    const struct weight *entry = get_well(&first, "key", &filling);
    ck_assert_ptr_eq(get_well(&second, "key", &filling), entry);
    ck_assert_ptr_eq(get_well(&second, "key", &filling), entry);
    ck_assert_int_eq(atomic_load(&filling.calls), 1);
    ck_assert_uint_eq(first.bytes, entry->size);
    ck_assert_uint_eq(second.bytes, entry->size);
    ck_assert_int_eq(atomic_load(&b.counting.bytes), (long)entry->size);
    ck_assert_uint_eq(atomic_load(&b.weights.bytes), entry->size);
    weight_holder_free(&first);
    ck_assert_ptr_eq(get_well(&second, "key", &filling), entry);
    weight_holder_free(&second);
    ck_assert_int_eq(atomic_load(&b.counting.bytes), 0);
    first = new_holder(&b, NULL);
    get_well(&first, "key", &filling); /* anew */
    ck_assert_int_eq(atomic_load(&filling.calls), 2);
    weight_holder_free(&first);
    end(&b);
}
END_TEST

START_TEST(every_byte_of_a_key_counts)
{
    struct bench b;
    begin(&b);
    struct weight_holder holder = new_holder(&b, NULL);
    char key[2000];
    const struct weight *entries[sizeof key];
    struct filling filling = {.byte = 'k', .bytes = 8};
    struct error error = {0};
    memset(key, 'x', sizeof key);
    for (size_t length = 1; length <= sizeof key; length++) /* of many buckets, several entries each */
        ck_assert_int_eq(weights_get(&holder, key, length, 8, NO_LIMIT, fill, &filling, &entries[length - 1], &error),
                         STATUS_OK);
    ck_assert_int_eq(atomic_load(&filling.calls), sizeof key);
    for (size_t length = 1; length <= sizeof key; length++) {
        const struct weight *again;
        ck_assert_int_eq(weights_get(&holder, key, length, 8, 0, fill, &filling, &again, &error), STATUS_OK);
        ck_assert_ptr_eq(again, entries[length - 1]);
    }
    key[sizeof key - 1] = 'y';
    const struct weight *other;
    ck_assert_int_eq(weights_get(&holder, key, sizeof key, 8, NO_LIMIT, fill, &filling, &other, &error), STATUS_OK);
    ck_assert_ptr_ne(other, entries[sizeof key - 1]);
    weight_holder_free(&holder);
    end(&b);
}
END_TEST

START_TEST(an_entry_is_found_by_any_address_in_it)
{
    struct bench b;
    begin(&b);
    struct weight_holder outer = new_holder(&b, NULL), inner = new_holder(&b, &outer);
    const struct weight *entries[40];
    char stranger;
    for (int i = 0; i < 40; i++) {
        char key[8];
        struct filling filling = {.byte = (char)i, .bytes = (size_t)(100 + i)};
        snprintf(key, sizeof key, "%d", i);
        entries[i] = get_well(i < 20 ? &outer : &inner, key, &filling);
    }
    for (int i = 0; i < 40; i++) {
        const char *data = entries[i]->data;
        ck_assert_ptr_eq(weight_holder_find(&inner, data), entries[i]);
        ck_assert_ptr_eq(weight_holder_find(&inner, data + 99 + i), entries[i]);
        ck_assert_ptr_ne(weight_holder_find(&inner, data + 100 + i), entries[i]);
        ck_assert_ptr_ne(weight_holder_find(&inner, data - 1), entries[i]);
        ck_assert_ptr_eq(weight_holder_find(&outer, data), i < 20 ? entries[i] : NULL);
        ck_assert_int_eq(weight_holder_index(&inner, data) < 0, i < 20);
    }
    ck_assert_ptr_null(weight_holder_find(&inner, &stranger));
    ck_assert_ptr_null(weight_holder_find(&inner, NULL));
    weight_holder_free(&inner);
    weight_holder_free(&outer);
    end(&b);
}
END_TEST

/* Keeps all but one. */
static void drop(struct weight_holder *holder, const struct weight *entry)
{
    unsigned char used[8];
    memset(used, 1, sizeof used);
    ck_assert_int_ge(weight_holder_index(holder, entry->data), 0);
    used[weight_holder_index(holder, entry->data)] = 0;
    weight_holder_keep(holder, used);
}

START_TEST(a_holder_lets_go_of_what_it_does_not_use)
{
    struct bench b;
    begin(&b);
    struct weight_holder holder = new_holder(&b, NULL), other = new_holder(&b, NULL);
    struct filling filling = {.byte = 'u', .bytes = 500};
    const struct weight *kept = get_well(&holder, "kept", &filling), *dropped = get_well(&holder, "dropped", &filling);
    get_well(&other, "kept", &filling);
    drop(&holder, dropped);
    ck_assert_uint_eq(holder.bytes, kept->size);
    ck_assert_int_eq(atomic_load(&b.counting.bytes), (long)kept->size);
    ck_assert_ptr_eq(weight_holder_find(&holder, kept->data), kept);
    drop(&holder, kept); /* the other one still has it */
    ck_assert_uint_eq(holder.bytes, 0);
    ck_assert_ptr_eq(get_well(&other, "kept", &filling), kept);
    weight_holder_free(&holder);
    weight_holder_free(&other);
    end(&b);
}
END_TEST

/* --- limits and counts -------------------------------------------------------------------------------------- */

START_TEST(what_passes_the_limit_is_refused_before_it_is_made)
{
    struct bench b;
    begin(&b);
    struct weight_holder small = new_holder(&b, NULL), large = new_holder(&b, NULL);
    struct filling filling = {.byte = 'l', .bytes = 1000};
    struct error error = {0};
    const struct weight *entry;
    ck_assert_int_eq(get(&small, "key", &filling, 1000, &entry, &error), STATUS_MEMORY_LIMIT);
    ck_assert_ptr_null(entry);
    ck_assert_msg(strstr(error.text, "past the limit") != NULL, "%s", error.text);
    ck_assert_int_eq(atomic_load(&filling.calls), 0);
    ck_assert_int_eq(atomic_load(&b.counting.calls), 0);
    size_t size = get_well(&large, "key", &filling)->size;
    /* That the other one made it lets it not through either, and nothing is asked of it that it has. */
    ck_assert_int_eq(get(&small, "key", &filling, size - 1, &entry, &error), STATUS_MEMORY_LIMIT);
    ck_assert_int_eq(get(&small, "key", &filling, size, &entry, &error), STATUS_OK);
    ck_assert_int_eq(get(&small, "key", &filling, 0, &entry, &error), STATUS_OK);
    ck_assert_int_eq(atomic_load(&filling.calls), 1);
    filling.bytes = SIZE_MAX;
    ck_assert_int_eq(get(&small, "beyond all", &filling, NO_LIMIT, &entry, &error), STATUS_MEMORY_LIMIT);
    weight_holder_free(&small);
    weight_holder_free(&large);
    end(&b);
}
END_TEST

START_TEST(an_account_counts_each_entry_once)
{
    struct bench b;
    begin(&b);
    struct weight_account account = {0}, other_account = {0};
    struct weight_holder session = new_holder_of(&b, &account), program = new_holder_of(&b, &account);
    struct filling filling = {.byte = 'c', .bytes = 300};
    size_t one = get_well(&session, "a", &filling)->size, claim = sizeof(struct weight_claim);
    struct weight_holder child = new_holder(&b, &session), stranger = new_holder_of(&b, &other_account);
    ck_assert_uint_eq(child.bytes, one);
    get_well(&child, "a", &filling); /* the session has it */
    ck_assert_uint_eq(child.bytes, one);
    get_well(&child, "b", &filling);
    ck_assert_uint_eq(child.bytes, 2 * one);
    get_well(&program, "b", &filling);
    get_well(&stranger, "a", &filling);
    get_well(&stranger, "c", &filling);
    ck_assert_uint_eq(atomic_load(&account.bytes), 2 * one);
    ck_assert_uint_eq(atomic_load(&other_account.bytes), 2 * one);
    ck_assert_uint_eq(atomic_load(&other_account.table_bytes), claim);
    ck_assert_uint_eq(atomic_load(&b.weights.bytes), 3 * one);
    ck_assert_int_eq(atomic_load(&b.counting.bytes), (long)(3 * one + claim));
    weight_holder_free(&child);
    ck_assert_uint_eq(atomic_load(&account.bytes), 2 * one);
    weight_holder_free(&program);
    ck_assert_uint_eq(atomic_load(&account.bytes), one);
    weight_holder_free(&session); /* which had made "a" */
    ck_assert_uint_eq(atomic_load(&account.bytes), 0);
    get_well(&stranger, "a", &filling);
    weight_holder_free(&stranger);
    ck_assert_uint_eq(atomic_load(&other_account.bytes), 0);
    end(&b);
}
END_TEST

START_TEST(an_account_takes_no_more_than_its_budget)
{
    struct bench b;
    begin(&b);
    struct budget budget;
    struct weight_account account = {.budget = &budget};
    struct weight_holder rich = new_holder(&b, NULL), first = new_holder_of(&b, &account);
    struct weight_holder second = new_holder_of(&b, &account);
    struct filling filling = {.byte = 'd', .bytes = 1000};
    const struct weight *entry;
    struct error error = {0};
    budget_init(&budget, NULL, &b.allocator, 2500);
    get_well(&first, "a", &filling);
    get_well(&second, "a", &filling); /* reserved already */
    size_t held = atomic_load(&budget.held);
    ck_assert_uint_eq(held, get_well(&first, "a", &filling)->size);
    get_well(&rich, "b", &filling);
    get_well(&second, "b", &filling);
    ck_assert_int_eq(get(&first, "c", &filling, NO_LIMIT, &entry, &error), STATUS_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "memory limit"));
    get_well(&rich, "c", &filling);
    ck_assert_int_eq(get(&first, "c", &filling, NO_LIMIT, &entry, NULL), STATUS_MEMORY_LIMIT); /* made or not */
    weight_holder_free(&second);
    ck_assert_uint_eq(atomic_load(&budget.held), held);
    get_well(&first, "c", &filling);
    weight_holder_free(&first);
    ck_assert_uint_eq(atomic_load(&budget.held), 0);
    weight_holder_free(&rich);
    end(&b);
}
END_TEST

/* The budget has room for what others have made, and none for the note that this account has it too. */
START_TEST(a_claim_that_the_limit_refuses_says_so)
{
    struct bench b;
    begin(&b);
    struct budget budget;
    struct weight_account account = {.budget = &budget};
    struct weight_holder rich = new_holder(&b, NULL), poor = new_holder_of(&b, &account);
    struct filling filling = {.byte = 'e', .bytes = 1000};
    const struct weight *entry = get_well(&rich, "a", &filling);
    struct error error = {0};
    budget_init(&budget, NULL, &b.allocator, entry->size);
    ck_assert_int_eq(get(&poor, "a", &filling, NO_LIMIT, &entry, &error), STATUS_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "past the limit"));
    ck_assert_uint_eq(atomic_load(&budget.held), 0);
    weight_holder_free(&rich);
    weight_holder_free(&poor);
    end(&b);
}
END_TEST

/* --- makers ------------------------------------------------------------------------------------------------- */

struct chain {
    struct weight_holder *holder;
    int length;
    enum status inner; /* of asking for itself */
};

static enum status make_link(void *user, void *data, struct error *error);

static enum status get_link(struct chain *chain, int link, const struct weight **entry, struct error *error)
{
    struct chain next = {chain->holder, link, STATUS_OK};
    char key[32];
    int length = snprintf(key, sizeof key, "link %d", link);
    enum status status =
        weights_get(chain->holder, key, (size_t)length, sizeof(int), NO_LIMIT, make_link, &next, entry, error);
    chain->inner = next.inner;
    return status;
}

/* One more than the link before it; link 0 asks for itself first. */
static enum status make_link(void *user, void *data, struct error *error)
{
    struct chain *chain = user;
    const struct weight *before;
    struct error from = {0};
    *(int *)data = 0;
    if (chain->length == 0) {
        chain->inner = get_link(&(struct chain){.holder = chain->holder}, 0, &before, &from);
        return STATUS_OK;
    }
    enum status status = get_link(chain, chain->length - 1, &before, error);
    if (status == STATUS_OK)
        *(int *)data = *(int *)before->data + 1;
    return status;
}

START_TEST(a_maker_may_ask_for_others_but_not_for_itself)
{
    struct bench b;
    begin(&b);
    struct weight_holder holder = new_holder(&b, NULL);
    struct chain chain = {.holder = &holder};
    const struct weight *entry;
    ck_assert_int_eq(get_link(&chain, 20, &entry, NULL), STATUS_OK);
    ck_assert_int_eq(*(int *)entry->data, 20);
    ck_assert_int_eq(holder.count, 21);
    ck_assert_int_eq(chain.inner, STATUS_UNSUPPORTED);
    weight_holder_free(&holder);
    end(&b);
}
END_TEST

START_TEST(a_maker_that_fails_leaves_nothing)
{
    struct bench b;
    begin(&b);
    struct weight_holder holder = new_holder(&b, NULL);
    struct filling filling = {.byte = 'f', .bytes = 100, .failures = 1};
    const struct weight *entry;
    struct error error = {0};
    ck_assert_int_eq(get(&holder, "key", &filling, NO_LIMIT, &entry, &error), STATUS_FAULT);
    ck_assert_str_eq(error.text, "no filling");
    ck_assert_ptr_null(entry);
    ck_assert_uint_eq(holder.bytes, 0);
    ck_assert_int_eq(atomic_load(&b.counting.bytes), 0);
    get_well(&holder, "key", &filling);
    weight_holder_free(&holder);
    end(&b);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (int allowed = 0;; allowed++) {
        struct bench b;
        begin(&b);
        region_free(&b.region);
        region_init(&b.region, &b.allocator);
        b.counting.fail_at = allowed;
        struct weight_holder holder = new_holder(&b, NULL);
        struct filling filling = {.byte = 'm', .bytes = 70};
        enum status status = STATUS_OK;
        for (int i = 0; i < 40 && status == STATUS_OK; i++) {
            char key[8];
            const struct weight *entry;
            snprintf(key, sizeof key, "%d", i);
            status = get(&holder, key, &filling, NO_LIMIT, &entry, NULL);
        }
        ck_assert(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY);
        weight_holder_free(&holder);
        region_free(&b.region);
        end(&b);
        if (status == STATUS_OK) {
            ck_assert_int_gt(allowed, 80);
            return;
        }
    }
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------------------ */

#define THREADS 16

struct cold {
    struct weight_account account;
    struct bench *bench;
    struct filling *filling;
    pthread_barrier_t barrier;
    atomic_int arrived, making, failed, wrong;
};

/* Lets the others come before it goes on. */
static enum status fill_slowly(void *user, void *data, struct error *error)
{
    struct cold *cold = user;
    if (atomic_fetch_add(&cold->making, 1) > 0)
        atomic_fetch_add(&cold->wrong, 1);
    while (atomic_load(&cold->arrived) < THREADS)
        usleep(1000);
    usleep(10000);
    enum status status = fill(cold->filling, data, error);
    atomic_fetch_sub(&cold->making, 1);
    return status;
}

static void *get_cold(void *user)
{
    struct cold *cold = user;
    struct weight_holder holder;
    struct region region;
    const struct weight *entry;
    region_init(&region, &default_allocator);
    weight_holder_init(&holder, &cold->bench->weights, NULL, &cold->account, &region);
    atomic_fetch_add(&cold->arrived, 1);
    enum status status =
        weights_get(&holder, "key", 3, cold->filling->bytes, NO_LIMIT, fill_slowly, cold, &entry, NULL);
    if (status != STATUS_OK)
        atomic_fetch_add(&cold->failed, 1);
    else if (((char *)entry->data)[cold->filling->bytes - 1] != cold->filling->byte)
        atomic_fetch_add(&cold->wrong, 1);
    pthread_barrier_wait(&cold->barrier); /* nobody lets go before all have it */
    weight_holder_free(&holder);
    region_free(&region);
    return NULL;
}

/* The first makers fail: each error is its maker's own, and the next that waits tries. */
START_TEST(threads_that_want_one_entry_wait_for_one_maker)
{
    struct bench b;
    begin(&b);
    struct filling filling = {.byte = 't', .bytes = 100000, .failures = _i};
    struct cold cold = {.bench = &b, .filling = &filling};
    pthread_t threads[THREADS];
    pthread_barrier_init(&cold.barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_cold, &cold), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&cold.failed), _i);
    ck_assert_int_eq(atomic_load(&cold.wrong), 0);
    ck_assert_int_eq(atomic_load(&filling.calls), _i + 1);
    pthread_barrier_destroy(&cold.barrier);
    end(&b);
}
END_TEST

#define KEYS 7
#define ROUNDS 400

struct restless {
    struct bench *bench;
    uint32_t seed;
    bool wrong;
};

/* Takes entries and lets go of them, each of the byte that its key says. */
static void *take_and_leave(void *user)
{
    struct restless *restless = user;
    uint32_t random = restless->seed;
    struct region region;
    region_init(&region, &default_allocator);
    for (int i = 0; i < ROUNDS; i++) {
        struct weight_account account = {0};
        struct weight_holder holder;
        size_t bytes = 0;
        weight_holder_init(&holder, &restless->bench->weights, NULL, &account, &region);
        for (int k = 0; k < 3; k++) {
            random = random * 1664525 + 1013904223;
            char byte = (char)(random >> 24 & 0xff) % KEYS;
            struct filling filling = {.byte = byte, .bytes = 256, .failures = random >> 16 & 1};
            const struct weight *entry;
            if (weights_get(&holder, &byte, 1, 256, NO_LIMIT, fill, &filling, &entry, NULL) == STATUS_OK)
                restless->wrong |= ((char *)entry->data)[random % 256] != byte;
        }
        for (int k = 0; k < holder.count; k++)
            bytes += holder.entries[k]->size;
        restless->wrong |= atomic_load(&account.bytes) != bytes;
        weight_holder_free(&holder);
        restless->wrong |= atomic_load(&account.bytes) != 0 || atomic_load(&account.table_bytes) != 0;
    }
    region_free(&region);
    return NULL;
}

START_TEST(threads_come_and_go)
{
    struct bench b;
    begin(&b);
    pthread_t threads[4];
    struct restless restless[4];
    for (int i = 0; i < 4; i++) {
        restless[i] = (struct restless){.bench = &b, .seed = (uint32_t)i + 1};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_leave, &restless[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!restless[i].wrong);
    }
    end(&b);
}
END_TEST

Suite *weights_suite(void)
{
    Suite *suite = suite_create("weights");
    TCase *tests = tcase_create("weights");
    tcase_add_test(tests, an_entry_is_made_once_and_goes_with_its_last_holder);
    tcase_add_test(tests, every_byte_of_a_key_counts);
    tcase_add_test(tests, an_entry_is_found_by_any_address_in_it);
    tcase_add_test(tests, a_holder_lets_go_of_what_it_does_not_use);
    tcase_add_test(tests, what_passes_the_limit_is_refused_before_it_is_made);
    tcase_add_test(tests, an_account_counts_each_entry_once);
    tcase_add_test(tests, an_account_takes_no_more_than_its_budget);
    tcase_add_test(tests, a_claim_that_the_limit_refuses_says_so);
    tcase_add_test(tests, a_maker_may_ask_for_others_but_not_for_itself);
    tcase_add_test(tests, a_maker_that_fails_leaves_nothing);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_loop_test(tests, threads_that_want_one_entry_wait_for_one_maker, 0, 4);
    tcase_add_test(tests, threads_come_and_go);
    suite_add_tcase(suite, tests);
    return suite;
}
