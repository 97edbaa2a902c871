/* Tensor cores: products of fragments, laid out as the PTX ISA draws them. Tensor cores add products in an order and
 * with a precision of their own; here it is one sum in double, so comparisons need bounds on both. */
#include "inside.h"

namespace emulation
{

/* By a product that is exact: not every compiler that makes this file has a type of half precision. */
static float from_half(uint16_t bits)
{
    float magnitude = __uint_as_float((bits & 0x7fffu) << 13) * 0x1p112f;
    unsigned special = (bits & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    return __uint_as_float(__float_as_uint(magnitude) | special | (bits & 0x8000u) << 16);
}

/* What a lane holds of A [16, K] and B [K, 8], K being 8 EACH, as numbers: EACH elements in a register. Element (row,
 * k) of A: register (row >= 8) + 2 (k >= half of K) of lane 4 (row % 8) + k % half / EACH; of B: register k / half of
 * lane 4 column + k % half / EACH. */
template <typename N, unsigned EACH> struct __attribute__((may_alias)) fragments {
    N a[4][EACH], b[2][EACH];
};

/* Lane l gets elements (l / 4, 2 (l % 4)), the next one, and the same of row l / 4 + 8; S: of the sums. */
template <typename N, unsigned EACH, typename S, typename D>
static void multiply(D (&d)[4], const fragments<N, EACH> &mine)
{
    typedef const fragments<N, EACH> held;
    const given *lanes = exchange(0xffffffffu, &mine, sizeof mine);
    const given *row = lanes + self->lane / 4 * 4, *columns = lanes + self->lane % 4 * 8;
    for (unsigned i = 0; i < 4; i++) {
        const given *column = columns + i % 2 * 4;
        S sum = (S)d[i];
        for (unsigned half = 0; half < 2; half++)
            for (unsigned lane = 0; lane < 4; lane++) {
                const N *a = ((held *)row[lane].bytes)->a[i / 2 + 2 * half], *b = ((held *)column[lane].bytes)->b[half];
                for (unsigned k = 0; k < EACH; k++)
                    sum += (S)a[k] * (S)b[k];
            }
        d[i] = (D)sum;
    }
    counters->matrix_products += self->lane == 0;
}

/* number: of the bits of an element, which are the lowest of what it gets, and whether it is A's. */
template <typename N, unsigned EACH, typename F>
static fragments<N, EACH> numbers_of(const uint32_t (&a)[4], const uint32_t (&b)[2], F number)
{
    fragments<N, EACH> f;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < EACH; k++)
            f.a[i][k] = number(a[i] >> (32 / EACH * k), true);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < EACH; k++)
            f.b[i][k] = number(b[i] >> (32 / EACH * k), false);
    return f;
}

void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    multiply<float, 2, double>(
        d, numbers_of<float, 2>(a, b, [](uint32_t bits, bool) { return from_half((uint16_t)bits); }));
}

void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    multiply<float, 2, double>(
        d, numbers_of<float, 2>(a, b, [](uint32_t bits, bool) { return __uint_as_float(bits << 16); }));
}

void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    multiply<float, 1, double>(
        d, numbers_of<float, 1>(a, b, [](uint32_t bits, bool) { return __uint_as_float(bits & ~0x1fffu); }));
}

void multiply_i8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bool a_signed, bool b_signed)
{
    multiply<int16_t, 4, uint32_t>(d, numbers_of<int16_t, 4>(a, b, [=](uint32_t bits, bool is_a) {
                                       return (is_a ? a_signed : b_signed) ? (int16_t)(int8_t)bits
                                                                           : (int16_t)(uint8_t)bits;
                                   }));
}

} // namespace emulation
