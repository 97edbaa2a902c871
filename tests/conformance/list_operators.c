/* Prints docs/operators.md: every operator with its attributes, as the importer and the operators themselves have them.
 */
#include "graph/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_list(const struct op_attribute *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->kind == ATTRIBUTE_INTS)
            printf("%s%" PRId64, i ? ", " : "", list->ints[i]);
        else
            printf("%s%s", i ? ", " : "", list->strings[i]);
}

static void print_default(const struct op_attribute *row)
{
    if (row->kind == ATTRIBUTE_INT)
        printf("%" PRId64, row->i);
    else if (row->kind == ATTRIBUTE_FLOAT)
        printf("%.9g", (double)row->f);
    else if (row->kind == ATTRIBUTE_STRING)
        printf("%s", row->string);
    else
        print_list(row);
}

static void print_opsets(const struct op_attribute *row)
{
    if (row->until < OPSET_END)
        printf("%d to %d", row->since, row->until - 1);
    else
        printf(row->since > 1 ? "from %d" : "all", row->since);
}

static void print_row(const struct op *op, const struct op_attribute *row)
{
    static const char *const presence[] = {[ATTRIBUTE_OPTIONAL] = "optional", [ATTRIBUTE_REQUIRED] = "required"};
    printf("| %s%s%s | %s | %s | ", op->domain, *op->domain ? "." : "", op->name, row->name,
           attribute_kind_name((int)row->kind));
    print_opsets(row);
    fputs(" | ", stdout);
    if (row->presence == ATTRIBUTE_DEFAULT)
        print_default(row);
    else
        fputs(presence[row->presence], stdout);
    fputs(" |\n", stdout);
}

int main(void)
{
    puts("# Operators\n\n"
         "Every operator that runs here, with its attributes: their types, the opsets of the operator's domain that "
         "have "
         "them,\nand what they are where a node leaves them out. Made by `make operators` from `graph/ops.def`. Opsets "
         "before the\noperator's own count as its first.\n\n"
         "| operator | attribute | type | opsets | default |\n|---|---|---|---|---|");
    for (size_t i = 0; op_at(i); i++) {
        const struct op *op = op_at(i);
        if (op->first_attribute == op->attributes_end)
            printf("| %s%s%s | | | | |\n", op->domain, *op->domain ? "." : "", op->name);
        for (const struct op_attribute *row = op_first_attribute(op); row < op_attributes_end(op); row++)
            print_row(op, row);
    }
    return 0;
}
