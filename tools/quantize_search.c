/* Which layers stay in float32 so that the error of the whole is small enough. */
#include "tools/quantize_measure.h"

#include <stdlib.h>
#include <string.h>

#define TRIES_BACK 64 /* layers that are tried once more when the budget is met */

static const char over[] = "it would have brought the error past the budget";

struct rank {
    int layer;
    double gain; /* error for each multiply-add that it saves */
};

static int compare_ranks(const void *first, const void *second)
{
    const struct rank *a = first, *b = second;
    return a->gain < b->gain ? 1 : a->gain > b->gain ? -1 : a->layer - b->layer;
}

static void set(struct study *study, int layer, bool chosen)
{
    study->plan.layers[layer].chosen = chosen;
    study->plan.layers[layer].why = chosen ? study->facts[layer].why : over;
}

/* The error with each of the layers made small alone. */
static enum status rank_layers(struct study *study, struct rank *ranks, int count, void (*progress)(void),
                               struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < count; i++)
        set(study, ranks[i].layer, false);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        struct layer_facts *facts = &study->facts[ranks[i].layer];
        set(study, ranks[i].layer, true);
        if (progress)
            progress();
        status = study_error(study, &facts->error, error);
        set(study, ranks[i].layer, false);
        ranks[i].gain = facts->error * facts->error / (facts->flops + 1);
    }
    return status;
}

/* The first `kept` of the ranks are float32, the others small. */
static enum status try_kept(struct study *study, const struct rank *ranks, int count, int kept, double *relative,
                            void (*progress)(void), struct error *error)
{
    for (int i = 0; i < count; i++)
        set(study, ranks[i].layer, i >= kept);
    if (progress)
        progress();
    return study_error(study, relative, error);
}

/* Layers of the kept ones, those with most work first, that fit in after all. */
static enum status try_back(struct study *study, const struct rank *ranks, int kept, double most, double *relative,
                            void (*progress)(void), struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = kept - 1; i >= 0 && i >= kept - TRIES_BACK && status == STATUS_OK; i--) {
        double found;
        set(study, ranks[i].layer, true);
        if (progress)
            progress();
        status = study_error(study, &found, error);
        if (status == STATUS_OK && found <= most)
            *relative = found;
        else
            set(study, ranks[i].layer, false);
    }
    return status;
}

static enum status search(struct study *study, struct rank *ranks, int count, double most, double *relative,
                          void (*progress)(void), struct error *error)
{
    enum status status = rank_layers(study, ranks, count, progress, error);
    qsort(ranks, (size_t)count, sizeof *ranks, compare_ranks);
    int fails = 0, works = count; /* so many kept: too few, and enough */
    while (status == STATUS_OK && works - fails > 1) {
        int middle = fails + (works - fails) / 2;
        status = try_kept(study, ranks, count, middle, relative, progress, error);
        if (*relative <= most)
            works = middle;
        else
            fails = middle;
    }
    if (status == STATUS_OK)
        status = try_kept(study, ranks, count, works, relative, progress, error);
    return status == STATUS_OK && *relative <= most ? try_back(study, ranks, works, most, relative, progress, error)
                                                    : status;
}

enum status study_search(struct study *study, double most, double *relative, void (*progress)(void),
                         struct error *error)
{
    int count = 0;
    enum status status = study_error(study, relative, error);
    if (status != STATUS_OK || *relative <= most)
        return status;
    struct rank *ranks = malloc(((size_t)study->plan.count + 1) * sizeof *ranks);
    if (!ranks)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while searching");
    for (int i = 0; i < study->plan.count; i++)
        if (study->plan.layers[i].chosen) {
            study->facts[i].why = study->plan.layers[i].why;
            ranks[count++].layer = i;
        }
    status = search(study, ranks, count, most, relative, progress, error);
    free(ranks);
    return status;
}
