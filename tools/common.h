/* What every tool does the same way: options, errors of one line, numbers with suffixes, opening models. */
#ifndef INFER_TOOLS_COMMON_H
#define INFER_TOOLS_COMMON_H

#include "formats/file.h"
#include "kernels/budget.h"
#include "runtime/infer.h"

#include <getopt.h>
#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct tool {
    const char *name;             /* "infer-run" */
    const char *help;             /* the whole text of --help */
    const struct option *options; /* of getopt_long; --help and --version are added by every tool as 'h' and 'V' */
    const char *short_options;
};

/* The next option, as getopt_long gives it: its `val`; -1 at the end of the options. --help and --version are answered
 * here, and a wrong option ends the tool with EXIT_USAGE. Positional arguments end up at argv[optind]. */
int tool_option(const struct tool *tool, int argc, char **argv);

/* "infer-run: message (see infer-run --help)" on stderr; returns EXIT_USAGE. */
int tool_usage(const struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "infer-run: message" on stderr; returns EXIT_FAILED. */
int tool_failed(const struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whole decimal numbers in a range; bytes with an optional K, M or G (powers of 1024). False: not one. */
bool parse_integer(const char *text, int64_t least, int64_t most, int64_t *number);
bool parse_bytes(const char *text, size_t *bytes);

/* "auto", "reference", "avx2", "avx512". */
bool parse_isa(const char *text, infer_isa *isa);
const char *isa_text(infer_isa isa);

/* The device of an option's text, cpu or cuda. Ends the tool with a sentence where there is no such device. */
infer_device parse_device(const struct tool *tool, const char *text);
/* Who computes large products, native or cublas. */
infer_gemm parse_gemm(const struct tool *tool, const char *text);
/* To what factors are rounded: f32, tf32, f16 or bf16. */
infer_factors parse_factors(const struct tool *tool, const char *text);

/* A file for text, "-" being stdout. NULL, and the error set, where it cannot be written. */
FILE *text_open(const char *path, struct error *error);
/* Says whether all of it has arrived. */
enum status text_close(FILE *file, const char *path, struct error *error);

/* Text as a drawing may hold it, up to `most` bytes of it. */
void xml_text(FILE *file, const char *text, size_t most);

/* Whether it is a regular file, and begins as a model.bin does. */
bool is_model_file(const char *path);

/* A model.bin, or an ONNX file, by its content: that is converted in memory. "-" is stdin. *storage then holds what the
 * model lies in; release it after the model by model_storage_free. Errors name the file. */
struct model_storage {
    struct budget budget; /* of the conversion: the limit of the model's options bounds it as well */
    struct region region;
    struct file_map map; /* of what came through a pipe */
    bool used;
    size_t bytes; /* of the model that was made; 0: it was read from its file */
};
infer_status open_model(const char *path, const infer_model_options *options, struct model_storage *storage,
                        infer_model **model, infer_error *error);
/* The sets that the model's file holds packs for, "avx2, avx512"; "": it holds none. */
const char *packed_sets(const infer_model *model, char *buffer, size_t bytes);
void model_storage_free(struct model_storage *storage);
/* Prints the error after the model's path, unless it names it already; returns EXIT_FAILED. */
int tool_model_failed(const struct tool *tool, const char *path, const infer_error *error);

#endif
