#include "tools/watch_metrics.h"

#include "kernels/base.h"
#include "tools/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_EACH 0.25
#define BAR_WIDTH 30

void metrics_watch_begin(struct metrics_watch *watch, infer_predictor *predictor, bool table, size_t total)
{
    *watch = (struct metrics_watch){.predictor = predictor,
                                    .table = table,
                                    .is_terminal = isatty(STDERR_FILENO),
                                    .total = total,
                                    .next = seconds_now() + SECONDS_EACH};
}

/* Back to where the last drawing began, of which nothing stays. */
static void wipe(struct metrics_watch *watch)
{
    if (watch->lines > 0)
        fprintf(stderr, "\033[%dA", watch->lines);
    fputs("\r\033[J", stderr);
    watch->lines = 0;
}

static void draw_bar(const struct metrics_watch *watch, const infer_metrics *metrics, size_t done)
{
    if (watch->total == SIZE_MAX) {
        fprintf(stderr, "%zu done  %.1f/s", done, (double)done / metrics->seconds);
        return;
    }
    char bar[BAR_WIDTH + 1];
    size_t full = watch->total ? done * BAR_WIDTH / watch->total : BAR_WIDTH;
    for (size_t i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "[%s] %zu of %zu  %.1f/s", bar, done, watch->total, (double)done / metrics->seconds);
}

static int draw_latency(const char *name, const infer_latency *latency)
{
    if (latency->count == 0)
        return 0;
    fprintf(stderr, "%-12s %10llu %10.3f %10.3f %10.3f %10.3f %10.3f\n", name, (unsigned long long)latency->count,
            latency->p50 * 1e3, latency->p90 * 1e3, latency->p99 * 1e3, latency->p999 * 1e3, latency->max * 1e3);
    return 1;
}

static int draw_table(const infer_metrics *metrics, size_t done)
{
    int lines = 4;
    uint64_t well = metrics->by_status[INFER_OK];
    fprintf(stderr, "done %zu, failed %llu, %.1f/s; waiting %zu, at most %zu\n", done,
            (unsigned long long)(metrics->requests - well), metrics->throughput, metrics->waiting,
            metrics->most_waiting);
    fprintf(stderr, "runs %llu, of %.2f items; held %s bytes, the predictor %s\n", (unsigned long long)metrics->runs,
            metrics->runs ? (double)well / (double)metrics->runs : 0.0, grouped(metrics->memory.held_bytes).text,
            grouped(metrics->predictor_bytes).text);
    if (metrics->cache_lookups > 0) {
        fprintf(stderr, "cache: %llu found of %llu, %llu shared\n", (unsigned long long)metrics->cache_hits,
                (unsigned long long)metrics->cache_lookups, (unsigned long long)metrics->cache_shared);
        lines++;
    }
    fprintf(stderr, "%-12s %10s %10s %10s %10s %10s %10s\n", "ms", "count", "p50", "p90", "p99", "p99.9", "max");
    lines += draw_latency("queue", &metrics->queue) + draw_latency("preprocess", &metrics->preprocess) +
             draw_latency("model", &metrics->model) + draw_latency("postprocess", &metrics->postprocess);
    return lines - 1 + draw_latency("total", &metrics->total);
}

static void draw(struct metrics_watch *watch, size_t done)
{
    infer_metrics metrics;
    if (infer_metrics_snapshot(watch->predictor, &metrics, NULL) != INFER_OK)
        return;
    if (watch->is_terminal)
        wipe(watch);
    if (watch->table)
        watch->lines = draw_table(&metrics, done);
    else
        draw_bar(watch, &metrics, done);
    fflush(stderr);
}

void metrics_watch_step(struct metrics_watch *watch, size_t done)
{
    if (!watch->is_terminal || seconds_now() < watch->next)
        return;
    draw(watch, done);
    watch->next = seconds_now() + SECONDS_EACH;
}

void metrics_watch_end(struct metrics_watch *watch, size_t done)
{
    if (watch->table)
        draw(watch, done);
    else if (watch->is_terminal)
        wipe(watch);
}
