/* Adding up what back ends measured, and the two tables. */
#include "base/memory.h"
#include "profile.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(ex_profile *p, const char *name, size_t calls, double each)
{
    ex_profile_row row = {.name = name};
    for (size_t i = 0; i < calls; i++)
        ex_profile_count(&row, each);
    ex_profile_add(p, &row);
}

static void test_calls_of_one_name_add_up(void **state)
{
    (void)state;
    ex_profile *p;
    ex_profile_row *rows;
    size_t count;
    char name[] = "gemm";
    assert_ok(ex_profile_create(&p));
    add(p, name, 2, 0.5);
    name[0] = 'G'; /* the profile keeps its own copy */
    add(p, "gemm", 1, 0.25);
    add(p, "gemm", 1, 2.0);
    add(p, "copy", 1, 8.0);
    add(p, "never", 0, 1.0);
    assert_ok(ex_profile_rows(p, &rows, &count));
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].name, "copy"); /* by falling total */
    assert_string_equal(rows[1].name, "gemm");
    assert_int_equal(rows[1].calls, 4);
    assert_true(fabs(rows[1].total - 3.25) < 1e-12);
    assert_true(fabs(rows[1].minimum - 0.25) < 1e-12);
    assert_true(fabs(rows[1].maximum - 2.0) < 1e-12);
    ex_free(&rows);
    ex_profile_destroy(&p);
    assert_null(p);
    ex_profile_destroy(&p);
}

/* The table does not depend on the order in which threads hand in their rows. */
static void test_equal_totals_stand_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "d", "a", "c"};
    for (int turn = 0; turn < 4; turn++) {
        ex_profile *p;
        ex_profile_row *rows;
        size_t count;
        assert_ok(ex_profile_create(&p));
        for (int i = 0; i < 4; i++)
            add(p, names[(i + turn) % 4], 1, 1.0);
        assert_ok(ex_profile_rows(p, &rows, &count));
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rows[i].name[0], "abcd"[i]);
        ex_free(&rows);
        ex_profile_destroy(&p);
    }
}

enum { THREADS = 4, NAMES = 300, TIMES = 50 };

static void *hand_in(void *profile)
{
    char name[16];
    for (int time = 0; time < TIMES; time++)
        for (int i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "kernel %d", i);
            add(profile, name, 1, 0.125);
        }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    ex_profile *p;
    ex_profile_row *rows;
    size_t count;
    pthread_t threads[THREADS];
    assert_ok(ex_profile_create(&p));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hand_in, p), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_ok(ex_profile_rows(p, &rows, &count));
    assert_int_equal(count, NAMES);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(rows[i].calls, THREADS * TIMES);
    ex_free(&rows);
    ex_profile_destroy(&p);
}

static void read_back(char *text, size_t room, FILE *f)
{
    rewind(f);
    text[fread(text, 1, room - 1, f)] = '\0';
    fclose(f);
}

static void test_table_is_nvprofs(void **state)
{
    (void)state;
    char text[2048];
    ex_profile *p;
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_ok(ex_profile_create(&p));
    add(p, "void conv<float, 3>(int)", 3, 0.001);
    add(p, "[CUDA memcpy HtoD]", 1, 0.000001);
    ex_profile_lost(p, 7);
    assert_ok(ex_profile_print(p, f));
    read_back(text, sizeof text, f);
    assert_string_equal(
        text,
        " Time(%)      Time     Calls       Avg       Min       Max  Name\n"
        "  99.97%       3ms         3       1ms       1ms       1ms  void conv<float, 3>(int)\n"
        "   0.03%       1us         1       1us       1us       1us  [CUDA memcpy HtoD]\n"
        "not measured: 7 calls, for lack of room\n");
    ex_profile_destroy(&p);
}

/* Two plans of one layer warm up, then run five times; another layer ran once only. */
static void test_first_calls_stand_apart(void **state)
{
    (void)state;
    char text[2048], path[] = "/tmp/excise-profile-XXXXXX";
    ex_profile *p;
    assert_ok(ex_profile_create(&p));
    for (int plan = 0; plan < 2; plan++) {
        ex_profile_row row = {.name = "conv forward, stem"};
        ex_profile_count_warm(&row, 0.5);
        for (int call = 0; call < 2 + plan; call++)
            ex_profile_count_warm(&row, plan ? 2e-3 : 1e-3);
        ex_profile_add(p, &row);
    }
    ex_profile_row once = {.name = "pool"};
    ex_profile_count_warm(&once, 0.25);
    ex_profile_add(p, &once);
    FILE *f = tmpfile();
    assert_ok(ex_profile_print(p, f));
    read_back(text, sizeof text, f);
    assert_string_equal(
        text,
        " Time(%)      Time     Calls       Avg       Min       Max     First  Name\n"
        " 100.00%       8ms         5     1.6ms       1ms       2ms        1s  conv forward, stem\n"
        "   0.00%         -         0         -         -         -     250ms  pool\n"
        "First: 3 calls that warmed up, 1.25 s in all, which no other column counts\n");
    assert_true(mkstemp(path) >= 0);
    assert_ok(ex_profile_write_csv(p, path));
    f = fopen(path, "r");
    assert_non_null(f);
    read_back(text, sizeof text, f);
    assert_non_null(
        strstr(text, "\n100.0000,0.008,5,0.0016,0.001,0.002,2,1,\"conv forward, stem\"\n"));
    assert_non_null(strstr(text, "\n0.0000,0,0,0,0,0,1,0.25,\"pool\"\n"));
    remove(path);
    ex_profile_destroy(&p);
}

static void test_csv_quotes_names(void **state)
{
    (void)state;
    char text[2048], path[] = "/tmp/excise-profile-XXXXXX";
    ex_profile *p;
    assert_true(mkstemp(path) >= 0);
    assert_ok(ex_profile_create(&p));
    add(p, "f(\"a\", b)", 2, 0.25);
    assert_ok(ex_profile_write_csv(p, path));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    read_back(text, sizeof text, f);
    assert_string_equal(text, "time_percent,time_s,calls,average_s,minimum_s,maximum_s,"
                              "first_calls,first_s,name\n"
                              "100.0000,0.5,2,0.25,0.25,0.25,0,0,\"f(\"\"a\"\", b)\"\n");
    remove(path);
    assert_status(ex_profile_write_csv(p, "/nowhere/profile.csv"), EX_ERR_IO);
    assert_message("/nowhere/profile.csv");
    ex_profile_destroy(&p);
}

static ex_status flush_one(void)
{
    add(ex_profile_current(), "at the end", 1, 1.0);
    return EX_OK;
}

static ex_status flush_fails(void)
{
    return EX_FAIL(EX_ERR_BACKEND, "the source has nothing");
}

static void test_the_process_has_one_profile_while_it_is_on(void **state)
{
    (void)state;
    char text[2048] = "", path[] = "/tmp/excise-profile-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    assert_null(ex_profile_current());
    assert_ok(ex_profile_end(path)); /* off: nothing to end */
    assert_ok(ex_profile_begin());
    assert_false(ex_profile_has_source());
    ex_profile_set_source(flush_one);
    assert_true(ex_profile_has_source());
    assert_ok(ex_profile_end(path));
    assert_false(ex_profile_has_source());
    assert_null(ex_profile_current());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    read_back(text, sizeof text, f);
    assert_non_null(strstr(text, "\"at the end\""));
    remove(path);
    assert_ok(ex_profile_begin());
    ex_profile_set_source(flush_fails);
    assert_status(ex_profile_end(path), EX_ERR_BACKEND);
    assert_null(ex_profile_current());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_one_name_add_up),
        cmocka_unit_test(test_equal_totals_stand_by_name),
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_table_is_nvprofs),
        cmocka_unit_test(test_first_calls_stand_apart),
        cmocka_unit_test(test_csv_quotes_names),
        cmocka_unit_test(test_the_process_has_one_profile_while_it_is_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
