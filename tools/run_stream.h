/* Many inputs through the predictor: what infer-run does for --batch, --async and --stream. */
#ifndef INFER_TOOLS_RUN_STREAM_H
#define INFER_TOOLS_RUN_STREAM_H

#include "tools/common.h"

struct stream_request {
    const char *model_path;
    const char *source; /* a folder, an .npz, "-"; NULL: the files below */
    int file_count;
    char **files;
    int batch;  /* items in a run; 0: 1 */
    bool async; /* several runs at once */
    bool watch; /* a table of the metrics, while it lasts */
    const char *output, *json;
    infer_session_options session;
};

/* Runs all items, writes what comes of each as it comes, in their order, and says which failed. Returns the exit
 * code. */
int run_stream(const struct tool *tool, const struct stream_request *request, infer_model *model);

#endif
