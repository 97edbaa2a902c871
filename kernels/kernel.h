/* What a kernel is: numbers and pointers in, numbers out; nothing of graphs. */
#ifndef INFER_KERNELS_KERNEL_H
#define INFER_KERNELS_KERNEL_H

#include "kernels/base.h"

/* A family is a problem with one parameter struct (kernels/NAME.h) and any number of kernels that solve it. */
enum kernel_family {
#define FAMILY(name) FAMILY_##name,
#include "kernels/families.def"
#undef FAMILY
    FAMILY_COUNT
};

enum isa { ISA_REFERENCE = 0, ISA_AVX2 = 1, ISA_AVX512 = 2 };

/* A fault is a value met at run time that has no answer: an index out of range, an integer division by zero. */
struct fault {
    bool set;
    char text[160];
};

struct kernel_call {
    const void *const *inputs; /* NULL where an optional operand is absent */
    void *const *outputs;      /* NULL where nobody reads an optional output */
    void *workspace;           /* of this task alone, aligned to ALIGNMENT */
    struct fault *fault;       /* of this task alone */
    /* For families whose output size depends on data: output_dims[i] receives the true dimensions of output i, which
     * lie within the ones the program was made for. NULL entries elsewhere. */
    int64_t *const *output_dims;
};

struct kernel {
    const char *name; /* family_type_isa: gemm_f32_12x32_avx512 */
    enum kernel_family family;
    enum isa isa;
    bool (*supports)(const void *params);
    size_t (*workspace_bytes)(const void *params); /* of one task; NULL: none */
    bool channels_last; /* of a family that works on images: it runs best where channels lie next to each other */
    int (*tasks)(const void *params); /* from the problem alone, never the machine; NULL: 1 */
    void (*run)(const void *params, const struct kernel_call *call, int task);
};

/* Parameters are trusted: `lower` has proven ranks, sizes, types and overflow. The one thing left is a fault. */
void kernel_fault(const struct kernel_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first kernel that supports the parameters, best ISA first, none above `highest`. NULL where there is none. */
const struct kernel *kernel_select(enum kernel_family family, const void *params, enum isa highest);
/* Multiplications and additions of a problem; 0 for the families where they are not what takes the time. */
double kernel_flops(enum kernel_family family, const void *params);
const char *kernel_family_name(enum kernel_family family);

/* Highest ISA this CPU has and the operating system lets us use. */
enum isa isa_detect(void);
const char *isa_name(enum isa isa); /* "reference", "avx2", "avx512" */
bool isa_from_name(const char *name, enum isa *isa);

/* The usual ways to cut `total` items into tasks of at least `grain`, at most 256 of them. */
int task_count(int64_t total, int64_t grain);
/* Items [*first, *last) of a task. */
void task_range(int64_t total, int tasks, int task, int64_t *first, int64_t *last);

#endif
