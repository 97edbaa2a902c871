/* Random networks over tall images, which may be made in strips of rows. */
#ifndef INFER_TESTS_TALL_NET_H
#define INFER_TESTS_TALL_NET_H

#include "tests/pass_test.h"
#include "tests/random_graph.h"

#define NET_MOST_VALUES 24

/* Tall, so that rows at the seams are few; narrow, so that runs are quick. */
struct net {
    struct rig rig;
    struct dice dice;
    struct value *values[NET_MOST_VALUES];
    bool read[NET_MOST_VALUES];
    int count;
};

/* Network `number`: its rig has an input and one or two outputs. */
void draw_net(struct net *net, uint64_t number);

#endif
