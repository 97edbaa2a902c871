#include "tests/op_short.h"
#include "tests/suites.h"

#include <math.h>

#define PI 3.14159265358979323846

START_TEST(dft_of_an_impulse_is_flat_and_comes_back)
{
    static float impulse[210], flat[420];
    const int64_t lengths[] = {1,  2,  7,  12,
                               30, 64, 210}; /* prime, composite, a power of two, all of the first primes */
    const struct attribute back[] = {ATTRIBUTE_I("inverse", 1)};
    impulse[0] = 1;
    for (int i = 0; i < 210; i++)
        flat[2 * i] = 1;
    for (int i = 0; i < COUNT(lengths); i++) {
        int n = (int)lengths[i];
        struct test_tensor in[] = {F32(impulse, 3, 1, n, 1)}, out[1];
        RUN_OP(in, out, .op = "DFT");
        expect_f32(&out[0], flat, 1e-6, 3, 1, n, 2);
        in[0] = out[0];
        RUN_OP(in, out, .op = "DFT", ATTRIBUTES(back));
        for (int k = 0; k < n; k++)
            ck_assert_float_eq_tol(((const float *)out[0].data)[2 * k], impulse[k], 1e-6f);
    }
}
END_TEST

START_TEST(dft_finds_a_sine_on_any_axis)
{
    float wave[12 * 2], expected[12 * 4] = {0};
    const int64_t axis[] = {0};
    for (int i = 0; i < 12; i++) {
        wave[2 * i] = sinf((float)(2 * PI * i / 12));
        wave[2 * i + 1] = cosf((float)(2 * PI * 3 * i / 12));
    }
    expected[4 * 1 + 1] = -6; /* [12, 2, 2]: bin 1 of the first column, imaginary */
    expected[4 * 11 + 1] = 6;
    expected[4 * 3 + 2] = expected[4 * 9 + 2] = 6; /* bins 3 and 9 of the second, real */
    struct test_tensor in[] = {F32(wave, 3, 12, 2, 1), ABSENT, SCALAR(DTYPE_I64, axis)}, out[1];
    RUN_OP(in, out, .op = "DFT");
    expect_f32(&out[0], expected, 1e-5, 3, 12, 2, 2);
    struct test_tensor old[] = {in[0]};
    const struct attribute first[] = {ATTRIBUTE_I("axis", 0)};
    RUN_OP(old, out, .op = "DFT", .version = 17, ATTRIBUTES(first));
    expect_f32(&out[0], expected, 1e-5, 3, 12, 2, 2);
}
END_TEST

START_TEST(half_spectra_pad_cut_and_return)
{
    const float x[] = {1, 2, 3, 4}, spectrum[] = {10, 0, -2, 2, -2, 0}, cut[] = {3, 0, -1, 0};
    const int64_t two[] = {2}, six[] = {6};
    const float padded[] = {10, 0, -3.5f, -4.3301270f, 2.5f, 0.8660254f, -2, 0};
    const struct attribute half[] = {ATTRIBUTE_I("onesided", 1)};
    const struct attribute back[] = {ATTRIBUTE_I("onesided", 1), ATTRIBUTE_I("inverse", 1)};
    struct test_tensor in[] = {F32(x, 3, 1, 4, 1)}, out[1];
    RUN_OP(in, out, .op = "DFT", ATTRIBUTES(half));
    expect_f32(&out[0], spectrum, 1e-6, 3, 1, 3, 2);
    struct test_tensor sized[] = {in[0], SCALAR(DTYPE_I64, two)};
    RUN_OP(sized, out, .op = "DFT", ATTRIBUTES(half));
    expect_f32(&out[0], cut, 1e-6, 3, 1, 2, 2);
    sized[1] = SCALAR(DTYPE_I64, six);
    RUN_OP(sized, out, .op = "DFT", ATTRIBUTES(half));
    expect_f32(&out[0], padded, 1e-6, 3, 1, 4, 2);
    const float noisy[] = {10, 9, -2, 2, -2, 9}; /* bins that are their own mirror image count as real */
    in[0] = F32(noisy, 3, 1, 3, 2);
    RUN_OP(in, out, .op = "DFT", ATTRIBUTES(back));
    expect_f32(&out[0], x, 1e-6, 3, 1, 4, 1);
}
END_TEST

START_TEST(stft_windows_overlapping_frames)
{
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8}, window[] = {0, 1, 1, 0};
    /* frames 0 2 3 0, 0 4 5 0, 0 6 7 0 */
    const float bins[] = {5, 0, -3, -2, 1, 0, 9, 0, -5, -4, 1, 0, 13, 0, -7, -6, 1, 0};
    const int64_t step[] = {2}, length[] = {4}, nine[] = {9};
    struct test_tensor in[] = {F32(x, 3, 1, 8, 1), SCALAR(DTYPE_I64, step), F32(window, 1, 4)}, out[1];
    RUN_OP(in, out, .op = "STFT");
    expect_f32(&out[0], bins, 1e-6, 4, 1, 3, 3, 2);
    const float ones[] = {10, 0, -2, 2, -2, 0};
    struct test_tensor plain[] = {F32(x, 3, 1, 4, 1), in[1], ABSENT, SCALAR(DTYPE_I64, length)};
    RUN_OP(plain, out, .op = "STFT");
    expect_f32(&out[0], ones, 1e-6, 4, 1, 1, 3, 2);
    plain[3] = SCALAR(DTYPE_I64, nine);
    REFUSED(STATUS_INVALID_ARGUMENT, "frames of 9 do not fit a signal of 4", plain, .op = "STFT");
}
END_TEST

/* A signal without an axis for the parts of its numbers. Values from ONNX Runtime. */
START_TEST(stft_of_plain_signals)
{
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 8, 7.5f, 7, 6.5f, 6, 5.5f, 5, 4.5f}, window[] = {0, 1, 1, 0.5f};
    const float bins[] = {7,      0, -3, 0,      -1,     0, 12,     0, -5, -1,     -2,     0,
                          17,     0, -7, -2,     -3,     0, 17.75f, 0, -7, -4.25f, -3.75f, 0,
                          15.25f, 0, -6, -3.75f, -3.25f, 0, 12.75f, 0, -5, -3.25f, -2.75f, 0};
    const int64_t step[] = {2};
    struct test_tensor in[] = {F32(x, 2, 2, 8), SCALAR(DTYPE_I64, step), F32(window, 1, 4)}, out[1], three[1];
    RUN_OP(in, out, .op = "STFT");
    expect_f32(&out[0], bins, 1e-6, 4, 2, 3, 3, 2);
    in[0] = F32(x, 3, 2, 8, 1);
    RUN_OP(in, three, .op = "STFT");
    ck_assert_mem_eq(out[0].data, three[0].data, sizeof bins);
    in[0] = F32(x, 1, 16);
    REFUSED(STATUS_INVALID_MODEL, "rank 1; it must be 2 to 3", in, .op = "STFT");
}
END_TEST

START_TEST(windows_are_periodic_or_symmetric)
{
    const int64_t four[] = {4}, five[] = {5}, none[] = {0};
    const float hann[] = {0, 0.5f, 1, 0.5f, 0}, blackman[] = {0, 0.34f, 1, 0.34f, 0};
    const float hamming[] = {4 / 46.0f, 25 / 46.0f, 1, 25 / 46.0f, 4 / 46.0f};
    const struct attribute symmetric[] = {ATTRIBUTE_I("periodic", 0)};
    struct test_tensor in[] = {SCALAR(DTYPE_I64, four)}, out[1];
    RUN_OP(in, out, .op = "HannWindow");
    expect_f32(&out[0], hann, 1e-6, 1, 4);
    in[0] = SCALAR(DTYPE_I64, five);
    RUN_OP(in, out, .op = "HannWindow", ATTRIBUTES(symmetric));
    expect_f32(&out[0], hann, 1e-6, 1, 5);
    RUN_OP(in, out, .op = "HammingWindow", ATTRIBUTES(symmetric));
    expect_f32(&out[0], hamming, 1e-6, 1, 5);
    RUN_OP(in, out, .op = "BlackmanWindow", ATTRIBUTES(symmetric));
    expect_f32(&out[0], blackman, 1e-6, 1, 5);
    in[0] = SCALAR(DTYPE_I64, none);
    RUN_OP(in, out, .op = "HannWindow");
    expect_f32(&out[0], hann, 0, 1, 0);
}
END_TEST

START_TEST(mel_bands_are_triangles)
{
    const int64_t bands[] = {2}, length[] = {8}, rate[] = {8}, slow[] = {1};
    const float low[] = {0}, high[] = {4};
    /* Edges every 1 Hz: bins 0, 1, 2, 3 of 9/8 a hertz, cut down. */
    const float matrix[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0};
    struct test_tensor in[] = {SCALAR(DTYPE_I64, bands), SCALAR(DTYPE_I64, length), SCALAR(DTYPE_I64, rate),
                               SCALAR(DTYPE_F32, low), SCALAR(DTYPE_F32, high)},
                       out[1];
    RUN_OP(in, out, .op = "MelWeightMatrix");
    expect_f32(&out[0], matrix, 1e-6, 2, 5, 2);
    in[2] = SCALAR(DTYPE_I64, slow);
    REFUSED(STATUS_INVALID_ARGUMENT, "passes half the sample rate", in, .op = "MelWeightMatrix");
}
END_TEST

START_TEST(columns_add_up_to_the_image)
{
    const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, image[] = {1, 2, 1, 2, 4, 2, 1, 2, 1};
    const int64_t size[] = {3, 3}, block[] = {2, 2}, wrong[] = {4, 3};
    struct test_tensor in[] = {F32(ones, 3, 1, 4, 4), I64(size, 1, 2), I64(block, 1, 2)}, out[1];
    RUN_OP(in, out, .op = "Col2Im");
    expect_f32(&out[0], image, 0, 4, 1, 1, 3, 3);
    in[1] = I64(wrong, 1, 2);
    REFUSED(STATUS_INVALID_ARGUMENT, "do not make up the blocks", in, .op = "Col2Im");
}
END_TEST

START_TEST(ngrams_are_counted_over_skips)
{
    const int64_t tokens[] = {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8};
    const int64_t starts[] = {0, 4}, places[] = {0, 1, 2, 3, 4, 5, 6}, pool[] = {2, 3, 5, 4, 5, 6, 7, 8, 6, 7};
    const float counts[] = {0, 3, 1, 0, 1, 3, 1}, presence[] = {0, 1, 1, 0, 1, 1, 1};
    struct attribute attributes[] = {ATTRIBUTE_TEXT("mode", "TF"),
                                     ATTRIBUTE_I("min_gram_length", 1),
                                     ATTRIBUTE_I("max_gram_length", 2),
                                     ATTRIBUTE_I("max_skip_count", 5),
                                     ATTRIBUTE_LIST("ngram_counts", 2, starts),
                                     ATTRIBUTE_LIST("ngram_indexes", 7, places),
                                     ATTRIBUTE_LIST("pool_int64s", 10, pool)};
    struct test_tensor in[] = {I64(tokens, 1, 12)}, out[1];
    RUN_OP(in, out, .op = "TfIdfVectorizer", ATTRIBUTES(attributes));
    expect_f32(&out[0], counts, 0, 1, 7);
    attributes[0] = ATTRIBUTE_TEXT("mode", "IDF");
    RUN_OP(in, out, .op = "TfIdfVectorizer", ATTRIBUTES(attributes));
    expect_f32(&out[0], presence, 0, 1, 7);
}
END_TEST

Suite *ops_signal_suite(void)
{
    Suite *suite = suite_create("ops_signal");
    TCase *tests = tcase_create("ops_signal");
    tcase_add_test(tests, dft_of_an_impulse_is_flat_and_comes_back);
    tcase_add_test(tests, dft_finds_a_sine_on_any_axis);
    tcase_add_test(tests, half_spectra_pad_cut_and_return);
    tcase_add_test(tests, stft_windows_overlapping_frames);
    tcase_add_test(tests, stft_of_plain_signals);
    tcase_add_test(tests, windows_are_periodic_or_symmetric);
    tcase_add_test(tests, mel_bands_are_triangles);
    tcase_add_test(tests, columns_add_up_to_the_image);
    tcase_add_test(tests, ngrams_are_counted_over_skips);
    suite_add_tcase(suite, tests);
    return suite;
}
