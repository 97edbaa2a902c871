#include "graph/step.h"

#include <string.h>

struct step *step_list_append(struct step_list *list, const struct step *step)
{
    if (list->count == list->capacity) {
        int larger = list->capacity ? list->capacity * 2 : 64;
        struct step **steps = region_array(list->region, (size_t)larger, sizeof *steps);
        if (!steps)
            return NULL;
        if (list->count)
            memcpy(steps, list->steps, (size_t)list->count * sizeof *steps);
        list->steps = steps;
        list->capacity = larger;
    }
    struct step *copy = region_allocate(list->region, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *step;
    list->steps[list->count++] = copy;
    return copy;
}
