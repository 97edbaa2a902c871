#include "kernels/budget.h"

#include <stdio.h>
#include <string.h>

static void *budget_allocate(void *user, size_t bytes, size_t alignment)
{
    struct budget *budget = user;
    bool within = budget_reserve(budget, bytes);
    void *memory = within ? allocate(budget->from, bytes, alignment) : NULL;
    if (memory)
        return memory;
    atomic_store(&budget->refused, within ? 0 : bytes ? bytes : 1);
    if (within)
        budget_return(budget, bytes);
    return NULL;
}

static void budget_release(void *user, void *memory, size_t bytes)
{
    struct budget *budget = user;
    release(budget->from, memory, bytes);
    budget_return(budget, bytes);
}

void budget_init(struct budget *budget, struct budget *outer, const struct allocator *from, size_t limit)
{
    *budget = (struct budget){
        .allocator = {budget_allocate, budget_release, budget},
        .from = outer ? outer->from : from,
        .outer = outer,
        .limit = limit,
    };
}

static bool take(struct budget *budget, size_t bytes)
{
    size_t held = atomic_load(&budget->held);
    do {
        if (held > budget->limit || bytes > budget->limit - held)
            return false;
    } while (!atomic_compare_exchange_weak(&budget->held, &held, held + bytes));
    return true;
}

static bool reserve_here(struct budget *budget, size_t bytes)
{
    while (!take(budget, bytes))
        if (bytes > budget->limit || !budget->reclaim || !budget->reclaim(budget->user))
            return false;
    return true;
}

bool budget_reserve(struct budget *budget, size_t bytes)
{
    for (struct budget *at = budget; at; at = at->outer) {
        if (reserve_here(at, bytes))
            continue;
        for (struct budget *undo = budget; undo != at; undo = undo->outer)
            atomic_fetch_sub(&undo->held, bytes);
        return false;
    }
    return true;
}

void budget_return(struct budget *budget, size_t bytes)
{
    for (; budget; budget = budget->outer)
        atomic_fetch_sub(&budget->held, bytes);
}

/* The one that has a limit, which is what a caller knows of. */
static const struct budget *limited(const struct budget *budget)
{
    while (budget->outer && budget->limit == SIZE_MAX)
        budget = budget->outer;
    return budget;
}

void *budget_take(struct budget *budget, size_t bytes, const char *what, struct error *error)
{
    struct budget own; /* which no other thread is refused by */
    struct error from = {0};
    budget_init(&own, budget, NULL, SIZE_MAX);
    void *memory = allocate(&own.allocator, bytes, ALIGNMENT);
    if (memory)
        return memory;
    error_set(&from, STATUS_OUT_OF_MEMORY, "out of memory %s", what);
    budget_explain(&own, &from);
    error_set(error, from.status, "%s", from.text);
    return NULL;
}

void budget_explain(struct budget *budget, struct error *error)
{
    static const char want[] = "out of memory";
    size_t refused = atomic_exchange(&budget->refused, 0);
    if (error->status != STATUS_OUT_OF_MEMORY || !refused)
        return;
    const struct budget *bound = limited(budget);
    struct error before = *error;
    const char *found = strstr(before.text, want);
    const char *rest = found ? found + strlen(want) : before.text;
    *error = (struct error){0};
    error_set(error, STATUS_MEMORY_LIMIT, "%.*s%zu bytes more, beside %zu in use, are past the limit of %zu%s%s",
              found ? (int)(found - before.text) : 0, before.text, refused, atomic_load(&bound->held), bound->limit,
              found ? "" : ": ", rest);
}
