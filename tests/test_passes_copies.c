/* Copies that other steps do without: read through strides, or written where they belong. */
#include "graph/passes/passes.h"
#include "graph/steps/passes.h"
#include "kernels/conv.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <string.h>

static struct value *begin(struct rig *rig, enum dtype dtype, int rank, const int64_t *dims)
{
    rig_begin(rig);
    rig->dtype = dtype;
    return rig_input(rig, rank, dims);
}

static struct value *concat(struct rig *rig, int64_t axis, int count, struct value *const *parts)
{
    return rig_node(rig, "Concat", count, parts, 1, (struct attribute[]){ATTRIBUTE_I("axis", axis)});
}

static struct value *concat2(struct rig *rig, int64_t axis, struct value *a, struct value *b)
{
    return concat(rig, axis, 2, (struct value *[]){a, b});
}

static void expect(struct rig *rig, struct value *output, const char *before, const char *after)
{
    rig_output(rig, output);
    rig_expect_steps(rig, before, after);
    rig_end(rig);
}

/* --- concatenation --------------------------------------------------------------------------------------- */

START_TEST(parts_are_written_where_they_belong)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *a = rig_convolve(&rig, x, 3, 2),
                 *b = rig_convolve(&rig, x, 3, 4);
    b = rig_op1(&rig, "Relu", b);
    rig_output(&rig, concat2(&rig, 1, a, b));
    rig_expect_steps(&rig, "conv conv RELU copy copy", "conv conv+RELU");
    rig_expect_step_sources(&rig, 1, "1 2");
    rig_end(&rig);
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* the image's axes are whole in each part */
    a = rig_convolve(&rig, x, 3, 4);
    b = rig_convolve(&rig, x, 3, 4);
    expect(&rig, rig_op1(&rig, "Softmax", concat2(&rig, -1, a, b)), "conv conv copy copy softmax", "conv conv softmax");
}
END_TEST

/* What several steps write together is not moved. */
START_TEST(a_concatenation_of_concatenations)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *a = rig_convolve(&rig, x, 3, 2),
                 *b = rig_convolve(&rig, x, 3, 4);
    struct value *inner = concat2(&rig, 1, a, b);
    expect(&rig, concat2(&rig, 3, rig_convolve(&rig, x, 3, 6), inner), "conv conv copy copy conv copy copy",
           "conv conv conv copy");
}
END_TEST

/* Each layer reads what the ones before have made together, and adds to it: all of it grows in one place. */
START_TEST(concatenations_that_grow)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *all = rig_convolve(&rig, x, 3, 6);
    for (int channels = 6; channels < 12; channels += 2)
        all = concat2(&rig, 1, all, rig_convolve(&rig, rig_op1(&rig, "Exp", all), channels, 2));
    expect(&rig, rig_op1(&rig, "Softmax", all), "conv EXP conv copy copy EXP conv copy copy EXP conv copy copy softmax",
           "conv EXP conv EXP conv EXP conv softmax");
}
END_TEST

/* What is read turned is made turned, unless it has been read as it is by what cannot read it otherwise. */
START_TEST(a_whole_that_is_turned)
{
    for (int fixed = 0; fixed < 2; fixed++) {
        struct rig rig;
        struct value *x = begin(&rig, DTYPE_F32, DIMS(6, 7)), *y = rig_op1(&rig, "Exp", x);
        rig_output(&rig, rig_op1(&rig, fixed ? "Softmax" : "Abs", y));
        expect(&rig, rig_op1(&rig, "Softmax", rig_transpose(&rig, y, DIMS(1, 0))),
               fixed ? "EXP softmax copy softmax" : "EXP ABS copy softmax",
               fixed ? "EXP softmax copy softmax" : "EXP ABS softmax");
    }
}
END_TEST

/* DenseNet: each layer reads all that was made before. The last part stays where it is made: written where it belongs,
 * it would have the second concatenation alive beside all that the first is made of. */
START_TEST(dense_connections)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 4)), *y = rig_convolve(&rig, x, 3, 4);
    struct value *parts[] = {y, NULL, NULL};
    parts[1] = rig_convolve(&rig, y, 4, 2);
    parts[2] = rig_convolve(&rig, concat(&rig, 1, 2, parts), 6, 3);
    expect(&rig, rig_op1(&rig, "Relu", concat(&rig, 1, 3, parts)), "conv conv copy copy conv copy copy copy RELU",
           "conv conv copy copy conv copy copy copy RELU");
}
END_TEST

START_TEST(parts_that_are_not_ours_are_copied)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* the caller's */
    expect(&rig, concat2(&rig, 1, x, rig_convolve(&rig, x, 3, 4)), "conv copy copy", "conv copy");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* read elsewhere */
    struct value *y = rig_convolve(&rig, x, 3, 4);
    rig_output(&rig, rig_op1(&rig, "Softmax", y));
    expect(&rig, concat2(&rig, 1, y, rig_convolve(&rig, x, 3, 2)), "conv softmax conv copy copy",
           "conv softmax conv copy");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* there twice */
    y = rig_convolve(&rig, x, 3, 4);
    expect(&rig, concat2(&rig, 1, y, y), "conv copy copy", "conv copy copy");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* handed out too */
    y = rig_convolve(&rig, x, 3, 4);
    rig_output(&rig, y);
    expect(&rig, concat2(&rig, 1, y, rig_convolve(&rig, x, 3, 2)), "conv conv copy copy", "conv conv copy");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)); /* handed out in another shape */
    y = rig_convolve(&rig, x, 3, 4);
    rig_output(&rig, rig_reshape(&rig, y, DIMS(160)));
    expect(&rig, concat2(&rig, 1, y, rig_convolve(&rig, x, 3, 2)), "conv conv copy copy", "conv conv copy");
}
END_TEST

/* The first part begins where the whole does, but is not the whole. */
START_TEST(readers_of_a_concatenation_read_it)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(3, 4)), *y = rig_op1(&rig, "Softmax", x);
    expect(&rig, rig_op1(&rig, "Exp", concat2(&rig, 0, x, y)), "softmax copy copy EXP", "softmax copy copy EXP");
    struct value *halves[2];
    x = begin(&rig, DTYPE_F32, DIMS(3, 4));
    rig_split(&rig, concat2(&rig, 0, x, rig_op1(&rig, "Softmax", x)), 0, 2, halves);
    rig_output(&rig, rig_op1(&rig, "Exp", halves[0]));
    expect(&rig, rig_op1(&rig, "Neg", halves[1]), "softmax copy copy EXP NEG", "softmax copy copy EXP NEG");
}
END_TEST

/* Once its transposition is gone, two steps read it. */
START_TEST(a_part_that_is_read_through_a_copy)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(4, 4)), *y = rig_transpose(&rig, rig_op1(&rig, "Exp", x), DIMS(1, 0));
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    expect(&rig, concat2(&rig, 1, y, rig_op1(&rig, "Abs", x)), "EXP copy NEG ABS copy copy", "EXP NEG ABS copy");
}
END_TEST

/* A softmax writes in order, with nothing between. */
START_TEST(parts_that_cannot_be_strided_are_copied)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)), *y = rig_op1(&rig, "Softmax", x);
    expect(&rig, concat2(&rig, 1, y, rig_op1(&rig, "Exp", x)), "softmax EXP copy copy", "softmax EXP copy");
}
END_TEST

START_TEST(a_part_seen_through_a_view)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)), *w = rig_random(&rig, DIMS(2, 4, 6));
    struct value *y = rig_reshape(&rig, rig_op2(&rig, "MatMul", x, w), DIMS(2, 3, 2, 3));
    expect(&rig, concat2(&rig, 1, y, rig_reshape(&rig, rig_op1(&rig, "Exp", x), DIMS(2, 2, 2, 3))),
           "matmul EXP copy copy", "matmul EXP");
    x = begin(&rig, DTYPE_F32, DIMS(2, 6)); /* half of what the step makes is somewhere else */
    struct value *halves[2];
    rig_split(&rig, rig_op1(&rig, "Exp", x), 0, 2, halves);
    rig_output(&rig, rig_op1(&rig, "Neg", halves[1]));
    expect(&rig, concat2(&rig, 1, halves[0], rig_random(&rig, DIMS(1, 2))), "EXP NEG copy copy", "EXP NEG copy copy");
}
END_TEST

/* Written early, the small part would make the whole concatenation live through the large middle. */
START_TEST(a_small_part_made_early_is_copied)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(1, 8, 16, 16)), *y = rig_op1(&rig, "Softmax", x);
    struct value *small = rig_convolve(&rig, y, 8, 1), *large = rig_convolve(&rig, y, 8, 16);
    for (int i = 0; i < 2; i++)
        large = rig_convolve(&rig, rig_op1(&rig, "Softmax", large), 16, 16);
    large = rig_convolve(&rig, large, 16, 8);
    rig_output(&rig, concat2(&rig, 1, small, large));
    rig_expect_steps(&rig, NULL, "softmax conv conv softmax conv softmax conv conv");
    rig_end(&rig);
    x = begin(&rig, DTYPE_F32, DIMS(1, 8, 16, 16)); /* the same where the sum is ours, not the caller's */
    y = rig_op1(&rig, "Softmax", x);
    small = rig_convolve(&rig, y, 8, 1);
    large = rig_convolve(&rig, y, 8, 16);
    for (int i = 0; i < 2; i++)
        large = rig_convolve(&rig, rig_op1(&rig, "Softmax", large), 16, 16);
    large = rig_convolve(&rig, large, 16, 8);
    rig_output(&rig, rig_convolve(&rig, concat2(&rig, 1, small, large), 9, 1));
    rig_expect_steps(&rig, NULL, "softmax conv conv softmax conv softmax conv conv copy conv");
    rig_end(&rig);
}
END_TEST

/* --- reading through strides ----------------------------------------------------------------------------- */

/* Q, K and V out of one product, heads apart, and together again. */
START_TEST(attention_moves_nothing)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 5, 12)), *heads[3];
    rig_split(&rig, rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(12, 36))), 2, 3, heads);
    for (int i = 0; i < 3; i++)
        heads[i] = rig_transpose(&rig, rig_reshape(&rig, heads[i], DIMS(2, 5, 3, 4)), DIMS(0, 2, 1, 3));
    struct value *scores = rig_op2(&rig, "MatMul", heads[0], rig_transpose(&rig, heads[1], DIMS(0, 1, 3, 2)));
    struct value *y = rig_op2(&rig, "MatMul", rig_op1(&rig, "Softmax", scores), heads[2]);
    y = rig_reshape(&rig, rig_transpose(&rig, y, DIMS(0, 2, 1, 3)), DIMS(2, 5, 12));
    expect(&rig, rig_op2(&rig, "MatMul", y, rig_random(&rig, DIMS(12, 12))),
           "matmul copy copy copy copy copy copy copy matmul softmax matmul copy matmul",
           "matmul matmul softmax matmul matmul");
}
END_TEST

START_TEST(a_channel_shuffle_moves_nothing)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 6, 3, 5)), *y = rig_op1(&rig, "Relu", rig_convolve(&rig, x, 6, 6));
    y = rig_transpose(&rig, rig_reshape(&rig, y, DIMS(2, 2, 3, 3, 5)), DIMS(0, 2, 1, 3, 4));
    y = rig_reshape(&rig, y, DIMS(2, 6, 3, 5));
    expect(&rig, rig_convolve(&rig, y, 6, 4), "conv RELU copy conv", "conv+RELU conv");
    x = begin(&rig, DTYPE_F32, DIMS(2, 6, 3, 5)); /* a convolution alone cannot go through its channels so */
    y = rig_transpose(&rig, rig_reshape(&rig, rig_convolve(&rig, x, 6, 6), DIMS(2, 2, 3, 3, 5)), DIMS(0, 2, 1, 3, 4));
    y = rig_reshape(&rig, y, DIMS(2, 6, 3, 5));
    expect(&rig, rig_convolve(&rig, y, 6, 4), "conv copy conv", "conv copy conv");
}
END_TEST

START_TEST(nearest_neighbours_are_read_where_they_are)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *large = rig_input(&rig, DIMS(2, 3, 8, 10));
    struct value *sizes = rig_ints(&rig, 4, (int64_t[]){2, 3, 8, 10});
    struct value *y = rig_node(&rig, "Resize", 4, (struct value *[]){rig_op1(&rig, "Softmax", x), NULL, NULL, sizes}, 2,
                               (struct attribute[]){ATTRIBUTE_TEXT("coordinate_transformation_mode", "asymmetric"),
                                                    ATTRIBUTE_TEXT("nearest_mode", "floor")});
    expect(&rig, rig_op2(&rig, "Add", large, y), "softmax copy ADD", "softmax ADD");
}
END_TEST

START_TEST(repeated_elements_are_read_again)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 1, 4)), *y = rig_input(&rig, DIMS(2, 4, 2));
    struct value *wide = rig_op2(&rig, "Expand", x, rig_ints(&rig, 3, (int64_t[]){2, 3, 4}));
    expect(&rig, rig_op2(&rig, "MatMul", wide, y), "copy matmul", "matmul");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3)); /* not what Softmax can */
    y = rig_op2(&rig, "Tile", x, rig_ints(&rig, 2, (int64_t[]){2, 2}));
    rig_output(&rig, rig_op1(&rig, "Softmax", y));
    expect(&rig, rig_op1(&rig, "Exp", y), "copy copy softmax EXP", "copy softmax EXP");
}
END_TEST

START_TEST(flips_are_read_backwards)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(3, 5)), *y = rig_input(&rig, DIMS(3, 5));
    struct value *flipped = rig_slice(&rig, rig_slice(&rig, x, 1, -1, INT64_MIN, -1), 0, -1, INT64_MIN, -1);
    expect(&rig, rig_op2(&rig, "Sub", flipped, y), "copy copy SUB", "SUB");
    x = begin(&rig, DTYPE_F32, DIMS(3, 5));
    y = rig_slice(&rig, rig_slice(&rig, x, 1, 4, 0, -1), 1, 1, 4, 2); /* slices of what is flipped: 2, 0 */
    expect(&rig, rig_op2(&rig, "Sub", y, rig_slice(&rig, x, 1, 3, 0, -2)), "copy copy copy SUB", "SUB");
    x = begin(&rig, DTYPE_F32, DIMS(3, 4)); /* all of it, as one axis */
    y = rig_slice(&rig, rig_reshape(&rig, rig_transpose(&rig, x, DIMS(1, 0)), DIMS(12)), 0, -1, INT64_MIN, -1);
    expect(&rig, rig_op1(&rig, "Exp", y), "copy copy EXP", "EXP");
    struct value *parts[4]; /* which lie before the first element of what is flipped */
    x = begin(&rig, DTYPE_F32, DIMS(3, 4));
    rig_split(&rig, rig_slice(&rig, rig_transpose(&rig, x, DIMS(1, 0)), 0, -1, INT64_MIN, -1), 0, 4, parts);
    expect(&rig, rig_op2(&rig, "Sub", parts[1], rig_op1(&rig, "Exp", parts[3])), "copy copy EXP SUB", "EXP+SUB");
}
END_TEST

START_TEST(slices_of_slices)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(4, 9, 7)), *y = rig_slice(&rig, x, 1, 1, 8, 2);
    y = rig_slice(&rig, y, 2, 2, 7, 3);
    y = rig_slice(&rig, y, 1, 1, 4, 1);
    expect(&rig, rig_op1(&rig, "Exp", rig_slice(&rig, y, 0, 1, 3, 1)), "copy copy copy EXP", "EXP");
}
END_TEST

/* Readers see part of a copy through a view with an offset. */
START_TEST(part_of_a_copy)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(4, 3, 6)), *parts[3];
    rig_split(&rig, rig_transpose(&rig, x, DIMS(2, 1, 0)), 0, 3, parts);
    expect(&rig, rig_op2(&rig, "Add", rig_op1(&rig, "Exp", parts[1]), parts[2]), "copy EXP ADD", "EXP+ADD");
    x = begin(&rig, DTYPE_F32, DIMS(4, 6)); /* one that ends within a row */
    struct value *row = rig_slice(&rig, rig_reshape(&rig, rig_transpose(&rig, x, DIMS(1, 0)), DIMS(24)), 0, 3, 9, 1);
    expect(&rig, rig_op1(&rig, "Exp", row), "copy EXP", "copy EXP");
    x = begin(&rig, DTYPE_F32, DIMS(6, 4)); /* elements 0, 9 and 18 are on no line in rows of 6 */
    row = rig_slice(&rig, rig_reshape(&rig, rig_transpose(&rig, x, DIMS(1, 0)), DIMS(24)), 0, 0, 24, 9);
    expect(&rig, row, "copy copy", "copy copy");
    x = begin(&rig, DTYPE_F32, DIMS(6, 4)); /* the copy is gone, and its maker makes what it did */
    row = rig_reshape(&rig, rig_transpose(&rig, rig_op1(&rig, "Exp", x), DIMS(1, 0)), DIMS(3, 8));
    expect(&rig, rig_op1(&rig, "Softmax", rig_transpose(&rig, row, DIMS(1, 0))), "EXP copy copy softmax",
           "EXP copy softmax");
}
END_TEST

START_TEST(every_reader_must_be_able_to)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)), *y = rig_transpose(&rig, x, DIMS(1, 2, 0));
    rig_output(&rig, rig_op1(&rig, "Exp", y));
    expect(&rig, rig_op1(&rig, "Softmax", y), "copy EXP softmax", "copy EXP softmax");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4));
    y = rig_transpose(&rig, x, DIMS(1, 2, 0));
    rig_output(&rig, rig_op1(&rig, "Exp", y));
    rig_output(&rig, rig_op2(&rig, "MatMul", y, rig_random(&rig, DIMS(2, 5))));
    expect(&rig, rig_op2(&rig, "Mul", y, y), "copy EXP matmul MUL", "EXP matmul MUL");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3)); /* reads other numbers in the same bits */
    y = rig_node(&rig, "BitCast", 1, (struct value *[]){rig_transpose(&rig, x, DIMS(1, 0))}, 1,
                 (struct attribute[]){ATTRIBUTE_I("to", DTYPE_I32)});
    expect(&rig, rig_op1(&rig, "Abs", y), "copy ABS", "copy ABS");
}
END_TEST

/* What is read in another order than it is written must not be overwritten by what is made of it. */
START_TEST(strided_operands_are_not_overwritten)
{
    struct rig rig;
    struct value *large = begin(&rig, DTYPE_F32, DIMS(64, 64)), *x = rig_input(&rig, DIMS(20, 20));
    rig_output(&rig, rig_op1(&rig, "Softmax", rig_op1(&rig, "Softmax", large))); /* the peak is here */
    struct value *y = rig_transpose(&rig, rig_op1(&rig, "Softmax", x), DIMS(1, 0));
    y = rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(20, 20)));
    expect(&rig, rig_op1(&rig, "Softmax", y), "softmax softmax softmax copy ADD softmax",
           "softmax softmax softmax ADD softmax");
}
END_TEST

/* A part that nobody reads is copied nowhere, and what it was a part of dies with its last reader: it does not stand in
 * the way of another copy that is absorbed later. */
START_TEST(a_part_that_nobody_reads)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(64, 64)), *y = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(64, 64)));
    struct value *parts[2], *whole;
    rig_output(&rig, rig_op1(&rig, "Exp", y));
    whole = rig_op1(&rig, "Relu", x);
    rig_split(&rig, whole, 1, 2, parts);
    struct value *turned = rig_transpose(&rig, y, DIMS(1, 0)), *rows = rig_op1(&rig, "Softmax", parts[0]);
    rig_output(&rig, rig_op1(&rig, "Tanh", turned));
    expect(&rig, rig_op1(&rig, "Neg", rows), "RELU EXP RELU copy copy copy softmax TANH NEG",
           "RELU EXP RELU copy softmax TANH NEG");
}
END_TEST

START_TEST(results_of_the_graph)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)), *w = rig_random(&rig, DIMS(2, 4, 5));
    expect(&rig, rig_transpose(&rig, rig_op2(&rig, "MatMul", x, w), DIMS(0, 2, 1)), "matmul copy", "matmul");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4));
    expect(&rig, rig_transpose(&rig, x, DIMS(0, 2, 1)), "copy", "copy");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)); /* handed out and read */
    struct value *y = rig_transpose(&rig, rig_op1(&rig, "Softmax", x), DIMS(0, 2, 1));
    rig_output(&rig, y);
    expect(&rig, rig_op1(&rig, "Exp", y), "softmax copy EXP", "softmax copy EXP");
    x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4)); /* handed out through a view, and read */
    y = rig_transpose(&rig, rig_op1(&rig, "Softmax", x), DIMS(0, 2, 1));
    rig_output(&rig, rig_reshape(&rig, y, DIMS(24)));
    expect(&rig, rig_op1(&rig, "Exp", y), "softmax copy EXP", "softmax copy EXP");
}
END_TEST

START_TEST(the_inside_of_a_border_is_written_where_it_belongs)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *y = rig_convolve(&rig, x, 3, 4);
    struct value *pads = rig_ints(&rig, 8, (int64_t[]){0, 0, 1, 2, 0, 0, 0, 1});
    expect(&rig, rig_op1(&rig, "Exp", rig_op2(&rig, "Pad", y, pads)), "conv copy copy copy copy EXP",
           "conv copy copy copy EXP");
}
END_TEST

/* --- steps in an order that no operator makes ------------------------------------------------------------- */

static void emit_copy(struct op_context *c, struct value *from, struct value *to, int64_t offset)
{
    struct copy_params params = {
        .rank = 1, .dims = {from->dims[0]}, .input_strides = {1}, .output_offset = offset, .output_strides = {1}};
    ck_assert_int_eq(op_copy(c, from, to, &params), STATUS_OK);
}

/* Two copies into one value, the second at an offset; `first` and `second` are made by elementwise steps. The steps
 * that remain. */
static int join_two(int64_t first, int64_t second, int64_t offset, int64_t whole, const float *expected)
{
    struct region region;
    struct error error = {0};
    region_init(&region, &default_allocator);
    struct graph *graph = graph_create(&region, "test");
    struct step_pass_options options = {.facts = &plain_facts, .constant_limit = SIZE_MAX};
    struct segment segment = {.graph = graph, .steps = step_list_in(&region)};
    struct node node = {.op = op_find("", "Abs"), .name = ""};
    struct op_context c = {
        .graph = graph, .node = &node, .error = &error, .receiver = &segment.steps.receiver, .facts = &plain_facts};
    struct value *x[2], *y[2], *joint = graph_add_value(graph, "", DTYPE_F32, 1, &whole);
    float zeros[16] = {0}, ones[16], result[16];
    for (int i = 0; i < 2; i++) {
        x[i] = graph_add_value(graph, "", DTYPE_F32, 1, i ? &second : &first);
        y[i] = graph_add_value(graph, "", DTYPE_F32, 1, i ? &second : &first);
        ck_assert_int_eq(op_cast(&c, x[i], y[i], false), STATUS_OK);
    }
    emit_copy(&c, y[0], joint, 0);
    emit_copy(&c, y[1], joint, offset);
    graph_set_inputs(graph, 2, x);
    graph_set_outputs(graph, 1, &joint);
    for (int i = 0; i < 16; i++)
        ones[i] = 1;
    ck_assert_int_eq(absorb_copies(&segment, &options, &error), STATUS_OK);
    run_steps(&segment, (const void *[]){zeros, ones}, (void *[]){result});
    ck_assert_mem_eq(result, expected, (size_t)whole * sizeof *result);
    int left = segment.steps.count;
    region_free(&region);
    return left;
}

START_TEST(parts_that_overlap_keep_their_order)
{
    const float both[] = {0, 0, 0, 0, 1, 1}, over[] = {0, 1, 1, 1, 1, 0};
    ck_assert_int_eq(join_two(4, 2, 4, 6, both), 2);
    ck_assert_int_eq(join_two(6, 4, 1, 6, over), 4); /* the first would do on its own, were the second not there */
}
END_TEST

/* --- families, types, shapes ----------------------------------------------------------------------------- */

/* Each reads a transposed tensor and writes a part of a concatenation. */
START_TEST(every_family_walks_strides)
{
    static const struct {
        const char *op;
        bool list, weights;
        const char *steps;
    } cases[] = {
        {"Conv", false, true, "conv conv"},       {"ConvTranspose", false, true, "conv conv"},
        {"MaxPool", false, false, "pool pool"},   {"AveragePool", false, false, "pool pool"},
        {"Exp", false, false, "EXP EXP"},         {"Gather", true, false, "gather gather"},
        {"MatMul", false, true, "matmul matmul"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        int64_t kernel[2] = {2, 2};
        struct value *x = begin(&rig, DTYPE_F32, DIMS(4, 3, 2, 4)), *parts[2];
        struct value *turned = rig_transpose(&rig, x, DIMS(2, 1, 3, 0));
        for (int k = 0; k < 2; k++) {
            struct value *inputs[2] = {turned, NULL};
            if (cases[i].list)
                inputs[1] = rig_ints(&rig, 3, (int64_t[]){1, 0, 1});
            else if (cases[i].weights)
                inputs[1] = strcmp(cases[i].op, "MatMul") ? rig_random(&rig, DIMS(3, 3, 2, 2))
                                                          : rig_random(&rig, DIMS(2, 3, 4, 6));
            parts[k] = rig_node(&rig, cases[i].op, inputs[1] ? 2 : 1, inputs, strstr(cases[i].op, "Pool") != NULL,
                                (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
        }
        expect(&rig, concat2(&rig, 1, parts[0], parts[1]), NULL, cases[i].steps);
    }
}
END_TEST

/* Sums and normalisations write through their epilogues alone. */
START_TEST(strided_results_of_sums_and_normalizations)
{
    struct rig rig;
    for (int plain = 0; plain < 2; plain++) {
        struct value *x = begin(&rig, DTYPE_F32, DIMS(4, 3, 2, 5)), *turned = rig_transpose(&rig, x, DIMS(2, 1, 3, 0));
        struct value *sum = rig_op2(&rig, "ReduceSum", turned, rig_ints(&rig, 1, (int64_t[]){2}));
        struct value *normal =
            rig_node(&rig, "LayerNormalization", 2, (struct value *[]){turned, rig_random(&rig, DIMS(4))}, 0, NULL);
        if (!plain) {
            sum = rig_op1(&rig, "Exp", sum);
            normal = rig_op1(&rig, "Exp", normal);
        }
        expect(&rig, concat2(&rig, 2, sum, normal), NULL,
               plain ? "copy reduce normalize copy copy" : "reduce+EXP normalize+EXP");
    }
}
END_TEST

START_TEST(every_type)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16, DTYPE_I8,  DTYPE_I16, DTYPE_I32,
                                        DTYPE_I64, DTYPE_U8,  DTYPE_U16, DTYPE_U32,  DTYPE_U64, DTYPE_BOOL};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        struct rig rig;
        struct value *x = begin(&rig, dtypes[i], DIMS(2, 3, 4)), *y = rig_input(&rig, DIMS(4, 3, 2));
        const char *op = dtypes[i] == DTYPE_BOOL ? "Xor" : "Add";
        struct value *sum = rig_op2(&rig, op, rig_transpose(&rig, x, DIMS(2, 1, 0)), y);
        struct value *least = rig_op2(&rig, op, y, rig_slice(&rig, sum, 1, 2, 3, 1));
        expect(&rig, concat2(&rig, 2, least, rig_op2(&rig, op, sum, y)), NULL,
               dtypes[i] == DTYPE_BOOL ? "LOGICAL_XOR LOGICAL_XOR LOGICAL_XOR" : "ADD ADD ADD");
    }
}
END_TEST

START_TEST(any_rank)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 1, 3, 2, 1, 2, 2, 3)), *y = rig_input(&rig, DIMS(2, 1));
    struct value *turned = rig_transpose(&rig, x, DIMS(7, 1, 5, 3, 4, 2, 6, 0));
    turned = rig_op2(&rig, "Add", turned, y);
    expect(&rig, concat2(&rig, 4, turned, rig_op1(&rig, "Exp", turned)), "copy ADD EXP copy copy", "ADD EXP copy");
    x = begin(&rig, DTYPE_F32, DIMS(1, 1, 1));
    turned = rig_op1(&rig, "Exp", rig_transpose(&rig, x, DIMS(2, 0, 1)));
    expect(&rig, concat2(&rig, 0, turned, rig_op1(&rig, "Neg", turned)), NULL, "EXP NEG copy");
    x = begin(&rig, DTYPE_F32, DIMS(1, 6)); /* one element of many */
    expect(&rig, rig_op1(&rig, "Exp", rig_slice(&rig, x, 1, 4, 5, 1)), NULL, "EXP");
}
END_TEST

/* Axes are cut in two until there is no room for more. */
START_TEST(axes_are_cut_in_two)
{
    struct rig rig;
    struct value *x = begin(&rig, DTYPE_F32, DIMS(2, 3, 4, 5)), *y = rig_input(&rig, DIMS(120));
    struct value *flat = rig_reshape(&rig, rig_transpose(&rig, x, DIMS(3, 1, 0, 2)), DIMS(120));
    expect(&rig, rig_op2(&rig, "Sub", y, flat), "copy SUB", "SUB");
    x = begin(&rig, DTYPE_F32, DIMS(2, 2, 2, 2, 2, 2, 2, 2)); /* eight axes, none of them to spare */
    y = rig_input(&rig, DIMS(1, 4, 2, 2, 2, 2, 2, 2));
    flat = rig_reshape(&rig, rig_transpose(&rig, x, DIMS(7, 6, 5, 4, 3, 2, 1, 0)), DIMS(1, 4, 2, 2, 2, 2, 2, 2));
    expect(&rig, rig_op2(&rig, "Sub", y, flat), "copy SUB", "copy SUB");
    x = begin(&rig, DTYPE_F32, DIMS(6, 4)); /* rows of 4 do not go into rows of 6 */
    y = rig_input(&rig, DIMS(3, 8));
    flat = rig_reshape(&rig, rig_transpose(&rig, x, DIMS(1, 0)), DIMS(3, 8));
    expect(&rig, rig_op2(&rig, "Sub", y, flat), "copy SUB", "copy SUB");
}
END_TEST

Suite *passes_copies_suite(void)
{
    Suite *suite = suite_create("passes_copies");
    TCase *concatenation = tcase_create("concatenation");
    tcase_add_test(concatenation, parts_are_written_where_they_belong);
    tcase_add_test(concatenation, a_concatenation_of_concatenations);
    tcase_add_test(concatenation, dense_connections);
    tcase_add_test(concatenation, parts_that_are_not_ours_are_copied);
    tcase_add_test(concatenation, readers_of_a_concatenation_read_it);
    tcase_add_test(concatenation, a_part_that_is_read_through_a_copy);
    tcase_add_test(concatenation, parts_that_cannot_be_strided_are_copied);
    tcase_add_test(concatenation, a_part_seen_through_a_view);
    tcase_add_test(concatenation, a_small_part_made_early_is_copied);
    suite_add_tcase(suite, concatenation);
    TCase *reading = tcase_create("reading");
    tcase_add_test(reading, attention_moves_nothing);
    tcase_add_test(reading, a_channel_shuffle_moves_nothing);
    tcase_add_test(reading, nearest_neighbours_are_read_where_they_are);
    tcase_add_test(reading, repeated_elements_are_read_again);
    tcase_add_test(reading, flips_are_read_backwards);
    tcase_add_test(reading, slices_of_slices);
    tcase_add_test(reading, part_of_a_copy);
    tcase_add_test(reading, every_reader_must_be_able_to);
    tcase_add_test(reading, strided_operands_are_not_overwritten);
    tcase_add_test(reading, a_part_that_nobody_reads);
    tcase_add_test(reading, results_of_the_graph);
    tcase_add_test(concatenation, concatenations_that_grow);
    tcase_add_test(concatenation, a_whole_that_is_turned);
    tcase_add_test(concatenation, the_inside_of_a_border_is_written_where_it_belongs);
    tcase_add_test(concatenation, parts_that_overlap_keep_their_order);
    suite_add_tcase(suite, reading);
    TCase *everything = tcase_create("families, types and shapes");
    tcase_add_test(everything, every_family_walks_strides);
    tcase_add_test(everything, strided_results_of_sums_and_normalizations);
    tcase_add_test(everything, every_type);
    tcase_add_test(everything, any_rank);
    tcase_add_test(everything, axes_are_cut_in_two);
    suite_add_tcase(suite, everything);
    return suite;
}
