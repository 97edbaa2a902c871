#include "formats/hash.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

/* Values of the xxHash reference implementation. */
START_TEST(text_hashes_to_the_published_values)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {
        {"", 0xef46db3751d8e999u},
        {"a", 0xd24ec4f1a98c6e5bu},
        {"abc", 0x44bc2cf5ad770999u},
        {"Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1u},
        {"The quick brown fox jumps over the lazy dog", 0x0b242d361fda71bcu},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_uint_eq(xxh64(known[i].text, strlen(known[i].text), 0), known[i].hash);
    ck_assert_uint_eq(xxh64(NULL, 0, 0), known[0].hash);
}
END_TEST

/* One length on each side of every branch: rests of bytes, of a word of 4 and 8 bytes, and one stripe or more. */
static const struct {
    size_t bytes;
    uint64_t seed_zero, seed_golden, seed_most;
} lengths[] = {
    {1, 0x2078e1ad38ad738bu, 0xe09a55ee04ee9790u, 0x6fbb6e732fff4cbcu},
    {3, 0x634d95fc01a189cdu, 0x2812951f9274c573u, 0x3702e633f6264a01u},
    {4, 0xeed340908a1ac6c6u, 0x7077215546799520u, 0x4ccf9dd03ef30dcau},
    {7, 0x0da493621d6dc898u, 0x502e324adb3bfac6u, 0x8e6c33a6043d3defu},
    {8, 0x76f916c7bb523126u, 0x3eefa3e2227523c4u, 0x0b87b1071c542f92u},
    {12, 0xfb52f89a1dc449d2u, 0xd8bd70dd67af144bu, 0x1858b876a873633du},
    {15, 0x4e1c333b057fb6a4u, 0x377ad0d5a5c42d70u, 0x5b84e64ab5d2ca09u},
    {31, 0x65c5feb01da7464du, 0xd59b0494237a2e46u, 0x26410674da2508bau},
    {32, 0x7665c921c9bf2ec7u, 0x3c9b8ca326d19018u, 0x7c688ca0530c3a9fu},
    {33, 0xb5a9d9ef259ae821u, 0xbf0219f3739423b4u, 0xab869658eda7c134u},
    {40, 0xc94202b2b0886774u, 0x1e05a3d4615d092bu, 0xeb4f8fd60eea9ec7u},
    {63, 0xb0289cd9324034f0u, 0xed9abfb1d3b4c22cu, 0x9cc035f59d59dd37u},
    {64, 0xfff2525c99bf2005u, 0x57d64632337ad473u, 0x87adb19c1e411a30u},
    {300, 0x4bfc28ef8d14c0a5u, 0xe24dcc1bc1eb3eeeu, 0xc3b3937aa2e33625u},
};

START_TEST(every_length_and_alignment_gives_its_value)
{
    unsigned char data[300 + 8];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 300; i++)
            data[shift + i] = (unsigned char)(i * 167 + 13);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            ck_assert_uint_eq(xxh64(data + shift, lengths[i].bytes, 0), lengths[i].seed_zero);
            ck_assert_uint_eq(xxh64(data + shift, lengths[i].bytes, 0x9e3779b1u), lengths[i].seed_golden);
            ck_assert_uint_eq(xxh64(data + shift, lengths[i].bytes, UINT64_MAX), lengths[i].seed_most);
        }
    }
}
END_TEST

START_TEST(a_flipped_bit_changes_the_hash)
{
    static const size_t sizes[] = {1, 3, 7, 16, 100, 200, 2500};
    unsigned char data[2500] = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t whole = xxh64(data, sizes[i], 0), whole3 = xxh3(data, sizes[i]);
        for (size_t bit = 0; bit < 8 * sizes[i]; bit++) {
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            ck_assert_uint_ne(xxh64(data, sizes[i], 0), whole);
            ck_assert_uint_ne(xxh3(data, sizes[i]), whole3);
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
}
END_TEST

/* One length on each side of every branch of XXH3: words, chunks of 16 bytes, stripes of 64 and blocks of 1024. */
static const struct {
    size_t bytes;
    uint64_t hash;
} lengths3[] = {
    {0, 0x2d06800538d394c2u},    {1, 0x8a21d78b1538b1c0u},    {2, 0xa020a917c68e5888u},    {3, 0x5f1fa6d2a3aa5a3bu},
    {4, 0xa8a9b82c81542a43u},    {7, 0x1a5de7fedcc8d90du},    {8, 0x67b8f67a80d308a6u},    {9, 0x7df166798fe37670u},
    {15, 0x1bc6c65a03a87951u},   {16, 0xc0967fee676a5837u},   {17, 0xbc307578d06e9d93u},   {32, 0xffdae7523dd0daecu},
    {33, 0x27b514591ef37d2du},   {128, 0xa45617bfe9bb88d6u},  {129, 0x4ca31f6b2cfd9a3eu},  {144, 0xb5c37a9269e05742u},
    {239, 0x445e8238d8be5de5u},  {240, 0x2817ed3cdf9547e7u},  {241, 0x02f838dd48200ee8u},  {256, 0xc67d143ec3572269u},
    {257, 0xac756e3b633ed5bau},  {1023, 0x470376f374f704ccu}, {1024, 0x4ecde09865c37511u}, {1025, 0xa08b2694bf52957eu},
    {1088, 0x523d9597bdae5bc1u}, {1089, 0xd0512606aeb0d288u}, {2048, 0x1d0f40a0ff717f3eu}, {2049, 0xf24d7378a4afeffcu},
    {5000, 0x4e105b8b18465da3u},
};

/* Values of the xxHash reference implementation. */
START_TEST(xxh3_gives_its_values_by_any_instructions)
{
    unsigned char data[5000 + 8];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 5000; i++)
            data[shift + i] = (unsigned char)(i * 167 + 13);
        for (size_t i = 0; i < sizeof lengths3 / sizeof lengths3[0]; i++) {
            ck_assert_uint_eq(xxh3(data + shift, lengths3[i].bytes), lengths3[i].hash);
            for (int vectors = 0; vectors <= xxh3_has_vectors(); vectors++)
                ck_assert_uint_eq(xxh3_with(data + shift, lengths3[i].bytes, vectors), lengths3[i].hash);
        }
    }
    ck_assert_uint_eq(xxh3(NULL, 0), lengths3[0].hash);
    ck_assert_uint_eq(xxh3("Nobody inspects the spammish repetition", 39), 0x6cb00603b5cc47e9u);
}
END_TEST

/* Of XXH3's 128 bits, by the reference implementation. */
START_TEST(long_inputs_hash_to_128_bits)
{
    static const struct {
        size_t bytes;
        uint64_t low, high;
    } known[] = {{241, 0x44dbd3180a664e27u, 0xd894c74b1b3ea28fu},
                 {1024, 0xc6c700c409d40c4bu, 0x866814b8303d6907u},
                 {1025, 0x3ef78c3256f23450u, 0xf91cd5a698df6097u},
                 {4096, 0x1e0a232f4ec7fa9eu, 0x74c54809a4beaa38u},
                 {150001, 0x446e7ecd7b9d0782u, 0x2b93f85f74cdc111u}};
    static unsigned char data[150001];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 131 + (i >> 8));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct hash_128 hash = hash_128(data, known[i].bytes);
        ck_assert_uint_eq(hash.low, known[i].low);
        ck_assert_uint_eq(hash.high, known[i].high);
    }
    for (size_t bytes = 0; bytes <= 240; bytes++) {
        struct hash_128 hash = hash_128(data, bytes), other;
        ck_assert_uint_eq(hash.low, xxh3(data, bytes));
        data[bytes / 2] ^= 1;
        other = hash_128(data, bytes);
        data[bytes / 2] ^= 1;
        ck_assert(bytes == 0 || (hash.low != other.low && hash.high != other.high));
    }
}
END_TEST

Suite *hash_suite(void)
{
    Suite *suite = suite_create("hash");
    TCase *tests = tcase_create("hash");
    tcase_add_test(tests, text_hashes_to_the_published_values);
    tcase_add_test(tests, every_length_and_alignment_gives_its_value);
    tcase_add_test(tests, xxh3_gives_its_values_by_any_instructions);
    tcase_add_test(tests, a_flipped_bit_changes_the_hash);
    tcase_add_test(tests, long_inputs_hash_to_128_bits);
    suite_add_tcase(suite, tests);
    return suite;
}
