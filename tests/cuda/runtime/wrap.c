/* Puts the sessions of tests that know nothing of devices on one: the program is linked with
 * --wrap=infer_session_create. */
#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/runtime/stand_ins.h"

#include <stdlib.h>

infer_status __real_infer_session_create(infer_model *model, const infer_session_options *options,
                                         infer_session **session, infer_error *error);
infer_status __wrap_infer_session_create(infer_model *model, const infer_session_options *options,
                                         infer_session **session, infer_error *error);

/* INFER_STAND_INS: the bits of what runs on the device; all of it where it is not set. */
static const struct kernel *const *chosen(void)
{
    static const struct kernel *const *list;
    const char *bits = getenv("INFER_STAND_INS");
    if (!list)
        list = stand_ins(bits ? strtoull(bits, NULL, 0) : UINT64_MAX);
    return list;
}

infer_status __wrap_infer_session_create(infer_model *model, const infer_session_options *options,
                                         infer_session **session, infer_error *error)
{
    infer_session_options changed = options ? *options : (infer_session_options){0};
    changed.device = INFER_DEVICE_CUDA;
    emulation_abort_on_complaint(true);
    infer_status status = __real_infer_session_create(model, &changed, session, error);
    if (status == INFER_OK && !(*session)->facts.kernels)
        (*session)->facts.kernels = chosen();
    return status;
}
