#include "runtime/session_device.h"

#include "kernels/cublas.h"

static enum status copy_to_device(void *user, void *to, const void *from, size_t bytes, struct error *error)
{
    return device_copy_now(user, to, from, bytes, DEVICE_FROM_HOST, error);
}

static enum status no_memory(void *user, size_t bytes, struct error *error)
{
    size_t unused = 0;
    device_free_bytes(user, &unused, NULL);
    return error_set(error, STATUS_OUT_OF_MEMORY,
                     "out of memory of the device: a constant takes %s bytes, of which %s are free",
                     grouped(bytes).text, grouped(unused).text);
}

/* Made by the first session on a device, for all of the model. NULL: no memory. */
static struct weights *weights_on(struct infer_session *session, const struct device *device)
{
    struct infer_model *model = session->model;
    struct weights *weights = atomic_load(&model->device_weights), *first = NULL;
    if (weights)
        return weights;
    weights = allocate(&model->allocator, sizeof *weights, ALIGNMENT);
    if (!weights)
        return NULL;
    weights_init(weights, &model->allocator, device_allocator(device));
    if (atomic_compare_exchange_strong(&model->device_weights, &first, weights)) {
        budget_reserve(&session->budget, sizeof *weights); /* later sessions find it among the model's tables */
        return weights;
    }
    weights_free(weights);
    release(&model->allocator, weights, sizeof *weights);
    return first;
}

void model_free_device(struct infer_model *model)
{
    struct weights *weights = atomic_load(&model->device_weights);
    if (!weights)
        return;
    weights_free(weights);
    release(&model->allocator, weights, sizeof *weights);
}

/* Constants of programs that nobody uses make room on the device too. */
static bool reclaim(void *user)
{
    return session_drop_program(user);
}

/* The bits of kernels that programs may have. */
static enum status choose_bits(const struct device *device, const infer_session_options *options, unsigned *bits,
                               struct error *error)
{
    static const unsigned roundings[] = {
        [INFER_FACTORS_TF32] = CUDA_TF32, [INFER_FACTORS_F16] = CUDA_HALF, [INFER_FACTORS_BF16] = CUDA_BF16};
    char why[160];
    *bits = device_bits(device) | roundings[options->factors];
    if (options->gemm != INFER_GEMM_CUBLAS)
        return STATUS_OK;
    *bits |= CUDA_CUBLAS;
    return cublas_open(why, sizeof why) ? STATUS_OK : error_set(error, STATUS_UNSUPPORTED, "%s", why);
}

enum status session_open_device(struct infer_session *session, const infer_session_options *options,
                                struct error *error)
{
    struct device *device;
    unsigned bits;
    size_t limit = options->device_memory_limit;
    if (device_open(&device, error) != STATUS_OK || choose_bits(device, options, &bits, error) != STATUS_OK)
        return error_prefix(error, "device cuda");
    struct session_device *own = region_allocate(&session->region, sizeof *own);
    struct weights *weights = weights_on(session, device);
    if (!own || !weights)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while making a session");
    own->device = device;
    budget_init(&own->budget, NULL, &session->model->allocator, limit ? limit : SIZE_MAX);
    own->budget.reclaim = reclaim;
    own->budget.user = session;
    own->account.budget = &own->budget;
    own->program = (struct program_device){
        .sides = {.device = bits,
                  .to_device = device_transfer_kernel(DEVICE_FROM_HOST),
                  .to_host = device_transfer_kernel(DEVICE_TO_HOST),
                  .within = device_transfer_kernel(DEVICE_WITHIN)},
        .weights = weights,
        .account = &own->account,
        .limit = own->budget.limit,
        .copy = copy_to_device,
        .no_memory = no_memory,
        .reclaim = reclaim,
        .owner = session,
        .user = device,
    };
    session->device = own;
    return STATUS_OK;
}
