/* The bytes of packs. A file may hold them (infer-convert --pack), so an order that changes needs another number: see
 * struct kernel_pack. Where this test fails, give the form a new number, and put it here. */
#include "formats/hash.h"
#include "runtime/session.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* What a set makes of the weights of the models below, hashed: the sum, so that their order is no matter. */
struct form {
    const char *set, *family;
    uint32_t form;
    uint64_t hash;
};

static const struct form forms[] = {
#include "tests/data/pack_forms.def"
};
#define FORMS (sizeof forms / sizeof forms[0])

struct seen {
    const char *set;
    struct form forms[32];
    int count;
};

static void see(void *user, const struct stored_wanted *wanted, const void *data)
{
    struct seen *seen = user;
    const char *family = kernel_family_name(wanted->family);
    uint64_t hash = xxh3(data, wanted->pack->bytes) ^ xxh3(wanted->pack->geometry, sizeof wanted->pack->geometry);
    int i = 0;
    if (!wanted->pack->storable)
        return;
    while (i < seen->count && (strcmp(seen->forms[i].family, family) != 0 || seen->forms[i].form != wanted->pack->form))
        i++;
    ck_assert_int_lt(i, 32);
    seen->forms[i] = (struct form){seen->set, family, wanted->pack->form, seen->forms[i].hash + hash};
    seen->count += i == seen->count;
}

static struct value *weights(struct maker *maker, const char *name, enum dtype dtype, int rank, const int64_t *dims)
{
    int64_t count;
    ck_assert(shape_elements(rank, dims, &count));
    unsigned char *data = region_array(&maker->region, (size_t)count, dtype == DTYPE_F32 ? 4 : 1);
    ck_assert_ptr_nonnull(data);
    for (int64_t i = 0; i < count; i++) {
        float number = (float)(i * 7919 % 251 - 125) / 64;
        int8_t integer = (int8_t)(i * 7919 % 251 - 125);
        memcpy(data + i * (dtype == DTYPE_F32 ? 4 : 1), dtype == DTYPE_F32 ? (void *)&number : (void *)&integer,
               dtype == DTYPE_F32 ? 4 : 1);
    }
    return graph_add_constant(maker->graph, name, dtype, rank, dims, data);
}

struct layer {
    const char *op;
    enum dtype x, w;
    int rank;
    int64_t x_dims[4];
    int w_rank;
    int64_t w_dims[4];
    int64_t group, stride; /* 0: the operator has none */
};

static const struct layer layers[] = {
    {"Conv", DTYPE_F32, DTYPE_F32, 4, {1, 5, 9, 9}, 4, {35, 5, 1, 1}, 1, 0},
    {"Conv", DTYPE_F32, DTYPE_F32, 4, {1, 3, 20, 20}, 4, {20, 3, 5, 5}, 1, 0},
    {"Conv", DTYPE_F32, DTYPE_F32, 4, {1, 32, 28, 28}, 4, {40, 32, 3, 3}, 1, 0},
    {"Conv", DTYPE_F32, DTYPE_F32, 4, {1, 24, 12, 12}, 4, {24, 1, 3, 3}, 24, 0},
    {"ConvTranspose", DTYPE_F32, DTYPE_F32, 4, {1, 24, 10, 10}, 4, {24, 20, 2, 2}, 1, 2},
    {"ConvTranspose", DTYPE_F32, DTYPE_F32, 4, {1, 24, 10, 10}, 4, {24, 2, 2, 2}, 1, 2},
    {"ConvInteger", DTYPE_U8, DTYPE_I8, 4, {1, 20, 9, 9}, 4, {35, 20, 3, 3}, 1, 0},
    {"ConvInteger", DTYPE_U8, DTYPE_I8, 4, {1, 24, 12, 12}, 4, {24, 1, 3, 3}, 24, 0},
    {"MatMul", DTYPE_F32, DTYPE_F32, 2, {20, 33}, 2, {33, 70}, 0, 0},
    {"MatMul", DTYPE_F32, DTYPE_F32, 2, {20, 400}, 2, {400, 2}, 0, 0},
    {"LSTM", DTYPE_F32, DTYPE_F32, 3, {4, 2, 12}, 3, {1, 80, 12}, 0, 0},
    {"MatMulInteger", DTYPE_U8, DTYPE_I8, 2, {20, 33}, 2, {33, 70}, 0, 0},
};
#define LAYERS (sizeof layers / sizeof layers[0])

/* Memory that holds the byte `user`, so that a byte nobody wrote shows. */
static void *allocate_filled(void *user, size_t bytes, size_t alignment)
{
    void *memory = allocate(&default_allocator, bytes, alignment);
    return memory ? memset(memory, *(const unsigned char *)user, bytes) : NULL;
}

static void release_filled(void *user, void *memory, size_t bytes)
{
    (void)user;
    release(&default_allocator, memory, bytes);
}

static void pack_layer(const struct layer *layer, infer_isa isa, unsigned char filling, struct seen *seen)
{
    const infer_allocator allocator = {allocate_filled, release_filled, &filling};
    infer_session *session;
    infer_error error = {0};
    struct maker maker = maker_start();
    maker.graph = graph_create(&maker.region, "layer");
    struct value *x = graph_add_value(maker.graph, "x", layer->x, layer->rank, layer->x_dims);
    const int64_t strides[] = {layer->stride, layer->stride}, units = layer->w_dims[1] / 4;
    const struct attribute attributes[] = {ATTRIBUTE_I("group", layer->group),
                                           {.name = "strides", .kind = ATTRIBUTE_INTS, .count = 2, .ints = strides}};
    const struct attribute hidden = ATTRIBUTE_I("hidden_size", units);
    bool recurrent = strcmp(layer->op, "LSTM") == 0;
    struct value *sum =
        make_node2(maker.graph, "Add", "sum", x, x); /* channels of an input lie as the caller has them */
    struct value *inputs[] = {sum, weights(&maker, "w", layer->w, layer->w_rank, layer->w_dims),
                              recurrent ? weights(&maker, "r", layer->w, 3, (const int64_t[]){1, 4 * units, units})
                                        : NULL};
    struct value *y = recurrent ? make_node(maker.graph, layer->op, "y", 3, inputs, 1, &hidden)
                                : make_node(maker.graph, layer->op, "y", 2, inputs,
                                            (layer->group ? 1 : 0) + (layer->stride ? 1 : 0), attributes);
    infer_model *model = maker_finish(&maker, 1, &x, 1, &y, &(infer_model_options){.allocator = &allocator});
    const infer_session_options options = {.isa = isa, .threads = 1};
    const struct pack_observer observer = {see, seen};
    ck_assert_msg(infer_session_create(model, &options, &session, &error) == INFER_OK, "%s", error.message);
    session->derived.observer = &observer;
    session->channels_last = true;                                     /* some kernels ask for it */
    session->facts.cpu &= ~(unsigned)(CPU_AVX_VNNI | CPU_AVX512_VNNI); /* which not every CPU of the set has */
    infer_tensor in = {.dtype = (infer_dtype)layer->x, .rank = layer->rank};
    memcpy(in.dims, layer->x_dims, sizeof layer->x_dims);
    ck_assert_msg(infer_session_prepare(session, &in, 1, NULL, &error) == INFER_OK, "%s", error.message);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}

START_TEST(a_form_has_the_bytes_it_had)
{
    static const enum isa isas[] = {ISA_AVX2, ISA_AVX512};
    enum isa isa = isas[_i % 2];
    if (isa > isa_of(cpu_detect()))
        return;
    struct seen seen = {.set = isa_name(isa)};
    for (size_t i = 0; i < LAYERS; i++)
        pack_layer(&layers[i], (infer_isa)((int)isa + INFER_ISA_REFERENCE), _i / 2 ? 0xff : 0, &seen);
    int strangers = 0;
    for (int i = 0; i < seen.count; i++) {
        const struct form *form = &seen.forms[i];
        size_t k = 0;
        while (k < FORMS && (strcmp(forms[k].set, form->set) != 0 || strcmp(forms[k].family, form->family) != 0 ||
                             forms[k].form != form->form))
            k++;
        bool known = k < FORMS && forms[k].hash == form->hash;
        if (!known)
            fprintf(stderr, "{\"%s\", \"%s\", %u, 0x%016llx},\n", form->set, form->family, form->form,
                    (unsigned long long)form->hash);
        strangers += !known;
    }
    ck_assert_msg(strangers == 0, "%d forms are not what tests/data/pack_forms.def has", strangers);
    ck_assert_int_ge(seen.count, 10);
}
END_TEST

Suite *pack_forms_suite(void)
{
    Suite *suite = suite_create("pack_forms");
    TCase *tests = tcase_create("pack_forms");
    tcase_add_loop_test(tests, a_form_has_the_bytes_it_had, 0, 4);
    suite_add_tcase(suite, tests);
    return suite;
}
