#include "runtime/cores.h"
#include "tests/suites.h"

#include <check.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/infer-cores-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static int quota(const char *list)
{
    char path[128];
    put("list", list);
    snprintf(path, sizeof path, "%s/list", folder);
    return quota_cores(path, folder);
}

START_TEST(quotas_of_version_2_are_found)
{
    ck_assert_int_eq(quota("0::/a/b\n"), INT_MAX);
    put("a/b/cpu.max", "max 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), INT_MAX);
    put("a/b/cpu.max", "150000 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), 2);
    ck_assert_int_eq(quota("0::/a\n"), INT_MAX);
    put("a/cpu.max", "100000 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), 1);
    put("cpu.max", "50000 100000\n");
    ck_assert_int_eq(quota("0::/\n"), 1);
    ck_assert_int_eq(quota("0::/../outside\n"), 1);
    put("cpu.max", "nonsense\n");
    ck_assert_int_eq(quota("0::/\n"), INT_MAX);
    put("cpu.max", "1 0\n");
    ck_assert_int_eq(quota("0::/\n"), INT_MAX);
}
END_TEST

START_TEST(quotas_of_version_1_are_found)
{
    static const char list[] = "5:memory:/m\n4:cpu,cpuacct:/a\n3:cpuset:/s\n";
    put("cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("cpuset/s/cpu.cfs_quota_us", "100000\n");
    put("cpuset/s/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(list), INT_MAX);
    put("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    ck_assert_int_eq(quota(list), 3);
    put("cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(list), 2);
    ck_assert_int_eq(quota("4:cpuacct,cpu:/a\n"), INT_MAX);
    ck_assert_int_eq(quota("nonsense\n:\n::\n"), INT_MAX);
    ck_assert_int_eq(quota(""), INT_MAX);
}
END_TEST

START_TEST(affinity_is_respected)
{
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_ge(usable_cores(), 1);
    ck_assert_int_le(usable_cores(), CPU_COUNT(&all));
    size_t core = 0;
    while (!CPU_ISSET(core, &all))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(usable_cores(), 1);
}
END_TEST

Suite *cores_suite(void)
{
    Suite *suite = suite_create("cores");
    TCase *tests = tcase_create("cores");
    tcase_set_timeout(tests, 30);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, quotas_of_version_2_are_found);
    tcase_add_test(tests, quotas_of_version_1_are_found);
    tcase_add_test(tests, affinity_is_respected);
    suite_add_tcase(suite, tests);
    return suite;
}
