/* Requests that wait: first come, first served, within each of three priorities. Nothing is allocated. What is pushed
 * again at each use is in the order of last uses: so the cache and the streams find what they can do without. */
#ifndef INFER_PREDICTOR_QUEUE_H
#define INFER_PREDICTOR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define PRIORITIES 3

/* What is queued begins with one of these, or has one. Zeroed: in no queue. */
struct queue_link {
    struct queue_link *next, *previous;
    struct queue *queue; /* that it is in */
    int priority;        /* 0 is served first */
};

/* Zeroed: empty. */
struct queue {
    struct queue_link *first[PRIORITIES], *last[PRIORITIES];
    size_t length;
};

void queue_push(struct queue *queue, struct queue_link *link, int priority);
void queue_remove(struct queue_link *link); /* does nothing for one that is in no queue */
/* The one to serve first; NULL: none. And the one to serve after `link`. */
struct queue_link *queue_first(const struct queue *queue);
struct queue_link *queue_next(const struct queue_link *link);
/* The one that has waited longest among those of the lowest priority. */
struct queue_link *queue_least(const struct queue *queue);

#endif
