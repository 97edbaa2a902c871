#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

#define ML(name) .domain = "ai.onnx.ml", .version = 5, .op = (name)
#define ATTRIBUTE_NUMBERS(key, list)                                                            \
    {                                                                                           \
        .name = (key), .kind = ATTRIBUTE_FLOATS, .count = (size_t)COUNT(list), .floats = (list) \
    }
#define ATTRIBUTE_VALUE(key, value)                                \
    {                                                              \
        .name = (key), .kind = ATTRIBUTE_TENSOR, .tensor = (value) \
    }

static const float x[] = {1, -2, 3, 4, 5, -6};

START_TEST(features_are_picked_scaled_and_cut)
{
    const int64_t last[] = {2};
    const float picked[] = {3, -6}, binary[] = {0, 0, 1, 1, 1, 0}, offsets[] = {1, 0, 0}, scales[] = {2};
    const float scaled[] = {0, -4, 6, 6, 10, -12};
    const struct attribute threshold[] = {ATTRIBUTE_F("threshold", 1)};
    const struct attribute scaler[] = {ATTRIBUTE_NUMBERS("offset", offsets), ATTRIBUTE_NUMBERS("scale", scales)};
    struct test_tensor two[] = {F32(x, 2, 2, 3), I64(last, 1, 1)}, in[] = {F32(x, 2, 2, 3)}, out[1];
    RUN_OP(two, out, ML("ArrayFeatureExtractor"));
    expect_f32(&out[0], picked, 0, 2, 2, 1);
    RUN_OP(in, out, ML("Binarizer"), ATTRIBUTES(threshold));
    expect_f32(&out[0], binary, 0, 2, 2, 3);
    RUN_OP(in, out, ML("Scaler"), ATTRIBUTES(scaler));
    expect_f32(&out[0], scaled, 0, 2, 2, 3);
}
END_TEST

START_TEST(missing_values_are_replaced)
{
    const float holes[] = {1, NAN, NAN, 4}, values[] = {8, 9}, whole[] = {1, 9, 8, 4};
    const struct attribute imputer[] = {ATTRIBUTE_NUMBERS("imputed_value_floats", values),
                                        ATTRIBUTE_F("replaced_value_float", NAN)};
    struct test_tensor in[] = {F32(holes, 2, 2, 2)}, out[1];
    RUN_OP(in, out, ML("Imputer"), ATTRIBUTES(imputer));
    expect_f32(&out[0], whole, 0, 2, 2, 2);
}
END_TEST

START_TEST(rows_are_normalised)
{
    const float rows[] = {3, -4, 0, 0}, l2[] = {0.6f, -0.8f, 0, 0}, max[] = {0.75f, -1, 0, 0};
    const struct attribute by_l2[] = {ATTRIBUTE_TEXT("norm", "L2")};
    struct test_tensor in[] = {F32(rows, 2, 2, 2)}, out[1];
    RUN_OP(in, out, ML("Normalizer"), ATTRIBUTES(by_l2));
    expect_f32(&out[0], l2, 1e-6, 2, 2, 2);
    RUN_OP(in, out, ML("Normalizer"));
    expect_f32(&out[0], max, 1e-6, 2, 2, 2);
}
END_TEST

START_TEST(labels_are_looked_up)
{
    const int64_t words[] = {3, 7, 1, 3}, keys[] = {3, 1, 3}, categories[] = {1, 3};
    const float values[] = {0.5f, 1.5f, 2.5f}, found[] = {2.5f, -1, 1.5f, 2.5f}; /* the last of equal keys holds */
    const float hot[] = {0, 1, 0, 0, 1, 0, 0, 1}, keys_with_nan[] = {NAN, 2}, numbers[] = {2, NAN, 1};
    const int64_t ranks[] = {10, 20}, ranked[] = {20, 10, -1};
    const struct attribute encoder[] = {ATTRIBUTE_LIST("keys_int64s", 3, keys),
                                        ATTRIBUTE_NUMBERS("values_floats", values), ATTRIBUTE_F("default_float", -1)};
    const struct attribute by_float[] = {ATTRIBUTE_NUMBERS("keys_floats", keys_with_nan),
                                         ATTRIBUTE_LIST("values_int64s", 2, ranks)};
    const struct attribute one_hot[] = {ATTRIBUTE_LIST("cats_int64s", 2, categories)};
    struct test_tensor in[] = {I64(words, 1, 4)}, out[1];
    RUN_OP(in, out, ML("LabelEncoder"), ATTRIBUTES(encoder));
    expect_f32(&out[0], found, 0, 1, 4);
    RUN_OP(in, out, ML("OneHotEncoder"), ATTRIBUTES(one_hot));
    expect_f32(&out[0], hot, 0, 2, 4, 2);
    /* The other value may be a tensor of one element, and of its type: else it is the number. */
    const float nine[] = {9, 9}, as_tensor[] = {2.5f, 9, 1.5f, 2.5f};
    for (int64_t elements = 1; elements <= 2; elements++) {
        const struct value other = {.name = "",
                                    .dtype = DTYPE_F32,
                                    .rank = 1,
                                    .dims = {elements},
                                    .data = nine,
                                    .bytes = (size_t)elements * sizeof *nine};
        const struct attribute with_tensor[] = {encoder[0], encoder[1], encoder[2],
                                                ATTRIBUTE_VALUE("default_tensor", &other)};
        RUN_OP(in, out, ML("LabelEncoder"), ATTRIBUTES(with_tensor));
        expect_f32(&out[0], elements == 1 ? as_tensor : found, 0, 1, 4);
    }
    in[0] = F32(numbers, 1, 3);
    RUN_OP(in, out, ML("LabelEncoder"), ATTRIBUTES(by_float));
    expect_i64(&out[0], ranked, 1, 3);
}
END_TEST

START_TEST(linear_models_score_and_choose)
{
    const float rows[] = {1, 2, -1, 0}, weights[] = {1, 1, 0, -1}, bias[] = {0.5f, 0};
    const float scores[] = {3.5f, -2, -0.5f, 0};
    const int64_t classes[] = {4, 9}, chosen[] = {4, 9};
    const struct attribute regressor[] = {ATTRIBUTE_NUMBERS("coefficients", weights),
                                          ATTRIBUTE_NUMBERS("intercepts", bias), ATTRIBUTE_I("targets", 2)};
    const struct attribute classifier[] = {ATTRIBUTE_NUMBERS("coefficients", weights),
                                           ATTRIBUTE_NUMBERS("intercepts", bias),
                                           ATTRIBUTE_LIST("classlabels_ints", 2, classes)};
    struct test_tensor in[] = {F32(rows, 2, 2, 2)}, out[1], both[2];
    RUN_OP(in, out, ML("LinearRegressor"), ATTRIBUTES(regressor));
    expect_f32(&out[0], scores, 1e-6, 2, 2, 2);
    RUN_OP(in, both, ML("LinearClassifier"), ATTRIBUTES(classifier));
    expect_i64(&both[0], chosen, 1, 2);
    expect_f32(&both[1], scores, 1e-6, 2, 2, 2);
}
END_TEST

START_TEST(features_stand_side_by_side)
{
    const float wide[] = {1, 2, 3, 4}, narrow[] = {5, 6}, expected[] = {1, 5, 0, 3, 6, 0};
    const int64_t widths[] = {1, 2}, none[] = {0, 1}, negative[] = {1, -1}, huge[] = {INT64_MAX, 1};
    const struct attribute list[] = {ATTRIBUTE_LIST("inputdimensions", 2, widths)};
    const struct attribute left_out[] = {ATTRIBUTE_LIST("inputdimensions", 2, none)};
    const struct attribute wrong[][1] = {{ATTRIBUTE_LIST("inputdimensions", 2, negative)},
                                         {ATTRIBUTE_LIST("inputdimensions", 2, huge)}};
    struct test_tensor in[] = {F32(wide, 2, 2, 2), F32(narrow, 2, 2, 1)}, out[1];
    struct test_tensor more[] = {F32(wide, 2, 2, 2), F32(narrow, 2, 1, 1)};
    RUN_OP(in, out, ML("FeatureVectorizer"), ATTRIBUTES(list));
    expect_f32(&out[0], expected, 0, 2, 2, 3);
    RUN_OP(in, out, ML("FeatureVectorizer"), ATTRIBUTES(left_out));
    expect_f32(&out[0], narrow, 0, 2, 2, 1);
    REFUSED(STATUS_INVALID_MODEL, "inputdimensions has -1 for input 1", in, ML("FeatureVectorizer"),
            ATTRIBUTES(wrong[0]));
    REFUSED(STATUS_INVALID_MODEL, "inputdimensions has 1 for input 1", in, ML("FeatureVectorizer"),
            ATTRIBUTES(wrong[1]));
    REFUSED(STATUS_INVALID_ARGUMENT, "input 1 has 1 rows, the first 2", more, ML("FeatureVectorizer"),
            ATTRIBUTES(list));
}
END_TEST

/* A label that is a string is its place among them, and a map is the row of its scores. */
START_TEST(labels_that_are_strings_are_places)
{
    static const char *const words[] = {"north", "south"};
    const float rows[] = {1, 2, -1, 0}, identity[] = {1, 0, 0, 1}, zeros[] = {0, 0};
    const int64_t places[] = {1, 1}, three[] = {1, 2, 3};
    const struct attribute labels = {
        .name = "classlabels_strings", .kind = ATTRIBUTE_STRINGS, .count = 2, .strings = words};
    struct attribute single = labels;
    single.count = 1;
    const struct attribute classifier[] = {ATTRIBUTE_NUMBERS("coefficients", identity),
                                           ATTRIBUTE_NUMBERS("intercepts", zeros), labels};
    const struct attribute map[] = {labels}, numbers[] = {ATTRIBUTE_LIST("classlabels_int64s", 3, three)};
    const struct attribute one[] = {{.name = "coefficients", .kind = ATTRIBUTE_FLOATS, .count = 2, .floats = identity},
                                    {.name = "intercepts", .kind = ATTRIBUTE_FLOATS, .count = 1, .floats = zeros},
                                    single};
    struct test_tensor in[] = {F32(rows, 2, 2, 2)}, out[1], both[2];
    RUN_OP(in, both, ML("LinearClassifier"), ATTRIBUTES(classifier));
    expect_i64(&both[0], places, 1, 2);
    expect_f32(&both[1], rows, 0, 2, 2, 2);
    RUN_OP(in, out, ML("ZipMap"), ATTRIBUTES(map));
    expect_f32(&out[0], rows, 0, 2, 2, 2);
    REFUSED(STATUS_INVALID_MODEL, "there are 3 labels for 2 scores", in, ML("ZipMap"), ATTRIBUTES(numbers));
    refuse_call(&(struct op_call){.inputs = in,
                                  .input_count = 1,
                                  .outputs = both,
                                  .output_count = 2,
                                  ML("LinearClassifier"),
                                  ATTRIBUTES(one)},
                STATUS_UNSUPPORTED, "a single class label that is a string");
}
END_TEST

/* Two trees over x0 and x1:  x0 <= 1 ? leaf 0 : (x1 in {2, 5} ? leaf 1 : leaf 2), and leaf 0 alone. */
static const int64_t features[] = {0, 1, 0}, yes[] = {0, 1, 0}, no[] = {1, 2, 0}, yes_leaf[] = {1, 1, 1},
                     no_leaf[] = {0, 1, 1}, targets[] = {0, 1, 0}, roots[] = {0, 2}, missing[] = {0, 1, 0};
static const float splits[] = {1, 0, 0}, weights[] = {10, 20, 30}, members[] = {2, 5, NAN};
static const uint8_t modes[] = {0, 6, 0};

static void run_trees(const struct test_tensor *in, struct test_tensor *out, const int64_t *true_leaves,
                      int64_t aggregate, struct error *error)
{
    const struct value of_splits = {
        .name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {3}, .data = splits, .bytes = 12};
    const struct value of_modes = {.name = "", .dtype = DTYPE_U8, .rank = 1, .dims = {3}, .data = modes, .bytes = 3};
    const struct value of_weights = {
        .name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {3}, .data = weights, .bytes = 12};
    const struct value of_members = {
        .name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {3}, .data = members, .bytes = 12};
    const struct attribute list[] = {ATTRIBUTE_VALUE("nodes_splits", &of_splits),
                                     ATTRIBUTE_VALUE("nodes_modes", &of_modes),
                                     ATTRIBUTE_VALUE("leaf_weights", &of_weights),
                                     ATTRIBUTE_VALUE("membership_values", &of_members),
                                     ATTRIBUTE_LIST("nodes_featureids", 3, features),
                                     ATTRIBUTE_LIST("nodes_truenodeids", 3, yes),
                                     ATTRIBUTE_LIST("nodes_falsenodeids", 3, no),
                                     ATTRIBUTE_LIST("nodes_trueleafs", 3, true_leaves),
                                     ATTRIBUTE_LIST("nodes_falseleafs", 3, no_leaf),
                                     ATTRIBUTE_LIST("leaf_targetids", 3, targets),
                                     ATTRIBUTE_LIST("tree_roots", 2, roots),
                                     ATTRIBUTE_LIST("nodes_missing_value_tracks_true", 3, missing),
                                     ATTRIBUTE_I("n_targets", 2),
                                     ATTRIBUTE_I("aggregate_function", aggregate)};
    struct op_call call = {ML("TreeEnsemble"), .inputs = in,      .input_count = 1,
                           .outputs = out,     .output_count = 1, ATTRIBUTES(list)};
    if (error)
        ck_assert_int_eq(run_op_status(&call, error), STATUS_INVALID_MODEL);
    else
        run_op(&call);
}

START_TEST(trees_add_up)
{
    const float rows[] = {1, 0, 2, 5, 2, 3, 2, NAN, NAN, 2};
    const float sums[] = {20, 0, 10, 20, 40, 0, 10, 20, 10, 20}, most[] = {10, 0, 10, 20, 30, 0, 10, 20, 10, 20};
    struct test_tensor in[] = {F32(rows, 2, 5, 2)}, out[1];
    run_trees(in, out, yes_leaf, 1, NULL);
    expect_f32(&out[0], sums, 0, 2, 5, 2);
    run_trees(in, out, yes_leaf, 3, NULL);
    expect_f32(&out[0], most, 0, 2, 5, 2);
}
END_TEST

START_TEST(a_branch_that_leads_back_is_refused)
{
    const float row[] = {1, 0};
    struct test_tensor in[] = {F32(row, 2, 1, 2)}, out[1];
    struct error error = {0};
    const int64_t looping[] = {0, 1, 1}; /* node 0's true branch is node 0 */
    run_trees(in, out, looping, 1, &error);
    ck_assert_msg(strstr(error.text, "leads back") != NULL, "%s", error.text);
}
END_TEST

START_TEST(old_trees_classify)
{
    static const char *const names[] = {"BRANCH_LT", "LEAF", "LEAF"};
    const int64_t trees[] = {0, 0, 0}, nodes[] = {0, 1, 2}, zero[] = {0, 0, 0}, to_yes[] = {1, 0, 0},
                  to_no[] = {2, 0, 0};
    const float limits[] = {0.5f, 0, 0}, votes[] = {0.25f, 0.75f, 1};
    const int64_t vote_trees[] = {0, 0, 0}, vote_nodes[] = {1, 1, 2}, vote_classes[] = {0, 1, 0}, labels[] = {7, 8};
    const float rows[] = {0, 1}, scores[] = {0.25f, 0.75f, 1, 0};
    const int64_t chosen[] = {8, 7};
    struct attribute list[] = {
        {.name = "nodes_modes", .kind = ATTRIBUTE_STRINGS, .count = 3, .strings = names},
        ATTRIBUTE_LIST("nodes_treeids", 3, trees),
        ATTRIBUTE_LIST("nodes_nodeids", 3, nodes),
        ATTRIBUTE_LIST("nodes_featureids", 3, zero),
        ATTRIBUTE_LIST("nodes_truenodeids", 3, to_yes),
        ATTRIBUTE_LIST("nodes_falsenodeids", 3, to_no),
        ATTRIBUTE_NUMBERS("nodes_values", limits),
        ATTRIBUTE_LIST("class_treeids", 3, vote_trees),
        ATTRIBUTE_LIST("class_nodeids", 3, vote_nodes),
        ATTRIBUTE_LIST("class_ids", 3, vote_classes),
        ATTRIBUTE_NUMBERS("class_weights", votes),
        ATTRIBUTE_LIST("classlabels_int64s", 2, labels),
    };
    struct test_tensor in[] = {F32(rows, 2, 2, 1)}, out[2];
    RUN_OP(in, out, ML("TreeEnsembleClassifier"), ATTRIBUTES(list));
    expect_i64(&out[0], chosen, 1, 2);
    expect_f32(&out[1], scores, 0, 2, 2, 2);
    const uint8_t few_labels[] = {7, 8}, few_classes[] = {0, 1, 0};
    const struct value of_labels = {
        .name = "", .dtype = DTYPE_U8, .rank = 1, .dims = {2}, .data = few_labels, .bytes = 2};
    const struct value of_classes = {
        .name = "", .dtype = DTYPE_U8, .rank = 1, .dims = {3}, .data = few_classes, .bytes = 3};
    /* All votes for the second of two classes, each of which has a base value. */
    const int64_t second[] = {1, 1, 1};
    const float bases[] = {10, 20}, raised[] = {0, 21, 0, 21};
    struct attribute binary[13];
    memcpy(binary, list, sizeof list);
    binary[9] = ATTRIBUTE_LIST("class_ids", 3, second);
    binary[12] = (struct attribute)ATTRIBUTE_NUMBERS("base_values", bases);
    RUN_OP(in, out, ML("TreeEnsembleClassifier"), ATTRIBUTES(binary));
    expect_f32(&out[1], raised, 0, 2, 2, 2);
    /* No leaf votes for any: they are not two classes of which one has all votes. */
    struct attribute silent[12];
    const float nothing[] = {0, 0, 0, 0};
    const int64_t first[] = {7, 7};
    memcpy(silent, list, sizeof silent);
    for (int i = 7; i < 11; i++)
        silent[i].count = 0;
    RUN_OP(in, out, ML("TreeEnsembleClassifier"), ATTRIBUTES(silent));
    expect_i64(&out[0], first, 1, 2);
    expect_f32(&out[1], nothing, 0, 2, 2, 2);
    const int64_t one[] = {1};
    silent[11] = ATTRIBUTE_LIST("classlabels_int64s", 1, one);
    refuse_call(&(struct op_call){ML("TreeEnsembleClassifier"), .inputs = in, .input_count = 1, .outputs = out,
                                  .output_count = 2, ATTRIBUTES(silent)},
                STATUS_UNSUPPORTED, "a single class label");
    list[9] = (struct attribute)ATTRIBUTE_VALUE("class_ids", &of_classes);
    list[11] = (struct attribute)ATTRIBUTE_VALUE("classlabels_int64s", &of_labels);
    RUN_OP(in, out, ML("TreeEnsembleClassifier"), ATTRIBUTES(list));
    expect_i64(&out[0], chosen, 1, 2);
    expect_f32(&out[1], scores, 0, 2, 2, 2);
    /* A tensor of numbers with fractions is no list of integers. */
    const struct value of_limits = {
        .name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {3}, .data = votes, .bytes = sizeof votes};
    list[9] = (struct attribute)ATTRIBUTE_VALUE("class_ids", &of_limits);
    refuse_call(&(struct op_call){ML("TreeEnsembleClassifier"), .inputs = in, .input_count = 1, .outputs = out,
                                  .output_count = 2, ATTRIBUTES(list)},
                STATUS_INVALID_MODEL, "class_ids");
}
END_TEST

START_TEST(strings_are_refused)
{
    static const char *const words[] = {"a"};
    const struct attribute list[] = {{.name = "keys_strings", .kind = ATTRIBUTE_STRINGS, .count = 1, .strings = words}};
    struct test_tensor in[] = {F32(x, 1, 2)};
    REFUSED(STATUS_UNSUPPORTED, "are not numbers", in, ML("LabelEncoder"), ATTRIBUTES(list));
}
END_TEST

START_TEST(support_vectors_vote)
{
    const float rows[] = {0, 1}, vectors[] = {0, 2}, votes[] = {1, -1}, rho[] = {0.5f}, params[] = {1, 0, 2};
    const float radial[] = {1.5f - expf(-4), 0.5f}, sides[] = {1, 1}, squares[] = {0.5f, -3.5f};
    struct attribute list[] = {ATTRIBUTE_NUMBERS("support_vectors", vectors),
                               ATTRIBUTE_NUMBERS("coefficients", votes),
                               ATTRIBUTE_NUMBERS("rho", rho),
                               ATTRIBUTE_NUMBERS("kernel_params", params),
                               ATTRIBUTE_I("n_supports", 2),
                               ATTRIBUTE_TEXT("kernel_type", "RBF"),
                               ATTRIBUTE_I("one_class", 0)};
    struct test_tensor in[] = {F32(rows, 2, 2, 1)}, out[1];
    RUN_OP(in, out, ML("SVMRegressor"), ATTRIBUTES(list));
    expect_f32(&out[0], radial, 1e-6, 2, 2, 1);
    list[6] = ATTRIBUTE_I("one_class", 1);
    RUN_OP(in, out, ML("SVMRegressor"), ATTRIBUTES(list));
    expect_f32(&out[0], sides, 0, 2, 2, 1);
    list[5] = ATTRIBUTE_TEXT("kernel_type", "POLY");
    list[6] = ATTRIBUTE_I("one_class", 0);
    RUN_OP(in, out, ML("SVMRegressor"), ATTRIBUTES(list));
    expect_f32(&out[0], squares, 1e-6, 2, 2, 1);
}
END_TEST

START_TEST(a_feature_of_no_features_is_a_fault)
{
    const int64_t first[] = {0};
    struct test_tensor in[] = {F32(x, 2, 2, 0), I64(first, 1, 1)};
    REFUSED(STATUS_FAULT, "index 0 is outside an axis of 0", in, ML("ArrayFeatureExtractor"));
}
END_TEST

Suite *ops_ml_suite(void)
{
    Suite *suite = suite_create("ops_ml");
    TCase *tests = tcase_create("ops_ml");
    tcase_add_test(tests, features_are_picked_scaled_and_cut);
    tcase_add_test(tests, missing_values_are_replaced);
    tcase_add_test(tests, rows_are_normalised);
    tcase_add_test(tests, labels_are_looked_up);
    tcase_add_test(tests, linear_models_score_and_choose);
    tcase_add_test(tests, trees_add_up);
    tcase_add_test(tests, a_branch_that_leads_back_is_refused);
    tcase_add_test(tests, old_trees_classify);
    tcase_add_test(tests, strings_are_refused);
    tcase_add_test(tests, features_stand_side_by_side);
    tcase_add_test(tests, labels_that_are_strings_are_places);
    tcase_add_test(tests, support_vectors_vote);
    tcase_add_test(tests, a_feature_of_no_features_is_a_fault);
    suite_add_tcase(suite, tests);
    return suite;
}
