/* MaxUnpool's indices, where they come from a MaxPool of the same graph: see MAX_UNPOOL_POSITIONS. */
#include "formats/onnx/import.h"

#include <string.h>

static bool is_called(const struct op *op, const char *name)
{
    return !*op->domain && strcmp(op->name, name) == 0;
}

/* Positions stay positions: PyTorch's exporter takes off where each image begins. */
static bool hands_on(const struct op *op)
{
    static const char *const names[] = {"Identity", "Cast",    "Reshape",   "Squeeze", "Unsqueeze",
                                        "Flatten",  "Dropout", "Transpose", "Add",     "Sub"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_called(op, names[i]))
            return true;
    return false;
}

static bool are_positions(const struct scope *s, const struct operands *inputs, int i)
{
    return i < inputs->count && inputs->values[i] && name_map_has(&s->place->positions, inputs->values[i]->name);
}

enum status onnx_note_positions(struct scope *s, const struct op *op, const struct operands *inputs,
                                const struct operands *outputs, struct attribute *list, int *count)
{
    int made = is_called(op, "MaxPool") ? 1 : hands_on(op) && are_positions(s, inputs, 0) ? 0 : -1;
    bool added;
    if (is_called(op, "MaxUnpool") && are_positions(s, inputs, 1))
        list[(*count)++] = ATTRIBUTE_I(MAX_UNPOOL_POSITIONS, 1);
    if (made < 0 || made >= outputs->count || !outputs->values[made])
        return STATUS_OK;
    return name_map_add(&s->place->positions, outputs->values[made]->name, &added) ? STATUS_OK
                                                                                   : onnx_no_memory(s->import);
}
