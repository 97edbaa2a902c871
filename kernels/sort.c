#include "kernels/sort.h"

#include <stdbool.h>

/* Bottom-up merge sort: no recursion, no memory but the two arrays. */
int64_t *sort_numbers(int64_t count, int64_t *order, int64_t *room, sort_compare *compare, const void *context)
{
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    for (int64_t width = 1; width < count; width *= 2) {
        for (int64_t start = 0; start < count; start += 2 * width) {
            int64_t middle = start + width < count ? start + width : count;
            int64_t end = middle + width < count ? middle + width : count;
            for (int64_t a = start, b = middle, to = start; to < end; to++) {
                bool left = b == end || (a < middle && compare(context, order[a], order[b]) <= 0);
                room[to] = left ? order[a++] : order[b++];
            }
        }
        int64_t *sorted = room;
        room = order;
        order = sorted;
    }
    return order;
}
