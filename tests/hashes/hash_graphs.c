/* hash_graphs FIRST COUNT: the hashes of all outputs of the random graphs whose seeds are FIRST and up, run in each
 * way. tests/output_hashes.py says what they are for. */
#include "tests/random_graph_runs.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "Usage: hash_graphs FIRST COUNT\n");
        return 2;
    }
    unsigned long long first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
    for (unsigned long long seed = first; seed < first + count; seed++) {
        struct dice dice = {.state = seed};
        struct random_graph random;
        char label[40];
        snprintf(label, sizeof label, "graph/%06llu", seed);
        random_graph_make(&random, &dice);
        bool done = random_graph_hash(&random, label, stdout);
        random_graph_free(&random);
        if (!done) {
            fprintf(stderr, "hash_graphs: %s makes no model\n", label);
            return 1;
        }
    }
    return 0;
}
