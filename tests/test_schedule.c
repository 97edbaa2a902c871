/* Live bytes and the order of steps, on segments made here, against sums over sets of steps. */
#include "graph/op.h"
#include "graph/steps/liveness.h"
#include "graph/steps/passes.h"
#include "graph/steps/uses.h"
#include "tests/suites.h"

#include <stdlib.h>
#include <string.h>

/* --- segments -------------------------------------------------------------------------------------------- */

#define MOST_STEPS 64 /* a bit each in a set */

struct toy {
    struct region region;
    struct graph *graph;
    struct segment segment;
};

static void toy_begin(struct toy *toy)
{
    region_init(&toy->region, &default_allocator);
    toy->graph = graph_create(&toy->region, "toy");
    toy->segment = (struct segment){.graph = toy->graph, .steps = step_list_in(&toy->region)};
}

static struct value *toy_value(struct toy *toy, int64_t bytes)
{
    return graph_add_value(toy->graph, "", DTYPE_U8, 1, &bytes);
}

static struct value *toy_view(struct toy *toy, struct value *of, int64_t from, int64_t bytes)
{
    struct value *view = toy_value(toy, bytes);
    view->alias = of;
    view->alias_offset = (size_t)from;
    return view;
}

/* Of one phase. */
static struct kernel_plan *toy_plan(struct toy *toy, int tasks, size_t task_bytes)
{
    struct kernel_plan *plan = region_allocate(&toy->region, sizeof *plan);
    *plan = (struct kernel_plan){.phases = 1, .tasks = {tasks}, .task_bytes = task_bytes};
    return plan;
}

static struct step *toy_step(struct toy *toy, const char *op, int input_count, struct value *const *inputs,
                             int output_count, struct value *const *outputs)
{
    struct region *region = &toy->region;
    struct node *node = region_allocate(region, sizeof *node);
    struct value **operands = region_array(region, (size_t)input_count + (size_t)output_count + 1, sizeof *operands);
    *node = (struct node){.op = op_find("", op), .name = "toy"};
    if (input_count)
        memcpy(operands, inputs, (size_t)input_count * sizeof *operands);
    memcpy(operands + input_count, outputs, (size_t)output_count * sizeof *operands);
    return step_list_append(&toy->segment.steps, &(struct step){.family = FAMILY_pointwise,
                                                                .plan = toy_plan(toy, 1, 0),
                                                                .inputs = operands,
                                                                .input_count = input_count,
                                                                .outputs = operands + input_count,
                                                                .output_count = output_count,
                                                                .node = node});
}

/* A step that makes a new value of so many bytes from others; absent inputs are NULL. */
static struct value *toy_make(struct toy *toy, int64_t bytes, struct value *a, struct value *b)
{
    struct value *made = toy_value(toy, bytes);
    toy_step(toy, "Add", 2, (struct value *[]){a, b}, 1, &made);
    return made;
}

static void toy_schedule(struct toy *toy)
{
    struct error error = {0};
    ck_assert_msg(schedule_steps(&toy->segment, 1, &error) == STATUS_OK, "%s", error.text);
}

/* --- the same by sets of steps --------------------------------------------------------------------------- */

static struct value *root_of(struct value *value)
{
    return value_root(value, NULL);
}

static bool is_among(struct value *const *values, int count, const struct value *root)
{
    for (int i = 0; i < count; i++)
        if (values[i] && root_of(values[i]) == root)
            return true;
    return false;
}

/* The order of the steps when it was made; what touches each value, by id. */
struct sets {
    const struct toy *toy;
    struct step *steps[MOST_STEPS];
    int count;
    uint64_t reads[256], writes[256], before[MOST_STEPS];
    bool carried[256];
    size_t bytes[256];
};

static void find_results(struct sets *sets)
{
    const struct graph *graph = sets->toy->graph;
    for (int i = 0; i < graph->input_count; i++)
        sets->bytes[graph->inputs[i]->id] = 0;
    for (int i = 0; i < graph->output_count; i++) {
        struct value *output = graph->outputs[i], *root = root_of(output);
        if (output == root) /* the caller's memory */
            sets->bytes[root->id] = 0;
        sets->carried[root->id] = true;
    }
    if (sets->toy->segment.needed)
        sets->carried[root_of(sets->toy->segment.needed)->id] = true;
}

static struct sets sets_of(const struct toy *toy)
{
    static struct sets sets;
    memset(&sets, 0, sizeof sets);
    sets.toy = toy;
    sets.count = toy->segment.steps.count;
    ck_assert_int_le(sets.count, MOST_STEPS);
    ck_assert_int_le(toy->graph->value_count, 256);
    for (int v = 0; v < toy->graph->value_count; v++) {
        struct value *value = toy->graph->values[v];
        sets.bytes[v] = value->alias ? 0 : align_up(value_bytes(value), ALIGNMENT);
        for (int s = 0; s < sets.count; s++) {
            const struct step *step = sets.steps[s] = toy->segment.steps.steps[s];
            sets.reads[v] |= (uint64_t)is_among(step->inputs, step->input_count, value) << s;
            sets.writes[v] |= (uint64_t)is_among(step->outputs, step->output_count, value) << s;
        }
        for (int s = 0; s < sets.count; s++) {
            uint64_t earlier = (UINT64_C(1) << s) - 1;
            if (sets.reads[v] >> s & 1)
                sets.before[s] |= sets.writes[v] & earlier;
            if (sets.writes[v] >> s & 1)
                sets.before[s] |= sets.reads[v] & earlier;
        }
    }
    find_results(&sets);
    return sets;
}

/* What step s, after the steps of a set, does not take for its output 0, as it may overwrite an input. */
static size_t bytes_shared(const struct sets *sets, uint64_t done, int s)
{
    const struct step *step = sets->steps[s];
    const struct value *output = step->outputs[0];
    if (output->alias || sets->bytes[output->id] == 0 || sets->writes[output->id] & done)
        return 0;
    for (int i = 0; i < step->input_count; i++) {
        size_t offset = 0;
        const struct value *root = step->inputs[i] ? value_root(step->inputs[i], &offset) : NULL;
        if (!root || !(step->in_place >> i & 1) || sets->carried[root->id] || sets->bytes[root->id] == 0 ||
            sets->writes[root->id] == 0 || offset != 0 || value_bytes(root) != value_bytes(output) ||
            ((sets->reads[root->id] | sets->writes[root->id]) & ~done) != UINT64_C(1) << s)
            continue;
        bool allowed = true;
        for (int k = 0; k < step->input_count; k++)
            allowed = allowed && (!step->inputs[k] || root_of(step->inputs[k]) != root || step->in_place >> k & 1);
        if (allowed)
            return sets->bytes[output->id];
    }
    return 0;
}

/* Bytes alive while step s runs after the steps of a set. */
static size_t bytes_during(const struct sets *sets, uint64_t done, int s)
{
    uint64_t self = UINT64_C(1) << s;
    size_t sum = sets->steps[s]->plan->task_bytes;
    sum -= bytes_shared(sets, done, s);
    for (int v = 0; v < sets->toy->graph->value_count; v++) {
        uint64_t touches = sets->reads[v] | sets->writes[v];
        bool begun = sets->writes[v] == 0 || sets->writes[v] & (done | self);
        if (begun && (sets->carried[v] || touches & ~done))
            sum += sets->bytes[v];
    }
    return sum;
}

/* The least peak of all orders, by the peaks of the best ways to each set of steps. */
static size_t least_peak(const struct sets *sets)
{
    size_t count = (size_t)1 << sets->count;
    size_t *best = malloc(count * sizeof *best);
    ck_assert_ptr_nonnull(best);
    for (uint64_t set = 0; set < count; set++) {
        best[set] = set ? SIZE_MAX : 0;
        for (int s = 0; s < sets->count; s++) {
            uint64_t rest = set & ~(UINT64_C(1) << s);
            if (rest == set || sets->before[s] & ~rest || best[rest] == SIZE_MAX)
                continue;
            size_t during = bytes_during(sets, rest, s), peak = during > best[rest] ? during : best[rest];
            best[set] = peak < best[set] ? peak : best[set];
        }
    }
    size_t least = best[count - 1];
    free(best);
    return least;
}

/* The peak of the order that the segment has now, whose steps are those of the sets, each after what it needs. */
static size_t peak_now(const struct sets *sets)
{
    uint64_t done = 0;
    size_t peak = 0;
    ck_assert_int_eq(sets->toy->segment.steps.count, sets->count);
    for (int i = 0; i < sets->count; i++) {
        int s = 0;
        while (s < sets->count && sets->steps[s] != sets->toy->segment.steps.steps[i])
            s++;
        ck_assert_int_lt(s, sets->count);
        ck_assert_uint_eq(done >> s & 1, 0);
        ck_assert_uint_eq(sets->before[s] & ~done, 0);
        size_t during = bytes_during(sets, done, s);
        peak = during > peak ? during : peak;
        done |= UINT64_C(1) << s;
    }
    return peak;
}

/* --- random segments ------------------------------------------------------------------------------------- */

static unsigned draw(uint64_t *state, unsigned below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33) % below;
}

static struct value *any_value(struct toy *toy, uint64_t *state)
{
    unsigned count = (unsigned)toy->graph->value_count, near = count < 12 ? count : 12;
    return toy->graph->values[count - 1 - draw(state, draw(state, 4) ? near : count)];
}

/* A new value, a part of a new one, or a part of one that others write too. */
static struct value *any_target(struct toy *toy, uint64_t *state, struct value **shared)
{
    int64_t bytes = 40 * (1 + (int64_t)draw(state, 8));
    if (draw(state, 4))
        return toy_value(toy, bytes);
    if (!*shared || draw(state, 3) == 0)
        *shared = toy_value(toy, 4 * bytes);
    return toy_view(toy, *shared, 8 * (int64_t)draw(state, 4), 8);
}

static void add_random_step(struct toy *toy, uint64_t *state, struct value **shared)
{
    struct value *inputs[3] = {NULL}, *outputs[2];
    int input_count = (int)draw(state, 4), output_count = 1 + (draw(state, 5) == 0);
    for (int i = 0; i < input_count; i++)
        inputs[i] = draw(state, 6) ? any_value(toy, state) : toy_view(toy, any_value(toy, state), 0, 8);
    for (int i = 0; i < output_count; i++)
        outputs[i] = any_target(toy, state, shared);
    struct step *step = toy_step(toy, "Add", input_count, inputs, output_count, outputs);
    step->in_place = draw(state, 8) & ((1u << input_count) - 1);
    if (draw(state, 3) == 0)
        step->plan = toy_plan(toy, 1, ALIGNMENT * (1 + draw(state, 4)));
}

/* Its first value is an input; another was made by whatever ran before. */
static void fill_randomly(struct toy *toy, uint64_t *state, int steps)
{
    struct value *shared = NULL, *outputs[3];
    struct value *input = toy_value(toy, 500);
    toy_value(toy, 40 * (1 + (int64_t)draw(state, 8)));
    graph_set_inputs(toy->graph, 1, &input);
    while (toy->segment.steps.count < steps)
        add_random_step(toy, state, &shared);
    for (int i = 0; i < 3; i++)
        outputs[i] = any_value(toy, state);
    graph_set_outputs(toy->graph, 1 + (int)draw(state, 3), outputs);
    if (draw(state, 2))
        toy->segment.needed_copy = toy->segment.needed = any_value(toy, state);
}

START_TEST(small_segments_get_the_least_peak)
{
    for (uint64_t seed = 0; seed < 250; seed++) {
        uint64_t state = seed + 250 * (uint64_t)_i;
        struct toy toy;
        toy_begin(&toy);
        fill_randomly(&toy, &state, 3 + (int)draw(&state, 8));
        struct sets sets = sets_of(&toy);
        size_t given = peak_now(&sets), least = least_peak(&sets);
        struct step **steps = toy.segment.steps.steps;
        ck_assert_uint_eq(segment_peak(&toy.segment, 1), given);
        toy_schedule(&toy);
        ck_assert_uint_eq(segment_peak(&toy.segment, 1), least);
        ck_assert_uint_eq(peak_now(&sets), least);
        ck_assert(least < given || toy.segment.steps.steps == steps); /* nothing moves without a gain */
        region_free(&toy.region);
    }
}
END_TEST

START_TEST(larger_segments_never_get_a_higher_peak)
{
    size_t lower = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        uint64_t state = seed;
        struct toy toy;
        toy_begin(&toy);
        fill_randomly(&toy, &state, 20 + (int)draw(&state, MOST_STEPS - 20));
        struct sets sets = sets_of(&toy);
        size_t given = peak_now(&sets);
        toy_schedule(&toy);
        size_t found = peak_now(&sets);
        ck_assert_uint_eq(segment_peak(&toy.segment, 1), found);
        ck_assert_uint_le(found, given);
        lower += found < given;
        region_free(&toy.region);
    }
    ck_assert_uint_gt(lower, 100);
}
END_TEST

/* --- what it is for -------------------------------------------------------------------------------------- */

START_TEST(attention_scores_come_before_the_values)
{
    struct toy toy;
    toy_begin(&toy);
    struct value *x = toy_make(&toy, 640, NULL, NULL);
    struct value *q = toy_make(&toy, 640, x, NULL), *k = toy_make(&toy, 640, x, NULL);
    struct value *v = toy_make(&toy, 640, x, NULL);
    struct value *scores = toy_make(&toy, 1280, q, k);
    struct value *mixed = toy_make(&toy, 640, scores, v);
    struct value *y = toy_make(&toy, 640, mixed, x);
    graph_set_outputs(toy.graph, 1, &y);
    const struct step *values = toy.segment.steps.steps[3];
    ck_assert_uint_eq(segment_peak(&toy.segment, 1), 4 * 640 + 1280);
    toy_schedule(&toy);
    ck_assert_uint_eq(segment_peak(&toy.segment, 1), 3 * 640 + 1280);
    ck_assert_ptr_eq(toy.segment.steps.steps[4], values);
    region_free(&toy.region);
}
END_TEST

/* Branches of which each makes much of nothing, and little of that; all are read in the end. */
static void fill_with_branches(struct toy *toy, int count)
{
    struct value *large[512], *sum = NULL;
    for (int i = 0; i < count; i++)
        large[i] = toy_make(toy, 6400, NULL, NULL);
    for (int i = 0; i < count; i++)
        sum = toy_make(toy, 64, toy_make(toy, 64, large[i], NULL), sum);
    graph_set_outputs(toy->graph, 1, &sum);
}

START_TEST(a_branch_ends_before_the_next_begins)
{
    struct toy toy;
    toy_begin(&toy);
    fill_with_branches(&toy, 100);
    toy_schedule(&toy);
    ck_assert_uint_eq(segment_peak(&toy.segment, 1), 6400 + 2 * 64);
    region_free(&toy.region);
}
END_TEST

/* Longer than a stretch: steps stay within theirs. */
START_TEST(long_segments_are_ordered_by_stretches)
{
    struct toy toy;
    toy_begin(&toy);
    fill_with_branches(&toy, 500);
    size_t given = segment_peak(&toy.segment, 1);
    toy_schedule(&toy);
    ck_assert_int_eq(toy.segment.steps.count, 1500);
    ck_assert_uint_lt(segment_peak(&toy.segment, 1), given);
    region_free(&toy.region);
}
END_TEST

/* --- what must not move ---------------------------------------------------------------------------------- */

/* Two steps that make much; each would better come right before the one that reads it. */
struct pair {
    struct toy toy;
    struct step *first, *second;
};

static void fill_pair(struct pair *pair, const char *op)
{
    toy_begin(&pair->toy);
    struct value *a = toy_value(&pair->toy, 6400), *b = toy_value(&pair->toy, 640);
    pair->first = toy_step(&pair->toy, op, 0, NULL, 1, &a);
    pair->second = toy_step(&pair->toy, op, 0, NULL, 1, &b);
    struct value *of_b = toy_make(&pair->toy, 6400, b, NULL);
    struct value *little = toy_make(&pair->toy, 64, of_b, NULL);
    struct value *y = toy_make(&pair->toy, 64, a, little);
    graph_set_outputs(pair->toy.graph, 1, &y);
}

static bool in_order(const struct pair *pair)
{
    for (int s = 0; s < pair->toy.segment.steps.count; s++)
        if (pair->toy.segment.steps.steps[s] == pair->first || pair->toy.segment.steps.steps[s] == pair->second)
            return pair->toy.segment.steps.steps[s] == pair->first;
    return false;
}

START_TEST(random_numbers_are_drawn_in_their_order)
{
    struct pair pair;
    fill_pair(&pair, "Add");
    toy_schedule(&pair.toy);
    ck_assert(!in_order(&pair));
    region_free(&pair.toy.region);
    fill_pair(&pair, "RandomUniform");
    toy_schedule(&pair.toy);
    ck_assert(in_order(&pair));
    region_free(&pair.toy.region);
}
END_TEST

START_TEST(a_step_that_tells_sizes_stays)
{
    struct pair pair;
    fill_pair(&pair, "Add");
    pair.second->outputs[0]->dims_at_run = true;
    toy_schedule(&pair.toy);
    ck_assert_ptr_eq(pair.toy.segment.steps.steps[1], pair.second);
    ck_assert(in_order(&pair));
    region_free(&pair.toy.region);
}
END_TEST

/* What touched a value before such a step is not taken for a step after it. */
START_TEST(stretches_are_looked_at_apart)
{
    struct toy toy;
    toy_begin(&toy);
    struct value *given = toy_make(&toy, 64, NULL, NULL), *a, *b;
    toy_make(&toy, 64, NULL, NULL)->dims_at_run = true;
    a = toy_make(&toy, 6400, NULL, NULL);
    b = toy_make(&toy, 640, given, NULL);
    const struct step *of_b = toy.segment.steps.steps[3];
    struct value *y = toy_make(&toy, 64, a, toy_make(&toy, 64, toy_make(&toy, 6400, b, NULL), NULL));
    graph_set_outputs(toy.graph, 1, &y);
    toy_schedule(&toy);
    ck_assert_ptr_eq(toy.segment.steps.steps[2], of_b);
    region_free(&toy.region);
}
END_TEST

/* Whether two steps that write one value, the first so much of it and the second its last half, change places where
 * that lowers the peak: the first needs much workspace, and the second is the last to read what takes much memory from
 * before the segment on. */
static bool may_swap(int64_t first_bytes)
{
    struct pair pair;
    toy_begin(&pair.toy);
    struct value *given = toy_value(&pair.toy, 6400), *whole = toy_value(&pair.toy, 640);
    struct value *first = toy_view(&pair.toy, whole, 0, first_bytes), *second = toy_view(&pair.toy, whole, 320, 320);
    pair.first = toy_step(&pair.toy, "Add", 0, NULL, 1, &first);
    pair.second = toy_step(&pair.toy, "Add", 1, &given, 1, &second);
    pair.first->plan = toy_plan(&pair.toy, 1, 6400);
    toy_make(&pair.toy, 64, whole, NULL);
    toy_schedule(&pair.toy);
    bool swapped = !in_order(&pair);
    region_free(&pair.toy.region);
    return swapped;
}

START_TEST(what_is_written_twice_is_written_in_order)
{
    ck_assert(may_swap(320));
    ck_assert(!may_swap(640));
}
END_TEST

/* --- who touches what ------------------------------------------------------------------------------------ */

START_TEST(steps_by_root)
{
    struct toy toy;
    toy_begin(&toy);
    struct value *a = toy_make(&toy, 64, NULL, NULL), *part = toy_view(&toy, a, 32, 32),
                 *untouched = toy_value(&toy, 1);
    toy_make(&toy, 64, NULL, NULL);
    toy_make(&toy, 64, a, part);
    toy_step(&toy, "Add", 1, &a, 1, &part);
    toy_make(&toy, 64, part, NULL);
    toy.segment.steps.steps[4] = NULL;
    static const int expected[] = {0, 2, 3};
    struct root_steps found;
    int count = 0;
    ck_assert(root_steps_find(&toy.segment, &toy.region, &found));
    for (int e = found.lists[a->id].first; e >= 0; e = found.entries[e].next)
        ck_assert_int_eq(found.entries[e].step, expected[count++]);
    ck_assert_int_eq(count, 3);
    ck_assert_int_eq(found.entry_count, 5);
    ck_assert_int_lt(found.lists[untouched->id].first, 0);
    ck_assert_int_lt(found.lists[part->id].first, 0);
    region_free(&toy.region);
}
END_TEST

/* --- memory ---------------------------------------------------------------------------------------------- */

START_TEST(sizes_beyond_all_memory_are_left_alone)
{
    struct toy toy;
    toy_begin(&toy);
    struct value *sum = NULL;
    for (int i = 0; i < 80; i++) {
        sum = toy_make(&toy, INT64_MAX / 32, sum, NULL);
        ck_assert(i < 32 || segment_peak(&toy.segment, 1) == SIZE_MAX);
    }
    struct step **steps = toy.segment.steps.steps;
    toy_schedule(&toy);
    ck_assert_ptr_eq(toy.segment.steps.steps, steps);
    region_free(&toy.region);
}
END_TEST

START_TEST(workspaces_count_once_for_each_task_at_work)
{
    struct toy toy;
    toy_begin(&toy);
    toy_make(&toy, 64, NULL, NULL);
    toy.segment.steps.steps[0]->plan = toy_plan(&toy, 3, 128);
    ck_assert_uint_eq(segment_peak(&toy.segment, 1), 64 + 128);
    ck_assert_uint_eq(segment_peak(&toy.segment, 2), 64 + 2 * 128);
    ck_assert_uint_eq(segment_peak(&toy.segment, 8), 64 + 3 * 128);
    region_free(&toy.region);
}
END_TEST

Suite *schedule_suite(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tests = tcase_create("schedule");
    tcase_add_loop_test(tests, small_segments_get_the_least_peak, 0, 4);
    tcase_add_test(tests, larger_segments_never_get_a_higher_peak);
    tcase_add_test(tests, attention_scores_come_before_the_values);
    tcase_add_test(tests, a_branch_ends_before_the_next_begins);
    tcase_add_test(tests, long_segments_are_ordered_by_stretches);
    tcase_add_test(tests, random_numbers_are_drawn_in_their_order);
    tcase_add_test(tests, a_step_that_tells_sizes_stays);
    tcase_add_test(tests, stretches_are_looked_at_apart);
    tcase_add_test(tests, steps_by_root);
    tcase_add_test(tests, what_is_written_twice_is_written_in_order);
    tcase_add_test(tests, sizes_beyond_all_memory_are_left_alone);
    tcase_add_test(tests, workspaces_count_once_for_each_task_at_work);
    suite_add_tcase(suite, tests);
    return suite;
}
