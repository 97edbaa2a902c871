#include "graph/steps/peak.h"

bool peak_begin(struct peak *peak, int count, struct region *region)
{
    *peak = (struct peak){.count = count, .nodes = region_array(region, 2 * (size_t)count, sizeof *peak->nodes)};
    return peak->nodes != NULL;
}

static void add_below(struct peak_node *node, int64_t bytes)
{
    node->added += bytes;
    node->most += bytes;
}

static void update_above(struct peak *peak, int node)
{
    struct peak_node *nodes = peak->nodes;
    for (node /= 2; node > 0; node /= 2) {
        int64_t left = nodes[2 * node].most, right = nodes[2 * node + 1].most;
        nodes[node].most = (left > right ? left : right) + nodes[node].added;
    }
}

void peak_add(struct peak *peak, int first, int last, int64_t bytes)
{
    int left = peak->count + first, right = peak->count + last + 1;
    for (int l = left, r = right; l < r; l /= 2, r /= 2) {
        if (l % 2)
            add_below(&peak->nodes[l++], bytes);
        if (r % 2)
            add_below(&peak->nodes[--r], bytes);
    }
    update_above(peak, left);
    update_above(peak, right - 1);
}
