/* What an ablation asks the device for: forks of a prefix that runs once, batches that are full,
 * on every lane. The back end under test does the work; its table is copied, to count it. */
#include "base/memory.h"
#include "net_fixture.h"
#include "small_federation.h"
#include "test.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { LANES_MAX = 3, FORKS_MAX = 4096 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    const ex_backend *real;
    int loads, prefix_forwards, evaluations;
    int wrong;     /* runs of nodes that a fork is not followed by */
    size_t places; /* images that the plans of all forks had room for */
    int forks;
    struct {
        int layer, variants;
    } fork[FORKS_MAX];
    int together; /* lanes that the first forks wait for */
    const ex_lane *lane[LANES_MAX];
    int lanes;
} record = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

static _Thread_local int left; /* the first node that the thread's last fork left */

/* --- the back end that counts ----------------------------------------------------------------- */

/* Notes the lane, and stays until as many are here; whoever waits for a minute waits for ever. */
static void meet(const ex_lane *lane)
{
    enum { FOREVER = 60 };
    int i = 0;
    while (i < record.lanes && record.lane[i] != lane)
        i++;
    if (i == record.lanes) {
        assert_true(i < LANES_MAX);
        record.lane[record.lanes++] = lane;
        pthread_cond_broadcast(&record.arrived);
    }
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += FOREVER;
    while (record.lanes < record.together)
        if (pthread_cond_timedwait(&record.arrived, &record.lock, &end) != 0)
            record.together = 0; /* the test sees that they are too few */
}

static ex_status load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed)
{
    record.loads++;
    return record.real->plan_load(plan, data, feed);
}

static ex_status forward(ex_plan *plan, int first, int last)
{
    pthread_mutex_lock(&record.lock);
    if (plan->spec.keep_nodes)
        record.prefix_forwards++;
    else
        record.wrong += first != left;
    pthread_mutex_unlock(&record.lock);
    return record.real->plan_forward(plan, first, last);
}

static ex_status fork_noted(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next)
{
    pthread_mutex_lock(&record.lock);
    assert_true(record.forks < FORKS_MAX);
    record.fork[record.forks].layer = fork->layer;
    record.fork[record.forks++].variants = fork->variants;
    record.places += (size_t)to->spec.batch;
    meet(to->lane);
    pthread_mutex_unlock(&record.lock);
    const ex_status status = record.real->plan_fork(to, from, fork, next);
    if (status == EX_OK)
        left = *next;
    return status;
}

static ex_status evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_eval_sums *sums)
{
    record.evaluations++;
    return record.real->plan_evaluate(plan, data, feed, sums);
}

static ex_federation *open_counted(int images, int lanes)
{
    static ex_backend counting;
    ex_federation *f = ex_test_small_federation(0, images, lanes, EX_CONV_DIRECT);
    counting = *f->device->backend;
    record.real = f->device->backend;
    record.loads = record.prefix_forwards = record.evaluations = record.wrong = 0;
    record.forks = record.lanes = record.together = 0;
    record.places = 0;
    counting.plan_load = load;
    counting.plan_forward = forward;
    counting.plan_fork = fork_noted;
    counting.plan_evaluate = evaluate;
    f->device->backend = &counting;
    f->device->images_at_once = 128;
    f->device->cache = 0;
    return f;
}

static void close_counted(ex_federation **f)
{
    (*f)->device->backend = record.real;
    ex_federation_close(f);
}

static void ablate(ex_federation *f, ex_ablate_limits limits)
{
    ex_effects *e;
    assert_ok(ex_test_small_ablate(&e, f, limits));
    ex_effects_destroy(&e);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_each_chunk_runs_once_and_is_forked_from(void **state)
{
    enum { CHUNK = 8, CHUNKS = 3, VARIANTS = 4 };
    (void)state;
    ex_federation *f = open_counted(CHUNK * CHUNKS, 1);
    ablate(f, (ex_ablate_limits){.chunk = CHUNK, .variants = VARIANTS});
    int groups = 0;
    for (int i = 0; i < f->model->layer_count; i++)
        groups += (f->model->layers[i].channels + VARIANTS - 1) / VARIANTS;
    assert_int_equal(record.loads, CHUNKS);
    assert_int_equal(record.prefix_forwards, CHUNKS);
    assert_int_equal(record.forks, CHUNKS * groups);
    assert_int_equal(record.evaluations, 0);
    assert_int_equal(record.wrong, 0);
    close_counted(&f);
}

/* One image more than a chunk does not cost another full one. */
static void check_places(int images)
{
    ex_federation *f = open_counted(images, 1);
    const size_t needed = (size_t)images * (size_t)f->model->channel_count;
    ablate(f, (ex_ablate_limits){0});
    if (record.places < needed || 10 * record.places > 12 * needed)
        fail_msg("%d images: room for %zu, %zu are needed", images, record.places, needed);
    close_counted(&f);
}

static void test_batches_are_nearly_full_whatever_the_number_of_images(void **state)
{
    (void)state;
    check_places(32);
    check_places(33);
    check_places(65);
}

/* The batches follow the cache, within bounds: as many images as fit, 32 to what fills the device.
 */
static void test_batches_follow_the_cache(void **state)
{
    enum { IMAGES = 64, PLACES = 116 }; /* channels of the model, which groups of 4 fill */
    static const struct {
        size_t cache;
        int images;
    } cases[] = {{0, 128}, {(size_t)1 << 40, 128}, {64 * 5120, 64}, {1, 32}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ex_federation *f = open_counted(IMAGES, 1);
        f->device->cache = cases[i].cache;
        ablate(f, (ex_ablate_limits){0});
        assert_int_equal(record.places, IMAGES * PLACES);
        assert_int_equal(record.forks, IMAGES * PLACES / cases[i].images);
        close_counted(&f);
    }
}

static void test_the_channels_of_a_layer_are_split_evenly(void **state)
{
    enum { VARIANTS = 5 };
    (void)state;
    ex_federation *f = open_counted(4, 1);
    ablate(f, (ex_ablate_limits){.chunk = 4, .variants = VARIANTS});
    for (int layer = 0; layer < f->model->layer_count; layer++) {
        int least = VARIANTS, most = 0, sum = 0;
        for (int i = 0; i < record.forks; i++)
            if (record.fork[i].layer == layer) {
                const int n = record.fork[i].variants;
                least = n < least ? n : least;
                most = n > most ? n : most;
                sum += n;
            }
        assert_int_equal(sum, f->model->layers[layer].channels);
        assert_in_range(most - least, 0, 1);
        assert_in_range(most, 1, VARIANTS);
    }
    close_counted(&f);
}

/* Each lane's first fork waits for the others'. */
static void test_every_lane_works_at_the_same_time(void **state)
{
    (void)state;
    ex_federation *f = open_counted(4, LANES_MAX);
    record.together = LANES_MAX;
    ablate(f, (ex_ablate_limits){.chunk = 4, .variants = 4});
    assert_int_equal(record.lanes, LANES_MAX);
    close_counted(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_chunk_runs_once_and_is_forked_from),
        cmocka_unit_test(test_batches_are_nearly_full_whatever_the_number_of_images),
        cmocka_unit_test(test_batches_follow_the_cache),
        cmocka_unit_test(test_the_channels_of_a_layer_are_split_evenly),
        cmocka_unit_test(test_every_lane_works_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
