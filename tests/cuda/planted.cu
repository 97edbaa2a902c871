/* Bugs of kernels and of those who launch them, ten kinds, each beside the same code without it: the emulation must
 * find the bug and nothing else. Also what it is for: a kind that is not found here is not found in a kernel. Two more
 * are no bugs but slow, and its counters must show them. */
#include "tests/cuda/emulation/emulation.h"

#include "kernels/cuda/ptx.h"

#include <cstdio>
#include <cstdlib>

#define SEEDS 32
#define THREADS 128

/* What came of a run: nothing wrong, or what was. */
struct verdict {
    char text[300];
};

static void say(verdict *v, const char *text)
{
    if (!v->text[0])
        snprintf(v->text, sizeof v->text, "%s", text);
}

static void check(verdict *v, cudaError_t error)
{
    if (error != cudaSuccess)
        say(v, emulation_complaint() ? emulation_complaint() : cudaGetErrorString(error));
}

/* Memory of the device, freed when it goes out of sight. */
template <typename T> struct buffer {
    T *data = nullptr;
    buffer(verdict *v, size_t count)
    {
        check(v, cudaMalloc((void **)&data, count * sizeof(T)));
    }
    ~buffer()
    {
        cudaFree(data);
    }
};

struct stream {
    cudaStream_t id = nullptr;
    stream(verdict *v)
    {
        check(v, cudaStreamCreateWithFlags(&id, cudaStreamNonBlocking));
    }
    ~stream()
    {
        cudaStreamDestroy(id);
    }
};

template <typename A>
static void launch(verdict *v, const stream &s, void (*kernel)(A), unsigned blocks, size_t shared, A a)
{
    struct fault fault = {};
    struct kernel_call call = {};
    call.stream = s.id;
    call.fault = &fault;
    cuda_launch(&call, kernel, blocks, THREADS, shared, a);
    if (fault.set)
        say(v, fault.text);
}

static void expect(verdict *v, bool right)
{
    if (!right)
        say(v, "a wrong result");
}

template <typename T> static T *fetch(verdict *v, const stream &s, const T *device, size_t count)
{
    T *host = (T *)calloc(count, sizeof(T));
    check(v, cudaMemcpyAsync(host, device, count * sizeof(T), cudaMemcpyDeviceToHost, s.id));
    check(v, cudaStreamSynchronize(s.id));
    return host;
}

template <typename T, typename F> static void fill(verdict *v, const stream &s, T *device, size_t count, F value)
{
    T *host = (T *)calloc(count, sizeof(T));
    for (size_t i = 0; i < count; i++)
        host[i] = value(i);
    check(v, cudaMemcpyAsync(device, host, count * sizeof(T), cudaMemcpyHostToDevice, s.id));
    free(host);
}

struct arguments {
    const float *x;
    float *y;
    int64_t n;
    bool broken;
};

/* Fills x with 0, 1, 2, ..., runs the kernel, and compares y with what it should be. */
template <typename F>
static void run_and_compare(verdict *v, bool broken, void (*kernel)(arguments), int64_t n, unsigned blocks,
                            size_t shared, F expected)
{
    stream s(v);
    buffer<float> x(v, (size_t)n), y(v, (size_t)n);
    fill(v, s, x.data, (size_t)n, [](size_t i) { return (float)i; });
    launch(v, s, kernel, blocks, shared, arguments{x.data, y.data, n, broken});
    float *result = fetch(v, s, y.data, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        expect(v, __float_as_uint(result[i]) == __float_as_uint(expected(i)));
    free(result);
}

/* --- 1. a barrier is missing ------------------------------------------------------------------------------------- */

static __global__ void reverse(arguments a)
{
    float *tile = shared_memory<float>();
    tile[threadIdx.x] = a.x[threadIdx.x];
    if (!a.broken)
        __syncthreads();
    a.y[threadIdx.x] = tile[THREADS - 1 - threadIdx.x];
}

static void missing_barrier(verdict *v, bool broken)
{
    run_and_compare(v, broken, reverse, THREADS, 1, THREADS * sizeof(float),
                    [](int64_t i) { return (float)(THREADS - 1 - i); });
}

/* --- 2. the edge of a tile is off by one ------------------------------------------------------------------------- */

static __global__ void twice(arguments a)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (a.broken ? i <= a.n : i < a.n)
        a.y[i] = 2 * a.x[i];
}

static void off_by_one(verdict *v, bool broken)
{
    run_and_compare(v, broken, twice, 300, 3, 0, [](int64_t i) { return 2 * (float)i; });
}

/* --- 3. a fragment of a matrix is held by the wrong lanes --------------------------------------------------------- */

/* C [16, 8] = A [16, 16] B [16, 8]: the first warp multiplies. A is x in rows, B has element (k, n) = k + 2 n. */
template <bool BF16> static __global__ void multiply_fragments(arguments a)
{
    auto pack = [](float low, float high) { return BF16 ? pack_bf16(low, high) : pack_f16(low, high); };
    unsigned lane = threadIdx.x % WARP, group = lane / 4, pair = 2 * (lane % 4);
    uint32_t left[4], right[2];
    float sums[4] = {0, 0, 0, 0};
    if (threadIdx.x >= WARP)
        return;
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = group + (a.broken ? i / 2 : i % 2) * 8, column = pair + (a.broken ? i % 2 : i / 2) * 8;
        left[i] = pack(a.x[row * 16 + column], a.x[row * 16 + column + 1]);
    }
    for (unsigned i = 0; i < 2; i++)
        right[i] = pack((float)(pair + 8 * i + 2 * group), (float)(pair + 8 * i + 1 + 2 * group));
    if (BF16)
        multiply_bf16(sums, left, right);
    else
        multiply_f16(sums, left, right);
    for (unsigned i = 0; i < 4; i++)
        a.y[(group + i / 2 * 8) * 8 + pair + i % 2] = sums[i];
}

template <bool BF16> static void wrong_lane(verdict *v, bool broken)
{
    run_and_compare(v, broken, multiply_fragments<BF16>, 256, 1, 0, [](int64_t i) {
        float sum = 0;
        for (int64_t k = 0; k < 16; k++)
            sum += (float)(i / 8 * 16 + k) * (float)(k + 2 * (i % 8));
        return i < 128 ? sum : __uint_as_float(0xffffffff);
    });
}

/* --- 4. two threads write the same place of shared memory --------------------------------------------------------- */

static __global__ void last_of_pair(arguments a)
{
    float *tile = shared_memory<float>();
    unsigned pair = threadIdx.x / 2;
    if (a.broken || threadIdx.x % 2)
        tile[pair] = a.x[threadIdx.x];
    __syncthreads();
    a.y[threadIdx.x] = tile[pair];
}

static void shared_race(verdict *v, bool broken)
{
    run_and_compare(v, broken, last_of_pair, THREADS, 1, THREADS / 2 * sizeof(float),
                    [](int64_t i) { return (float)(i | 1); });
}

/* --- 5. an asynchronous copy is read before it is waited for ------------------------------------------------------ */

static __global__ void staged(arguments a)
{
    float *tile = shared_memory<float>();
    copy_async_4(tile + threadIdx.x, a.x + threadIdx.x, true);
    copy_async_commit();
    copy_async_4(tile + THREADS + threadIdx.x, a.x + THREADS + threadIdx.x, true);
    copy_async_commit();
    if (a.broken)
        copy_async_wait<1>();
    else
        copy_async_wait<0>();
    __syncthreads();
    a.y[threadIdx.x] = tile[threadIdx.x];
    a.y[THREADS + threadIdx.x] = tile[THREADS + threadIdx.x];
    copy_async_wait<0>();
}

static void stale_copy(verdict *v, bool broken)
{
    run_and_compare(v, broken, staged, 2 * THREADS, 1, 2 * THREADS * sizeof(float), [](int64_t i) { return (float)i; });
}

/* --- 6. a vector is loaded from an address that is no multiple of its size ---------------------------------------- */

static __global__ void by_fours(arguments a)
{
    int64_t i = threadIdx.x;
    if (a.broken && i + 1 < a.n / 4)
        store_16(a.y + 4 * i, load_16(a.x + 4 * i + 1));
    else
        store_16(a.y + 4 * i, load_16(a.x + 4 * i));
}

static void misaligned(verdict *v, bool broken)
{
    run_and_compare(v, broken, by_fours, 4 * THREADS, 1, 0, [](int64_t i) { return (float)i; });
}

/* --- 7. an index does not fit in 31 bits ----------------------------------------------------------------------------
 */

struct far_arguments {
    unsigned char *y;
    int64_t stride;
    bool broken;
};

static __global__ void strided(far_arguments a)
{
    int64_t at = a.broken ? (int64_t)(int)(unsigned)(threadIdx.x * a.stride) : threadIdx.x * a.stride;
    a.y[at] = (unsigned char)threadIdx.x;
}

static void overflow(verdict *v, bool broken)
{
    stream s(v);
    const int64_t stride = 20000003;
    buffer<unsigned char> y(v, (size_t)(THREADS * stride));
    launch(v, s, strided, 1, 0, far_arguments{y.data, stride, broken});
    unsigned char *last = fetch(v, s, y.data + (THREADS - 1) * stride, 1);
    expect(v, *last == THREADS - 1);
    free(last);
}

/* --- 8. what another stream writes is not waited for ----------------------------------------------------------------
 */

static void stream_order(verdict *v, bool broken)
{
    stream first(v), second(v);
    cudaEvent_t event;
    buffer<float> x(v, THREADS), y(v, THREADS);
    check(v, cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    fill(v, first, x.data, THREADS, [](size_t i) { return (float)i; });
    check(v, cudaEventRecord(event, first.id));
    if (!broken)
        check(v, cudaStreamWaitEvent(second.id, event, 0));
    launch(v, second, twice, 1, 0, arguments{x.data, y.data, THREADS, false});
    float *result = fetch(v, second, y.data, THREADS);
    for (int i = 0; i < THREADS; i++)
        expect(v, result[i] == 2 * (float)i);
    free(result);
    cudaEventDestroy(event);
}

/* --- 9. memory is not freed -----------------------------------------------------------------------------------------
 */

static void leak(verdict *v, bool broken)
{
    size_t before = emulation_bytes();
    float *memory;
    check(v, cudaMalloc((void **)&memory, 400));
    if (!broken)
        check(v, cudaFree(memory));
    if (emulation_bytes() != before)
        say(v, "device memory is not freed");
    if (broken)
        cudaFree(memory);
}

/* --- 10. a launch fails, and nobody looks ----------------------------------------------------------------------------
 */

static void unchecked(verdict *v, bool broken)
{
    stream s(v);
    buffer<float> x(v, THREADS), y(v, THREADS);
    arguments a = {x.data, y.data, THREADS, false};
    emulation::launch(emulation::call_kernel<arguments>, (const void *)twice, {1, broken ? 2048 : THREADS, 0}, s.id, &a,
                      sizeof a);
    check(v, cudaStreamSynchronize(s.id));
    if (cudaGetLastError() != cudaSuccess) /* as who ends a test asks */
        say(v, "an error of a launch that nobody has looked at");
}

/* --- 11. columns of a tile lie in one bank ------------------------------------------------------------------------ */

/* Turns 32 x 32 of x, each warp four rows. */
static __global__ void turn(arguments a)
{
    float *tile = shared_memory<float>();
    unsigned pitch = a.broken ? 32 : 33, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (unsigned r = warp; r < 32; r += THREADS / WARP)
        tile[r * pitch + lane] = a.x[r * 32 + lane];
    __syncthreads();
    for (unsigned r = warp; r < 32; r += THREADS / WARP)
        a.y[r * 32 + lane] = tile[lane * pitch + r];
}

/* Runs it with counters. */
template <typename F>
static emulation_counters counted_run(verdict *v, bool broken, void (*kernel)(arguments), size_t shared, F expected)
{
    emulation_counters counters = {};
    emulation_count(true);
    emulation_take_counters(nullptr, 0);
    run_and_compare(v, broken, kernel, 1024, 1, shared, expected);
    expect(v, emulation_take_counters(&counters, 1) == 1 && counters.launches == 1);
    emulation_count(false);
    return counters;
}

static void bank_conflicts(verdict *v, bool broken)
{
    emulation_counters c =
        counted_run(v, broken, turn, 32 * 33 * sizeof(float), [](int64_t i) { return (float)(i % 32 * 32 + i / 32); });
    char text[100];
    snprintf(text, sizeof text, "banks take %d cycles for what 64 do", (int)c.shared_cycles);
    expect(v, c.shared_least_cycles == 64);
    if (c.shared_cycles != 64)
        say(v, text);
}

/* --- 12. neighbouring threads read places far apart ----------------------------------------------------------------
 */

static __global__ void eight_each(arguments a)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = a.broken ? threadIdx.x * 8 + i : i * THREADS + threadIdx.x;
        a.y[at] = a.x[at];
    }
}

static void uncoalesced(verdict *v, bool broken)
{
    emulation_counters c = counted_run(v, broken, eight_each, 0, [](int64_t i) { return (float)i; });
    char text[100];
    snprintf(text, sizeof text, "%d sectors for what lies in 256", (int)c.global_sectors);
    expect(v, c.global_least_sectors == 256);
    if (c.global_sectors != 256)
        say(v, text);
}

/* --------------------------------------------------------------------------------------------------------------------
 */

static const struct plant {
    const char *name;
    void (*run)(verdict *v, bool broken);
} plants[] = {{"a barrier is missing", missing_barrier},
              {"the edge of a tile is off by one", off_by_one},
              {"a fragment is held by the wrong lanes", wrong_lane<false>},
              {"the same of bfloat16", wrong_lane<true>},
              {"a race on shared memory", shared_race},
              {"an asynchronous copy is not waited for", stale_copy},
              {"a vector load is misaligned", misaligned},
              {"an index passes 2^31", overflow},
              {"streams run in the wrong order", stream_order},
              {"device memory leaks", leak},
              {"the error of a launch is not looked at", unchecked},
              {"banks of shared memory conflict", bank_conflicts},
              {"accesses to device memory lie apart", uncoalesced}};

static int caught(const plant &p, bool broken, verdict *last)
{
    int found = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        verdict v = {};
        emulation_seed(seed);
        p.run(&v, broken);
        emulation_reset();
        found += v.text[0] != 0;
        if (v.text[0])
            *last = v;
    }
    return found;
}

int main()
{
    int failed = 0, passed = 0;
    emulation_abort_on_complaint(false);
    for (const plant &p : plants) {
        verdict clean = {}, found = {};
        int wrongly = caught(p, false, &clean), rightly = caught(p, true, &found);
        bool right = wrongly == 0 && rightly > 0;
        printf("%-42s found with %d of %d seeds: %s\n", p.name, rightly, SEEDS, found.text);
        if (wrongly)
            printf("FAILED without the bug: %s\n", clean.text);
        right ? passed++ : failed++;
    }
    if (emulation_bytes() || emulation_objects()) {
        printf("FAILED: %zu bytes and %d objects of the device are left\n", emulation_bytes(), emulation_objects());
        failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
