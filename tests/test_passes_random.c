/* The passes over random small graphs: what they make of a graph gives the results of the graph. */
#include "tests/random_graph_runs.h"
#include "tests/suites.h"

#include <stdio.h>

#define GRAPHS 3000
#define DAMAGED 3000
#define BATCHES 20 /* so that no test takes long */

START_TEST(random_graphs_give_the_same_with_passes)
{
    for (int i = _i; i < GRAPHS; i += BATCHES) {
        struct dice dice = {.state = (uint64_t)i};
        struct random_graph random;
        char text[600];
        if (i % 2)
            random_graph_make_wider(&random, &dice);
        else
            random_graph_make(&random, &dice);
        const char *difference = random_graph_compare(&random, text, sizeof text);
        ck_assert_msg(*difference == '\0', "graph %d: %s", i, difference);
        random_graph_free(&random);
    }
}
END_TEST

/* No pass meets a node that its operator would not have: it is refused before, or harmless. */
START_TEST(damaged_graphs_end)
{
    for (int i = _i; i < DAMAGED; i += BATCHES) {
        struct dice dice = {.state = 1000000 + (uint64_t)i};
        struct random_graph random;
        char text[600];
        random_graph_make_wider(&random, &dice);
        random_graph_damage(&random, &dice);
        const char *difference = random_graph_compare(&random, text, sizeof text);
        ck_assert_msg(*difference == '\0', "graph %d: %s", i, difference);
        random_graph_free(&random);
    }
}
END_TEST

Suite *passes_random_suite(void)
{
    Suite *suite = suite_create("passes_random");
    TCase *tests = tcase_create("random graphs");
    tcase_add_loop_test(tests, random_graphs_give_the_same_with_passes, 0, BATCHES);
    tcase_add_loop_test(tests, damaged_graphs_end, 0, BATCHES);
    suite_add_tcase(suite, tests);
    return suite;
}
