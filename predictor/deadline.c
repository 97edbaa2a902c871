#include "predictor/deadline.h"

#include <stddef.h>

/* One heap of two, neither of which has siblings; the other may be NULL. */
static struct deadline *merge(struct deadline *a, struct deadline *b)
{
    if (!a || !b)
        return a ? a : b;
    struct deadline *first = b->time < a->time ? b : a, *second = first == a ? b : a;
    second->before = first;
    second->sibling = first->child;
    if (first->child)
        first->child->before = second;
    first->child = second;
    return first;
}

static struct deadline *take_off(struct deadline **list)
{
    struct deadline *first = *list;
    if (first) {
        *list = first->sibling;
        first->sibling = first->before = NULL;
    }
    return first;
}

/* One heap of all in a list: merged two by two from the front, and those from the back. */
static struct deadline *merge_all(struct deadline *list)
{
    struct deadline *pairs = NULL, *all = NULL;
    while (list) {
        struct deadline *a = take_off(&list), *pair = merge(a, take_off(&list));
        pair->sibling = pairs;
        pairs = pair;
    }
    while (pairs)
        all = merge(all, take_off(&pairs));
    return all;
}

void deadline_add(struct deadline **next, struct deadline *deadline)
{
    deadline->child = deadline->sibling = deadline->before = NULL;
    *next = merge(*next, deadline);
}

void deadline_remove(struct deadline **next, struct deadline *deadline)
{
    struct deadline *children = merge_all(deadline->child);
    if (*next == deadline) {
        *next = children;
        return;
    }
    *(deadline->before->child == deadline ? &deadline->before->child : &deadline->before->sibling) = deadline->sibling;
    if (deadline->sibling)
        deadline->sibling->before = deadline->before;
    *next = merge(*next, children);
}
