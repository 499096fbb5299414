/* Running a plan allocates nothing of its own. malloc is interposed; oneDNN keeps small books of
 * its own for each primitive that it runs, so small blocks are let pass if they are freed again. */
#include "net_fixture.h"
#include "test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SMALL = 2048, BATCH = 32 };

static atomic_bool counting;
static atomic_long large, live; /* blocks above SMALL; blocks not freed yet */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { INTERPOSED = 0 }; /* the sanitizer has malloc already */
#else
enum { INTERPOSED = 1 };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static void count(size_t size)
{
    if (!counting)
        return;
    live++;
    large += size > SMALL;
}

void *malloc(size_t size)
{
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count(n * size);
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    if (!old)
        count(size);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(size);
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    count(size);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count(size);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void free(void *block)
{
    if (counting && block)
        live--;
    __libc_free(block);
}
#endif

static void test_running_a_plan_allocates_nothing(void **state)
{
    (void)state;
    if (!INTERPOSED)
        skip();
    const ex_sgd_coeff sgd = {.lr = 0.01f};
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, 4 * BATCH, 2, EX_CONV_AUTO);
        ex_train_sums train_sums = {0};
        ex_eval_sums eval_sums = {0};
        ex_plan *train, *evaluate;
        assert_ok(
            ex_plan_create(&train, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
        assert_ok(ex_plan_create(&evaluate, f.lane,
                                 &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
        for (int run = 0; run < 3; run++) { /* the first starts OpenMP's threads */
            counting = run > 0;
            large = live = 0;
            const ex_status trained = ex_plan_train(train, &f.data, &f.feed, &sgd, &train_sums);
            const ex_status evaluated = ex_plan_evaluate(evaluate, &f.data, &f.feed, &eval_sums);
            counting = false;
            assert_ok(trained);
            assert_ok(evaluated);
            assert_int_equal(large, 0);
            assert_int_equal(live, 0);
        }
        ex_plan_destroy(&train);
        ex_plan_destroy(&evaluate);
        ex_net_fixture_close(&f);
    }
}

static void test_counting_sees_an_allocation(void **state)
{
    (void)state;
    if (!INTERPOSED)
        skip();
    large = live = 0;
    counting = true;
    void *volatile block = malloc(SMALL + 1);
    counting = false;
    assert_int_equal(large, 1);
    assert_int_equal(live, 1);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counting_sees_an_allocation),
        cmocka_unit_test(test_running_a_plan_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
