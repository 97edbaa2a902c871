/* What the programs of this folder share: each is a program as an embedder would write it, against the installed
 * library, and ends with 0 and nothing said, or with 1 and one sentence. */
#ifndef INFER_TESTS_EMBEDDING_EMBED_H
#define INFER_TESTS_EMBEDDING_EMBED_H

#include <infer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TOKENS 128
#define VECTOR 384 /* numbers for a token, as MiniLM has them */

#define REQUIRE(condition, ...)           \
    do {                                  \
        if (!(condition)) {               \
            fprintf(stderr, __VA_ARGS__); \
            fputc('\n', stderr);          \
            exit(1);                      \
        }                                 \
    } while (0)

struct embedded {
    infer_model *model;
    infer_session *session;
    infer_context *context;
};

static inline struct embedded embed(const char *path, const infer_session_options *options)
{
    struct embedded e = {NULL, NULL, NULL};
    infer_error error = {INFER_OK, ""};
    REQUIRE(infer_model_open(path, NULL, &e.model, &error) == INFER_OK &&
                infer_session_create(e.model, options, &e.session, &error) == INFER_OK &&
                infer_context_create(e.session, &e.context, &error) == INFER_OK,
            "%s", error.message);
    return e;
}

static inline void embed_end(struct embedded *e)
{
    infer_context_release(e->context);
    infer_session_release(e->session);
    infer_model_release(e->model);
}

/* The inputs of MiniLM for one sentence of `count` tokens. */
static inline void sentence(int64_t count, infer_tensor inputs[3])
{
    static int64_t ids[MOST_TOKENS], mask[MOST_TOKENS], types[MOST_TOKENS];
    const int64_t *given[3] = {ids, mask, types}, dims[2] = {1, count};
    for (int i = 0; i < MOST_TOKENS; i++) {
        ids[i] = 1000 + 7 * i;
        mask[i] = 1;
    }
    for (int i = 0; i < 3; i++)
        inputs[i] = infer_input(given[i], INFER_INT64, 2, dims);
}

static inline infer_status run_sentence(infer_context *context, int64_t count, infer_tensor *output, infer_error *error)
{
    infer_tensor inputs[3];
    sentence(count, inputs);
    return infer_run(context, inputs, 3, output, 1, error);
}

/* A page for a detector of text: a pattern of dark and light. */
static inline float *make_page(int64_t height, int64_t width)
{
    float *page = (float *)malloc((size_t)(3 * height * width) * sizeof *page);
    REQUIRE(page, "no memory for a page");
    for (int64_t i = 0; i < 3 * height * width; i++)
        page[i] = (float)(i * 7919 % 1009) / 505 - 1;
    return page;
}

#endif
