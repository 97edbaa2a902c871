/* A bound on memory: an allocator that counts every byte before it asks for it, and refuses what would pass a limit. */
#ifndef INFER_KERNELS_BUDGET_H
#define INFER_KERNELS_BUDGET_H

#include "kernels/base.h"

#include <stdatomic.h>

/* Budgets nest: what one counts, the outer ones count as well, and the first whose limit is met refuses. For any number
 * of threads. It may not move, for `allocator` points back to it. */
struct budget {
    struct allocator allocator;   /* hand this on */
    const struct allocator *from; /* where the memory comes from; must outlive the budget */
    struct budget *outer;
    size_t limit;          /* SIZE_MAX: none */
    atomic_size_t held;    /* bytes given and not released, and those that were only reserved */
    atomic_size_t refused; /* the bytes of the last allocation that failed, where a limit refused it; 0: none */
    /* Called where the limit is met, as long as it returns true, which says that something was let go of. NULL: none.
     * It must not allocate from this budget. */
    bool (*reclaim)(void *user);
    void *user;
};

/* outer NULL: none. Otherwise memory comes from where the outer one has it from, and `from` is not looked at. */
void budget_init(struct budget *budget, struct budget *outer, const struct allocator *from, size_t limit);

/* Counts bytes that no allocation stands for, or that are allocated elsewhere; false: they would pass a limit. */
bool budget_reserve(struct budget *budget, size_t bytes);
void budget_return(struct budget *budget, size_t bytes);

/* Allocations fail alike for want of memory and for a limit's sake. Where the last one of this budget that failed since
 * the last call was refused by its own limit or an outer one's, the error becomes MEMORY_LIMIT and says so: "out of
 * memory" in its sentence gives way to the numbers, and the rest goes on saying what was being made. Only where one
 * thread alone allocates from this budget; others have budget_take, or a budget of their own within. */
void budget_explain(struct budget *budget, struct error *error);

/* Allocates from a budget that other threads allocate from as well; it is released by the budget's allocator. NULL:
 * OUT_OF_MEMORY or MEMORY_LIMIT, whichever this very call met; the error says `what`, as "for a table". */
void *budget_take(struct budget *budget, size_t bytes, const char *what, struct error *error);

#endif
