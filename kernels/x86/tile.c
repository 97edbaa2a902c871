#include "kernels/x86/tile.h"

#include "kernels/x86/transpose.h"

#include <math.h>
#include <string.h>

/* With 32 registers two terms' columns fit beside the sums, and a row's pointer is used twice when it is at hand. */
#define TERMS_AT_ONCE TILE_TERMS

/* Bytes of the panel asked for ahead of use, where nothing further ahead is. Terms of 8 lanes are so short that loads
 * do not run far enough ahead of the arithmetic to bring weights from the third-level cache in time; with a row or two
 * they do. */
#define AHEAD (LANES == 8 ? 2048 : 0)

/* Whether tiles whose last vector has lanes too many end in registers, by masks: in code of its own, as whole vectors
 * lose 1 % of a model when they are loaded and stored by masks too, those of 8 columns a tenth. Nearly all tiles are
 * tall. */
#define ENDS_BY_MASKS(shape) (LANES == 16 && (shape).rows >= 8 && (!(shape).half || (shape).vectors == 1))

typedef vf sums[TILE_ROWS][TILE_VECTORS];

#define MOST_ABREAST 4

/* The functions below are expanded for each shape, so that sums stay in registers. Rows come in pairs: where the last
 * pair is but one row, this is made twice and stored twice, which halves the code. */
struct shape {
    int rows, vectors;
    bool half;   /* the last vector is half of one */
    bool masked; /* at the end, only `columns` of its lanes count */
    bool strewn; /* a row's elements lie apart */
};

/* Where rows end. Element k, which counts up to 0, of row i lies at rows[i] + k, or + offsets[k] where it is strewn. */
struct ends_of_rows {
    const float *rows[TILE_ROWS];
    const int64_t *offsets;
};

INLINE float element(const struct shape shape, const struct ends_of_rows *end, int i, int64_t k)
{
    return end->rows[i][shape.strewn ? end->offsets[k] : k];
}

INLINE int64_t row_of(const struct shape shape, int i, int64_t last)
{
    return i < shape.rows - 1 ? i : last;
}

INLINE bool is_half(const struct shape shape, int j)
{
    return shape.half && j == shape.vectors - 1;
}

INLINE vf load(const struct shape shape, int j, const float *from)
{
    return is_half(shape, j) ? vf_load_half(from + j * LANES) : vf_load(from + j * LANES);
}

/* An element of a row, for as many lanes as the vectors of the shape have. */
INLINE vf spread(const struct shape shape, float x)
{
    return shape.half && shape.vectors == 1 ? vf_set_half(x) : vf_set(x);
}

INLINE void resume(const struct shape shape, int64_t last, const struct tile_ends *ends, sums s)
{
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = load(shape, j, ends->to + row_of(shape, i, last) * ends->to_row);
    }
}

INLINE void begin(const struct shape shape, sums s)
{
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = vf_set(0);
    }
}

/* Terms k to k + count - 1. The rows' elements are read where the multiplication needs them: as an operand that is
 * spread over the lanes (AVX-512), or by a load that spreads it. */
INLINE const float *add_some(const struct shape shape, const int count, const struct ends_of_rows *end, int64_t k,
                             const float *panel, int64_t panel_row, const int ahead, sums s)
{
    vf b[TERMS_AT_ONCE][TILE_VECTORS];
    UNROLL
    for (int t = 0; t < count; t++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            b[t][j] = load(shape, j, panel);
        if (ahead > 0 && shape.rows > 2)
            __builtin_prefetch((const void *)((uintptr_t)panel + (uintptr_t)ahead));
        panel += panel_row;
        __asm__("" : "+r"(panel)); /* gcc would keep a sum for each load, for which registers do not do */
    }
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int t = 0; t < count; t++) {
            vf a = spread(shape, element(shape, end, i, k + t));
            UNROLL
            for (int j = 0; j < shape.vectors; j++)
                s[i][j] = is_half(shape, j) ? vf_fma_half(a, b[t][j], s[i][j]) : vf_fma(a, b[t][j], s[i][j]);
        }
    }
    return panel;
}

/* Weights to ask for. */
struct ahead {
    const char *at;
    int64_t step;
};

/* Terms of a stretch but for the last `left` ones; returns where the panel has these. k counts up to 0 from the end of
 * the rows, so that the loop needs one register for both its index and its end. An odd term comes first. far: NULL
 * where nothing but the panel is asked for. */
INLINE const float *add_terms(const struct shape shape, const struct ends_of_rows *end, int64_t depth, int64_t left,
                              const float *panel, int64_t panel_row, struct ahead *far, sums s)
{
    int64_t k = -depth;
    if (depth % TERMS_AT_ONCE) {
        panel = add_some(shape, 1, end, k, panel, panel_row, 0, s);
        k++;
    }
    for (; k < -left; k += TERMS_AT_ONCE) {
        panel = add_some(shape, TERMS_AT_ONCE, end, k, panel, panel_row, far ? 0 : AHEAD, s);
        if (far) {
            __builtin_prefetch(far->at);
            far->at += far->step;
        }
    }
    return panel;
}

/* The same for all stretches: `rest` terms of the last one are left. Sets the ends of its rows. */
INLINE const float *add_taps(const struct shape shape, int64_t last, const struct tile_rows *left,
                             const struct tile_panel *panel, int64_t rest, struct ahead *far, struct ends_of_rows *end,
                             sums s)
{
    const float *from = panel->first;
    for (int64_t tap = 0; tap < left->taps; tap++) {
        UNROLL
        for (int i = 0; i < shape.rows; i++)
            end->rows[i] =
                left->first[tap * TILE_ROWS + row_of(shape, i, last)] + left->skip + (shape.strewn ? 0 : left->depth);
        from = add_terms(shape, end, left->depth, tap == left->taps - 1 ? rest : 0, from, panel->row, far, s);
    }
    return from;
}

INLINE void add_start(const struct shape shape, int64_t last, const struct tile_ends *ends, sums s)
{
    if (!ends->start)
        return;
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = vf_add(load(shape, j, ends->start + row_of(shape, i, last) * ends->start_row), s[i][j]);
    }
}

/* Lanes that count in the last vector of a masked tile. */
INLINE int64_t last_lanes(const struct shape shape, const struct tile_ends *ends)
{
    return ends->columns - (shape.vectors - 1) * LANES;
}

INLINE vf load_end(const struct shape shape, int j, const float *from, int64_t lanes)
{
    return shape.masked && j == shape.vectors - 1 ? vf_load_part(from + j * LANES, lanes) : load(shape, j, from);
}

INLINE void store_end(const struct shape shape, int j, float *to, vf x, int64_t lanes)
{
    if (shape.masked && j == shape.vectors - 1)
        vf_store_part(to + j * LANES, x, lanes);
    else if (is_half(shape, j))
        vf_store_half(to + j * LANES, x);
    else
        vf_store(to + j * LANES, x);
}

/* All rows, before any is stored: an operand may be what is stored to. */
INLINE void add_operands(const struct shape shape, int64_t last, const struct tile_ends *ends, sums s)
{
    int64_t lanes = last_lanes(shape, ends);
    for (int a = 0; a < ends->addend_count; a++) {
        const float *from = ends->addends[a].from;
        int64_t row = ends->addends[a].row;
        UNROLL
        for (int i = 0; i < shape.rows; i++) {
            UNROLL
            for (int j = 0; j < shape.vectors; j++)
                s[i][j] = vf_add(s[i][j], load_end(shape, j, from + row_of(shape, i, last) * row, lanes));
        }
    }
}

INLINE void swish(const struct shape shape, sums s)
{
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = vf_hard_swish(s[i][j]);
    }
}

INLINE void leak(const struct shape shape, const struct tile_ends *ends, sums s)
{
    vf slopes[TILE_VECTORS];
    int64_t lanes = last_lanes(shape, ends);
    UNROLL
    for (int j = 0; j < shape.vectors; j++)
        slopes[j] = ends->slopes ? load_end(shape, j, ends->slopes, lanes) : vf_set(ends->slope);
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = tile_leak(s[i][j], slopes[j]);
    }
}

INLINE void scale(const struct shape shape, const struct tile_ends *ends, sums s)
{
    vf factor = vf_set(ends->scale), shift = vf_set(ends->shift);
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            s[i][j] = vf_add(vf_mul(s[i][j], factor), shift);
    }
}

/* Most sums have no bound, or a lower one alone. */
INLINE void bound(const struct shape shape, const struct tile_ends *ends, sums s)
{
    vf low = vf_set(ends->low), high = vf_set(ends->high);
    if (ends->low > -INFINITY) {
        UNROLL
        for (int i = 0; i < shape.rows; i++) {
            UNROLL
            for (int j = 0; j < shape.vectors; j++)
                s[i][j] = vf_max(low, s[i][j]);
        }
    }
    if (ends->high < INFINITY) {
        UNROLL
        for (int i = 0; i < shape.rows; i++) {
            UNROLL
            for (int j = 0; j < shape.vectors; j++)
                s[i][j] = vf_min(high, s[i][j]);
        }
    }
}

/* What is more than additions and bounds takes code of its own in each shape: low tiles, in which there is little work,
 * and masked ones end in memory for it. */
INLINE bool bends_in_registers(const struct shape shape)
{
    return shape.rows > TILE_ROWS / 2 && !shape.masked;
}

INLINE bool finishes_in_registers(const struct shape shape, const struct tile_ends *ends)
{
    return bends_in_registers(shape) || !(ends->swish || ends->leaks || ends->scaled);
}

INLINE void finish(const struct shape shape, int64_t last, const struct tile_ends *ends, sums s)
{
    const bool bends = bends_in_registers(shape);
    add_operands(shape, last, ends, s);
    if (bends && ends->swish)
        swish(shape, s);
    if (bends && ends->leaks)
        leak(shape, ends, s);
    bound(shape, ends, s);
    if (bends && ends->scaled)
        scale(shape, ends, s);
    int64_t lanes = last_lanes(shape, ends);
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            store_end(shape, j, ends->to + row_of(shape, i, last) * ends->to_row, s[i][j], lanes);
    }
}

/* With 16 lanes the last terms of a large tile are added two rows at a time, and these are stored before the next ones:
 * a CPU that does 16 lanes in two steps stores a vector in two cycles, and where the stores of a tile come at once it
 * has nothing to multiply meanwhile. */
INLINE bool closes_rows(const struct shape shape)
{
    return LANES == 16 && shape.rows >= 8 && shape.vectors == TILE_VECTORS && !shape.half;
}

INLINE void close_pair(const struct shape shape, const int first, int64_t last, const struct ends_of_rows *end,
                       vf b[TERMS_AT_ONCE][TILE_VECTORS], const struct tile_ends *ends, sums s)
{
    if (first >= shape.rows)
        return;
    UNROLL
    for (int i = first; i < first + 2; i++) {
        UNROLL
        for (int t = 0; t < TERMS_AT_ONCE; t++) {
            vf a = vf_set(element(shape, end, i, t - TERMS_AT_ONCE));
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                s[i][j] = vf_fma(a, b[t][j], s[i][j]);
        }
    }
    for (int a = 0; a < ends->addend_count; a++) {
        const float *from = ends->addends[a].from;
        int64_t row = ends->addends[a].row;
        UNROLL
        for (int i = first; i < first + 2; i++) {
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                s[i][j] = vf_add(s[i][j], load(shape, j, from + row_of(shape, i, last) * row));
        }
    }
    UNROLL
    for (int i = first; i < first + 2; i++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            s[i][j] = vf_min(vf_set(ends->high), vf_max(vf_set(ends->low), s[i][j]));
    }
    float *to = ends->to;
    int64_t to_row = ends->to_row;
    UNROLL
    for (int i = first; i < first + 2; i++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            vf_store(to + row_of(shape, i, last) * to_row + j * LANES, s[i][j]);
    }
}

INLINE void close_rows(const struct shape shape, int64_t last, const struct ends_of_rows *end, const float *panel,
                       int64_t panel_row, const struct tile_ends *ends, sums s)
{
    vf b[TERMS_AT_ONCE][TILE_VECTORS];
    UNROLL
    for (int t = 0; t < TERMS_AT_ONCE; t++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            b[t][j] = load(shape, j, panel + t * panel_row);
    }
    close_pair(shape, 0, last, end, b, ends, s);
    close_pair(shape, 2, last, end, b, ends, s);
    close_pair(shape, 4, last, end, b, ends, s);
    close_pair(shape, 6, last, end, b, ends, s);
    close_pair(shape, 8, last, end, b, ends, s);
    close_pair(shape, 10, last, end, b, ends, s);
}

/* The same for sums in memory, whatever becomes of them; the last vector may have lanes too many. */
static __attribute__((noinline)) void finish_spilled(int64_t rows, const struct tile_ends *ends, const float *from)
{
    int64_t whole = ends->columns / LANES * LANES;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < whole; j += LANES)
            tile_finish(ends, i, j, vf_load(from + i * TILE_COLUMNS + j));
        if (whole < ends->columns)
            tile_finish_part(ends, i, whole, vf_load(from + i * TILE_COLUMNS + whole));
    }
}

INLINE void spill(const struct shape shape, sums s, float *to)
{
    UNROLL
    for (int i = 0; i < shape.rows; i++) {
        UNROLL
        for (int j = 0; j < shape.vectors; j++)
            vf_store(to + i * TILE_COLUMNS + j * LANES, s[i][j]);
    }
}

/* offsets: the end of those of a row's elements; NULL where they are contiguous. */
INLINE void multiply(const struct shape shape, int64_t last, const struct tile_rows *left, const int64_t *offsets,
                     const struct tile_panel *panel, const struct tile_ends *ends)
{
    sums s;
    struct ends_of_rows end = {.offsets = offsets};
    const float *rest;
    bool whole = ends->columns == shape.vectors * LANES - (shape.half ? LANES / 2 : 0);
    bool closes = closes_rows(shape) && whole && !ends->start && !ends->swish && !ends->leaks && !ends->scaled &&
                  left->taps > 0 && left->depth >= TERMS_AT_ONCE;
    int64_t terms = closes ? TERMS_AT_ONCE : 0;
    begin(shape, s);
    if (!shape.strewn && ends->resumes)
        resume(shape, last, ends, s);
    /* Code of its own, so only for tiles that there is work in. */
    if (ends->ahead && shape.rows >= TILE_ROWS - 2 && shape.vectors == TILE_VECTORS && !shape.half && !shape.strewn) {
        struct ahead far = {ends->ahead, ends->ahead_step};
        rest = add_taps(shape, last, left, panel, terms, &far, &end, s);
    } else {
        rest = add_taps(shape, last, left, panel, terms, NULL, &end, s);
    }
    if (closes) {
        close_rows(shape, last, &end, rest, panel->row, ends, s);
        return;
    }
    if (!shape.strewn)
        add_start(shape, last, ends, s);
    const struct shape masked = {shape.rows, shape.vectors, .masked = true};
    if (whole && finishes_in_registers(shape, ends)) {
        finish(shape, last, ends, s);
    } else if (!whole && ENDS_BY_MASKS(shape) && finishes_in_registers(masked, ends)) {
        finish(masked, last, ends, s);
    } else {
        float spilled[TILE_ROWS * TILE_COLUMNS];
        spill(shape, s, spilled);
        finish_spilled(last + 1, ends, spilled);
    }
}

INLINE void multiply_abreast(const int rows, const int count, const struct tile_rows *left,
                             const struct tile_panel *panel, int64_t next, const struct tile_ends *ends)
{
    const struct shape shape = {rows, TILE_VECTORS, .half = false};
    sums s[MOST_ABREAST];
    struct tile_ends each[MOST_ABREAST];
    UNROLL
    for (int i = 0; i < count; i++) {
        each[i] = *ends;
        tile_shift(&each[i], i * TILE_COLUMNS);
        begin(shape, s[i]);
    }
    for (int64_t tap = 0; tap < left->taps; tap++) {
        struct ends_of_rows end = {.offsets = NULL};
        const float *from = panel->first + tap * left->depth * panel->row;
        UNROLL
        for (int i = 0; i < rows; i++)
            end.rows[i] = left->first[tap * TILE_ROWS + i] + left->skip + left->depth;
        for (int64_t k = -left->depth; k < 0; k++, from += panel->row) {
            UNROLL
            for (int i = 0; i < count; i++)
                add_some(shape, 1, &end, k, from + i * next, panel->row, 0, s[i]);
        }
    }
    UNROLL
    for (int i = 0; i < count; i++)
        add_start(shape, rows - 1, &each[i], s[i]);
    if (finishes_in_registers(shape, ends)) {
        UNROLL
        for (int i = 0; i < count; i++)
            finish(shape, rows - 1, &each[i], s[i]);
        return;
    }
    float spilled[MOST_ABREAST][2 * TILE_COLUMNS];
    UNROLL
    for (int i = 0; i < count; i++)
        spill(shape, s[i], spilled[i]);
    for (int i = 0; i < count; i++)
        finish_spilled(rows, &each[i], spilled[i]);
}

void SET_NAME(tile_multiply_abreast)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                                     int64_t count, int64_t next, const struct tile_ends *ends)
{
    if (count == 1)
        SET_NAME(tile_multiply)(rows, left, panel, ends);
    else if (rows == 1 && count == 4)
        multiply_abreast(1, 4, left, panel, next, ends);
    else if (rows == 1)
        multiply_abreast(1, 2, left, panel, next, ends);
    else
        multiply_abreast(2, 2, left, panel, next, ends);
}

#define SHAPE(rows, vectors, half)                                         \
    do {                                                                   \
        const struct shape shape = {rows, vectors, half, .masked = false}; \
        multiply(shape, least(last, (rows)-1), left, NULL, panel, ends);   \
    } while (0)
#if LANES == 16
#define HALVES(pair)                                                 \
    else if (ends->columns <= LANES / 2) SHAPE(2 * (pair), 1, true); \
    else if (ends->columns > LANES && ends->columns <= TILE_COLUMNS - LANES / 2) SHAPE(2 * (pair), 2, true);
#else
#define HALVES(pair)
#endif
#define CASE(pair)                                     \
    case pair:                                         \
        if (ends->columns > LANES + TILE_STEP % LANES) \
            SHAPE(2 * (pair), 2, false);               \
        HALVES(pair)                                   \
        else SHAPE(2 * (pair), 1, false);              \
        break;

void SET_NAME(tile_multiply)(int64_t rows, const struct tile_rows *left, const struct tile_panel *panel,
                             const struct tile_ends *ends)
{
    int64_t last = rows - 1;
    switch (divide_up(rows, 2)) {
        CASE(1)
        CASE(2)
        CASE(3)
#if TILE_ROWS > 6
        CASE(4)
        CASE(5)
        CASE(6)
#endif
    }
}

void SET_NAME(tile_multiply_strewn)(int64_t rows, const struct tile_strewn *left, const struct tile_panel *panel,
                                    const struct tile_ends *ends)
{
    const struct tile_rows stretch = {left->first, 0, 1, left->depth};
    const int64_t *offsets = left->offsets + left->depth;
    const struct shape two = {TILE_ROWS, 2, .strewn = true}, one = {TILE_ROWS, 1, .strewn = true};
#if LANES == 16
    const struct shape more = {TILE_ROWS, 2, .half = true, .strewn = true};
    const struct shape half = {TILE_ROWS, 1, .half = true, .strewn = true};
    if (ends->columns <= LANES / 2)
        multiply(half, rows - 1, &stretch, offsets, panel, ends);
    else if (ends->columns > LANES && ends->columns <= TILE_COLUMNS - LANES / 2)
        multiply(more, rows - 1, &stretch, offsets, panel, ends);
    else
#endif
        if (ends->columns > LANES)
        multiply(two, rows - 1, &stretch, offsets, panel, ends);
    else
        multiply(one, rows - 1, &stretch, offsets, panel, ends);
}

/* Lines of a matrix as they lie. */
static void copy_lines(const float *from, int64_t row, int64_t depth, int64_t columns, float *to)
{
    for (int64_t k = 0; k < depth; k++, from += row, to += TILE_COLUMNS)
        if (columns == TILE_COLUMNS)
            memcpy(to, from, TILE_COLUMNS * sizeof *to);
        else
            memcpy(to, from, (size_t)columns * sizeof *to);
}

void SET_NAME(tile_pack)(const float *from, int64_t row, int64_t column, int64_t depth, int64_t columns, float *to)
{
    if (columns < TILE_COLUMNS)
        memset(to, 0, (size_t)depth * TILE_COLUMNS * sizeof *to);
    if (row == 1) {
        SET_NAME(transpose)
        (sizeof *from, from, column * (int64_t)sizeof *from, to, TILE_COLUMNS * (int64_t)sizeof *to, columns, depth);
        return;
    }
    if (column == 1) {
        copy_lines(from, row, depth, columns, to);
        return;
    }
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < columns; j++)
            to[k * TILE_COLUMNS + j] = from[k * row + j * column];
}
