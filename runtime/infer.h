/* infer: runs neural networks on the CPU, or on the CPU and a GPU.
 *
 *     infer_model   *model;   a file, opened: immutable, shared by reference count
 *     infer_session *session; a model with options: prepares programs for input shapes, shared by any threads
 *     infer_context *context; one run at a time: owns the activations
 *
 * For Linux on x86-64. Only a model.bin is opened in process: infer-convert makes one of an ONNX file. Every call gets
 * by with 64 KB of stack, whatever the model.
 *
 * Objects are independent of each other and of any global state. Every function may be called from any thread; the one
 * rule is that a context is used by one thread at a time, but for infer_context_cancel. No function prints, exits or
 * aborts.
 *
 * Functions that can fail return a status and, where `error` is not NULL, write one sentence that names the file, the
 * node or the number that is wrong. On failure output parameters are untouched, except pointers, which become NULL.
 *
 * `error` and `options` may be NULL, as may what release functions are given, and other pointers where it is said.
 * Elsewhere NULL is INVALID_ARGUMENT; functions without a status then do nothing and return 0 or NULL.
 *
 * Everything is computed in the default floating-point environment (round to nearest, subnormals kept, no traps),
 * whatever the calling thread's is, which it has again afterwards. Callbacks are called in the default one.
 *
 * fork: in the child, executors, sessions and contexts that the parent made can be released and nothing else; infer_run
 * and the functions that make something of them are INVALID_ARGUMENT there. Models can be used, if no call on them was
 * under way at the fork.
 */
#ifndef INFER_H
#define INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum infer_status {
    INFER_OK = 0,
    INFER_INVALID_ARGUMENT = 1, /* the call: a shape, a type, a name, an option */
    INFER_INVALID_MODEL = 2,    /* the file is damaged, or the graph in it breaks its own rules */
    INFER_UNSUPPORTED = 3,      /* valid, but this library does not run it */
    INFER_OUT_OF_MEMORY = 4,
    INFER_MEMORY_LIMIT = 5, /* more would be needed than the caller's limit */
    INFER_IO = 6,           /* a file could not be read */
    INFER_FAULT = 7,        /* a value met during the run: an index out of range, an integer division by zero */
    INFER_CANCELLED = 8,    /* infer_context_cancel */
    INFER_DEADLINE = 9,     /* the run took longer than infer_run_limits give it */
    INFER_WORK_LIMIT = 10,  /* the run would do more than infer_run_limits allow */
    INFER_BUSY = 11,        /* infer_predictor.h: the queue is full, or no requests are taken any more */
    INFER_DEVICE_ERROR = 12 /* the GPU or its driver failed */
} infer_status;

/* Short name of a status: "invalid model". Never NULL. */
const char *infer_status_name(infer_status status);
/* "0.1.0" */
const char *infer_version(void);
/* The version that this header is of: major * 10000 + minor * 100 + patch. A program runs with the library of the
 * minor version whose header it was compiled with: until 1.0.0, structs and functions may change with each minor
 * version, but not with a patch; the library is static, so nothing else can get in between. */
#define INFER_VERSION_NUMBER 100

typedef struct infer_error {
    infer_status status;
    char message[480]; /* one sentence, terminated; "" where there was no error */
} infer_error;

/* Element types, numbered as in ONNX. */
typedef enum infer_dtype {
    INFER_NONE = 0,
    INFER_FLOAT32 = 1,
    INFER_UINT8 = 2,
    INFER_INT8 = 3,
    INFER_UINT16 = 4,
    INFER_INT16 = 5,
    INFER_INT32 = 6,
    INFER_INT64 = 7,
    INFER_STRING = 8, /* known by name only: never the type of a tensor */
    INFER_BOOL = 9,   /* a byte, 0 or 1 */
    INFER_FLOAT16 = 10,
    INFER_FLOAT64 = 11,
    INFER_UINT32 = 12,
    INFER_UINT64 = 13,
    INFER_COMPLEX64 = 14,
    INFER_COMPLEX128 = 15,
    INFER_BFLOAT16 = 16,
    INFER_FLOAT8E4M3FN = 17,
    INFER_FLOAT8E4M3FNUZ = 18,
    INFER_FLOAT8E5M2 = 19,
    INFER_FLOAT8E5M2FNUZ = 20,
    INFER_UINT4 = 21, /* two a byte, the first in the low half */
    INFER_INT4 = 22,
    INFER_FLOAT4E2M1 = 23,
    INFER_FLOAT8E8M0 = 24,
    INFER_UINT2 = 25, /* four a byte, the first in the lowest bits */
    INFER_INT2 = 26
} infer_dtype;

#define INFER_MAX_RANK 8

/* "float32", "int4", ...; "unknown" for any other number. */
const char *infer_dtype_name(infer_dtype dtype);
unsigned infer_dtype_bits(infer_dtype dtype); /* 0 for STRING and unknown */

/* Where steps run, and tensors lie. On INFER_DEVICE_CUDA those that have a kernel for the GPU run there, on the first
 * one that the driver shows (CUDA_VISIBLE_DEVICES chooses), and the others on the CPU; values are copied between as
 * needed, and infer-inspect --device cuda shows which. Numbers differ from the CPU's by rounding; the same inputs give
 * the same bits on the same GPU. Bodies of Loop and Scan run on the CPU. */
typedef enum infer_device { INFER_DEVICE_CPU = 0, INFER_DEVICE_CUDA = 1 } infer_device;

/* A tensor in the caller's or a context's memory: elements in C order without gaps, the first at a multiple of their
 * size. Whoever sets `data` of an output anew sets `capacity` with it. */
typedef struct infer_tensor {
    void *data;
    size_t bytes; /* that data holds */
    infer_dtype dtype;
    int rank; /* 0: a scalar */
    int64_t dims[INFER_MAX_RANK];
    size_t capacity;  /* of an output: bytes that data, the caller's memory, has room for; 0: `bytes` tells */
    const void *lent; /* the library's, 0 at first: data, where a run has lent memory of its context */
    /* Whose memory data is. Of INFER_DEVICE_CUDA, which sessions on that device take: the GPU's, as
     * infer_device_allocate or cudaMalloc give it, at a multiple of 64. What one model leaves there another reads with
     * no copy. infer_run alone takes such tensors; predictors do not. */
    infer_device device;
} infer_tensor;

/* As the capacity of an output without data: it is left out. */
#define INFER_LEFT_OUT SIZE_MAX

/* A tensor to be read, of which `data` (NULL: none) holds what type and dimensions need. */
infer_tensor infer_input(const void *data, infer_dtype dtype, int rank, const int64_t *dims);
/* One to be written: into memory of the caller's with room for `capacity` bytes; NULL, 0: into the context's; NULL,
 * INFER_LEFT_OUT: the caller has no use for it. */
infer_tensor infer_output(void *data, size_t capacity);
/* Bytes that `dtype` and `dims` need, SIZE_MAX where that does not fit or a dimension is negative. */
size_t infer_tensor_bytes(infer_dtype dtype, int rank, const int64_t *dims);

/* Where the library gets memory. Both functions may be called from several threads at once. */
typedef struct infer_allocator {
    /* `bytes` at a multiple of `alignment` (a power of two), or NULL. bytes may be 0. */
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    /* What allocate returned, with the same bytes. Never NULL. */
    void (*release)(void *user, void *memory, size_t bytes);
    void *user;
} infer_allocator;

/* --- models ---------------------------------------------------------------------------------------------- */

typedef struct infer_model infer_model;

/* All zero: the defaults. */
typedef struct infer_model_options {
    const infer_allocator
        *allocator; /* copied; NULL: one of large pages. Also serves the model's sessions and contexts */
    /* Refuse a file whose weights need more bytes, before they are read; and, before it is allocated, more than as
     * much beside them: tables, the copy of a pipe or of memory that is not aligned. 0: none. */
    size_t memory_limit;
    /* Skip the checksums over the weights: opening then reads none of them. Those over packed weights (infer-convert
     * --pack), and over what these were made of, are otherwise compared when a program first uses them: INVALID_MODEL
     * where they differ. */
    bool trust_weights;
    bool copy_file; /* read the file into memory of the allocator, where nobody can change it, instead of mapping it */
} infer_model_options;

/* Opens a model.bin. The file is mapped, not read: weights are paged in as they are used, and shared between
 * processes. So it must stay as it is while the model is open: where it is written over, results are wrong, and where
 * it is cut short, or its disk fails, a run ends in SIGBUS. Replace it by renaming another over it, as infer-convert
 * does, or open it with copy_file. Errors: IO, INVALID_MODEL, UNSUPPORTED, OUT_OF_MEMORY, MEMORY_LIMIT. */
infer_status infer_model_open(const char *path, const infer_model_options *options, infer_model **model,
                              infer_error *error);
/* The same from a file descriptor (a file or a pipe), which the caller may close afterwards. `name` is what messages
 * call it. */
infer_status infer_model_open_descriptor(int descriptor, const char *name, const infer_model_options *options,
                                         infer_model **model, infer_error *error);
/* The same from memory, for embedded or decrypted models. The bytes are used in place and must stay as they are until
 * the model is released, unless they are not aligned to 64 bytes, or copy_file is set: then they are copied. */
infer_status infer_model_open_memory(const void *bytes, size_t size, const char *name,
                                     const infer_model_options *options, infer_model **model, infer_error *error);
infer_model *infer_model_retain(infer_model *model); /* returns it */
void infer_model_release(infer_model *model);        /* NULL is fine; sessions keep their model alive */

/* What a model takes or gives. Strings belong to the model. */
typedef struct infer_value {
    const char *name;
    infer_dtype dtype;            /* INFER_NONE where the file does not say (outputs only) */
    int rank;                     /* -1 where the file does not say */
    int64_t dims[INFER_MAX_RANK]; /* -1: any; then dim_names has the symbol's name, or NULL */
    const char *dim_names[INFER_MAX_RANK];
    /* Integers that stand for real numbers, where the operator next to them says so once for the whole tensor:
     * real = scale * (integer - zero_point). */
    bool quantized;
    float scale;
    int32_t zero_point;
    bool has_default; /* an input that may be left out: see infer_run */
} infer_value;

size_t infer_model_input_count(const infer_model *model);
size_t infer_model_output_count(const infer_model *model);
/* INVALID_ARGUMENT for an index out of range. */
infer_status infer_model_input(const infer_model *model, size_t index, infer_value *value);
infer_status infer_model_output(const infer_model *model, size_t index, infer_value *value);
/* The index of an input or output by its name. INVALID_ARGUMENT where there is none, and *index is left alone. */
infer_status infer_model_find_input(const infer_model *model, const char *name, size_t *index);
infer_status infer_model_find_output(const infer_model *model, const char *name, size_t *index);
size_t infer_model_weight_bytes(const infer_model *model);
/* Metadata of the file by key ("name", "producer", "description", or the model's own keys); NULL: none. */
const char *infer_model_metadata(const infer_model *model, const char *key);
/* The keys there are: "name", "producer", "description", and the model's own; NULL past the last. */
const char *infer_model_metadata_key(const infer_model *model, size_t index);

/* --- executors ------------------------------------------------------------------------------------------- */

/* The threads that runs share. Those of all contexts of a session go to one executor, and those of several sessions to
 * the same one where it is given to each: 64 contexts on an executor of T threads make T - 1 threads, not 64 * T. The
 * thread that calls infer_run takes part in its run always; the others help whoever has work to share when they are
 * idle, so a run goes on at its own thread's pace where they are busy. Results never depend on it. A thread that is
 * idle looks for work for 50 microseconds and then sleeps. None is bound to a processor. */
typedef struct infer_executor infer_executor;

/* The caller's own threads. */
typedef struct infer_thread_pool {
    /* Calls work(argument, i) once for each i in [0, count), on any threads and in any order, and returns when all
     * calls have returned. The calls share out the tasks of one step between them as they come, so calls that begin
     * late find nothing left to do, and calls one after another are right too. Several runs may ask at once. NULL: the
     * executor starts threads of its own. */
    void (*run)(void *user, int count, void (*work)(void *argument, int index), void *argument);
    void *user;
} infer_thread_pool;

/* All zero: the defaults. */
typedef struct infer_executor_options {
    const infer_allocator *allocator; /* copied; NULL: the C library's */
    int threads; /* of a run, its calling one among them, 1 to 1024; 0: as many as the cores this process may use: its
                  * affinity, or its control group's quota where that is less */
    infer_thread_pool pool;
} infer_executor_options;

/* Its threads start here; where the system starts no further one, the executor has those that did start. `options` and
 * `error` may be NULL. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY. */
infer_status infer_executor_create(const infer_executor_options *options, infer_executor **executor,
                                   infer_error *error);
infer_executor *infer_executor_retain(infer_executor *executor); /* returns it */
void infer_executor_release(infer_executor *executor);           /* NULL is fine; sessions keep their executor alive */
int infer_executor_threads(const infer_executor *executor);      /* that there are; 0 for NULL */

/* --- limits of a run ------------------------------------------------------------------------------------- */

/* What a run may take; all zero: anything. It is looked at before each step, between the parts of one that is cut into
 * tasks, and before each turn of a Loop or Scan, so a run ends within a step's time, or less; on a GPU it is looked at
 * when a step is handed to it and when all are done, and what was handed over is done to its end. Making a program,
 * which the first run of a shape does, is part of that run and ends between two nodes; a run that waits for one that
 * another makes ends when that does. Making it before, as infer_session_prepare does, is not timed. */
typedef struct infer_run_limits {
    double seconds; /* from its beginning; past them it ends with DEADLINE. 0: any time */
    /* Multiplications with an addition each, where another operation on an element counts as one: told by shapes before
     * a step runs; a step that would pass the sum ends the run with WORK_LIMIT. As an option of a session it also
     * bounds what is folded into constants when the session is made, and when a program is, all constants of either
     * together. 0: any number. */
    uint64_t multiply_adds;
    uint64_t loop_turns; /* of all its Loops and Scans together, also those inside others: WORK_LIMIT. 0: any number */
} infer_run_limits;

/* --- sessions -------------------------------------------------------------------------------------------- */

typedef struct infer_session infer_session;

typedef enum infer_isa {
    INFER_ISA_AUTO = 0, /* the best this CPU has; the environment variable INFER_ISA lowers it */
    INFER_ISA_REFERENCE = 1,
    INFER_ISA_AVX2 = 2,
    INFER_ISA_AVX512 = 3
} infer_isa;

/* Who computes large products of float32 on a GPU: the library's own kernels, or cuBLAS, which is opened at run time
 * and adds in orders of its own. */
typedef enum infer_gemm { INFER_GEMM_NATIVE = 0, INFER_GEMM_CUBLAS = 1 } infer_gemm;

/* To what a GPU may round the factors of products and convolutions of float32, which its tensor cores then multiply;
 * sums stay float32. TF32 keeps 11 significant bits, and half precision too, but of numbers from 6e-5 to 65504: larger
 * ones become infinite. Both are an error of about 5e-4 a product. Bfloat16 keeps 8 bits of all numbers, an error of
 * about 4e-3; weights that are stored so lose nothing. TF32 and bfloat16 came with compute capability 8.0: an older GPU
 * multiplies float32 as it is, and the name of a step's kernel says what it does. Attention computes in float32. */
typedef enum infer_factors {
    INFER_FACTORS_F32 = 0,
    INFER_FACTORS_TF32 = 1,
    INFER_FACTORS_F16 = 2,
    INFER_FACTORS_BF16 = 3
} infer_factors;

typedef struct infer_device_info {
    char name[256];
    size_t memory_bytes, free_bytes; /* of its own memory, free at this moment */
} infer_device_info;

/* What a device is. UNSUPPORTED, with a sentence that says what is missing, where this library, this machine or its
 * driver has none of the kind. The CPU has no memory of its own: its numbers are 0. */
infer_status infer_device_query(infer_device device, infer_device_info *info, infer_error *error);

/* All zero: the defaults. */
typedef struct infer_session_options {
    /* The most threads that a run uses; 0: all of the executor's. Without an executor the session makes one of so many
     * for its contexts; 0: as many as the cores this process may use. Results do not depend on it. */
    int threads;
    infer_isa isa;    /* highest kernels to use; UNSUPPORTED where this CPU lacks them */
    bool no_optimize; /* the graph as it was imported: no passes */
    /* Compute large intermediates strip by strip where that lowers the peak by 20 % or more at 5 % more arithmetic or
     * less (not with no_optimize), and the transformed weights of 3x3 convolutions, four times as large as what they
     * are made of, each time that they are used instead of keeping them. */
    bool memory_saving;
    /* A bound on the sum of what model, session and all its contexts hold at any moment, in bytes that the allocator is
     * asked for, and of the weights; 0: none. What would pass it is refused before it is allocated: a shape that cannot
     * fit before anything of it runs. Counted is all that this session uses, whether or not another one of the model
     * has made it: see packed_bytes. Stacks of threads are the system's. */
    size_t memory_limit;
    int cached_programs;         /* programs kept for shapes seen; 0: 64 */
    infer_executor *executor;    /* retained; NULL: the session has its own */
    infer_run_limits run_limits; /* that its contexts begin with */
    infer_device device;         /* UNSUPPORTED where it cannot be used; memory_saving is of no effect on a GPU */
    size_t device_memory_limit;  /* a bound on the memory of the device for this session's weights, its contexts'
                                  * arenas and results, and infer_device_allocate; 0: none. memory_limit counts the
                                  * host's alone. */
    infer_gemm gemm;             /* UNSUPPORTED where cuBLAS cannot be opened, INVALID_ARGUMENT on the CPU */
    infer_factors factors;       /* INVALID_ARGUMENT on the CPU and with cuBLAS */
} infer_session_options;

/* Options for models of anybody's making: checksums verified, 1 GiB of memory, and for a run 10 seconds, 10^12
 * multiply-adds and 10^6 loop turns. All other fields become zero; set yours afterwards. Either may be NULL. */
void infer_options_hostile(infer_model_options *model, infer_session_options *session);

infer_status infer_session_create(infer_model *model, const infer_session_options *options, infer_session **session,
                                  infer_error *error);
infer_session *infer_session_retain(infer_session *session);
void infer_session_release(infer_session *session); /* contexts keep their session alive */
infer_isa infer_session_isa(const infer_session *session);
infer_device infer_session_device(const infer_session *session);
int infer_session_threads(const infer_session *session); /* a run has; fewer than asked for where no more could start */

/* --- memory of the device ---------------------------------------------------------------------------------- */

/* Memory on the session's device for tensors, its content anything, for any session on that device; within
 * device_memory_limit. It keeps the session alive until it is freed. Errors: INVALID_ARGUMENT where the session runs on
 * the CPU alone, OUT_OF_MEMORY, MEMORY_LIMIT, DEVICE_ERROR. */
infer_status infer_device_allocate(infer_session *session, size_t bytes, void **memory, infer_error *error);
/* What infer_device_allocate gave for this session and so many bytes. Waits for all that the device does. NULL is fine.
 */
void infer_device_free(infer_session *session, void *memory, size_t bytes);
/* Copies between memory of the device and of the host, either way, or within the device; done when it returns. Memory
 * that is the device's is recognised. Errors: INVALID_ARGUMENT where neither is the device's, or the session runs on
 * the CPU alone; DEVICE_ERROR. */
infer_status infer_device_copy(infer_session *session, void *to, const void *from, size_t bytes, infer_error *error);

/* What one program, or all of a session's, need: known before a run, in the bytes that the allocator is asked for.
 *
 *     weight_bytes + constant_bytes + packed_bytes + table_bytes
 *                  + contexts * (arena_bytes + result_bytes + context_bytes)
 *
 * is all that the model, the session and so many contexts hold after they ran these shapes; runs add nothing to it, but
 * for a program that the session has dropped, which they make again.
 * Opening a model and making a program take more for as long as that lasts. */
typedef struct infer_memory {
    size_t weight_bytes;   /* in the model: allocated only for a pipe, a copy, or memory not aligned */
    size_t stored_bytes;   /* of these: what infer-convert --pack stored, and a program of the model found of use */
    size_t constant_bytes; /* folded when the session was made and for these shapes */
    size_t packed_bytes;   /* made of weights, for kernels to read: in the model, once for all shapes and all sessions
                            * that need the same. Each session tells all that it uses, also what others use too */
    size_t table_bytes;    /* model, session and programs: graphs, steps, parameters, names; the session's executor,
                            * unless one was given */
    size_t arena_bytes;    /* activations and workspace of a context, as large as its largest shape needs */
    size_t lower_bound_bytes; /* no arena can be smaller with this order of steps */
    bool arena_is_least;      /* that none is smaller than arena_bytes is proven; it may lie above the bound */
    size_t workspace_bytes;   /* the largest workspace of a step, within the arena */
    size_t result_bytes;      /* of a context, for outputs whose data is NULL; what the caller gives room for is less */
    size_t context_bytes;     /* of a context: its tables. The stacks of threads come from the system */
    size_t steps;             /* of the program that has the most */
    infer_isa isa;            /* the highest that a kernel of these steps is made for; AUTO never */
    /* On a GPU: its memory, which the sum above leaves out. */
    size_t device_weight_bytes; /* constants and what is made of them, as packed_bytes has it, with their tables */
    size_t device_arena_bytes;  /* of a context */
    size_t device_result_bytes; /* of a context, for outputs on the device whose data is NULL, in runs so far */
    size_t device_tensor_bytes; /* of infer_device_allocate, at this moment */
    size_t held_bytes;          /* all that the model, this session and its contexts hold at this moment, weights too,
                                 * in the limit's way of counting: what memory_limit is compared with */
    bool complete; /* false: no shape is known yet; or shapes depend on data from some step on, or a Loop or
                    * Scan has a body, and the numbers leave out what only a run can tell */
} infer_memory;

/* Makes (or finds) the program for these inputs, without running it, and tells what that shape needs alone (memory
 * NULL: not). `data` may be NULL: where shapes depend on what it holds, that is where the program ends, and the numbers
 * with it. Where it is set, what shapes depend on is computed, so that all programs of such a run are
 * made: give the contents of what decides an If, and leave out those of an image. A context that grows afterwards grows
 * to the largest shape prepared, once: prepare all shapes first, and the first run of a context allocates all it will
 * ever hold. Errors as infer_run. */
infer_status infer_session_prepare(infer_session *session, const infer_tensor *inputs, size_t input_count,
                                   infer_memory *memory, infer_error *error);

/* Prepares as infer_session_prepare does, and fills in what the outputs of such a run are: dtype, rank, dims and bytes;
 * the rest is left alone, and `device` says where each is wanted. Of what only a run can tell: dtype NONE, rank -1,
 * dims -1, and bytes 0. */
infer_status infer_session_outputs(infer_session *session, const infer_tensor *inputs, size_t input_count,
                                   infer_tensor *outputs, size_t output_count, infer_error *error);

/* What the session needs for all shapes prepared or run so far: constants and tables are of the programs that it keeps
 * (or a context still holds), the rest is the largest of each, also of programs it has dropped. A model whose input
 * shapes are all fixed needs no preparing: its program is made here. Any thread may ask at any time. Errors as
 * infer_session_prepare, where a program is made. */
infer_status infer_session_memory(infer_session *session, infer_memory *memory, infer_error *error);

/* --- runs ------------------------------------------------------------------------------------------------ */

typedef struct infer_context infer_context;

infer_status infer_context_create(infer_session *session, infer_context **context, infer_error *error);
void infer_context_release(infer_context *context);

/* Runs the model.
 *
 * inputs   in the model's order, all of them; type and known dimensions must match; data is only read. Where an input
 *          has a default, dtype INFER_NONE leaves it out: then it is what the model says, and the rest is not looked
 *          at.
 * outputs  in the model's order; output_count may be less than the model has, to leave out the last ones, and any that
 *          is infer_output(NULL, INFER_LEFT_OUT) is left out and left alone.
 *          data NULL: the result lies in the context's memory until its next run or release; data and lent say where;
 *          data set: the result is written there, where `capacity` tells the room. Filled in are dtype, rank, dims and
 *          bytes, and capacity where it was 0. A tensor that a run has filled in may be given again as it is, to any
 *          context: what a context lent counts as NULL, and the caller's memory keeps its room.
 *          Neither may lie on an input: a state that goes in again with the next run needs memory of the caller's.
 * device   of an input says where it lies, of an output where it is wanted; with data NULL as well, which is then the
 *          context's memory on the device. A run with other devices than before has a program of its own, as one with
 *          another shape; and one with other addresses on the device than the run before is enqueued step by step.
 *
 * A shape that this context has run lately allocates nothing and takes no lock that another context could hold, as long
 * as the session keeps its program: it keeps the cached_programs that its contexts ran last, fewer where memory_limit
 * is met. The same inputs give the same bits for any number of threads. `inputs` and `outputs` may be NULL where there
 * are none.
 * Errors: INVALID_ARGUMENT (inputs and outputs; two outputs in the same memory; memory that is not where `device` says,
 * or that has been freed; a device that the session does not run on; a context that another thread runs),
 * UNSUPPORTED, OUT_OF_MEMORY, MEMORY_LIMIT, FAULT, CANCELLED, DEADLINE, WORK_LIMIT. After an error the context can run
 * again, and outputs in the caller's memory may hold anything. */
infer_status infer_run(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
                       size_t output_count, infer_error *error);

/* Bytes of this context's arena: 0 before its first run, then what the largest shape of its session needed when the
 * arena last grew, or what the shape that it grew for needs where there was no room for more. It shrinks only where a
 * run finds no room to grow. */
size_t infer_context_arena_bytes(const infer_context *context);

/* Ends the run under way in this context with CANCELLED, or the next one where none is, and only that one. From any
 * thread, while the context exists; it does not wait. A run that ends before it notices has ended well. */
void infer_context_cancel(infer_context *context);

/* Limits for the runs that follow, in place of the session's; NULL: none. INVALID_ARGUMENT for seconds below 0. */
infer_status infer_context_limit(infer_context *context, const infer_run_limits *limits, infer_error *error);

/* --- watching a run -------------------------------------------------------------------------------------- */

/* One step of a program, as seen while it runs. Pointers are valid during the call. */
typedef struct infer_step {
    size_t index;
    const char *kernel;         /* "pointwise_reference" */
    const char *node;           /* the ONNX node's name */
    const char *op;             /* its operator */
    const char *const *sources; /* names of all ONNX nodes that this step stands for */
    size_t source_count;
    size_t input_count, output_count;
    /* dtype INFER_NONE: an absent optional one. Where a step goes through a part of a larger tensor, or through a
     * tensor in another order, that tensor is shown; other parts of an output may not have been written yet. */
    const infer_tensor *inputs, *outputs;
    const char *const *output_names; /* ONNX names; "" for a value between two steps of one node */
    int tasks;
    double flops; /* multiplications and additions; 0 where they are not counted */
    uint64_t
        device_nanoseconds; /* `after` a step on a GPU: what it took there, between two events of its stream; else 0 */
} infer_step;

/* Called on the thread that runs; each may be NULL. Nothing is paid for where no observer is set.
 * before, after  around every step; `after` sees the outputs' contents.
 * value          for each value that keeps an ONNX name, once it has been computed (the last time, where several steps
 *                write it); its memory may be used again by the next step. Constants and inputs are not shown. */
typedef struct infer_observer {
    void (*before)(void *user, const infer_step *step);
    void (*after)(void *user, const infer_step *step);
    void (*value)(void *user, const char *name, const infer_tensor *tensor);
    void *user;
} infer_observer;

/* For the runs that follow; NULL: none. Copied. */
void infer_context_observe(infer_context *context, const infer_observer *observer);

/* What a step has taken. Strings are the context's until its next run or release. */
typedef struct infer_step_time {
    const char *kernel, *node, *op; /* as in infer_step */
    uint64_t nanoseconds;           /* of all the runs counted; on a GPU between events of its stream */
    uint64_t runs;
} infer_step_time;

/* Whether the runs that follow are timed, step by step: the price is a look at the clock for each, and on a GPU that
 * each step is waited for. A Loop or Scan is
 * one step. Times add up over runs with the same steps; a run of other shapes, or of another branch of an If, begins
 * anew where it differs, and so does switching on. */
void infer_context_time_steps(infer_context *context, bool on);

/* The steps of the latest timed run, in order: up to `count` of them go to `times`, which may be NULL where count is 0.
 * Returns how many there are. */
size_t infer_context_step_times(const infer_context *context, infer_step_time *times, size_t count);

#ifdef __cplusplus
}
#endif

#endif
