#include "graph/quantize/range.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define MIDDLE (RANGE_BINS / 2) /* the bin that begins at 0 */
#define LEVELS 256

/* --- seeing ---------------------------------------------------------------------------------------------- */

static double bin_width(const struct observed *observed)
{
    return observed->reach / MIDDLE;
}

/* Bin k of the old width lies in bin floor of the half of its distance from the middle. */
static void double_reach(struct observed *observed)
{
    for (int k = 0; k < MIDDLE / 2; k++) { /* from the middle outwards: no bin is read after it has been written */
        int up = MIDDLE + 2 * k, down = MIDDLE - 2 - 2 * k;
        observed->bins[MIDDLE + k] = observed->bins[up] + observed->bins[up + 1];
        observed->bins[MIDDLE - 1 - k] = observed->bins[down] + observed->bins[down + 1];
    }
    memset(observed->bins, 0, MIDDLE / 2 * sizeof *observed->bins);
    memset(observed->bins + MIDDLE + MIDDLE / 2, 0, MIDDLE / 2 * sizeof *observed->bins);
    observed->reach *= 2;
}

/* The reach beyond the number. */
static void reach_out(struct observed *observed, double magnitude)
{
    int exponent;
    if (observed->reach == 0) {
        frexp(magnitude, &exponent);
        observed->reach = ldexp(1, exponent);
    }
    while (observed->reach <= magnitude)
        double_reach(observed);
}

void observe_numbers(struct observed *observed, const float *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double x = (double)numbers[i];
        if (!isfinite(x)) {
            observed->unusable++;
            continue;
        }
        if (observed->count++ == 0)
            observed->least = observed->most = x;
        observed->least = fmin(observed->least, x);
        observed->most = fmax(observed->most, x);
        if (fabs(x) >= observed->reach && x != 0)
            reach_out(observed, fabs(x));
        int bin = x == 0 ? MIDDLE : MIDDLE + (int)floor(x / bin_width(observed));
        observed->bins[bin]++;
    }
}

/* --- choosing -------------------------------------------------------------------------------------------- */

static const char *const method_names[RANGE_METHODS] = {"minmax", "percentile", "entropy", "mse"};

const char *range_method_name(enum range_method method)
{
    return method_names[method];
}

bool range_method_from_name(const char *name, enum range_method *method)
{
    for (int i = 0; i < RANGE_METHODS; i++)
        if (strcmp(name, method_names[i]) == 0) {
            *method = (enum range_method)i;
            return true;
        }
    return false;
}

static struct range whole(const struct observed *observed)
{
    return (struct range){fmin(observed->least, 0), fmax(observed->most, 0)};
}

#define TAIL 0.00005

/* Bins are cut off from an end while no more than the tail is in them. */
static struct range percentile(const struct observed *observed)
{
    struct range range = whole(observed);
    double width = bin_width(observed), allowed = TAIL * (double)observed->count, sum = 0;
    int low = 0, high = RANGE_BINS - 1;
    while (low < MIDDLE && sum + (double)observed->bins[low] <= allowed)
        sum += (double)observed->bins[low++];
    sum = 0;
    while (high >= MIDDLE && sum + (double)observed->bins[high] <= allowed)
        sum += (double)observed->bins[high--];
    range.low = fmax(range.low, (low - MIDDLE) * width);
    range.high = fmin(range.high, (high + 1 - MIDDLE) * width);
    return range;
}

/* Shares of the whole range that are tried: 1, and then ever less. */
#define CANDIDATES 128
static double share(int candidate)
{
    return 1 - (double)candidate / CANDIDATES;
}

/* Sum over the numbers of their squared error: that of rounding is spread evenly over a quantum, and zero is exact. */
static double squared_error(const struct observed *observed, struct range range)
{
    double width = bin_width(observed), step = (range.high - range.low) / (LEVELS - 1), sum = 0;
    for (int k = 0; k < RANGE_BINS; k++) {
        double x = (k - MIDDLE + 0.5) * width, out = fmax(fmax(x - range.high, range.low - x), 0);
        if (observed->bins[k] > 0 && k != MIDDLE)
            sum += (double)observed->bins[k] * (out > 0 ? out * out : step * step / 12);
    }
    return sum;
}

/* The divergence of the distribution, what lies outside at the ends, from the one that 256 levels leave of it. The bin
 * of zero, which many activations are full of, is exact and left out. */
static double divergence(const struct observed *observed, struct range range)
{
    double width = bin_width(observed), total = 0, kept = 0, result = 0;
    int first = MIDDLE + (int)floor(range.low / width), last = MIDDLE + (int)ceil(range.high / width) - 1;
    double below = 0, above = 0;
    for (int k = 0; k < RANGE_BINS; k++) {
        double count = k == MIDDLE ? 0 : (double)observed->bins[k];
        total += count;
        below += k < first ? count : 0;
        above += k > last ? count : 0;
    }
    kept = total - below - above;
    int bins = last - first + 1;
    if (bins < LEVELS || kept == 0)
        return INFINITY;
    for (int level = 0; level < LEVELS; level++) {
        int from = first + (int)((int64_t)level * bins / LEVELS),
            to = first + (int)((int64_t)(level + 1) * bins / LEVELS);
        double sum = 0;
        int used = 0;
        for (int k = from; k < to; k++) {
            sum += k == MIDDLE ? 0 : (double)observed->bins[k];
            used += k != MIDDLE && observed->bins[k] > 0;
        }
        for (int k = from; k < to; k++) {
            double inside = k == MIDDLE ? 0 : (double)observed->bins[k];
            double p = (inside + (k == first ? below : 0) + (k == last ? above : 0)) / total;
            double q = inside > 0 ? sum / used / kept : DBL_EPSILON;
            result += p > 0 ? p * log(p / q) : 0;
        }
    }
    return result;
}

static struct range least(const struct observed *observed, double (*cost)(const struct observed *, struct range))
{
    struct range all = whole(observed), best = all;
    double lowest = INFINITY;
    for (int i = 0; i < CANDIDATES; i++) {
        struct range range = {all.low * share(i), all.high * share(i)};
        double found = cost(observed, range);
        if (found < lowest) {
            lowest = found;
            best = range;
        }
    }
    return best;
}

struct range choose_range(const struct observed *observed, enum range_method method)
{
    if (observed->reach == 0)
        return (struct range){0, 0};
    switch (method) {
    case RANGE_PERCENTILE:
        return percentile(observed);
    case RANGE_ENTROPY:
        return least(observed, divergence);
    case RANGE_MSE:
        return least(observed, squared_error);
    default:
        return whole(observed);
    }
}

struct quantum quantum_of(struct range range)
{
    double scale = (range.high - range.low) / (LEVELS - 1);
    if (!(scale >= (double)FLT_MIN && scale <= (double)FLT_MAX))
        return (struct quantum){1, 0};
    float rounded = (float)scale;
    double zero = rint(-range.low / (double)rounded);
    return (struct quantum){rounded, (int)fmin(fmax(zero, 0), LEVELS - 1)};
}

float symmetric_scale(double magnitude, int most)
{
    double scale = magnitude / most;
    return scale >= (double)FLT_MIN && scale <= (double)FLT_MAX ? (float)scale : 1;
}
