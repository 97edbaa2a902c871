#include "predictor/predictor.h"

static infer_prediction **bucket_of(struct infer_predictor *predictor, struct hash_128 key)
{
    return &predictor->flights[key.high % FLIGHT_BUCKETS];
}

/* --- at the beginning --------------------------------------------------------------------------------------------- */

static struct cache_entry *find(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    predictor_lock(predictor);
    struct cache_entry *entry = cache_find(&predictor->cache, prediction->key);
    predictor_unlock(predictor);
    if (!entry || cache_same(entry->tensors, prediction->given, prediction->given_count))
        return entry;
    predictor_lock(predictor);
    cache_drop(&predictor->cache, entry);
    predictor_unlock(predictor);
    return NULL;
}

bool flight_lands(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (!prediction->keyed)
        return false;
    prediction->key = cache_key(prediction->given, prediction->given_count);
    struct cache_entry *entry = find(prediction);
    if (!entry)
        return false;
    prediction->status = results_copy(prediction, entry->tensors + entry->given_count);
    predictor_lock(predictor);
    cache_use(&predictor->cache, entry);
    cache_note(&predictor->cache, true);
    cache_drop(&predictor->cache, entry);
    prediction_end(prediction, prediction->status);
    predictor_unlock(predictor);
    return true;
}

/* By the key alone: whether the content is the same is looked at without the mutex, by flight_copy. */
static infer_prediction *leader_of(const infer_prediction *prediction)
{
    if (!prediction->keyed)
        return NULL;
    infer_prediction *leader = *bucket_of(prediction->predictor, prediction->key);
    while (leader && !(leader->key.low == prediction->key.low && leader->key.high == prediction->key.high))
        leader = leader->flight;
    return leader;
}

/* What was kept since flight_lands looked: with a reference, and by the key alone. */
static struct cache_entry *kept_meanwhile(const infer_prediction *prediction)
{
    return prediction->keyed ? cache_find(&prediction->predictor->cache, prediction->key) : NULL;
}

bool flight_is_known(const infer_prediction *prediction)
{
    struct cache_entry *entry = kept_meanwhile(prediction);
    if (!entry)
        return leader_of(prediction) != NULL;
    cache_drop(&prediction->predictor->cache, entry);
    return true;
}

bool flight_lands_now(infer_prediction *prediction)
{
    struct cache *cache = &prediction->predictor->cache;
    prediction->entry = kept_meanwhile(prediction);
    if (!prediction->entry)
        return false;
    cache_use(cache, prediction->entry);
    cache_note(cache, true);
    return true;
}

bool flight_follows(infer_prediction *prediction)
{
    prediction->leader = leader_of(prediction);
    if (!prediction->leader)
        return false;
    prediction->predictor->cache.shared++;
    cache_note(&prediction->predictor->cache, true);
    return true;
}

static void enter_table(infer_prediction *prediction)
{
    infer_prediction **bucket = bucket_of(prediction->predictor, prediction->key);
    prediction->leads = true;
    prediction->flight = *bucket;
    *bucket = prediction;
}

void flight_leads(infer_prediction *prediction)
{
    if (!prediction->keyed)
        return;
    cache_note(&prediction->predictor->cache, false);
    enter_table(prediction);
}

/* --- at the end --------------------------------------------------------------------------------------------------- */

/* What may turn out otherwise for an equal request, which may have more room for its results. */
static bool is_its_own(infer_status status)
{
    return status == INFER_CANCELLED || status == INFER_DEADLINE || status == INFER_BUSY ||
           status == INFER_OUT_OF_MEMORY || status == INFER_MEMORY_LIMIT || status == INFER_INVALID_ARGUMENT;
}

void flight_keep(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    infer_status status = prediction->status;
    if (!prediction->leads || is_its_own(status))
        return;
    prediction->entry = cache_make(&predictor->cache, prediction->key, prediction->given, prediction->given_count,
                                   prediction->results, status == INFER_OK ? predictor->result_count : 0);
    if (prediction->entry)
        prediction->entry->status = status;
}

static infer_prediction *next_follower(struct infer_predictor *predictor, const infer_prediction *leader)
{
    for (struct queue_link *link = queue_first(&predictor->queues[QUEUE_FOLLOWERS]); link; link = queue_next(link))
        if (prediction_of(link)->leader == leader)
            return prediction_of(link);
    return NULL;
}

static void leave_table(infer_prediction *prediction)
{
    infer_prediction **place = bucket_of(prediction->predictor, prediction->key);
    while (*place != prediction)
        place = &(*place)->flight;
    *place = prediction->flight;
    prediction->leads = false;
}

/* Takes the place of an equal one that came to nothing. */
static void follower_leads(infer_prediction *follower, const infer_prediction *before)
{
    struct infer_predictor *predictor = follower->predictor;
    queue_exit(follower);
    follower->leader = NULL;
    enter_table(follower);
    for (infer_prediction *other; (other = next_follower(predictor, before)) != NULL;)
        other->leader = follower;
    pipeline_enter(follower);
}

/* The results are there, or there will never be any. */
static void followers_land(infer_prediction *leader)
{
    struct infer_predictor *predictor = leader->predictor;
    for (infer_prediction *follower; (follower = next_follower(predictor, leader)) != NULL;) {
        queue_exit(follower);
        follower->leader = NULL;
        follower->entry = leader->entry;
        follower->entry->references++;
        follower->error = leader->error;
        queue_enter(follower, QUEUE_COPIES);
    }
}

void flight_ends(infer_prediction *prediction)
{
    struct infer_predictor *predictor = prediction->predictor;
    if (prediction->leads) {
        infer_prediction *follower;
        leave_table(prediction);
        if (prediction->entry)
            followers_land(prediction);
        else if ((follower = next_follower(predictor, prediction)) != NULL)
            follower_leads(follower, prediction);
        if (prediction->entry && prediction->entry->status == INFER_OK)
            cache_insert(&predictor->cache, prediction->entry);
    }
    flight_forget(prediction);
}

void flight_forget(infer_prediction *prediction)
{
    if (prediction->entry)
        cache_drop(&prediction->predictor->cache, prediction->entry);
    prediction->entry = NULL;
}

bool flight_copy(infer_prediction *prediction)
{
    const struct cache_entry *entry = prediction->entry;
    if (!cache_same(entry->tensors, prediction->given, prediction->given_count))
        return false;
    prediction->status =
        entry->status == INFER_OK ? results_copy(prediction, entry->tensors + entry->given_count) : entry->status;
    return true;
}

void infer_predictor_clear_cache(infer_predictor *predictor)
{
    if (!predictor)
        return;
    predictor_lock(predictor);
    cache_clear(&predictor->cache);
    predictor_unlock(predictor);
}
