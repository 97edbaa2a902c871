#include "graph/passes/uses.h"

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

bool uses_count(const struct segment *segment, struct uses *uses)
{
    const struct graph *graph = segment->graph;
    struct region *region = segment->steps.region;
    size_t values = (size_t)graph->value_count + 1;
    uses->value_count = graph->value_count;
    uses->outside = region_array(region, values, sizeof *uses->outside);
    uses->reads = region_array(region, values, sizeof *uses->reads);
    uses->writes = region_array(region, values, sizeof *uses->writes);
    uses->maker = region_array(region, values, sizeof *uses->maker);
    if (!uses->outside || !uses->reads || !uses->writes || !uses->maker)
        return false;
    for (size_t i = 0; i < values; i++)
        uses->maker[i] = -1;
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
