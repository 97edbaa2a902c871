/* Finds sentences that mean the same: search MODEL.bin VOCABULARY.txt SENTENCES.txt QUERY... prints the best three of
 * the file's lines for each query, with how near they are, 1 at most. search --tokens VOCABULARY.txt SENTENCES.txt
 * prints the tokens of each line. The model is MiniLM: it takes tokens, a mask and types, and gives vectors of length 1
 * whose product says how near sentences are. Tokens are made by the predictor's workers (words.c). */
#include "words.h"

#include <infer_predictor.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 128, VECTOR = 384, BEST = 3 };

/* Lines of text, one behind the other, and a vector for each. */
struct sentences {
    char *bytes;
    size_t size, count, room;
    char **lines;
    float (*vectors)[VECTOR];
};

static int add_line(struct sentences *s, char *line)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        char **lines = realloc(s->lines, room * sizeof *lines);
        if (!lines)
            return 0;
        s->lines = lines, s->room = room;
    }
    s->lines[s->count++] = line;
    return 1;
}

static int read_lines(const char *path, struct sentences *s)
{
    FILE *file = fopen(path, "rb");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    int good = size >= 0 && (s->bytes = calloc((size_t)size + 1, 1)) != NULL;
    if (good) {
        rewind(file);
        s->size = fread(s->bytes, 1, (size_t)size, file);
    }
    for (char *at = s->bytes, *end; good && at < s->bytes + s->size; at = end + 1) {
        end = at + strcspn(at, "\n");
        good = add_line(s, at);
        *end = '\0';
    }
    if (file)
        fclose(file);
    return good;
}

/* Bytes of text become what the model takes. */
static infer_status to_tokens(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                              infer_tensor *inputs, size_t input_count, infer_error *error)
{
    int64_t *tokens = infer_hook_memory(hook, 3 * MOST_TOKENS * sizeof *tokens);
    (void)given_count, (void)error;
    if (!tokens)
        return INFER_OUT_OF_MEMORY;
    int64_t dims[2] = {1, tokenize(user, given[0].data, given[0].bytes, tokens, MOST_TOKENS)};
    for (int i = 0; i < MOST_TOKENS; i++) {
        tokens[MOST_TOKENS + i] = 1;     /* all of them count */
        tokens[2 * MOST_TOKENS + i] = 0; /* and are of the first sentence */
    }
    for (size_t i = 0; i < input_count; i++)
        inputs[i] = infer_input(tokens + i * MOST_TOKENS, INFER_INT64, 2, dims);
    return INFER_OK;
}

static infer_status embed(infer_predictor *predictor, struct sentences *s, infer_error *error)
{
    infer_tensor *tensors = calloc(s->count, 3 * sizeof *tensors);
    infer_item *items = calloc(s->count, sizeof *items);
    s->vectors = calloc(s->count, sizeof *s->vectors);
    infer_status status = INFER_OUT_OF_MEMORY;
    if (tensors && items && s->vectors) {
        for (size_t i = 0; i < s->count; i++) {
            infer_tensor *of = tensors + 3 * i;
            of[0] = infer_input(s->lines[i], INFER_UINT8, 1, (const int64_t[]){(int64_t)strlen(s->lines[i])});
            of[1] = infer_output(NULL, INFER_LEFT_OUT); /* a vector for each token */
            of[2] = infer_output(s->vectors[i], sizeof s->vectors[i]);
            items[i] = (infer_item){.inputs = of, .input_count = 1, .results = of + 1, .result_count = 2};
        }
        status = infer_predict_batch(predictor, items, s->count, NULL, error);
    }
    free(tensors), free(items);
    return status;
}

static float nearness(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < VECTOR; i++)
        sum += a[i] * b[i];
    return sum;
}

static void print_best(const struct sentences *s, const char *query, const float *vector)
{
    size_t best[BEST], found = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t at = found < BEST ? found++ : BEST;
        for (; at > 0 && nearness(vector, s->vectors[i]) > nearness(vector, s->vectors[best[at - 1]]); at--)
            if (at < BEST)
                best[at] = best[at - 1];
        if (at < BEST)
            best[at] = i;
    }
    printf("%s\n", query);
    for (size_t i = 0; i < found; i++)
        printf("%9.5f  %s\n", (double)nearness(vector, s->vectors[best[i]]), s->lines[best[i]]);
}

static int print_tokens(const struct vocabulary *vocabulary, const struct sentences *s)
{
    int64_t tokens[MOST_TOKENS];
    for (size_t i = 0; i < s->count; i++) {
        int64_t count = tokenize(vocabulary, s->lines[i], strlen(s->lines[i]), tokens, MOST_TOKENS);
        for (int64_t k = 0; k < count; k++)
            printf("%lld%c", (long long)tokens[k], k + 1 < count ? ' ' : '\n');
    }
    return 0;
}

static int search(const char *model, struct vocabulary *vocabulary, struct sentences *s, struct sentences *queries)
{
    infer_predictor *predictor = NULL;
    infer_error error = {INFER_OK, ""};
    /* Sentences of nearly the same length share runs: tokens behind a shorter one's end are left out by the mask. */
    static const int64_t lengths[] = {16, 32, 64, MOST_TOKENS};
    const infer_bucket bucket = {
        .dimension = "sequence", .sizes = lengths, .size_count = 4, .mask = "attention_mask", .pad = 0};
    infer_predictor_options options = {.path = model,
                                       .batch_size = 32,
                                       .buckets = &bucket,
                                       .bucket_count = 1,
                                       .hooks = {.preprocess = to_tokens, .user = vocabulary, .given_count = 1}};
    infer_status status = infer_predictor_create(&options, &predictor, &error);
    if (status == INFER_OK)
        status = embed(predictor, s, &error);
    if (status == INFER_OK)
        status = embed(predictor, queries, &error);
    for (size_t i = 0; i < queries->count && status == INFER_OK; i++)
        print_best(s, queries->lines[i], queries->vectors[i]);
    if (status != INFER_OK)
        fprintf(stderr, "search: %s\n", error.message);
    infer_predictor_release(predictor);
    return status == INFER_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sentences sentences = {0}, queries = {0};
    int only_tokens = argc == 4 && strcmp(argv[1], "--tokens") == 0, code = 1;
    if (!only_tokens && argc < 5)
        return fprintf(stderr, "usage: search MODEL.bin VOCABULARY.txt SENTENCES.txt QUERY...\n") < 0 ? 1 : 2;
    setlocale(LC_CTYPE, "C.UTF-8");
    struct vocabulary *vocabulary = vocabulary_read(argv[2]);
    if (!vocabulary)
        fprintf(stderr, "search: %s is no vocabulary of BERT's\n", argv[2]);
    else if (!read_lines(argv[3], &sentences))
        fprintf(stderr, "search: %s cannot be read\n", argv[3]);
    else if (only_tokens)
        code = print_tokens(vocabulary, &sentences);
    else {
        for (int i = 4; i < argc; i++)
            add_line(&queries, argv[i]);
        code = search(argv[1], vocabulary, &sentences, &queries);
    }
    vocabulary_free(vocabulary);
    free(sentences.bytes), free(sentences.lines), free(sentences.vectors);
    free(queries.lines), free(queries.vectors);
    return code;
}
