/* What a program has beside its steps where it runs on a device and on the host. Of a build with a device. */
#ifndef INFER_RUNTIME_COMPILE_ON_DEVICE_H
#define INFER_RUNTIME_COMPILE_ON_DEVICE_H

#include "runtime/compile/program.h"

/* Gives a new program its part of the device; false: no memory. */
bool program_begin_device(struct program *program, const struct program_device *device, struct error *error);

/* Says which outputs are wanted on the device, in a copy; NULL: none. false: no memory. */
bool program_want_outputs(struct program *program, const bool *there, int count);

/* Takes what a step on the device reads of constants there: packs in the place of inputs, and the others as they are,
 * each a value of its own whose data is an address of the device. */
enum status program_upload_step(struct program *program, struct step *step, const struct program_device *device,
                                struct error *error);

/* Once all operands have their places: what of the stream each step of the host waits for, where copies from and to
 * the caller's memory are staged; and that the device's memory suffices for the session's limit. */
enum status program_plan_stream(struct program *program, const struct program_options *options, struct error *error);

#endif
