/* The runs of one context on a device and the host at once. Of a build with a device. */
#ifndef INFER_RUNTIME_DEVICE_RUN_H
#define INFER_RUNTIME_DEVICE_RUN_H

#include "runtime/runner.h"

/* For a runner of a session that has a device. */
enum status device_run_create(struct runner *runner, struct error *error);
void device_run_free(struct runner *runner);
/* What it comes to take of the host beside the arena. */
size_t device_run_table_bytes(const struct graph *graph, const struct needs *needs);

/* The host's arena lies in memory that the device can copy from and to by itself. NULL: the error says why. */
void *device_run_take_host(struct runner *runner, size_t bytes, struct error *error);
void device_run_give_back_host(struct runner *runner, void *memory, size_t bytes);

/* By output of the run under way: whether it is wanted on the device. */
const bool *device_run_wanted(struct runner *runner);
/* INVALID_ARGUMENT where a tensor with data is not where its `device` says, or lies at no multiple of ALIGNMENT on the
 * device; `what` it is: "input". */
enum status device_run_check_tensor(const struct runner *runner, const char *what, const char *name,
                                    const infer_tensor *tensor, struct error *error);
/* Memory on the device of outputs whose data the caller left NULL; as slot_reserve, but its content goes. */
struct slot *device_run_result(struct runner *runner, int output);
enum status device_run_reserve_result(struct runner *runner, int output, size_t bytes, struct error *error);

/* In the arena on the device. */
void *device_run_pointer(const struct runner *runner, size_t offset);

/* Room for what programs need of the device; keep: what lies in its arena stays. */
enum status device_run_reserve(struct runner *runner, const struct needs *needs, bool keep, struct error *error);
bool device_run_has_room(const struct runner *runner, const struct program *program);

/* Runs a program whose memory is reserved and whose outputs are bound. On return nothing of it is under way, whatever
 * the status. */
enum status device_run_program(struct runner *runner, struct program *program, struct error *error);

/* Single steps, each done on return: between begin, and end with the status that they came to. */
enum status device_run_begin(struct runner *runner, struct error *error);
enum status device_run_step(struct runner *runner, const struct program *program, size_t index, struct error *error);
/* Waits for all that is under way, hands outputs over, and tells a fault that the device met. */
enum status device_run_end(struct runner *runner, const struct program *program, enum status status,
                           const struct error *met, struct error *error);

/* A copy, in memory of the runner's allocator, of what lies on the device; NULL: there is none to be had. */
void *device_run_fetch(struct runner *runner, const void *from, size_t bytes);

#endif
