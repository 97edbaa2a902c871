#include "tools/contest.h"

#include <time.h>

#define MOST_ROUNDS 41
#define LEAST_ROUNDS 5
#define SECONDS_A_TURN 100e-6 /* at least, for the clock */
#define HOPELESS 4            /* times as slow as the fastest */

bool contest_add(struct contest *contest, const struct kernel *kernel, const struct problem *problem,
                 const struct kernel_facts *facts, struct operands *operands, struct region *region)
{
    struct contestant *next = &contest->contestants[contest->count++];
    return prepare(kernel, problem, facts, operands, region, &next->prepared);
}

bool contest_add_all(struct contest *contest, const struct problem *problem, const struct kernel_facts *facts,
                     struct operands *operands, struct region *region)
{
    const struct kernel *kernel;
    for (size_t i = 0; (kernel = kernel_at(i)) && contest->count < MOST_CONTESTANTS; i++)
        if (kernel_fits(kernel, problem->family, problem->params, facts) &&
            !contest_add(contest, kernel, problem, facts, operands, region))
            return false;
    return true;
}

/* Of this thread. */
static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds_of(struct contestant *contestant, int calls)
{
    double start = thread_seconds();
    for (int i = 0; i < calls; i++)
        prepared_run(&contestant->prepared);
    return (thread_seconds() - start) / calls;
}

static double median(double *numbers, int count)
{
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && numbers[k] < numbers[k - 1]; k--) {
            double larger = numbers[k - 1];
            numbers[k - 1] = numbers[k];
            numbers[k] = larger;
        }
    return numbers[count / 2];
}

/* Two calls each, the first of which finds nothing in the caches. */
static double first_seconds(struct contest *contest)
{
    double least = 1e30, most = 0;
    for (int c = 0; c < contest->count; c++) {
        struct contestant *contestant = &contest->contestants[c];
        prepared_run(&contestant->prepared);
        contestant->seconds = seconds_of(contestant, 1);
        least = contestant->seconds < least ? contestant->seconds : least;
    }
    for (int c = 0; c < contest->count; c++) {
        struct contestant *contestant = &contest->contestants[c];
        contestant->out = c > 0 && contestant->seconds > HOPELESS * least + 5e-6;
        contestant->ratio = contestant->seconds / contest->contestants[0].seconds;
        most = !contestant->out && contestant->seconds > most ? contestant->seconds : most;
    }
    return most;
}

static bool has_fault(const struct contest *contest)
{
    for (int c = 0; c < contest->count; c++)
        if (contest->contestants[c].prepared.fault.set)
            return true;
    return false;
}

bool contest_time(struct contest *contest, double budget)
{
    static double seconds[MOST_CONTESTANTS][MOST_ROUNDS], ratios[MOST_ROUNDS];
    double once = first_seconds(contest);
    if (has_fault(contest))
        return false;
    int calls = once > SECONDS_A_TURN ? 1 : (int)(SECONDS_A_TURN / (once + 1e-9)) + 1;
    int rounds = (int)(budget / (once * calls + 1e-9));
    rounds = rounds < LEAST_ROUNDS ? LEAST_ROUNDS : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    for (int r = 0; r < rounds; r++)
        for (int c = 0; c < contest->count; c++)
            if (!contest->contestants[c].out)
                seconds[c][r] = seconds_of(&contest->contestants[c], calls);
    for (int c = contest->count - 1; c >= 0; c--) { /* the first last: its times are needed in their order */
        struct contestant *contestant = &contest->contestants[c];
        if (contestant->out)
            continue;
        for (int r = 0; r < rounds; r++)
            ratios[r] = seconds[c][r] / seconds[0][r];
        contestant->ratio = median(ratios, rounds);
        contestant->seconds = median(seconds[c], rounds);
    }
    return true;
}

int contest_winner(const struct contest *contest, double margin)
{
    int winner = 0;
    for (int c = 1; c < contest->count; c++)
        if (contest->contestants[c].ratio * (winner ? 1 : margin) < contest->contestants[winner].ratio)
            winner = c;
    return winner;
}
