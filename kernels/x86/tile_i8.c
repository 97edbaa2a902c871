#include "kernels/x86/tile_i8.h"

#include <string.h>

/* --- left rows ----------------------------------------------------------------------------------------------- */

static uint32_t load_quad(const uint8_t *from)
{
    uint32_t quad;
    memcpy(&quad, from, sizeof quad);
    return quad;
}

void SET_NAME(i8_turn)(const uint8_t *from, uint8_t turn, int64_t count, uint8_t *to)
{
    uint64_t turns = turn * 0x0101010101010101u, word;
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= turns;
        memcpy(to + i, &word, 8);
    }
    for (; i < count; i++)
        to[i] = from[i] ^ turn;
}

void SET_NAME(i8_widen)(const uint8_t *from, int64_t quads, uint8_t *to)
{
    for (int64_t i = 0; i < quads; i++) {
        uint32_t quad = load_quad(from + i * QUAD);
        uint64_t words = (quad & 0xff00ff) | (uint64_t)(quad >> 8 & 0xff00ff) << 32;
        memcpy(to + i * 2 * QUAD, &words, sizeof words);
    }
}

int32_t SET_NAME(i8_sum)(const uint8_t *from, int64_t count)
{
    int64_t i = 0;
    uint64_t sums = 0, word;
    uint32_t sum = 0;
    while (i + 8 <= count) {
        /* Four sums of 16 bits, which take 128 pairs of bytes each. */
        int64_t end = i + least((count - i) / 8, 128) * 8;
        for (sums = 0; i < end; i += 8) {
            memcpy(&word, from + i, 8);
            sums += (word & 0x00ff00ff00ff00ffu) + (word >> 8 & 0x00ff00ff00ff00ffu);
        }
        for (int part = 0; part < 64; part += 16)
            sum += (uint32_t)(sums >> part & 0xffff);
    }
    for (; i < count; i++)
        sum += from[i];
    return (int32_t)sum;
}

/* --- right panels -------------------------------------------------------------------------------------------- */

static uint8_t *quads_of(void *panel, int64_t columns)
{
    return (uint8_t *)panel + i8_panel_columns(columns) * QUAD;
}

struct i8_panel SET_NAME(i8_panel_at)(const void *matrix, int64_t columns, int64_t depth, int64_t index)
{
    const uint8_t *panel = (const uint8_t *)matrix + index * i8_panel_bytes(TILE_COLUMNS, depth);
    int64_t panels = divide_up(columns, TILE_COLUMNS), own = least(columns - index * TILE_COLUMNS, TILE_COLUMNS);
    int64_t last = columns - (panels - 1) * TILE_COLUMNS;
    const uint8_t *marks =
        (const uint8_t *)matrix + (panels - 1) * i8_panel_bytes(TILE_COLUMNS, depth) + i8_panel_bytes(last, depth);
    int64_t width = i8_panel_columns(own);
    return (struct i8_panel){
        .sums = (const int32_t *)(const void *)panel,
        .quads = panel + width * QUAD,
        .columns = width,
        .fits = marks[index] != 0,
    };
}

/* One tap whose columns are contiguous: four rows become quads. */
static void pack_rows(const struct i8_source *source, int64_t columns, uint8_t *quads, int64_t width)
{
    const uint32_t turns = source->turn * 0x01010101u;
    for (int64_t k = 0; k + QUAD <= source->depth; k += QUAD, quads += width * QUAD) {
        const uint8_t *a = source->first + source->taps[0] + k * source->row, *b = a + source->row;
        const uint8_t *c = b + source->row, *d = c + source->row;
        for (int64_t j = 0; j < columns; j++) {
            uint32_t quad = (a[j] | (uint32_t)b[j] << 8 | (uint32_t)c[j] << 16 | (uint32_t)d[j] << 24) ^ turns;
            memcpy(quads + j * QUAD, &quad, sizeof quad);
        }
    }
    for (int64_t k = source->depth / QUAD * QUAD; k < source->depth; k++)
        for (int64_t j = 0; j < columns; j++)
            quads[j * QUAD + k % QUAD] = source->first[source->taps[0] + k * source->row + j] ^ source->turn;
}

/* Any order, a column at a time; whole quads where terms are contiguous. */
static void pack_columns(const struct i8_source *source, int64_t columns, uint8_t *quads, int64_t width)
{
    const uint32_t turns = source->turn * 0x01010101u;
    bool whole = source->row == 1 && source->depth % QUAD == 0;
    for (int64_t j = 0; j < columns; j++) {
        int64_t term = 0;
        for (int64_t tap = 0; tap < source->tap_count; tap++) {
            const uint8_t *from = source->first + source->taps[tap] + j * source->column;
            for (int64_t k = 0; whole && k < source->depth; k += QUAD, term += QUAD) {
                uint32_t quad = load_quad(from + k) ^ turns;
                memcpy(quads + (term * width + j * QUAD), &quad, sizeof quad);
            }
            for (int64_t k = 0; !whole && k < source->depth; k++, term++)
                quads[term / QUAD * width * QUAD + j * QUAD + term % QUAD] = from[k * source->row] ^ source->turn;
            if (source->run && (tap + 1) % source->run == 0)
                term = divide_up(term, QUAD) * QUAD;
        }
    }
}

static void add_columns(const uint8_t *quads, int64_t quad_count, int64_t width, int32_t *sums)
{
    const vi ones = vi_set(0x10001);
    for (int64_t j = 0; j < width; j += LANES) {
        vi sum = vi_set(0);
        for (int64_t q = 0; q < quad_count; q++) {
            vi b = vi_load((const int32_t *)(const void *)(quads + (q * width + j) * QUAD));
            sum = vi_add_words(vi_add_words(sum, ones, vi_even_bytes(b)), ones, vi_odd_bytes(b));
        }
        vi_store(sums + j, sum);
    }
}

static int64_t quads_of_source(const struct i8_source *source)
{
    int64_t run = source->run ? source->run : source->tap_count;
    return source->tap_count / run * divide_up(run * source->depth, QUAD);
}

struct i8_panel SET_NAME(i8_pack)(const struct i8_source *source, int64_t columns, void *to)
{
    int64_t width = i8_panel_columns(columns), quad_count = quads_of_source(source);
    uint8_t *quads = quads_of(to, columns);
    if (columns < width || quad_count * QUAD > source->tap_count * source->depth)
        memset(quads, 0, (size_t)(quad_count * width * QUAD));
    if (source->column == 1 && source->tap_count == 1)
        pack_rows(source, columns, quads, width);
    else
        pack_columns(source, columns, quads, width);
    add_columns(quads, quad_count, width, to);
    return (struct i8_panel){.sums = to, .quads = quads, .columns = width};
}

static bool pairs_fit(const int8_t *bytes, int64_t count)
{
    for (int64_t i = 0; i < count; i += 2)
        if (!i8_pair_fits(bytes[i], bytes[i + 1]))
            return false;
    return true;
}

void SET_NAME(i8_pack_panel)(const struct i8_source *source, int64_t columns, int64_t index, void *matrix)
{
    int64_t depth = quads_of_source(source) * QUAD;
    struct i8_panel panel = SET_NAME(i8_panel_at)(matrix, columns, depth, index);
    uint8_t *to = (uint8_t *)matrix + index * i8_panel_bytes(TILE_COLUMNS, depth);
    uint8_t *marks = (uint8_t *)matrix + (columns - 1) / TILE_COLUMNS * i8_panel_bytes(TILE_COLUMNS, depth) +
                     i8_panel_bytes((columns - 1) % TILE_COLUMNS + 1, depth);
    uint8_t *end = (uint8_t *)matrix + i8_matrix_bytes(columns, depth),
            *rest = marks + divide_up(columns, TILE_COLUMNS);
    struct i8_source part = *source;
    part.first += index * TILE_COLUMNS * source->column;
    SET_NAME(i8_pack)(&part, least(columns - index * TILE_COLUMNS, TILE_COLUMNS), to);
    if (index == 0) /* a pack has no byte that nobody wrote: files hold packs */
        memset(rest, 0, (size_t)(end - rest));
    marks[index] = pairs_fit((const int8_t *)panel.quads, depth * panel.columns);
}

/* Where no column has a zero point, and all have an addend of their own or none has. */
static void begin_plain_columns(const struct i8_panel *panel, const struct i8_about *about, struct i8_columns *to)
{
    for (int64_t j = 0; j < panel->columns; j += LANES) {
        vi sum = vi_load(panel->sums + j), start = vi_mul(sum, vi_set(about->less));
        vi_store(to->zeros + j, vi_set(0));
        vi_store(to->centres + j, sum);
        vi_store(to->start + j, about->own ? vi_add(start, vi_load(about->own + j)) : start);
    }
}

void SET_NAME(i8_begin_columns)(const struct i8_panel *panel, const struct i8_about *about, int64_t columns,
                                struct i8_columns *to)
{
    to->has_zeros = false;
    if (!about->zeros && i8_right_zero(about->right, NULL) == 0 &&
        (!about->own || (about->own_stride == 1 && columns == panel->columns))) {
        begin_plain_columns(panel, about, to);
        return;
    }
    for (int64_t j = 0; j < panel->columns; j++) {
        bool is = j < columns;
        const uint8_t *zero = about->zeros && is ? about->zeros + j * about->zero_stride : NULL;
        to->zeros[j] = is ? i8_right_zero(about->right, zero) : 0;
        to->centres[j] = (int32_t)((uint32_t)panel->sums[j] - (uint32_t)about->depth * (uint32_t)to->zeros[j]);
        uint32_t own = about->own && is ? (uint32_t)about->own[j * about->own_stride] : 0;
        to->start[j] = (int32_t)(own + (uint32_t)about->less * (uint32_t)to->centres[j]);
        to->has_zeros = to->has_zeros || to->zeros[j] != 0;
    }
}

/* --- tiles --------------------------------------------------------------------------------------------------- */

typedef vi sums[I8_MOST_ROWS][TILE_VECTORS];

/* Expanded for each way and number of rows and of vectors, so that sums stay in registers. Without VNNI rows come in
 * pairs, as tiles are cut (struct tile_cut): where the last pair is but one row, this is made twice, which halves the
 * code; with it that costs 2 % of a model. */
INLINE int64_t row_of(const int rows, int i, int64_t last)
{
    return i < rows - 1 ? i : last;
}

INLINE vi quad_of(const uint8_t *from)
{
    return vi_set((int32_t)load_quad(from));
}

INLINE void add_quad(const enum i8_way way, const int rows, const int vectors, const uint8_t *const *end, int64_t at,
                     const uint8_t *panel, sums s)
{
    vi b[TILE_VECTORS];
    UNROLL
    for (int j = 0; j < vectors; j++)
        b[j] = vi_load((const int32_t *)(const void *)(panel + j * LANES * QUAD));
    UNROLL
    for (int i = 0; i < rows; i++) {
        vi a = quad_of(end[i] + at);
        UNROLL
        for (int j = 0; j < vectors; j++)
            s[i][j] = way == I8_DOT ? vi_add_dot(s[i][j], a, b[j]) : vi_add_pairs(s[i][j], a, b[j]);
    }
}

INLINE void add_quad_wide(const int rows, const int vectors, const uint8_t *const *end, int64_t at,
                          const uint8_t *panel, sums s)
{
    vi even[TILE_VECTORS], odd[TILE_VECTORS];
    UNROLL
    for (int j = 0; j < vectors; j++) {
        vi b = vi_load((const int32_t *)(const void *)(panel + j * LANES * QUAD));
        even[j] = vi_even_bytes(b);
        odd[j] = vi_odd_bytes(b);
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        vi a = quad_of(end[i] + at), b = quad_of(end[i] + at + QUAD);
        UNROLL
        for (int j = 0; j < vectors; j++)
            s[i][j] = vi_add_words(vi_add_words(s[i][j], a, even[j]), b, odd[j]);
    }
}

/* Two rows at a time; the last one twice where they are odd. */
INLINE void store_bytes(const int rows, const struct requantised_columns *columns, uint8_t *first, sums s)
{
    const struct requantised_columns c = *columns;
    UNROLL
    for (int i = 0; i < rows; i += 2) {
        const int next = i + 1 < rows ? i + 1 : i;
        vi rounded[4];
        UNROLL
        for (int k = 0; k < 4; k++)
            rounded[k] = vf_to_nearest(
                vf_add(vf_mul(vi_to_floats(s[k < 2 ? i : next][k % 2]), c.factors[k % 2]), c.addends[k % 2]));
        uint8_t *to[2] = {first + i * c.step, first + next * c.step};
        vi_store_halves(to, requantise_pack(&c.ends, rounded));
    }
}

INLINE void multiply(const enum i8_way way, const int rows, const int vectors, int64_t last, const struct i8_rows *left,
                     const struct i8_panel *panel, int32_t *to, int64_t to_row, const struct i8_ends *ends)
{
    const int64_t step = (way == I8_WIDE ? 2 : 1) * QUAD;
    const uint8_t *quads = panel->quads;
    sums s;
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            s[i][j] = vi_load(ends->start + j * LANES);
    }
    for (int64_t tap = 0; tap < left->taps; tap++) {
        const uint8_t *end[I8_MOST_ROWS];
        UNROLL
        for (int i = 0; i < rows; i++) {
            end[i] = left->first[tap * left->step + row_of(rows, i, last)] + left->quads * step;
            __asm__("" : "+r"(end[i])); /* gcc would undo the sum and count twice, for which registers do not do */
        }
        for (int64_t at = -left->quads * step; at < 0; at += step, quads += vectors * LANES * QUAD)
            if (way == I8_WIDE)
                add_quad_wide(rows, vectors, end, at, quads, s);
            else
                add_quad(way, rows, vectors, end, at, quads, s);
    }
    if (vectors == 2 && rows >= I8_BYTES_ROWS && ends->bytes) {
        store_bytes(rows, ends->bytes, ends->bytes_to, s);
        return;
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++)
            vi_store(to + row_of(rows, i, last) * to_row + j * LANES, s[i][j]);
    }
}

#define ROWS(way, rows, last)                                        \
    if (panel->columns == LANES)                                     \
        multiply(way, rows, 1, last, left, panel, to, to_row, ends); \
    else                                                             \
        multiply(way, rows, 2, last, left, panel, to, to_row, ends); \
    break;
#define CASE(way, rows) \
    case rows:          \
        ROWS(way, rows, (rows)-1)
#define PAIR(way, rows) \
    case (rows)-1:      \
    case rows:          \
        ROWS(way, rows, count - 1)
#define PAIRS_4(way) CASE(way, 1) CASE(way, 2) PAIR(way, 4)
#define PAIRS_6(way) PAIRS_4(way) PAIR(way, 6)
#define CASES_6(way) CASE(way, 1) CASE(way, 2) CASE(way, 3) CASE(way, 4) CASE(way, 5) CASE(way, 6)
#if LANES == 16
#define CASES_DOT(way) CASES_6(way) CASE(way, 7) CASE(way, 8) CASE(way, 9) CASE(way, 10) CASE(way, 11) CASE(way, 12)
#define CASES_OTHERS PAIRS_6
#else
#define CASES_DOT CASES_6
#define CASES_OTHERS PAIRS_4
#endif

#define WAY(name, way, cases)                                                                              \
    static void name(int64_t count, const struct i8_rows *left, const struct i8_panel *panel, int32_t *to, \
                     int64_t to_row, const struct i8_ends *ends)                                           \
    {                                                                                                      \
        switch (count) {                                                                                   \
            cases(way)                                                                                     \
        }                                                                                                  \
    }
DOT_TARGET WAY(multiply_dot, I8_DOT, CASES_DOT) WAY(multiply_pairs, I8_PAIRS, CASES_OTHERS)
    WAY(multiply_wide, I8_WIDE, CASES_OTHERS)

        static void add_outer(const struct i8_ends *ends, int term, int64_t rows, int64_t columns, int32_t *sums_at,
                              int64_t row_stride)
{
    for (int64_t i = 0; i < rows; i++) {
        vi factor = vi_set(ends->terms[term].row[i]);
        for (int64_t j = 0; j < columns; j += LANES) {
            int32_t *at = sums_at + i * row_stride + j;
            vi_store(at, vi_add(vi_load(at), vi_mul(factor, vi_load(ends->terms[term].column + j))));
        }
    }
}

void SET_NAME(i8_multiply)(enum i8_way way, int64_t rows, const struct i8_rows *left, const struct i8_panel *panel,
                           const struct i8_ends *ends)
{
    int32_t spilled[I8_MOST_ROWS * TILE_COLUMNS];
    bool whole = ends->columns == panel->columns;
    int32_t *to = whole ? ends->to : spilled;
    int64_t to_row = whole ? ends->to_row : TILE_COLUMNS;
    if (way == I8_DOT)
        multiply_dot(rows, left, panel, to, to_row, ends);
    else if (way == I8_PAIRS)
        multiply_pairs(rows, left, panel, to, to_row, ends);
    else
        multiply_wide(rows, left, panel, to, to_row, ends);
    for (int term = 0; term < ends->term_count; term++)
        add_outer(ends, term, rows, panel->columns, to, to_row);
    for (int64_t i = 0; i < rows && !whole; i++)
        memcpy(ends->to + i * ends->to_row, spilled + i * TILE_COLUMNS, (size_t)ends->columns * sizeof *spilled);
}
