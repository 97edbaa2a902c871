/* What a kernel is: numbers and pointers in, numbers out; nothing of graphs. */
#ifndef INFER_KERNELS_KERNEL_H
#define INFER_KERNELS_KERNEL_H

#include "kernels/base.h"

#ifdef __cplusplus
extern "C" { /* kernels for CUDA are written in C++ */
#endif

/* A family is a problem with one parameter struct (kernels/NAME.h) and any number of kernels that solve it. */
enum kernel_family {
#define FAMILY(name) FAMILY_##name,
#include "kernels/families.def"
#undef FAMILY
    FAMILY_COUNT
};

/* What a CPU has: a kernel asks for bits, never for a place on a ladder. AVX-512 stands for F, BW, VL and DQ together.
 */
enum cpu_bit {
    CPU_AVX2 = 1,
    CPU_FMA = 2,
    CPU_F16C = 4,
    CPU_AVX512 = 8,
    CPU_AVX_VNNI = 16,
    CPU_AVX512_VNNI = 32,
    CPU_AVX512_BF16 = 64,
    /* A graphics processor that CUDA drives: its kernels work on memory of their own (struct kernel_call, `stream`).
     * CUDA_SM80: it has bfloat16, TF32 and asynchronous copies to shared memory. The others are leave, not ability:
     * products of float32 may round their operands to TF32, to half precision or to bfloat16; cuBLAS, which has been
     * opened, may compute them. */
    DEVICE_CUDA = 1 << 16,
    CUDA_SM80 = 1 << 17,
    CUDA_TF32 = 1 << 18,
    CUDA_HALF = 1 << 19,
    CUDA_BF16 = 1 << 20,
    CUDA_CUBLAS = 1 << 21,
};

/* Whether this build has kernels for a device. A constant, so that what asks for it first is left out elsewhere. */
#ifdef INFER_CUDA
enum { DEVICE_BUILT = 1 };
#else
enum { DEVICE_BUILT = 0 };
#endif

/* Names for sets of bits, as users give and read them. */
enum isa { ISA_REFERENCE = 0, ISA_AVX2 = 1, ISA_AVX512 = 2 };

/* What a kernel is chosen by, beside the parameters of its problem. */
struct kernel_facts {
    unsigned cpu;             /* CPU_... bits that may be used */
    int threads;              /* tasks that run at once; the cut into tasks may depend on it, results never */
    uint32_t constant_inputs; /* bit i: input i is the same in every run, and known now */
    bool memory_saving;       /* a pack that is larger than its input is left out where the input itself will do */
    const struct kernel *const *kernels; /* those to choose among, ended by NULL; NULL: all */
};

/* A fault is a value met at run time that has no answer: an index out of range, an integer division by zero. */
struct fault {
    bool set;
    char text[160];
};

/* A fault met on a device, which has no text: of the step that met one first, the one with the least key. The kernel
 * that met it says what it means (`explain`). Lies in memory of the device; all zero before a run. */
#define DEVICE_FAULT_DETAILS 4
struct device_fault {
    uint32_t lock;
    uint32_t step; /* kernel_call.step + 1; 0: no fault */
    uint64_t key;  /* the kernel's: it orders faults, so that the one told does not depend on the order of threads */
    int64_t details[DEVICE_FAULT_DETAILS];
};

#define KERNEL_PHASES 3
#define KERNEL_PACKS 2

/* A constant input in the order in which a kernel wants to read it. It is made once for all programs that agree on the
 * input's content, type and shape and on what stands here, so nothing else may go into its bytes. The kernel reads the
 * pack alone: at a run the input itself is NULL. */
#define KERNEL_GEOMETRY 24
struct kernel_pack {
    int input;
    uint32_t form; /* the kernel's number for this order; a new one where the order changes: files hold packs as well */
    bool storable; /* a file may give it: it holds numbers, none of them an index, so whatever stands there does no harm
                    */
    int tasks;     /* that it is made by */
    int64_t
        geometry[KERNEL_GEOMETRY]; /* what the order depends on beside the input: sizes, the strides it is read by */
    size_t bytes;
};

/* How a kernel goes about one problem; made once, when the program is. Immutable, in the program's region. */
struct kernel_plan {
    const void *params; /* the step's */
    const void *state;  /* the kernel's own: blocking, offset tables */
    int phases;         /* at least 1; every task of a phase has ended before the next phase begins */
    int64_t rounds;     /* how often the last phase is run, one round after the other as phases are; 0: once */
    int tasks[KERNEL_PHASES];
    size_t task_bytes;   /* workspace of one task in flight */
    size_t shared_bytes; /* workspace of the whole step, the same in all its phases */
    int pack_count;
    struct kernel_pack packs[KERNEL_PACKS];
};

struct kernel_call {
    const void *const *inputs; /* NULL where an optional operand is absent, or packed */
    void *const *outputs;      /* NULL where nobody reads an optional output */
    const void *const *packed; /* by pack of the plan */
    void *workspace;           /* of this task alone, aligned to ALIGNMENT; holds anything */
    void *shared;              /* of the step, aligned to ALIGNMENT; holds anything before the first phase */
    int phase;
    int64_t round;       /* of the last phase; 0 in the others */
    struct fault *fault; /* of this task alone */
    /* For families whose output size depends on data: output_dims[i] receives the true dimensions of output i, which
     * lie within the ones the program was made for. NULL entries elsewhere. */
    int64_t *const *output_dims;
    /* Whether the run is to end without the results of this step; NULL: it is not. A kernel whose task may take seconds
     * asks through kernel_ended every now and then, and returns. */
    bool (*ended)(void *user);
    void *ended_user;
    /* Of a device's kernel alone. run() enqueues its work on the stream (a cudaStream_t) and returns: it is to wait for
     * nothing and may touch no operand. Inputs, outputs, packs and workspaces are addresses of the device, as is the
     * record of faults. `fault` is for what goes wrong with enqueueing. */
    void *stream;
    struct device_fault *device_fault;
    uint32_t step; /* number of the step in its program */
};

/* How often a phase is run. */
static inline int64_t kernel_rounds(const struct kernel_plan *plan, int phase)
{
    return phase + 1 == plan->phases && plan->rounds > 1 ? plan->rounds : 1;
}

static inline bool kernel_ended(const struct kernel_call *call)
{
    return call->ended && call->ended(call->ended_user);
}

/* The arithmetic of an element (which operations, in which order) depends on the problem without its batch: never on
 * the task, the tile or the thread that it is computed in. The runtime calls the tasks of a phase, or of a round of it,
 * in any order, each once. No access outside an operand, ever; packs and workspace are as large as the plan says. */
struct kernel {
    const char *name; /* family_type_set: gemm_f32_12x32_avx512 */
    enum kernel_family family;
    unsigned requires;        /* CPU_... bits */
    uint32_t constant_inputs; /* bit i: input i must be constant */
    bool channels_last;       /* of a family that works on images: it runs best where channels lie next to each other */
    /* Results at neighbouring positions are made of the same sums, as where a convolution is transformed: they are
     * rounded at the magnitude of the largest of them, and what is not finite in one may be in all. */
    bool mixes;
    bool (*supports)(const void *params); /* NULL: all parameters */
    /* Fills in the plan, of which `params` is set and all else is zero; what it points to goes in the region. False: no
     * memory. NULL: one phase as `tasks` and `workspace_bytes` say. */
    bool (*plan)(const void *params, const struct kernel_facts *facts, struct region *region, struct kernel_plan *plan);
    int (*tasks)(const void *params);              /* NULL: 1 */
    size_t (*workspace_bytes)(const void *params); /* of one task; NULL: none */
    /* Writes the part of pack `which` that belongs to `task`, all its bytes; from: the input. The tasks of a pack may
     * run at once. NULL: it packs nothing. Of a device's kernel too it reads and writes the host's memory: the runtime
     * takes the pack to the device. */
    void (*pack)(const struct kernel_plan *plan, int which, const void *from, void *to, int task);
    void (*run)(const struct kernel_plan *plan, const struct kernel_call *call, int task);
    /* Of a device's kernel that may meet faults: the sentence for a record of its own, as the reference kernel says it.
     */
    void (*explain)(const struct kernel_plan *plan, const struct device_fault *record, struct fault *fault);
};

static inline bool kernel_is_of_device(const struct kernel *kernel)
{
    return (kernel->requires & DEVICE_CUDA) != 0;
}

/* Parameters are trusted: `lower` has proven ranks, sizes, types and overflow. The one thing left is a fault. */
void kernel_fault(const struct kernel_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every kernel there is, by index, best first; NULL past the last. One that another always comes before (a special
 * algorithm's general twin) is found here, for tests and benchmarks. */
const struct kernel *kernel_at(size_t index);
/* Whether a kernel can solve the problem: its CPU bits, its constant inputs, its parameters. */
bool kernel_fits(const struct kernel *kernel, enum kernel_family family, const void *params,
                 const struct kernel_facts *facts);
/* The first that fits. NULL where there is none. */
const struct kernel *kernel_select(enum kernel_family family, const void *params, const struct kernel_facts *facts);
/* Whether any kernel would take these parameters, and whether the one that would be chosen likes channels last. */
bool family_supports(enum kernel_family family, const void *params, const struct kernel_facts *facts);
bool family_prefers_channels_last(enum kernel_family family, const void *params, const struct kernel_facts *facts);
/* The plan of a kernel that fits. False: no memory. */
bool kernel_make_plan(const struct kernel *kernel, const void *params, const struct kernel_facts *facts,
                      struct region *region, struct kernel_plan *plan);
/* Bytes of workspace of a plan whose tasks run `threads` at a time; false where they pass all memory. */
bool kernel_plan_workspace(const struct kernel_plan *plan, int threads, size_t *bytes);
/* Runs all phases on the calling thread, task after task, until one has a fault. `call` needs no phase. */
void kernel_run_alone(const struct kernel *kernel, const struct kernel_plan *plan, struct kernel_call *call);

/* Multiplications and additions of a problem; 0 for the families where they are not what takes the time. */
double kernel_flops(enum kernel_family family, const void *params);
/* What a problem takes at most, whatever its family, in multiplications with an addition each: half of kernel_flops,
 * and elsewhere an operation on an element counts as one. For bounds, so where it depends on data it is the worst that
 * a reasonable model does. At least 1. */
double kernel_work(enum kernel_family family, const void *params);
const char *kernel_family_name(enum kernel_family family);

/* The bits that this CPU has and the operating system lets us use. */
unsigned cpu_detect(void);
/* The bits that a set may use, and the lowest set that holds them all. */
unsigned isa_bits(enum isa isa);
enum isa isa_of(unsigned cpu);
const char *isa_name(enum isa isa); /* "reference", "avx2", "avx512" */
bool isa_from_name(const char *name, enum isa *isa);

/* The usual ways to cut `total` items into tasks of at least `grain`, at most 256 of them. */
int task_count(int64_t total, int64_t grain);
/* The same, and as many for each thread where there are items enough. */
int task_count_shared(int64_t total, int64_t grain, int threads);
/* Items [*first, *last) of a task. */
void task_range(int64_t total, int tasks, int task, int64_t *first, int64_t *last);

#ifdef __cplusplus
}
#endif

#endif
