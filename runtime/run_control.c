#include "runtime/run_control.h"

#include "graph/op.h"
#include "runtime/clock.h"

#include <math.h>

enum status run_limits_check(const infer_run_limits *limits, struct error *error)
{
    if (isnan(limits->seconds) || limits->seconds < 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "a run is given %g seconds; it can be 0 (no limit) or more",
                         limits->seconds);
    return STATUS_OK;
}

void run_control_begin(struct run_control *control)
{
    double seconds = control->limits.seconds;
    atomic_store_explicit(&control->stops, false, memory_order_relaxed);
    control->deadline = seconds > 0 ? clock_after(clock_now(), seconds) : NEVER;
    control->multiply_adds = 0;
    control->loop_turns = 0;
}

void run_control_end(struct run_control *control)
{
    atomic_store(&control->cancelled, false);
}

static bool is_late(const struct run_control *control)
{
    return control->deadline != NEVER && clock_now() >= control->deadline;
}

static enum status check(const struct run_control *control, const struct step *step, struct error *error)
{
    if (atomic_load_explicit(&control->cancelled, memory_order_relaxed))
        return error_set(error, STATUS_CANCELLED, "the run was cancelled at node '%s' (%s)", step->node->name,
                         step->node->op->name);
    if (is_late(control))
        return error_set(error, STATUS_DEADLINE, "the run was given %g s, which ended at node '%s' (%s)",
                         control->limits.seconds, step->node->name, step->node->op->name);
    return STATUS_OK;
}

enum status run_control_making(void *user, struct error *error)
{
    const struct run_control *control = user;
    if (atomic_load_explicit(&control->cancelled, memory_order_relaxed))
        return error_set(error, STATUS_CANCELLED, "the run was cancelled while its program was made");
    if (!control->prepares && is_late(control))
        return error_set(error, STATUS_DEADLINE, "the run was given %g s, which ended while its program was made",
                         control->limits.seconds);
    return STATUS_OK;
}

/* `what` spends it: "node" or "a turn of node". */
static enum status spend(struct run_control *control, double work, const char *what, const struct step *step,
                         struct error *error)
{
    control->multiply_adds += work;
    if (control->multiply_adds <= (double)control->limits.multiply_adds)
        return STATUS_OK;
    return error_set(error, STATUS_WORK_LIMIT, "with %s '%s' (%s) the run comes to %.3g multiply-adds; its limit is %s",
                     what, step->node->name, step->node->op->name, control->multiply_adds,
                     grouped(control->limits.multiply_adds).text);
}

enum status run_control_before(struct run_control *control, const struct step *step, struct error *error)
{
    TRY(check(control, step, error));
    if (!control->limits.multiply_adds || step->control)
        return STATUS_OK;
    return spend(control, kernel_work(step->family, step->params), "node", step, error);
}

enum status run_control_after(struct run_control *control, const struct step *step, struct error *error)
{
    return atomic_load_explicit(&control->stops, memory_order_relaxed) ? check(control, step, error) : STATUS_OK;
}

enum status run_control_caught_up(const struct run_control *control, const struct step *step, struct error *error)
{
    return check(control, step, error);
}

enum status run_control_turn(struct run_control *control, const struct step *step, struct error *error)
{
    TRY(check(control, step, error));
    if (control->limits.multiply_adds) /* its body may have no step */
        TRY(spend(control, 1, "a turn of node", step, error));
    if (!control->limits.loop_turns || ++control->loop_turns <= control->limits.loop_turns)
        return STATUS_OK;
    return error_set(error, STATUS_WORK_LIMIT, "node '%s' (%s) passes the run's limit of %s loop turns",
                     step->node->name, step->node->op->name, grouped(control->limits.loop_turns).text);
}

bool run_control_ends(void *user)
{
    struct run_control *control = user;
    if (atomic_load_explicit(&control->stops, memory_order_relaxed))
        return true;
    if (!atomic_load_explicit(&control->cancelled, memory_order_relaxed) && !is_late(control))
        return false;
    atomic_store_explicit(&control->stops, true, memory_order_relaxed);
    return true;
}
