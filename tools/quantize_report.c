#include "tools/quantize_report.h"

#include "tools/common.h"

#include <math.h>

/* "int8 weights": its activation is float32. */
static const char *layer_precision(const struct quantize_plan *plan, const struct layer *layer)
{
    if (!layer->chosen)
        return "float32";
    if (layer->weights_only)
        return "int8 weights";
    return plan->form == QUANTIZE_HALF ? "float16" : quantize_in_blocks(plan, layer) ? "int4" : "int8";
}

/* A field of CSV: names of nodes may hold anything. */
static void print_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *c = text; *c; c++)
        fprintf(file, *c == '"' ? "\"\"" : "%c", *c);
    fputc('"', file);
}

static void print_times(FILE *file, double before, double after)
{
    if (before > 0 && after > 0)
        fprintf(file, ",%.4f,%.4f,%.2f", 1e3 * before, 1e3 * after, before / after);
    else
        fprintf(file, ",,,");
}

static void print_layer(FILE *file, const struct quantize_plan *plan, const struct layer *layer,
                        const struct layer_facts *facts)
{
    print_text(file, legible(layer->name).text);
    fprintf(file, ",%s,%s", layer->op, layer_precision(plan, layer));
    if (facts->seen && facts->seen->count > 0)
        fprintf(file, ",%.6g,%.6g", facts->seen->least, facts->seen->most);
    else
        fprintf(file, ",,");
    if (layer->quantum.scale > 0)
        fprintf(file, ",%.6g,%.6g", facts->range.low, facts->range.high);
    else
        fprintf(file, ",,");
    fprintf(file, ",%.6g", quantize_largest(layer));
    if (facts->noise > 0)
        fprintf(file, ",%.1f", 10 * log10(facts->signal / facts->noise));
    else
        fprintf(file, facts->signal > 0 ? ",inf" : ",");
    if (facts->error >= 0)
        fprintf(file, ",%.3g", facts->error);
    else
        fprintf(file, ",");
    print_times(file, facts->before, facts->after);
    fputc(',', file);
    print_text(file, layer->why ? layer->why : "");
    fputc('\n', file);
}

enum status report_write(const struct study *study, const char *path, struct error *error)
{
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    fprintf(file, "layer,type,precision,input_least,input_most,range_low,range_high,weights_largest,snr_db,error_alone,"
                  "ms_before,ms_after,speed_up,why\n");
    for (int i = 0; i < study->plan.count; i++)
        print_layer(file, &study->plan, &study->plan.layers[i], &study->facts[i]);
    fprintf(file, "\"\",model,,,,,,,,");
    print_times(file, study->seconds_before, study->seconds_after);
    fprintf(file, ",\"\"\n");
    return text_close(file, path, error);
}
