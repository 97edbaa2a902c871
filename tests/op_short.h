/* Shorter calls for suites that run many operators. */
#ifndef INFER_TESTS_OP_SHORT_H
#define INFER_TESTS_OP_SHORT_H

#include "tests/op_test.h"

#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define F32(array, ...) TENSOR(DTYPE_F32, array, __VA_ARGS__)
#define I64(array, ...) TENSOR(DTYPE_I64, array, __VA_ARGS__)
#define BOOL(array, ...) TENSOR(DTYPE_BOOL, array, __VA_ARGS__)
#define SCALAR(type, pointer) TENSOR(type, pointer, 0, 0)

/* `in` and `out` are arrays; then .op = "Name" and whatever else of struct op_call. */
#define RUN_OP(in, out, ...)  \
    run_op(&(struct op_call){ \
        .inputs = (in), .input_count = COUNT(in), .outputs = (out), .output_count = COUNT(out), __VA_ARGS__})
#define ATTRIBUTES(list) .attributes = (list), .attribute_count = COUNT(list)

/* The call fails with that status, and its sentence has `words` in it. */
static inline void refuse_call(const struct op_call *call, enum status status, const char *words)
{
    struct error error = {0};
    ck_assert_int_eq(run_op_status(call, &error), status);
    ck_assert_msg(strstr(error.text, words) != NULL, "'%s' is not in: %s", words, error.text);
}
#define REFUSED(status, words, in, ...)                                                                            \
    do {                                                                                                           \
        struct test_tensor refused_out[1];                                                                         \
        refuse_call(                                                                                               \
            &(struct op_call){                                                                                     \
                .inputs = (in), .input_count = COUNT(in), .outputs = refused_out, .output_count = 1, __VA_ARGS__}, \
            status, words);                                                                                        \
    } while (0)

#endif
