/* Sessions on a device, in a build without one: build/check-device, made beside build/check, is the same runtime with
 * an emulated device and reference kernels that stand in for its own. */
#include "kernels/kernel.h"
#include "tests/suites.h"

#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

START_TEST(the_runtime_passes_its_tests_with_a_device)
{
    char program[4096] = "";
    ck_assert_int_gt(readlink("/proc/self/exe", program, sizeof program - sizeof "-device"), 0);
    strcat(program, "-device");
    pid_t child;
    int status = -1;
    ck_assert_msg(posix_spawn(&child, program, NULL, NULL, (char *[]){program, NULL}, environ) == 0, "cannot run '%s'",
                  program);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "'%s' fails: what it says is above", program);
}
END_TEST

Suite *device_suite(void)
{
    Suite *suite = suite_create("device");
    TCase *tests = tcase_create("device");
    tcase_set_timeout(tests, 60);
    if (!DEVICE_BUILT) /* a build with one makes check-cuda-runtime, or has a GPU */
        tcase_add_test(tests, the_runtime_passes_its_tests_with_a_device);
    suite_add_tcase(suite, tests);
    return suite;
}
