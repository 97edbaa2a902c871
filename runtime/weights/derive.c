#include "runtime/weights/derive.h"

#include <string.h>

#define LONGEST_KEY ((size_t)64 * 1024) /* chains of results, each named within the next, could grow without end */

/* --- keys ------------------------------------------------------------------------------------------------ */

struct key {
    const struct derived *derived;
    char *bytes;
    size_t used, capacity; /* used goes on counting past the capacity */
    bool nameless;         /* something in it has no name that lasts */
};

static void append(struct key *key, const void *bytes, size_t count)
{
    if (count <= key->capacity && key->used <= key->capacity - count)
        memcpy(key->bytes + key->used, bytes, count);
    key->used += count;
}

static void append_number(struct key *key, uint64_t number)
{
    append(key, &number, sizeof number);
}

static void append_counted(struct key *key, const void *bytes, size_t count)
{
    append_number(key, count);
    append(key, bytes, count);
}

static void append_shape(struct key *key, const struct value *value)
{
    append_number(key, (uint64_t)value->dtype << 8 | (uint64_t)value->rank);
    append(key, value->dims, (size_t)value->rank * sizeof value->dims[0]);
}

static bool in_file(const struct derived *derived, const char *data, size_t bytes)
{
    uintptr_t offset = (uintptr_t)data - (uintptr_t)derived->file;
    return offset <= derived->file_bytes && bytes <= derived->file_bytes - offset;
}

static bool lasts(const struct derived *derived, const char *data, size_t bytes)
{
    return in_file(derived, data, bytes) || region_holds(derived->session, data);
}

enum source { SOURCE_CONTENT, SOURCE_RESULT, SOURCE_ADDRESS };

static void append_content(struct key *key, const struct value *value)
{
    size_t offset, bytes = value_bytes(value);
    const struct value *root = value_root((struct value *)(uintptr_t)value, &offset);
    const char *data = (const char *)root->data + offset;
    const struct weight *result = bytes >= STORED_LEAST ? weight_holder_find(&key->derived->holder, data) : NULL;
    if (value->strides || root->strides) {
        key->nameless = true;
    } else if (bytes < STORED_LEAST) {
        append_number(key, SOURCE_CONTENT);
        append(key, data, bytes);
    } else if (result) {
        append_number(key, SOURCE_RESULT);
        append_counted(key, result->key, result->key_bytes);
        append_number(key, (uint64_t)(data - (const char *)result->data));
    } else {
        append_number(key, SOURCE_ADDRESS);
        append_number(key, (uintptr_t)data);
        key->nameless = key->nameless || !lasts(key->derived, data, bytes);
    }
}

static void append_operands(struct key *key, struct value *const *values, int count, bool with_content)
{
    append_number(key, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        append_number(key, values[i] != NULL);
        if (!values[i])
            continue;
        append_shape(key, values[i]);
        if (with_content)
            append_content(key, values[i]);
    }
}

static void append_attribute(struct key *key, const struct attribute *attribute)
{
    append_counted(key, attribute->name, strlen(attribute->name));
    append_number(key, attribute->kind);
    switch (attribute->kind) {
    case ATTRIBUTE_INT:
        append(key, &attribute->i, sizeof attribute->i);
        break;
    case ATTRIBUTE_FLOAT:
        append(key, &attribute->f, sizeof attribute->f);
        break;
    case ATTRIBUTE_STRING:
        append_counted(key, attribute->string, attribute->count);
        break;
    case ATTRIBUTE_INTS:
        append_counted(key, attribute->ints, attribute->count * sizeof *attribute->ints);
        break;
    case ATTRIBUTE_FLOATS:
        append_counted(key, attribute->floats, attribute->count * sizeof *attribute->floats);
        break;
    case ATTRIBUTE_STRINGS:
        append_number(key, attribute->count);
        for (size_t i = 0; i < attribute->count; i++)
            append_counted(key, attribute->strings[i], strlen(attribute->strings[i]));
        break;
    case ATTRIBUTE_TENSOR:
        append_shape(key, attribute->tensor);
        append_content(key, attribute->tensor);
        break;
    case ATTRIBUTE_GRAPH:
        key->nameless = true;
    }
}

static void append_node(struct key *key, const struct node *node)
{
    append(key, &node->op, sizeof node->op);
    append_number(key, (uint64_t)node->version);
    append_number(key, (uint64_t)node->attribute_count);
    for (int i = 0; i < node->attribute_count; i++)
        append_attribute(key, &node->attributes[i]);
    append_operands(key, node->inputs, node->input_count, true);
    append_operands(key, node->outputs, node->output_count, false);
}

/* Parameters of other families may point to tables. */
static void append_step(struct key *key, const struct step *step)
{
    key->nameless = step->family != FAMILY_copy && step->family != FAMILY_pointwise;
    append_number(key, step->family);
    append_counted(key, step->params, step->params_bytes);
    append_operands(key, step->inputs, step->input_count, true);
    append_operands(key, step->outputs, step->output_count, false);
}

/* --- the store ------------------------------------------------------------------------------------------- */

enum key_kind { KEY_NODE, KEY_STEP, KEY_PACK, KEY_CONSTANT, KEY_OWN };

/* Calls `use` with the key that `name` appends, in memory for as long as that lasts; not at all, where the key would be
 * too long, or holds what no name lasts for. */
struct use {
    void (*name)(struct key *key, const void *what);
    enum status (*use)(struct derived *derived, const struct key *key, void *user, struct error *error);
    const void *what;
    void *user;
};

static enum status with_key(struct derived *derived, const struct use *use, struct error *error)
{
    const struct allocator *allocator = derived->holder.region->allocator;
    char few[1024];
    struct key key = {.derived = derived, .bytes = few, .capacity = sizeof few};
    use->name(&key, use->what);
    if (key.nameless || key.used > LONGEST_KEY)
        return STATUS_OK;
    if (key.used <= sizeof few)
        return use->use(derived, &key, use->user, error);
    struct key longer = {.derived = derived, .bytes = allocate(allocator, key.used, 1), .capacity = key.used};
    if (!longer.bytes)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the key of a constant");
    use->name(&longer, use->what);
    enum status status = use->use(derived, &longer, use->user, error);
    release(allocator, longer.bytes, longer.capacity);
    return status;
}

/* --- results --------------------------------------------------------------------------------------------- */

/* A kernel for another CPU may round elsewhere. */
static void append_derivation(struct key *key, const void *what)
{
    const struct derivation *derivation = what;
    append_number(key, derivation->step ? KEY_STEP : KEY_NODE);
    append_number(key, derivation->facts->cpu);
    append(key, &derivation->facts->kernels, sizeof derivation->facts->kernels);
    if (derivation->step)
        append_step(key, derivation->step);
    else
        append_node(key, derivation->node);
}

struct wanted_result {
    const struct derivation *derivation;
    const void **results;
    size_t *made;
};

static enum status make_result(void *user, void *data, struct error *error)
{
    const struct derivation *derivation = user;
    return derivation->make(derivation->user, data, error);
}

static enum status get_result(struct derived *derived, const struct key *key, void *user, struct error *error)
{
    const struct wanted_result *wanted = user;
    const struct derivation *derivation = wanted->derivation;
    const struct weight *entry;
    size_t held = derived->holder.bytes;
    TRY(weights_get(&derived->holder, key->bytes, key->used, derivation->bytes, derivation->limit, make_result,
                    (void *)(uintptr_t)derivation, &entry, error));
    *wanted->made += derived->holder.bytes - held;
    *wanted->results = entry->data;
    return STATUS_OK;
}

static enum status obtain(struct result_store *store, const struct derivation *derivation, const void **results,
                          size_t *made, struct error *error)
{
    struct derived *derived = (struct derived *)store; /* its first field */
    struct wanted_result wanted = {derivation, results, made};
    struct use use = {append_derivation, get_result, derivation, &wanted};
    *results = NULL;
    return derivation->bytes < STORED_LEAST ? STATUS_OK : with_key(derived, &use, error);
}

/* --- packs ----------------------------------------------------------------------------------------------- */

struct wanted_pack {
    const struct pack_threads *threads;
    const struct step *step;
    int which;
    size_t limit;
    const void **pack;
};

static const struct kernel_pack *pack_of(const struct wanted_pack *wanted)
{
    return &wanted->step->plan->packs[wanted->which];
}

static void append_pack(struct key *key, const void *what)
{
    const struct wanted_pack *wanted = what;
    const struct kernel_pack *pack = pack_of(wanted);
    const struct value *input = wanted->step->inputs[pack->input];
    append_number(key, KEY_PACK);
    append_number(key, wanted->step->family);
    append_number(key, pack->form);
    append_number(key, pack->bytes);
    append(key, pack->geometry, sizeof pack->geometry);
    append_shape(key, input);
    append_content(key, input);
}

static const char *pack_source(const struct wanted_pack *wanted)
{
    size_t offset;
    const struct value *root = value_root(wanted->step->inputs[pack_of(wanted)->input], &offset);
    return (const char *)root->data + offset;
}

struct packing {
    const struct wanted_pack *wanted;
    const char *source;
    void *data;
};

static void pack_tasks(void *user, int first, int last, int lane)
{
    const struct packing *packing = user;
    const struct step *step = packing->wanted->step;
    (void)lane;
    for (int task = first; task < last; task++)
        step->kernel->pack(step->plan, packing->wanted->which, packing->source, packing->data, task);
}

static enum status make_pack(void *user, void *data, struct error *error)
{
    const struct wanted_pack *wanted = user;
    struct packing packing = {wanted, pack_source(wanted), data};
    int tasks = pack_of(wanted)->tasks;
    (void)error;
    if (tasks > 1 && wanted->threads->run)
        wanted->threads->run(wanted->threads->user, tasks, pack_tasks, &packing);
    else
        pack_tasks(&packing, 0, tasks, 0);
    return STATUS_OK;
}

static enum status get_pack(struct derived *derived, const struct key *key, void *user, struct error *error)
{
    const struct wanted_pack *wanted = user;
    const struct weight *entry;
    TRY(weights_get(&derived->holder, key->bytes, key->used, pack_of(wanted)->bytes, wanted->limit, make_pack,
                    (void *)(uintptr_t)wanted, &entry, error));
    *wanted->pack = entry->data;
    return STATUS_OK;
}

/* Of what lies in the file as it is: *pack NULL: it does not, or no pack of it is stored. */
static enum status find_stored(const struct derived *derived, const struct wanted_pack *wanted,
                               struct stored_wanted *stored, const void **pack, struct error *error)
{
    const struct value *input = wanted->step->inputs[pack_of(wanted)->input];
    *stored = (struct stored_wanted){wanted->step->family, pack_of(wanted), input, pack_source(wanted)};
    if (input->strides || !in_file(derived, stored->source, value_bytes(input)))
        stored->source = NULL;
    return derived->stored && stored->source ? stored_packs_find(derived->stored, stored, pack, error) : STATUS_OK;
}

enum status derived_pack(struct derived *derived, const struct step *step, int which, size_t limit,
                         struct region *region, size_t *own, const void **pack, struct error *error)
{
    struct wanted_pack wanted = {&derived->threads, step, which, limit, pack};
    struct stored_wanted stored;
    struct use use = {append_pack, get_pack, &wanted, &wanted};
    size_t bytes = step->plan->packs[which].bytes;
    *pack = NULL;
    TRY(find_stored(derived, &wanted, &stored, pack, error));
    if (!*pack && derived->stored)
        TRY(stored_check_source(derived->stored, pack_source(&wanted), error));
    if (!*pack)
        TRY(with_key(derived, &use, error));
    if (*pack && derived->observer && stored.source)
        derived->observer->packed(derived->observer->user, &stored, *pack);
    if (*pack)
        return STATUS_OK;
    if (bytes > limit)
        return error_set(error, STATUS_MEMORY_LIMIT,
                         "node '%s' (%s): packing a constant takes %zu bytes, past the limit, which leaves %zu",
                         step->node->name, step->node->op->name, bytes, limit);
    void *memory = region_buffer(region, bytes);
    if (!memory)
        return error_set(error, STATUS_OUT_OF_MEMORY, "node '%s' (%s): out of memory for packing a constant",
                         step->node->name, step->node->op->name);
    *own += bytes;
    *pack = memory;
    return make_pack(&wanted, memory, error);
}

/* --- on a device ----------------------------------------------------------------------------------------- */

struct wanted_upload {
    struct derived *derived;
    struct upload *upload;
    struct wanted_pack pack; /* step NULL: the constant as it is */
    const struct value *constant;
    size_t bytes;
    const void **address;
};

static void append_upload(struct key *key, const void *what)
{
    const struct wanted_upload *wanted = what;
    if (wanted->pack.step) {
        append_pack(key, &wanted->pack);
        return;
    }
    append_number(key, KEY_CONSTANT);
    append_number(key, wanted->bytes);
    append_content(key, wanted->constant);
}

static enum status make_upload(void *user, void *data, struct error *error)
{
    const struct wanted_upload *wanted = user;
    const struct upload *upload = wanted->upload;
    const struct stored_packs *stored = wanted->derived->stored;
    if (stored)
        TRY(stored_check_source(stored, wanted->pack.step ? pack_source(&wanted->pack) : wanted->constant->data,
                                error));
    if (!wanted->pack.step)
        return upload->copy(upload->user, data, wanted->constant->data, wanted->bytes, error);
    const struct allocator *allocator = wanted->derived->holder.region->allocator;
    void *packed = allocate(allocator, wanted->bytes, ALIGNMENT);
    if (!packed)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for packing a constant");
    enum status status = make_pack((void *)(uintptr_t)&wanted->pack, packed, error);
    if (status == STATUS_OK)
        status = upload->copy(upload->user, data, packed, wanted->bytes, error);
    release(allocator, packed, wanted->bytes);
    return status;
}

static enum status get_upload(struct derived *derived, const struct key *key, void *user, struct error *error)
{
    const struct wanted_upload *wanted = user;
    const struct weight *entry;
    (void)derived;
    TRY(weights_get(wanted->upload->holder, key->bytes, key->used, wanted->bytes, SIZE_MAX, make_upload, user, &entry,
                    error));
    *wanted->address = entry->data;
    return STATUS_OK;
}

static enum status upload(struct wanted_upload *wanted, struct error *error)
{
    struct use use = {append_upload, get_upload, wanted, wanted};
    *wanted->address = NULL;
    TRY(with_key(wanted->derived, &use, error));
    if (*wanted->address)
        return STATUS_OK;
    uint64_t own[] = {KEY_OWN, (uintptr_t)wanted->upload->owner, (*wanted->upload->unnamed)++};
    const struct key key = {.bytes = (char *)own, .used = sizeof own};
    return get_upload(wanted->derived, &key, wanted, error);
}

enum status derived_upload_pack(struct derived *derived, struct upload *into, const struct step *step, int which,
                                const void **address, struct error *error)
{
    struct wanted_upload wanted = {.derived = derived,
                                   .upload = into,
                                   .pack = {.threads = &derived->threads, .step = step, .which = which},
                                   .bytes = step->plan->packs[which].bytes,
                                   .address = address};
    return upload(&wanted, error);
}

enum status derived_upload(struct derived *derived, struct upload *into, const struct value *constant,
                           const void **address, struct error *error)
{
    struct wanted_upload wanted = {
        .derived = derived, .upload = into, .constant = constant, .bytes = value_bytes(constant), .address = address};
    return upload(&wanted, error);
}

/* --- holders --------------------------------------------------------------------------------------------- */

void derived_init(struct derived *derived, struct weights *weights, struct weight_account *account, const void *file,
                  size_t file_bytes, struct region *session)
{
    *derived = (struct derived){.store = {obtain}, .file = file, .file_bytes = file_bytes, .session = session};
    weight_holder_init(&derived->holder, weights, NULL, account, session);
}

void derived_init_within(struct derived *derived, const struct derived *outer, struct region *region)
{
    *derived = *outer;
    weight_holder_init(&derived->holder, outer->holder.weights, &outer->holder, NULL, region);
}

/* --- what is read ---------------------------------------------------------------------------------------- */

unsigned char *derived_marks(const struct derived *derived, struct region *region)
{
    return region_allocate(region, (size_t)derived->holder.count);
}

void derived_mark_pack(const struct derived *derived, unsigned char *marks, const void *pack)
{
    int index = weight_holder_index(&derived->holder, pack);
    if (index >= 0)
        marks[index] = 1;
}

void derived_mark(const struct derived *derived, unsigned char *marks, const struct value *value)
{
    const struct value *root = value ? value_root((struct value *)(uintptr_t)value, NULL) : NULL;
    if (root && root->data)
        derived_mark_pack(derived, marks, root->data);
}

void derived_keep_marked(struct derived *derived, const unsigned char *marks, const struct graph *graph)
{
    for (int i = 0; i < graph->value_count; i++) {
        struct value *value = graph->values[i];
        int index = value->data ? weight_holder_index(&derived->holder, value->data) : -1;
        if (index < 0 || marks[index])
            continue;
        value->data = NULL;
        value->bytes = 0;
    }
    weight_holder_keep(&derived->holder, marks);
}
