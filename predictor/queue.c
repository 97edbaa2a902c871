#include "predictor/queue.h"

void queue_push(struct queue *queue, struct queue_link *link, int priority)
{
    *link = (struct queue_link){.previous = queue->last[priority], .queue = queue, .priority = priority};
    if (link->previous)
        link->previous->next = link;
    else
        queue->first[priority] = link;
    queue->last[priority] = link;
    queue->length++;
}

void queue_remove(struct queue_link *link)
{
    struct queue *queue = link->queue;
    if (!queue)
        return;
    *(link->previous ? &link->previous->next : &queue->first[link->priority]) = link->next;
    *(link->next ? &link->next->previous : &queue->last[link->priority]) = link->previous;
    queue->length--;
    *link = (struct queue_link){.next = NULL};
}

static struct queue_link *first_from(const struct queue *queue, int priority)
{
    for (; priority < PRIORITIES; priority++)
        if (queue->first[priority])
            return queue->first[priority];
    return NULL;
}

struct queue_link *queue_first(const struct queue *queue)
{
    return first_from(queue, 0);
}

struct queue_link *queue_next(const struct queue_link *link)
{
    return link->next ? link->next : first_from(link->queue, link->priority + 1);
}

struct queue_link *queue_least(const struct queue *queue)
{
    for (int priority = PRIORITIES - 1; priority >= 0; priority--)
        if (queue->first[priority])
            return queue->first[priority];
    return NULL;
}
