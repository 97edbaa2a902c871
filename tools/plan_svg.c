#include "tools/plan_svg.h"

#include "tools/common.h"

/* The picture in its own units; it scales to the window. */
enum { WIDTH = 1600, HEIGHT = 900, LEFT = 110, RIGHT = 20, TOP = 50, BOTTOM = 50 };
#define MARKS 8
#define MOST_LABELS 20
#define LEAST_LABELLED_WIDTH 60.0 /* a rectangle smaller than this has its name only under the pointer */
#define LEAST_LABELLED_HEIGHT 14.0
#define LETTER_WIDTH 6.6

struct scale {
    double x, y; /* units a step of time, and a byte */
    int64_t start;
    uint64_t steps;
    size_t height;
};

static double across(const struct scale *scale, int64_t time)
{
    return LEFT + ((double)time - (double)scale->start) * scale->x;
}

static double up(const struct scale *scale, size_t bytes)
{
    return HEIGHT - BOTTOM - (double)bytes * scale->y;
}

static struct scale scale_of(const struct drawn_plan *plan)
{
    int64_t start = INT64_MAX, end = INT64_MIN;
    for (size_t i = 0; i < plan->count; i++) {
        start = plan->buffers[i].lower < start ? plan->buffers[i].lower : start;
        end = plan->buffers[i].upper > end ? plan->buffers[i].upper : end;
    }
    if (start >= end)
        start = 0, end = 1;
    size_t height = plan->height ? plan->height : 1;
    return (struct scale){.x = (WIDTH - LEFT - RIGHT) / ((double)end - (double)start),
                          .y = (HEIGHT - TOP - BOTTOM) / (double)height,
                          .start = start,
                          .steps = (uint64_t)end - (uint64_t)start,
                          .height = height};
}

/* Neighbours in the list get hues far apart: steps of the golden angle. */
static unsigned hue(size_t index)
{
    return (unsigned)(index * 137 % 360);
}

static void draw_buffer(FILE *file, const struct scale *scale, const struct drawn_buffer *buffer, size_t index)
{
    double x = across(scale, buffer->lower), width = across(scale, buffer->upper) - x;
    double y = up(scale, buffer->offset + buffer->bytes), height = up(scale, buffer->offset) - y;
    fprintf(file, "<g><rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"hsl(%u,%d%%,%d%%)\"/>\n<title>",
            x, y, width, height, hue(index), buffer->workspace ? 0 : 65, buffer->workspace ? 80 : 72);
    xml_text(file, buffer->name, SIZE_MAX);
    if (buffer->about) {
        fputc('\n', file);
        xml_text(file, buffer->about, SIZE_MAX);
    }
    fprintf(file, "\n%s bytes at %s, steps %lld to %lld</title>\n", grouped(buffer->bytes).text,
            grouped(buffer->offset).text, (long long)buffer->lower, (long long)buffer->upper - 1);
    if (width >= LEAST_LABELLED_WIDTH && height >= LEAST_LABELLED_HEIGHT) {
        fprintf(file, "<text x=\"%.2f\" y=\"%.2f\">", x + 4, y + height / 2 + 4);
        xml_text(file, buffer->name, (size_t)((width - 8) / LETTER_WIDTH));
        fputs("</text>\n", file);
    }
    fputs("</g>\n", file);
}

static void draw_bytes_axis(FILE *file, const struct scale *scale)
{
    for (int i = 0; i <= MARKS; i++) {
        size_t bytes = scale->height / MARKS * (size_t)i;
        if (i == MARKS)
            bytes = scale->height;
        fprintf(file, "<line class=\"mark\" x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/>", LEFT, WIDTH - RIGHT,
                up(scale, bytes), up(scale, bytes));
        fprintf(file, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, up(scale, bytes) + 4,
                grouped(bytes).text);
    }
}

static void draw_moments(FILE *file, const struct scale *scale, const struct drawn_plan *plan)
{
    for (uint64_t i = 0; i < scale->steps; i++) {
        int64_t time = scale->start + (int64_t)i;
        fprintf(file, "<rect class=\"moment\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"><title>step %lld: ",
                across(scale, time), HEIGHT - BOTTOM, scale->x, BOTTOM, (long long)time);
        xml_text(file, plan->moment(plan->user, time), SIZE_MAX);
        fputs("</title></rect>\n", file);
    }
}

static void draw_time_axis(FILE *file, const struct scale *scale)
{
    uint64_t every = scale->steps / MOST_LABELS + 1;
    for (uint64_t i = 0; i < MOST_LABELS && i * every < scale->steps; i++) {
        int64_t time = (int64_t)((uint64_t)scale->start + i * every); /* the distance may be past INT64_MAX */
        fprintf(file, "<text x=\"%.2f\" y=\"%d\">%lld</text>\n", across(scale, time), HEIGHT - BOTTOM + 16,
                (long long)time);
    }
    fprintf(file, "<text x=\"%d\" y=\"%d\">step</text>\n", LEFT, HEIGHT - 12);
}

enum status plan_svg_write(const char *path, const struct drawn_plan *plan, struct error *error)
{
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    struct scale scale = scale_of(plan);
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n<style>text{font:11px sans-serif;"
            "pointer-events:none}rect{stroke:#333;stroke-width:.4}g:hover rect{stroke-width:2}.mark{stroke:#ccc}"
            ".bound{stroke:#c00;stroke-dasharray:6 4}.moment{fill:#fff;stroke:none}</style>\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\" stroke=\"none\"/>\n<text x=\"%d\" y=\"24\" "
            "style=\"font-size:15px\">",
            WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    xml_text(file, plan->title, SIZE_MAX);
    fprintf(file, ": %zu buffers in %s bytes; lower bound %s</text>\n", plan->count, grouped(plan->height).text,
            grouped(plan->lower_bound).text);
    if (plan->moment)
        draw_moments(file, &scale, plan);
    draw_time_axis(file, &scale);
    draw_bytes_axis(file, &scale);
    for (size_t i = 0; i < plan->count; i++)
        if (plan->buffers[i].bytes > 0)
            draw_buffer(file, &scale, &plan->buffers[i], i);
    fprintf(file, "<line class=\"bound\" x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/>\n</svg>\n", LEFT, WIDTH - RIGHT,
            up(&scale, plan->lower_bound), up(&scale, plan->lower_bound));
    return text_close(file, path, error);
}
