/* What becomes of graphs when a program is made of them, with vectors of 16 lanes: the steps in their order, the kernel
 * and the epilogue of each, and where all operands lie. Random graphs, and networks that are cut into strips to save
 * memory or time. No program runs. */
#include "formats/hash.h"
#include "runtime/session.h"
#include "tests/decisions.h"
#include "tests/kept_cases.h"
#include "tests/suites.h"
#include "tests/tall_net.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_PROGRAMS 120
#define TALL_NETS 40
#define THIN_NETS 48

/* --- what a program is ----------------------------------------------------------------------------------- */

static void add_operand(FILE *file, struct operand operand)
{
    static const char *const spaces[] = {"-", "a", "c", "i", "o", "s", "d"};
    fputs(spaces[operand.space], file);
    if (operand.space == SPACE_ARENA)
        fprintf(file, "%zu", operand.offset);
    else if (operand.space != SPACE_NONE)
        fprintf(file, "%" PRIu32, operand.index);
    if (operand.space != SPACE_ARENA && operand.offset)
        fprintf(file, "+%zu", operand.offset);
}

static void add_code(FILE *file, const struct pointwise_params *program)
{
    for (int i = 0; i < program->instruction_count; i++)
        fprintf(file, "+%s", pointwise_name((enum pointwise_opcode)pointwise_code(program)[i].opcode));
}

/* kernel+EPILOGUE(inputs>outputs) */
static void add_step(FILE *file, const struct program_step *placed)
{
    const struct step *step = placed->step;
    struct epilogue space;
    const struct pointwise_params **epilogue = step_epilogue(step, &space);
    fprintf(file, " %s", step_kernel_name(step));
    if (step->family == FAMILY_pointwise && !step->control)
        add_code(file, step->params);
    else if (epilogue && *epilogue)
        add_code(file, *epilogue);
    for (int i = 0; i < step->input_count + step->output_count; i++) {
        fputs(i == 0 ? "(" : i == step->input_count ? ">" : ",", file);
        add_operand(file, placed->operands[i]);
    }
    if (step->plan && (step->plan->task_bytes || step->plan->shared_bytes))
        fprintf(file, ";w%zu", placed->workspace_offset);
    fputc(')', file);
}

static void add_program(FILE *file, const struct program *program)
{
    for (int s = 0; s < program->step_count; s++)
        add_step(file, &program->steps[s]);
    fprintf(file, " = arena %zu%s of %zu, workspace %zu, constants %zu and %" PRIu64 "%s\n", program->arena_bytes,
            program->arena_is_least ? " (least)" : "", program->lower_bound_bytes, program->workspace_bytes,
            program->constant_bytes, (uint64_t)program->derived.holder.bytes, program->complete ? "" : ", then more");
}

/* --- making it ------------------------------------------------------------------------------------------- */

struct way {
    int threads;
    bool memory_saving, channels_last;
};

struct wish {
    struct infer_session *session;
    const struct known_input *inputs;
};

static enum status make_program(void *user, const struct program_options *options, struct program **program,
                                struct error *error)
{
    struct wish *wish = user;
    return program_create(options, wish->session->graph, wish->inputs, program, error);
}

/* Writes the line of the program that a session makes of the model, which ends here. Returns the bytes of its tables.
 */
static size_t add_model(FILE *file, infer_model *model, const struct known_input *inputs, struct way way)
{
    const infer_session_options options = {
        .threads = 1, .isa = INFER_ISA_REFERENCE, .memory_saving = way.memory_saving};
    infer_error failure = {0};
    struct error error = {0};
    struct wish wish = {.inputs = inputs};
    const struct program_wanted wanted = {.key = {"key", 3, 1}, .make = make_program, .user = &wish};
    struct program *program;
    size_t bytes = 0;
    ck_assert_msg(infer_session_create(model, &options, &wish.session, &failure) == INFER_OK, "%s", failure.message);
    wish.session->facts = facts_of_16_lanes(way.threads);
    wish.session->facts.memory_saving = way.memory_saving;
    wish.session->channels_last = way.channels_last;
    wish.session->whole_programs = true;
    if (session_program(wish.session, &wanted, &program, &error) == STATUS_OK) {
        add_program(file, program);
        bytes = program_table_bytes(program);
        program_release(program);
    } else {
        fprintf(file, " %s\n", error.text);
    }
    infer_session_release(wish.session);
    infer_model_release(model);
    return bytes;
}

/* The same, for inputs of the shapes that the graph says. */
static size_t add_graph(FILE *file, infer_model *model, int input_count, struct value *const *inputs, struct way way)
{
    struct known_input known[RIG_MOST];
    for (int i = 0; i < input_count; i++)
        known[i] = (struct known_input){.dtype = inputs[i]->dtype, .rank = inputs[i]->rank, .dims = inputs[i]->dims};
    return add_model(file, model, known, way);
}

/* What all programs of a table take in tables. AddressSanitizer gives each block of a region memory of its own. */
static void end_table(struct decisions *decisions, size_t bytes)
{
    decisions_end(decisions);
#ifndef ADDRESSES_CHECKED
    struct decisions memory;
    char name[80];
    snprintf(name, sizeof name, "%s_memory", decisions->name);
    decisions_begin(&memory, name);
    fprintf(memory.file, "tables %zu\n", bytes);
    decisions_end(&memory);
#else
    (void)bytes;
#endif
}

/* --- of random graphs ------------------------------------------------------------------------------------ */

START_TEST(random_graphs)
{
    struct decisions decisions;
    size_t bytes = 0;
    decisions_begin(&decisions, "programs_random");
    for (int i = 0; i < RANDOM_PROGRAMS; i++) {
        struct dice dice = {.state = 5000 + (uint64_t)i};
        struct random_graph random;
        (i % 2 ? random_graph_make : random_graph_make_wider)(&random, &dice);
        struct graph *graph = random.graph;
        struct maker maker = maker_start();
        maker.graph = graph;
        fprintf(decisions.file, "%d:", i);
        infer_model *model =
            maker_finish(&maker, graph->input_count, graph->inputs, graph->output_count, graph->outputs, NULL);
        bytes += add_graph(decisions.file, model, graph->input_count, graph->inputs,
                           (struct way){1 + i % 4, i % 3 == 0, i % 5 == 0});
        region_free(&maker.region);
        random_graph_free(&random);
    }
    end_table(&decisions, bytes);
}
END_TEST

/* --- of networks that strips are for --------------------------------------------------------------------- */

static size_t add_rig(FILE *file, struct rig *rig, struct way way)
{
    infer_model *model =
        maker_finish(&rig->maker, rig->input_count, rig->inputs, rig->output_count, rig->outputs, NULL);
    return add_graph(file, model, rig->input_count, rig->inputs, way);
}

START_TEST(tall_networks)
{
    struct decisions decisions;
    size_t bytes = 0;
    decisions_begin(&decisions, "programs_tall");
    for (int i = 0; i < TALL_NETS; i++) {
        struct net net;
        draw_net(&net, 7000 + (uint64_t)i);
        fprintf(decisions.file, "%d:", i);
        bytes += add_rig(decisions.file, &net.rig, (struct way){1 + i % 3, true, false});
        region_free(&net.rig.maker.region);
    }
    end_table(&decisions, bytes);
}
END_TEST

/* The newest value of a network of thin layers over large images. */
struct thin {
    struct rig rig;
    struct dice dice;
    struct value *x;
    int64_t channels, height, width;
};

static void convolve(struct thin *thin, int64_t outputs, int64_t kernel, int64_t stride, int64_t group)
{
    const int64_t pad = kernel / 2, pads[] = {pad, pad, pad, pad}, strides[] = {stride, stride};
    const struct attribute attributes[] = {ATTRIBUTE_I("group", group), ATTRIBUTE_LIST("pads", 4, pads),
                                           ATTRIBUTE_LIST("strides", 2, strides)};
    struct value *operands[] = {thin->x, rig_weights(&thin->rig, DIMS(outputs, thin->channels / group, kernel, kernel)),
                                rig_weights(&thin->rig, DIMS(outputs))};
    thin->x = rig_node(&thin->rig, "Conv", 3, operands, 3, attributes);
    thin->channels = outputs;
    thin->height = (thin->height - 1) / stride + 1;
    thin->width = (thin->width - 1) / stride + 1;
}

static void activate(struct thin *thin)
{
    static const char *const ops[] = {"Relu", "HardSwish", "LeakyRelu", "Sigmoid"};
    int64_t kind = roll(&thin->dice, 5);
    if (kind < 4)
        thin->x = rig_op1(&thin->rig, ops[kind], thin->x);
}

static void add_layer(struct thin *thin)
{
    struct value *before = thin->x;
    int64_t stride;
    switch (roll(&thin->dice, 6)) {
    case 0:
    case 1:
        stride = 1 + !roll(&thin->dice, 4);
        convolve(thin, thin->channels, 3 + 2 * roll(&thin->dice, 2), stride, thin->channels);
        break;
    case 2:
    case 3:
        convolve(thin, 8 * (1 + roll(&thin->dice, 6)), 1, 1, 1);
        break;
    case 4:
        convolve(thin, thin->channels, 3, 1, 1);
        thin->x = rig_op2(&thin->rig, "Add", thin->x, before);
        break;
    default:
        thin->x = rig_op2(&thin->rig, "Mul", before, rig_op1(&thin->rig, "GlobalAveragePool", before));
    }
    activate(thin);
}

static void draw_thin(struct thin *thin, uint64_t number)
{
    *thin = (struct thin){.dice = {.state = number}, .channels = 3};
    rig_begin(&thin->rig);
    thin->height = 240 + roll(&thin->dice, 300);
    thin->width = 240 + roll(&thin->dice, 300);
    thin->x = rig_input(&thin->rig, DIMS(1, 3, thin->height, thin->width));
    convolve(thin, 8 * (2 + roll(&thin->dice, 3)), 3, 2, 1);
    for (int layers = 2 + (int)roll(&thin->dice, 5); layers > 0; layers--)
        add_layer(thin);
    rig_output(&thin->rig, thin->x);
}

START_TEST(thin_networks)
{
    struct decisions decisions;
    size_t bytes = 0;
    decisions_begin(&decisions, "programs_thin");
    for (int i = 0; i < THIN_NETS; i++) {
        struct thin thin;
        draw_thin(&thin, 9000 + (uint64_t)i);
        fprintf(decisions.file, "%d:", i);
        bytes += add_rig(decisions.file, &thin.rig, (struct way){1 + i % 5, i % 8 == 7, false});
        region_free(&thin.rig.maker.region);
    }
    end_table(&decisions, bytes);
}
END_TEST

/* --- of single operators --------------------------------------------------------------------------------- */

/* The kernels, and a hash of all that the line of a program says. */
static void add_short(FILE *file, const char *line, size_t bytes)
{
    for (const char *at = line; *at == ' ' && at[1] != '='; at += strcspn(at, ")") + 1)
        fprintf(file, " %.*s", (int)strcspn(at + 1, "("), at + 1);
    fprintf(file, " %08" PRIx32 "\n", (uint32_t)xxh64(line, bytes, 0));
}

static void add_case(const struct kept_case *c, struct graph *graph, void *user)
{
    struct decisions *decisions = user;
    struct known_input inputs[KEPT_MOST];
    struct maker maker = maker_start();
    char *line;
    size_t bytes;
    FILE *file = open_memstream(&line, &bytes);
    maker.graph = graph;
    for (size_t i = 0; i < c->input_count; i++)
        inputs[i] = (struct known_input){
            .dtype = (enum dtype)c->inputs[i].dtype, .rank = c->inputs[i].rank, .dims = c->inputs[i].dims};
    infer_model *model =
        maker_finish(&maker, graph->input_count, graph->inputs, graph->output_count, graph->outputs, NULL);
    add_model(file, model, inputs, (struct way){.threads = 2});
    fclose(file);
    fprintf(decisions->file, "%s:", c->name);
    add_short(decisions->file, line, bytes);
    free(line);
    region_free(&maker.region);
}

START_TEST(single_operators)
{
    struct decisions decisions;
    decisions_begin(&decisions, "programs_operators");
    try_kept_cases("tests/data/cases/onnx.zlib", 0, 1, add_case, &decisions);
    try_kept_cases("tests/data/cases/contrib.zlib", 0, 1, add_case, &decisions);
    decisions_end(&decisions);
}
END_TEST

Suite *decisions_programs_suite(void)
{
    Suite *suite = suite_create("decisions_programs");
    TCase *tests = tcase_create("decisions");
    tcase_add_test(tests, random_graphs);
    tcase_add_test(tests, tall_networks);
    tcase_add_test(tests, thin_networks);
    tcase_add_test(tests, single_operators);
    suite_add_tcase(suite, tests);
    return suite;
}
