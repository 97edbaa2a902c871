#include "kernels/sort.h"

#include <stdbool.h>
#include <string.h>

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

#define ROOM 4096

struct items {
    char *base;
    size_t bytes;
    int (*compare)(const void *a, const void *b);
    char *room; /* of ROOM bytes */
};

static void *item_at(const struct items *items, size_t index)
{
    return items->base + index * items->bytes;
}

static bool is_before(const struct items *items, size_t a, size_t b)
{
    return items->compare(item_at(items, a), item_at(items, b)) < 0;
}

/* Word by word: items are structs of a few words, for which a call of memcpy would cost more than the words. */
static void swap(const struct items *items, size_t a, size_t b)
{
    char *x = item_at(items, a), *y = item_at(items, b);
    size_t done = 0;
    for (uint64_t word, other; done + sizeof word <= items->bytes; done += sizeof word) {
        memcpy(&word, x + done, sizeof word);
        memcpy(&other, y + done, sizeof other);
        memcpy(x + done, &other, sizeof other);
        memcpy(y + done, &word, sizeof word);
    }
    for (; done < items->bytes; done++) {
        char byte = x[done];
        x[done] = y[done];
        y[done] = byte;
    }
}

static void reverse(const struct items *items, size_t start, size_t end)
{
    while (start + 1 < end)
        swap(items, start++, --end);
}

/* [start, middle) and [middle, end) change places. */
static void rotate(const struct items *items, size_t start, size_t middle, size_t end)
{
    reverse(items, start, middle);
    reverse(items, middle, end);
    reverse(items, start, end);
}

/* The first of [start, end) that does not stand before `key` (after_equal: that stands behind it). */
static size_t bound(const struct items *items, size_t start, size_t end, size_t key, bool after_equal)
{
    while (start < end) {
        size_t middle = start + (end - start) / 2;
        bool before = after_equal ? !is_before(items, key, middle) : is_before(items, middle, key);
        start = before ? middle + 1 : start;
        end = before ? end : middle;
    }
    return start;
}

static void copy_item(char *to, const char *from, size_t bytes)
{
    size_t done = 0;
    for (uint64_t word; done + sizeof word <= bytes; done += sizeof word) {
        memcpy(&word, from + done, sizeof word);
        memcpy(to + done, &word, sizeof word);
    }
    for (; done < bytes; done++)
        to[done] = from[done];
}

/* By way of room for the first part. */
static void merge_through(const struct items *items, size_t start, size_t middle, size_t end)
{
    size_t bytes = items->bytes;
    char *to = item_at(items, start), *right = item_at(items, middle), *right_end = item_at(items, end);
    const char *left = memcpy(items->room, to, (middle - start) * bytes), *left_end = left + (middle - start) * bytes;
    for (; left < left_end && right < right_end; to += bytes) {
        bool first = items->compare(right, left) >= 0;
        copy_item(to, first ? left : right, bytes);
        left += first ? bytes : 0;
        right += first ? 0 : bytes;
    }
    memcpy(to, left, (size_t)(left_end - left));
}

/* Where there is no room for the first part, cuts the longer part in its middle and the other one where that item
 * belongs; what lies between the cuts changes places, and two smaller merges are left. */
static void merge(const struct items *items, size_t start, size_t middle, size_t end)
{
    while (start < middle && middle < end && is_before(items, middle, middle - 1)) {
        size_t left = start, right = middle;
        if ((middle - start) * items->bytes <= ROOM) {
            merge_through(items, start, middle, end);
            return;
        }
        if (end - start == 2) {
            swap(items, start, middle);
            return;
        }
        if (middle - start > end - middle) {
            left += (middle - start) / 2;
            right = bound(items, middle, end, left, false);
        } else {
            right += (end - middle) / 2;
            left = bound(items, start, middle, right, true);
        }
        rotate(items, left, middle, right);
        size_t cut = left + (right - middle);
        merge(items, start, left, cut);
        start = cut;
        middle = right;
    }
}

void sort_items(void *items, size_t count, size_t bytes_each, int (*compare)(const void *a, const void *b))
{
    const size_t run = 8; /* sorted by exchanging neighbours */
    _Alignas(max_align_t) char room[ROOM];
    struct items all = {items, bytes_each, compare, room};
    for (size_t start = 0; start < count; start += run)
        for (size_t i = start + 1; i < count && i < start + run; i++)
            for (size_t k = i; k > start && is_before(&all, k, k - 1); k--)
                swap(&all, k, k - 1);
    for (size_t width = run; width < count; width *= 2)
        for (size_t start = 0; start + width < count; start += 2 * width)
            merge(&all, start, start + width, start + 2 * width < count ? start + 2 * width : count);
}
