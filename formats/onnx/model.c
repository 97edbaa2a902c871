/* What holds for a whole model: the versions of its operators, the functions it defines, what it asks for in vain. */
#include "formats/onnx/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *onnx_domain(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

enum status onnx_read_opsets(struct import *im, size_t count, Onnx__Opset *const *opsets, struct name_map *map)
{
    map->region = &im->scratch;
    for (size_t i = 0; i < count; i++) {
        const char *domain = onnx_domain(opsets[i]->domain);
        int64_t version = opsets[i]->version;
        if (version < 0 || version >= INT16_MAX)
            return error_set(im->error, STATUS_INVALID_MODEL, "opset version %lld of domain '%s' makes no sense",
                             (long long)version, domain);
        if (!*domain && version > NEWEST_OPSET)
            return error_set(im->error, STATUS_UNSUPPORTED,
                             "the model uses opset %lld; the newest that is supported is %d", (long long)version,
                             NEWEST_OPSET);
        bool added;
        void **slot = name_map_add(map, domain, &added);
        if (!slot)
            return onnx_no_memory(im);
        if (!*slot || ((Onnx__Opset *)*slot)->version < version)
            *slot = opsets[i];
    }
    return STATUS_OK;
}

static int version_in(const struct name_map *map, const char *domain)
{
    void **slot = name_map_find(map, domain);
    const Onnx__Opset *opset = slot ? *slot : NULL;
    return opset ? (int)opset->version : 0;
}

int onnx_opset_version(const struct scope *s, const char *domain)
{
    int version = version_in(s->opsets, domain);
    if (version == 0) /* a function that does not say goes by the model */
        version = version_in(&s->import->opsets, domain);
    bool of_onnx = !*domain || strncmp(domain, "ai.onnx", strlen("ai.onnx")) == 0;
    return version || of_onnx ? version : 1;
}

/* A function is known by three names; their lengths keep them apart. */
static char *function_key(struct import *im, const char *domain, const char *name, const char *overload)
{
    return region_format(&im->scratch, "%zu\n%s%zu\n%s%s", strlen(domain), domain, strlen(name), name, overload);
}

enum status onnx_read_functions(struct import *im, const Onnx__Model *model)
{
    for (size_t i = 0; i < model->n_functions; i++) {
        const Onnx__Function *message = model->functions[i];
        const char *key = function_key(im, onnx_domain(message->domain), text(message->name), text(message->overload));
        struct function *function = region_allocate(&im->scratch, sizeof *function);
        bool added;
        void **slot = key ? name_map_add(&im->functions, key, &added) : NULL;
        if (!slot || !function)
            return onnx_no_memory(im);
        if (!added)
            return error_set(im->error, STATUS_INVALID_MODEL, "function '%s' is defined twice", text(message->name));
        function->message = message;
        if (onnx_read_opsets(im, message->n_opsets, message->opsets, &function->opsets) != STATUS_OK)
            return error_prefix(im->error, "function '%s'", text(message->name));
        *slot = function;
    }
    return STATUS_OK;
}

enum status onnx_find_function(struct import *im, const Onnx__Node *node, const struct function **function)
{
    *function = NULL;
    if (!im->functions.root)
        return STATUS_OK;
    const char *key = function_key(im, onnx_domain(node->domain), text(node->op_type), text(node->overload));
    if (!key)
        return onnx_no_memory(im);
    void **slot = name_map_find(&im->functions, key);
    *function = slot ? *slot : NULL;
    return STATUS_OK;
}

/* --- operators that nothing here runs ----------------------------------------------------------------------------- */

static struct unsupported *find_unsupported(struct import *im, const char *name)
{
    bool added;
    void **slot = name_map_add(&im->unsupported_names, name, &added);
    if (!slot)
        return NULL;
    if (!added)
        return *slot;
    struct unsupported *made = region_allocate(&im->scratch, sizeof *made);
    if (!made)
        return NULL;
    made->name = name;
    made->nodes_end = &made->nodes;
    *im->unsupported_end = made;
    im->unsupported_end = &made->next;
    return *slot = made;
}

enum status onnx_note_unsupported(struct import *im, const char *domain, const char *op, const char *node_name)
{
    const char *name = region_format(&im->scratch, "%s%s%s", domain, *domain ? "." : "", op);
    struct unsupported *list = name ? find_unsupported(im, name) : NULL;
    struct unsupported_node *node = region_allocate(&im->scratch, sizeof *node);
    if (!list || !node)
        return onnx_no_memory(im);
    node->name = node_name;
    *list->nodes_end = node;
    list->nodes_end = &node->next;
    return STATUS_OK;
}

struct sentence {
    char text[sizeof((struct error *)0)->text];
    size_t used;
};

static void add_text(struct sentence *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_text(struct sentence *sentence, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (sentence->used < sizeof sentence->text) {
        int length =
            vsnprintf(sentence->text + sentence->used, sizeof sentence->text - sentence->used, format, arguments);
        sentence->used += length > 0 ? (size_t)length : 0;
    }
    va_end(arguments);
}

/* "Foo (node 'a' and 12 more)" */
static void describe(struct sentence *sentence, const struct unsupported *op)
{
    size_t others = 0;
    for (const struct unsupported_node *node = op->nodes->next; node; node = node->next)
        others++;
    add_text(sentence, "%s (node '%.40s'", op->name, op->nodes->name);
    if (others)
        add_text(sentence, " and %zu more", others);
    add_text(sentence, ")");
}

enum status onnx_report_unsupported(struct import *im)
{
    size_t count = 0;
    struct sentence sentence = {.used = 0};
    for (const struct unsupported *op = im->unsupported; op; op = op->next) {
        add_text(&sentence, count++ ? ", " : " ");
        describe(&sentence, op);
        for (const struct unsupported_node *node = op->nodes; node && im->options->unsupported; node = node->next)
            im->options->unsupported(im->options->user, op->name, node->name);
    }
    if (count == 0)
        return STATUS_OK;
    return error_set(im->error, STATUS_UNSUPPORTED, "%zu operator%s not supported:%s", count,
                     count > 1 ? "s are" : " is", sentence.text);
}
