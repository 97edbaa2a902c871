#include "tests/kernels/harness.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t number_of(const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*text && !*end && value >= 0)
        return value;
    fprintf(stderr, "check-kernels: '%s' is no number\n", text);
    exit(2);
}

bool harness_option(struct harness *harness, int option, const char *text)
{
    switch (option) {
    case 'f':
        harness->filter = text;
        return true;
    case 's':
        harness->seed = (uint64_t)number_of(text);
        return true;
    case 'n':
        harness->problems = (int)number_of(text);
        return true;
    case 'o':
        harness->only = number_of(text);
        return true;
    default:
        return false;
    }
}

int harness_finish(const struct harness *harness)
{
    printf("seed %llu\n%lld passed, %lld failed\n", (unsigned long long)harness->seed, (long long)harness->passed,
           (long long)harness->failed);
    return harness->failed != 0;
}
