/* How constants that are computed from constants are named in the store: two derivations share their results if, and
 * only if, they compute the same from the same. */
#include "tests/suites.h"

#include "graph/op.h"
#include "runtime/weights/derive.h"

#include <check.h>
#include <string.h>

#define RESULT_BYTES 2048

/* A model's file, a session's memory, a store, and what a program has of it. */
struct rig {
    struct weights weights;
    struct region session, program;
    struct derived outer, derived;
    int made; /* results so far */
};

#define FILE_FLOATS 4096
static float room[FILE_FLOATS + 32], *const file = room + 16; /* what lies there is told apart by its address alone */

static void begin(struct rig *rig)
{
    rig->made = 0;
    weights_init(&rig->weights, &default_allocator, NULL);
    region_init(&rig->session, &default_allocator);
    region_init(&rig->program, &default_allocator);
    derived_init(&rig->outer, &rig->weights, NULL, file, FILE_FLOATS * sizeof *file, &rig->session);
    derived_init_within(&rig->derived, &rig->outer, &rig->program);
}

static void end(struct rig *rig)
{
    weight_holder_free(&rig->derived.holder);
    weight_holder_free(&rig->outer.holder);
    ck_assert_uint_eq(atomic_load(&rig->weights.bytes), 0);
    weights_free(&rig->weights);
    region_free(&rig->program);
    region_free(&rig->session);
}

static enum status make(void *user, void *results, struct error *error)
{
    struct rig *rig = user;
    (void)error;
    memset(results, 0, RESULT_BYTES);
    *(int *)results = ++rig->made;
    return STATUS_OK;
}

/* --- a derivation, and all that may be otherwise -------------------------------------------------------------- */

static const int64_t ints[3] = {1, 2, 3}, other_ints[3] = {1, 2, 4};
static const float floats[2] = {1, 2}, other_floats[2] = {1, -2};
static const char *const strings[2] = {"a", "bc"}, *const other_strings[2] = {"ab", "c"};

/* One node, or one step, with operands of each kind and attributes of each kind. */
struct scene {
    struct value large, small, tensor, result, *inputs[4], *outputs[2];
    int64_t number;
    float tensor_number;
    struct attribute attributes[8];
    struct node node;
    struct copy_params params;
    struct step step;
    struct kernel_facts facts;
    bool is_step;
    size_t bytes;
};

static void set_scene(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    scene->number = 7;
    scene->large = (struct value){.name = "large", .dtype = DTYPE_F32, .rank = 2, .dims = {16, 32}, .data = file};
    scene->small = (struct value){.name = "small", .dtype = DTYPE_I64, .rank = 0, .data = &scene->number};
    scene->tensor =
        (struct value){.name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {1}, .data = &scene->tensor_number};
    scene->result = (struct value){.name = "result", .dtype = DTYPE_F32, .rank = 2, .dims = {16, 32}};
    scene->inputs[0] = &scene->large;
    scene->inputs[1] = &scene->small;
    scene->outputs[0] = &scene->result;
    const struct attribute attributes[8] = {
        {.name = "i", .kind = ATTRIBUTE_INT, .i = 5},
        {.name = "f", .kind = ATTRIBUTE_FLOAT, .f = 0.5f},
        {.name = "s", .kind = ATTRIBUTE_STRING, .count = 3, .string = "xyz"},
        {.name = "t", .kind = ATTRIBUTE_TENSOR, .tensor = &scene->tensor},
        {.name = "is", .kind = ATTRIBUTE_INTS, .count = 3, .ints = ints},
        {.name = "fs", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = floats},
        {.name = "ss", .kind = ATTRIBUTE_STRINGS, .count = 2, .strings = strings},
    };
    memcpy(scene->attributes, attributes, sizeof attributes);
    scene->node = (struct node){.op = op_find("", "Add"),
                                .version = 14,
                                .name = "node",
                                .inputs = scene->inputs,
                                .input_count = 2,
                                .outputs = scene->outputs,
                                .output_count = 1,
                                .attributes = scene->attributes,
                                .attribute_count = 7};
    scene->params.rank = 1;
    scene->params.dims[0] = 512;
    scene->step = (struct step){.family = FAMILY_copy,
                                .params = &scene->params,
                                .params_bytes = sizeof scene->params,
                                .inputs = scene->inputs,
                                .input_count = 1,
                                .outputs = scene->outputs,
                                .output_count = 1,
                                .node = &scene->node};
    scene->facts = (struct kernel_facts){.cpu = CPU_AVX2, .threads = 1};
    scene->bytes = RESULT_BYTES;
}

/* Where the results lie; NULL: they are not kept. */
static const void *obtain(struct rig *rig, struct derived *derived, const struct scene *scene)
{
    struct derivation derivation = {.node = &scene->node,
                                    .step = scene->is_step ? &scene->step : NULL,
                                    .facts = &scene->facts,
                                    .bytes = scene->bytes,
                                    .limit = SIZE_MAX,
                                    .make = make,
                                    .user = rig};
    const void *results;
    struct error error = {0};
    size_t taken = 0, held = derived->holder.bytes;
    ck_assert_msg(derived->store.obtain(&derived->store, &derivation, &results, &taken, &error) == STATUS_OK, "%s",
                  error.text);
    ck_assert_uint_eq(taken, derived->holder.bytes - held);
    return results;
}

typedef void change(struct scene *);

#define CHANGE(name, ...)                 \
    static void name(struct scene *scene) \
    {                                     \
        __VA_ARGS__;                      \
    }
CHANGE(another_operator, scene->node.op = op_find("", "Sub"))
CHANGE(another_version, scene->node.version = 13)
CHANGE(another_name_of_attribute, scene->attributes[0].name = "j")
CHANGE(another_int, scene->attributes[0].i = 6)
CHANGE(another_float, scene->attributes[1].f = -0.5f)
CHANGE(another_kind, scene->attributes[0].kind = ATTRIBUTE_FLOAT)
CHANGE(another_string, scene->attributes[2].string = "xyy")
CHANGE(a_shorter_string, scene->attributes[2].count = 2)
CHANGE(another_tensor, scene->tensor_number = 1)
CHANGE(another_type_of_tensor, scene->tensor.dtype = DTYPE_I32)
CHANGE(other_integers, scene->attributes[4].ints = other_ints)
CHANGE(fewer_integers, scene->attributes[4].count = 2)
CHANGE(other_numbers, scene->attributes[5].floats = other_floats)
CHANGE(other_words, scene->attributes[6].strings = other_strings)
CHANGE(fewer_attributes, scene->node.attribute_count = 6)
CHANGE(another_address, scene->large.data = file + 16)
CHANGE(another_type, scene->large.dtype = DTYPE_I32)
CHANGE(another_shape, scene->large.dims[0] = 32; scene->large.dims[1] = 16)
CHANGE(another_rank, scene->large.rank = 3; scene->large.dims[2] = 1)
CHANGE(another_number, scene->number = 8)
CHANGE(exchanged, scene->inputs[0] = &scene->small; scene->inputs[1] = &scene->large)
CHANGE(absent, scene->inputs[1] = NULL)
CHANGE(not_given, scene->node.input_count = 1)
CHANGE(one_more, scene->node.input_count = 3)
CHANGE(another_result_type, scene->result.dtype = DTYPE_I32)
CHANGE(another_result_shape, scene->result.dims[0] = 8)
CHANGE(a_second_result, scene->node.output_count = 2; scene->outputs[1] = &scene->result)
CHANGE(an_unwanted_result, scene->node.output_count = 2)
CHANGE(another_cpu, scene->facts.cpu = CPU_AVX512)
CHANGE(other_kernels, static const struct kernel *const none[1]; scene->facts.kernels = none)
CHANGE(a_step, scene->is_step = true)
CHANGE(another_step, scene->is_step = true; scene->params.dims[0] = 511)
CHANGE(another_family, scene->is_step = true; scene->step.family = FAMILY_pointwise)
CHANGE(another_step_operand, scene->is_step = true; scene->large.data = file + 32)
CHANGE(another_step_shape, scene->is_step = true; scene->result.dims[0] = 4)

static change *const differences[] = {
    another_operator,
    another_version,
    another_name_of_attribute,
    another_int,
    another_float,
    another_kind,
    another_string,
    a_shorter_string,
    another_tensor,
    another_type_of_tensor,
    other_integers,
    fewer_integers,
    other_numbers,
    other_words,
    fewer_attributes,
    another_address,
    another_type,
    another_shape,
    another_rank,
    another_number,
    exchanged,
    absent,
    not_given,
    one_more,
    another_result_type,
    a_second_result,
    an_unwanted_result,
    another_result_shape,
    another_cpu,
    other_kernels,
    a_step,
    another_step,
    another_family,
    another_step_operand,
    another_step_shape,
};
#define DIFFERENCES ((int)(sizeof differences / sizeof differences[0]))

/* Every one of them, and the scene as it is, has results of its own, which it finds again. */
START_TEST(what_differs_has_results_of_its_own)
{
    struct rig rig;
    struct scene scene;
    const void *results[DIFFERENCES + 1];
    begin(&rig);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i <= DIFFERENCES; i++) {
            set_scene(&scene);
            if (i < DIFFERENCES)
                differences[i](&scene);
            const void *found = obtain(&rig, &rig.derived, &scene);
            ck_assert_msg(found != NULL, "case %d is not kept", i);
            for (int k = 0; k < i; k++)
                ck_assert_msg(results[k] != found, "cases %d and %d share", k, i);
            ck_assert(round == 0 || results[i] == found);
            results[i] = found;
        }
    ck_assert_int_eq(rig.made, DIFFERENCES + 1);
    end(&rig);
}
END_TEST

CHANGE(other_names, scene->node.name = "other"; scene->large.name = "w"; scene->result.name = "")
CHANGE(more_threads, scene->facts.threads = 16)
CHANGE(parameters_of_no_step, scene->params.dims[0] = 1)
CHANGE(a_view, static struct value root; root = scene->large; scene->large.data = NULL; scene->large.alias = &root)

START_TEST(what_is_the_same_is_shared)
{
    static change *const same[] = {other_names, more_threads, parameters_of_no_step, a_view};
    struct rig rig;
    struct scene scene;
    struct derived stranger; /* another session of the model */
    struct region region;
    begin(&rig);
    region_init(&region, &default_allocator);
    derived_init(&stranger, &rig.weights, NULL, file, FILE_FLOATS * sizeof *file, &region);
    set_scene(&scene);
    const void *results = obtain(&rig, &rig.derived, &scene);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        set_scene(&scene);
        same[i](&scene);
        ck_assert_ptr_eq(obtain(&rig, &rig.derived, &scene), results);
        ck_assert_ptr_eq(obtain(&rig, &stranger, &scene), results);
    }
    ck_assert_int_eq(rig.made, 1);
    weight_holder_free(&stranger.holder);
    region_free(&region);
    end(&rig);
}
END_TEST

static float elsewhere[RESULT_BYTES];
CHANGE(memory_that_does_not_last, scene->large.data = elsewhere)
CHANGE(beyond_the_file, scene->large.data = file + FILE_FLOATS - 511)
CHANGE(before_the_file, scene->large.data = file - 1)
CHANGE(a_graph, scene->attributes[7] = (struct attribute){.name = "g", .kind = ATTRIBUTE_GRAPH};
       scene->node.attribute_count = 8)
CHANGE(strided, static const int64_t strides[2] = {1, 16}; scene->large.strides = strides)
CHANGE(little, scene->bytes = STORED_LEAST - 1)
CHANGE(parameters_with_tables, scene->is_step = true; scene->step.family = FAMILY_resample)

START_TEST(what_has_no_lasting_name_is_not_kept)
{
    static change *const nameless[] = {
        memory_that_does_not_last, beyond_the_file, before_the_file, a_graph, strided, little, parameters_with_tables};
    struct rig rig;
    struct scene scene;
    begin(&rig);
    for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++) {
        set_scene(&scene);
        nameless[i](&scene);
        ck_assert_msg(obtain(&rig, &rig.derived, &scene) == NULL, "case %zu is kept", i);
    }
    ck_assert_int_eq(rig.made, 0);
    end(&rig);
}
END_TEST

START_TEST(memory_of_the_session_lasts)
{
    struct rig rig;
    struct scene scene;
    begin(&rig);
    set_scene(&scene);
    scene.large.data = region_allocate(&rig.session, RESULT_BYTES);
    ck_assert_ptr_nonnull(obtain(&rig, &rig.derived, &scene));
    scene.large.data = region_allocate(&rig.program, RESULT_BYTES);
    ck_assert_ptr_null(obtain(&rig, &rig.derived, &scene));
    end(&rig);
}
END_TEST

/* A long key, and one that is too long: many operands named by their content. */
START_TEST(a_key_has_an_end)
{
    static char content[STORED_LEAST - 1];
    struct value value = {.dtype = DTYPE_U8, .rank = 1, .dims = {STORED_LEAST - 1}, .data = content};
    struct value *inputs[80];
    struct rig rig;
    struct scene scene;
    begin(&rig);
    for (int i = 0; i < 80; i++)
        inputs[i] = &value;
    set_scene(&scene);
    scene.node.inputs = inputs;
    scene.node.input_count = 40;
    const void *results = obtain(&rig, &rig.derived, &scene);
    ck_assert_ptr_nonnull(results);
    ck_assert_ptr_eq(obtain(&rig, &rig.derived, &scene), results);
    content[STORED_LEAST - 2] = 1;
    ck_assert_ptr_ne(obtain(&rig, &rig.derived, &scene), results);
    scene.node.input_count = 80;
    ck_assert_ptr_null(obtain(&rig, &rig.derived, &scene));
    end(&rig);
}
END_TEST

/* --- chains --------------------------------------------------------------------------------------------------- */

/* The results of a second derivation, which reads those of the scene from `offset` on. */
static const void *obtain_from(struct rig *rig, struct derived *derived, const void *results, size_t offset)
{
    struct scene next;
    set_scene(&next);
    next.large.dims[0] = 15; /* so that it can begin later */
    next.large.data = (const char *)results + offset;
    return obtain(rig, derived, &next);
}

START_TEST(a_result_is_named_by_what_it_was_made_of)
{
    struct rig rig;
    struct scene scene;
    begin(&rig);
    set_scene(&scene);
    const void *first = obtain(&rig, &rig.derived, &scene);
    another_number(&scene);
    const void *other = obtain(&rig, &rig.derived, &scene);
    const void *second = obtain_from(&rig, &rig.derived, first, 0);
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_ne(obtain_from(&rig, &rig.derived, first, 128), second);
    ck_assert_ptr_ne(obtain_from(&rig, &rig.derived, other, 0), second);
    const void *third = obtain_from(&rig, &rig.derived, second, 0);
    ck_assert_ptr_ne(third, second);
    ck_assert_int_eq(rig.made, 6);
    /* Found from another program, whose session and parent have what it is made of; or made anew, elsewhere. */
    struct derived child;
    derived_init_within(&child, &rig.derived, &rig.program);
    ck_assert_ptr_eq(obtain_from(&rig, &child, second, 0), third);
    ck_assert_int_eq(child.holder.count, 0);
    unsigned char *marks = derived_marks(&rig.derived, &rig.program);
    struct graph *graph = graph_create(&rig.program, "");
    struct value *kept = graph_add_constant(graph, "kept", DTYPE_F32, 1, (int64_t[]){4}, third);
    struct value *lost = graph_add_constant(graph, "lost", DTYPE_F32, 1, (int64_t[]){4}, (const char *)first + 64);
    derived_mark(&rig.derived, marks, kept);
    derived_mark(&rig.derived, marks, NULL);
    derived_keep_marked(&rig.derived, marks, graph);
    ck_assert_int_eq(rig.derived.holder.count, 1);
    ck_assert_ptr_eq(kept->data, third);
    ck_assert_ptr_null(lost->data);
    set_scene(&scene);
    struct derived next;
    derived_init_within(&next, &rig.outer, &rig.program);
    first = obtain(&rig, &next, &scene);
    second = obtain_from(&rig, &next, first, 0);
    ck_assert_int_eq(rig.made, 8);
    ck_assert_ptr_eq(obtain_from(&rig, &next, second, 0), third);
    ck_assert_int_eq(rig.made, 8);
    weight_holder_free(&next.holder);
    weight_holder_free(&child.holder);
    end(&rig);
}
END_TEST

Suite *derive_suite(void)
{
    Suite *suite = suite_create("derive");
    TCase *tests = tcase_create("derive");
    tcase_add_test(tests, what_differs_has_results_of_its_own);
    tcase_add_test(tests, what_is_the_same_is_shared);
    tcase_add_test(tests, what_has_no_lasting_name_is_not_kept);
    tcase_add_test(tests, memory_of_the_session_lasts);
    tcase_add_test(tests, a_key_has_an_end);
    tcase_add_test(tests, a_result_is_named_by_what_it_was_made_of);
    suite_add_tcase(suite, tests);
    return suite;
}
