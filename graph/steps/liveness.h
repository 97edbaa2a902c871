/* When the values of a segment are alive and what memory its steps take, for the order the steps have now. The rules
 * stand here alone: the order of steps is chosen by them, and places are given by them. Entries of the list may be
 * NULL: a pass has taken the step away. */
#ifndef INFER_GRAPH_STEPS_LIVENESS_H
#define INFER_GRAPH_STEPS_LIVENESS_H

#include "graph/steps/step.h"

/* Of a root value (value_root): views live as long as what they look at. It is alive from the first step that writes
 * it, of several, to the last that touches it. */
struct life {
    int first, last; /* first is NOT_HERE where no step of the segment writes it; last is -1 where none touches it */
    bool carried;    /* must stay to the end: the rest reads it, or an output that is not bound */
    bool foreign;    /* lies in the caller's memory: an input, or a value that an output is bound to */
};

#define NOT_HERE INT32_MAX

/* By value id. */
void segment_lives(const struct segment *segment, struct life *lives);

/* The bytes it takes in the arena, as the planner counts them. What was made before this segment and is no input is
 * taken to be there. */
size_t life_bytes(const struct value *value, const struct life *life);

/* An output can be bound, that is computed right where the caller wants it, if it is the whole of its root. */
bool output_is_whole(struct value *output);

/* The root that dies at step s and whose memory output 0 of the step takes over; NULL: there is none. */
struct value *overwritten_root(const struct life *lives, const struct step *step, int s);

/* The same where output 0 lies in the caller's memory, in which the root may lie as well: nothing else does before step
 * s. */
struct value *root_in_output(const struct life *lives, const struct step *step, int s);

/* Of as many tasks as run at once, on a device one after another; false where it passes all memory. */
bool step_workspaces(const struct step *step, int threads, size_t *bytes);

/* Bytes alive while a step runs, and after it. */
struct demand {
    size_t during, after;
};

/* Of step s in the order that the lives are of, `live` bytes being alive before it. */
struct demand step_demand(const struct life *lives, const struct step *step, int s, size_t live, int threads);

/* Bytes alive before the first step. False where all sizes together pass all memory: then no sum can be asked. */
bool segment_live_before(const struct segment *segment, const struct life *lives, int threads, size_t *live);

/* The largest sum of live bytes at a step: no arena can be smaller. SIZE_MAX where it passes all memory, or where there
 * is none to compute it in. Takes time in proportion to the steps and values. */
size_t segment_peak(const struct segment *segment, int threads);

/* --- the steps in an order of one's own ------------------------------------------------------------------ */

/* What a step does with a root; one entry for both where it reads and writes it. */
struct touch {
    int root; /* value id */
    bool reads, writes;
};

/* Takes the steps of a segment one after the other, in any order that keeps their dependencies, and back. */
struct progress {
    const struct segment *segment;
    struct region region; /* of the tables */
    bool fits;            /* all sizes together fit a size_t: else nothing can be asked */
    size_t live;          /* bytes alive after the steps taken so far */
    int *touches_of;      /* touches[touches_of[s]] to touches[touches_of[s + 1] - 1] are those of step s */
    struct touch *touches;
    size_t *workspaces; /* by step */
    size_t *bytes;      /* by value id, like all that follow; life_bytes */
    int *left;          /* steps not taken yet that touch it */
    int *written;       /* steps taken that write it */
    struct life *lives; /* first and last: whether the step that is looked at is the first or the last of them */
};

bool progress_begin(struct progress *progress, const struct segment *segment, int threads); /* false: no memory */
void progress_end(struct progress *progress);
struct demand progress_look(struct progress *progress, int s);
void progress_take(struct progress *progress, int s);
struct demand progress_go(struct progress *progress, int s); /* looks, and takes */
void progress_back(struct progress *progress, int s);        /* undoes the latest that was taken */

#endif
