/* Memory of the device that the caller has. */
#include "runtime/session_device.h"

static enum status has_device(const struct infer_session *session, struct error *error)
{
    TRY(session_check_process(session, error));
    if (DEVICE_BUILT && session->device)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "the session runs on the CPU alone: it has no memory of a device");
}

static enum status take(struct infer_session *session, size_t bytes, void **memory, struct error *error)
{
    struct session_device *own = session->device;
    if (!budget_reserve(&own->budget, bytes))
        return error_set(error, STATUS_MEMORY_LIMIT,
                         "%s bytes for a tensor pass the limit of %s for memory of the device", grouped(bytes).text,
                         grouped(own->budget.limit).text);
    struct error from = {0};
    while (device_take(own->device, bytes ? bytes : 1, "a tensor", memory, &from) == STATUS_OUT_OF_MEMORY &&
           session_drop_program(session))
        from = (struct error){0};
    if (from.status == STATUS_OK)
        return STATUS_OK;
    budget_return(&own->budget, bytes);
    return error_set(error, from.status, "%s", from.text);
}

infer_status infer_device_allocate(infer_session *session, size_t bytes, void **memory, infer_error *error)
{
    struct error from = {0};
    if (memory)
        *memory = NULL;
    if (!session || !memory)
        return missing_argument(error, session ? "place for the memory" : "session");
    if (has_device(session, &from) == STATUS_OK && DEVICE_BUILT && take(session, bytes, memory, &from) == STATUS_OK) {
        atomic_fetch_add(&session->device->tensor_bytes, bytes);
        infer_session_retain(session);
    }
    return publish_error(error, &from);
}

void infer_device_free(infer_session *session, void *memory, size_t bytes)
{
    if (!DEVICE_BUILT || !session || !session->device || !memory)
        return;
    device_give_back(session->device->device, memory);
    budget_return(&session->device->budget, bytes);
    atomic_fetch_sub(&session->device->tensor_bytes, bytes);
    infer_session_release(session);
}

static enum status copy(const struct device *device, void *to, const void *from, size_t bytes, struct error *error)
{
    bool from_there = device_owns(device, from), to_there = device_owns(device, to);
    if (!from_there && !to_there)
        return error_set(error, STATUS_INVALID_ARGUMENT, "neither %p nor %p is memory of the GPU, or is any more", from,
                         to);
    enum device_direction direction = !from_there ? DEVICE_FROM_HOST : to_there ? DEVICE_WITHIN : DEVICE_TO_HOST;
    return device_copy_now(device, to, from, bytes, direction, error);
}

infer_status infer_device_copy(infer_session *session, void *to, const void *from, size_t bytes, infer_error *error)
{
    struct error why = {0};
    if (!session || !to || !from)
        return missing_argument(error, !session ? "session" : to ? "memory to read" : "memory to write");
    if (has_device(session, &why) == STATUS_OK && DEVICE_BUILT && bytes)
        copy(session->device->device, to, from, bytes, &why);
    return publish_error(error, &why);
}
