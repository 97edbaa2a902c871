#include "tools/serve_svg.h"

#include "tools/common.h"

#include <math.h>

/* The picture in its own units; it scales to the window. Both axes are logarithmic. */
enum { WIDTH = 900, HEIGHT = 560, LEFT = 80, RIGHT = 90, TOP = 50, BOTTOM = 60 };

struct axes {
    double least_rate, most_rate, least, most; /* seconds, up */
};

static double across(const struct axes *axes, double rate)
{
    double span = log(axes->most_rate / axes->least_rate);
    return span > 0 ? LEFT + (WIDTH - LEFT - RIGHT) * log(rate / axes->least_rate) / span
                    : (WIDTH + LEFT - RIGHT) / 2.0;
}

static double up(const struct axes *axes, double seconds)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * log(seconds / axes->least) / log(axes->most / axes->least);
}

static struct axes axes_of(const struct served_rate *rates, size_t count)
{
    struct axes axes = {.least_rate = rates[0].rate, .most_rate = rates[0].rate, .least = INFINITY, .most = 0};
    for (size_t i = 0; i < count; i++) {
        axes.least_rate = fmin(axes.least_rate, rates[i].rate);
        axes.most_rate = fmax(axes.most_rate, rates[i].rate);
        if (rates[i].p50 > 0) {
            axes.least = fmin(axes.least, rates[i].p50);
            axes.most = fmax(axes.most, rates[i].p999);
        }
    }
    if (axes.most <= 0)
        axes.least = axes.most = 1e-3;
    axes.least = pow(10, floor(log10(axes.least)));
    axes.most = pow(10, ceil(log10(axes.most * 1.0001)));
    return axes;
}

static void draw_axes(FILE *file, const struct axes *axes, const struct served_rate *rates, size_t count)
{
    for (double mark = axes->least; mark < axes->most * 1.5; mark *= 10) {
        double y = up(axes, mark);
        fprintf(file,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g ms</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, mark * 1e3);
    }
    for (size_t i = 0; i < count; i++)
        fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", across(axes, rates[i].rate),
                HEIGHT - BOTTOM + 20, rates[i].rate);
    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">requests a second</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
}

static double value_of(const struct served_rate *rate, int line)
{
    return line == 0 ? rate->p50 : line == 1 ? rate->p99 : rate->p999;
}

static void draw_line(FILE *file, const struct axes *axes, const struct served_rate *rates, size_t count, int line)
{
    static const char *const names[] = {"p50", "p99", "p99.9"}, *const colours[] = {"#2a7", "#26c", "#c33"};
    const struct served_rate *last = NULL;
    fprintf(file, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"", colours[line]);
    for (size_t i = 0; i < count; i++)
        if (rates[i].p50 > 0) {
            fprintf(file, "%c%.1f %.1f", last ? 'L' : 'M', across(axes, rates[i].rate),
                    up(axes, value_of(&rates[i], line)));
            last = &rates[i];
        }
    fputs("\"/>\n", file);
    if (last)
        fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", across(axes, last->rate) + 8,
                up(axes, value_of(last, line)) + 4 - line * 3, colours[line], names[line]);
}

enum status serve_svg_write(const char *path, const char *title, const struct served_rate *rates, size_t count,
                            struct error *error)
{
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    struct axes axes = axes_of(rates, count);
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"28\" "
            "font-size=\"16\">Latency of ",
            WIDTH, HEIGHT, LEFT);
    xml_text(file, title, 100);
    fputs(" against the rate of arrivals</text>\n", file);
    draw_axes(file, &axes, rates, count);
    for (int line = 0; line < 3; line++)
        draw_line(file, &axes, rates, count, line);
    fputs("</svg>\n", file);
    return text_close(file, path, error);
}
