#include "graph/steps/uses.h"

#include <string.h>

static void count_step(struct uses *uses, const struct step *step, int index)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i])
            uses->reads[step->inputs[i]->id]++;
    for (int i = 0; i < step->output_count; i++) {
        if (!step->outputs[i])
            continue;
        const struct value *root = value_root(step->outputs[i], NULL);
        uses->writes[root->id]++;
        uses->maker[root->id] = index;
    }
}

/* Empty tables for so many values; those that grow get room for some more. */
static bool clear(struct uses *uses, struct region *region, size_t values)
{
    if (values > uses->capacity) {
        uses->capacity = uses->capacity ? 2 * values : values;
        uses->outside = region_array(region, uses->capacity, sizeof *uses->outside);
        uses->reads = region_array(region, uses->capacity, sizeof *uses->reads);
        uses->writes = region_array(region, uses->capacity, sizeof *uses->writes);
        uses->maker = region_array(region, uses->capacity, sizeof *uses->maker);
    }
    if (!uses->outside || !uses->reads || !uses->writes || !uses->maker)
        return false;
    memset(uses->outside, 0, values * sizeof *uses->outside);
    memset(uses->reads, 0, values * sizeof *uses->reads);
    memset(uses->writes, 0, values * sizeof *uses->writes);
    for (size_t i = 0; i < values; i++)
        uses->maker[i] = -1;
    return true;
}

bool uses_count(const struct segment *segment, struct uses *uses)
{
    const struct graph *graph = segment->graph;
    if (!clear(uses, segment->steps.region, (size_t)graph->value_count + 1))
        return false;
    uses->value_count = graph->value_count;
    for (int s = 0; s < segment->steps.count; s++)
        if (segment->steps.steps[s])
            count_step(uses, segment->steps.steps[s], s);
    for (int i = 0; i < graph->value_count; i++)
        if (graph->values[i]->alias)
            uses->reads[graph->values[i]->alias->id]++;
    for (int i = 0; i < graph->output_count; i++)
        uses->outside[graph->outputs[i]->id]++;
    for (int i = 0; i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            if (segment->rest[i]->inputs[k])
                uses->outside[segment->rest[i]->inputs[k]->id]++;
    if (segment->needed)
        uses->outside[segment->needed->id]++;
    for (int i = 0; i < graph->value_count; i++)
        uses->reads[i] += uses->outside[i];
    return true;
}

void step_list_compact(struct step_list *list)
{
    int kept = 0;
    for (int s = 0; s < list->count; s++)
        if (list->steps[s])
            list->steps[kept++] = list->steps[s];
    list->count = kept;
}
