/* Random small graphs, every other one damaged, run with passes and without. */
#include "tests/random_graph_runs.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dice dice = {.at = data, .end = data + size, .state = size};
    struct random_graph random;
    char text[600];
    bool damaged = roll(&dice, 2) != 0;
    random_graph_make_wider(&random, &dice);
    if (damaged)
        random_graph_damage(&random, &dice);
    const char *difference = random_graph_compare(&random, text, sizeof text);
    if (*difference) {
        fprintf(stderr, "%s\n", difference);
        abort();
    }
    random_graph_free(&random);
    return 0;
}
