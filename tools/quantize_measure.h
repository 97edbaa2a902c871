/* What a plan does to a model: runs of graphs in memory, and how far their results lie from those of float32. */
#ifndef INFER_TOOLS_QUANTIZE_MEASURE_H
#define INFER_TOOLS_QUANTIZE_MEASURE_H

#include "formats/model_file.h"
#include "graph/quantize/quantize.h"
#include "tools/quantize_samples.h"

/* What is known of a layer beside the plan. */
struct layer_facts {
    struct observed *seen;     /* of its input; layers with the same input share it. NULL: it has none */
    struct channel_sums *sums; /* the same, by channel of the input */
    struct range range;        /* that was chosen for it */
    double flops;              /* of a run in float32 */
    double error;              /* relative, of the model with this layer alone made small; -1: not measured */
    double signal, noise;      /* sums of squares of its output, and of the difference to float32's */
    const char *why;           /* the layer's, while the search tries it otherwise */
    double before, after;      /* seconds a run; 0: not known */
};

/* The same of a point. */
struct point_facts {
    struct observed seen;
    bool image; /* it has more than one position; what has not is small, and stays */
};

struct channel_sums {
    int64_t channels; /* 0: nothing was seen */
    double *sums;
    double *reach; /* largest magnitudes */
    double count;  /* of the elements of a channel */
};

struct study {
    struct quantize_plan plan;
    struct model_metadata metadata;  /* of the model: what is written has it too */
    struct samples *samples;         /* NULL: none were given */
    enum range_method method;        /* that chose the ranges; QUANTIZE_STATIC */
    int64_t held;                    /* every so many samples one is held out; 0: none, all serve both ends */
    struct layer_facts *facts;       /* by layer */
    struct point_facts *point_facts; /* by point */
    /* Outputs of float32 for samples that are held out, one after another. */
    float *expected;
    size_t expected_count;
    double seconds_before, seconds_after; /* a run of the whole model; 0: not known */
};

/* A graph of the plan in a session of its own. */
struct running {
    struct region region;
    infer_model *model;
    infer_session *session;
    infer_context *context;
    infer_tensor *outputs;
    size_t output_count;
};
/* The plan's graph as it is now, or the one before; with passes or as it is. Close it where this succeeds. */
enum status study_open(struct running *running, struct study *study, bool small, bool optimise, struct error *error);
void study_close(struct running *running);
/* The outputs lie in the context until the next run. */
enum status study_run(struct running *running, const infer_tensor *inputs, struct error *error);

/* Runs the graph on the calibration samples and notes what each layer's input holds. */
enum status study_calibrate(struct study *study, struct error *error);
/* Chooses the quantum of each layer from what was noted. Layers whose input was never seen, or held NaN or infinity,
 * stay. May be called again with another method. */
void study_choose(struct study *study, enum range_method method);
/* The same by the method with the least study_error; *method: which. */
enum status study_choose_best(struct study *study, enum range_method *method, struct error *error);
/* The relative error of the plan as it is: the root of the sum of the squared differences over that of the squares, of
 * the output where it is the largest, over the samples held out. */
enum status study_error(struct study *study, double *relative, struct error *error);
/* Fills in signal and noise. */
enum status study_layers(struct study *study, struct error *error);
/* Fills in before and after: the least of some runs. */
enum status study_times(struct study *study, struct error *error);
/* Layers that take longer on integers than in float32, here and now, keep only their weights small; all: also where the
 * model as a whole is faster. Where it is slower even so, those of them that are become float32 again. */
enum status study_speed(struct study *study, bool all, struct error *error);
/* Makes the fewest multiply-adds float32 again that bring the error to no more than `most`; *relative: what is reached.
 * `progress` (NULL: nobody) is called before each try. */
enum status study_search(struct study *study, double most, double *relative, void (*progress)(void),
                         struct error *error);
void study_free(struct study *study);

#endif
