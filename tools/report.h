/* What infer-run tells of its runs, for people and as JSON (docs/api.md names the fields). */
#ifndef INFER_TOOLS_REPORT_H
#define INFER_TOOLS_REPORT_H

#include "kernels/base.h"
#include "runtime/infer.h"

struct report {
    const char *model_path;
    double started; /* seconds_now */
    double load_ms, first_run_ms;
    size_t start_rss_bytes;
    double *runs_ms;
    size_t run_count, run_capacity;
};

struct report_subject {
    infer_model *model;
    infer_session *session;
    infer_context *context;
    const infer_tensor *inputs, *outputs;
    const char *labels; /* file name; NULL: none */
    int threads_wanted; /* more than the session has where the system would start no more */
};

double seconds_now(void);
void report_start(struct report *report, const char *model_path);
void report_loaded(struct report *report);
bool report_run(struct report *report, double ms); /* false: no memory */
void report_free(struct report *report);
enum status report_json(const struct report *report, const struct report_subject *subject, const char *path,
                        struct error *error);
enum status report_text(const struct report *report, const struct report_subject *subject, struct error *error);

#endif
