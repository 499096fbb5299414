/* What steps of a masked plan on the CPU need not do: filters of layers that the mask leaves alone
 * are made ready once, and what is trained is the same. */
#include "base/memory.h"
#include "force_algorithm.h"
#include "model/builder.h"
#include "net_reference.h"
#include "plan_core.h"
#include "temp.h"
#include "test.h"
#include "winograd.h"

#include <stdio.h>
#include <string.h>

enum { CLASSES = 3, IMAGES = 5, CHANNELS = 2, SIDE = 8 };

static const ex_sgd_coeff SGD = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};

/* Maps of 8 x 8, 4 x 4 and 2 x 2 pixels, with and without norm, bias and residual: each of the ways
 * to a convolution has one. */
static void make_model(ex_model **out)
{
    assert_ok(ex_alloc(out, 1, sizeof **out, "model"));
    ex_builder b = {.model = *out};
    ex_conv_spec c = {.K = 32, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "stem.bn"};
    int x = ex_builder_input(&b, CHANNELS, SIDE, SIDE);
    x = ex_builder_conv(&b, x, "stem", c);
    c.norm = "a.bn";
    int y = ex_builder_conv(&b, x, "a", c);
    c.norm = "b.bn", c.residual = x;
    y = ex_builder_conv(&b, y, "b", c);
    y = ex_builder_pool(&b, y, EX_OP_MAXPOOL, 2);
    c = (ex_conv_spec){.K = 64, .R = 3, .stride = 1, .pad = 1, .relu = true, .bias = true};
    y = ex_builder_conv(&b, y, "c", c);
    y = ex_builder_pool(&b, y, EX_OP_MAXPOOL, 2);
    c.norm = "d.bn";
    y = ex_builder_conv(&b, y, "d", c);
    c.norm = "e.bn";
    y = ex_builder_conv(&b, y, "e", c);
    y = ex_builder_global_pool(&b, y);
    ex_builder_linear(&b, y, "linear", CLASSES, false);
    assert_ok(b.status);
    (*out)->classes = CLASSES;
    snprintf((*out)->name, sizeof(*out)->name, "masked");
}

/* --- masks ------------------------------------------------------------------------------------ */

typedef enum mask_kind { EVEN_LAYERS, ODD_LAYERS, LAST_LAYER, MASKS } mask_kind;

static bool is_trained(const ex_model *m, mask_kind kind, int layer)
{
    return kind == LAST_LAYER ? layer == m->layer_count - 1 : layer % 2 == (kind == ODD_LAYERS);
}

static ex_mask *mask_of(const ex_model *m, mask_kind kind)
{
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 0; layer < m->layer_count; layer++)
        for (int c = 0; is_trained(m, kind, layer) && c < m->layers[layer].channels; c += 2)
            assert_ok(ex_mask_select(mask, layer, c));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

/* --- devices ---------------------------------------------------------------------------------- */

typedef enum ways { DIRECT, TILES, ROWS, LIMITED, WAYS } ways;

typedef struct side {
    ex_device *device;
    ex_lane *lane;
} side;

static void open_side(side *s, const ex_model *m, const ex_device_options *options)
{
    assert_ok(ex_device_open(&s->device, options));
    assert_ok(ex_lane_create(&s->lane, s->device, m, 1));
}

static void close_side(side *s)
{
    ex_lane_destroy(&s->lane);
    ex_device_close(&s->device);
}

static int forced_rows; /* gradients, over all plans: a mask of the last layer has none */

static void open_ways(side *s, const ex_model *m, const ex_plan_spec *spec, ways w)
{
    const ex_device_options options = {.device = "cpu",
                                       .conv =
                                           w == TILES || w == ROWS ? EX_CONV_AUTO : EX_CONV_DIRECT,
                                       .memory = w == LIMITED ? (size_t)1 << 30 : 0};
    const char *path = ex_temp_path("algorithms.json");
    ex_plan *plan;
    open_side(s, m, &options);
    if (options.conv == EX_CONV_DIRECT)
        return;
    assert_ok(ex_plan_create(&plan, s->lane, spec));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(s->device, path));
    close_side(s);
    if (w == TILES)
        assert_true(ex_test_force_algorithm(path, "tiles") >= 2);
    else
        forced_rows += ex_test_force_algorithm(path, "rows");
    open_side(s, m, &options);
    assert_ok(ex_device_read_algorithms(s->device, path));
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool makes_filters(const ex_plan_step *step)
{
    static const char *const names[] = {"filter reorder", "filter transform", "filter sums",
                                        "norm fold"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(step->what, names[i]) == 0)
            return true;
    return false;
}

/* How many of the steps [first, last) make filters of trained layers, and of others. */
static void count_made(int made[2], const ex_plan_core *p, mask_kind kind, int first, int last)
{
    made[0] = made[1] = 0;
    for (int i = first; i < last; i++)
        if (makes_filters(&p->steps[i]))
            made[is_trained(p->model, kind, p->model->nodes[p->steps[i].node].layer)]++;
}

/* A limit of memory is not taken up by filters. */
static void check_steps(const ex_plan *plan, mask_kind kind, ways w)
{
    const ex_plan_core *p = (const ex_plan_core *)(const void *)plan;
    int made[2];
    count_made(made, p, kind, p->prepared, p->step_count);
    assert_true((made[0] == 0) == (w != LIMITED));
    assert_true((made[1] == 0) == (kind == LAST_LAYER)); /* a linear layer's are read as they are */
    count_made(made, p, kind, 0, p->prepared);
    assert_true(w == LIMITED || made[0] > 0);
}

/* --- results ---------------------------------------------------------------------------------- */

typedef struct pair {
    ex_model *model;
    ex_dataset data;
    ex_samples feed;
    ex_mask *mask;
    side by[2]; /* the masked plan; a full one of direct convolutions */
    float *params, *stats, *part, *full;
} pair;

static void open_pair(pair *p, ex_plan_spec *spec, mask_kind kind, ways w)
{
    make_model(&p->model);
    ex_test_images(&p->data, p->model, IMAGES, 3);
    assert_ok(ex_samples_all(&p->feed, &p->data));
    spec->mask = p->mask = mask_of(p->model, kind);
    open_ways(&p->by[0], p->model, spec, w);
    open_side(&p->by[1], p->model, &(ex_device_options){.device = "cpu", .conv = EX_CONV_DIRECT});
    p->params = ex_guard_floats(p->model->param_count);
    p->stats = ex_guard_floats(p->model->stat_count);
    p->part = ex_guard_floats(p->model->param_count);
    p->full = ex_guard_floats(p->model->param_count);
}

static void close_pair(pair *p)
{
    float *all[] = {p->params, p->stats, p->part, p->full};
    for (int i = 0; i < 4; i++)
        ex_guard_free(all[i]);
    close_side(&p->by[0]);
    close_side(&p->by[1]);
    ex_mask_destroy(&p->mask);
    ex_samples_free(&p->feed);
    ex_dataset_close(&p->data);
    ex_model_destroy(&p->model);
}

static void load_new_values(const pair *p, uint64_t seed)
{
    ex_test_values(p->model, seed, p->params, p->stats);
    assert_ok(ex_lane_load(p->by[0].lane, p->params, p->stats));
}

/* The masked plan's gradient is the full one's of the same values, where the mask selects. */
static void check_gradient(const pair *p, ex_plan *masked)
{
    ex_plan_spec spec = masked->spec;
    ex_plan *plan;
    assert_ok(ex_lane_store(p->by[0].lane, p->params, p->stats));
    assert_ok(ex_lane_load(p->by[1].lane, p->params, p->stats));
    spec.mask = NULL;
    assert_ok(ex_plan_create(&plan, p->by[1].lane, &spec));
    assert_ok(ex_plan_gradient(plan, &p->data, &p->feed, &(ex_gradient){.params = p->full}));
    ex_plan_destroy(&plan);
    assert_ok(ex_plan_gradient(masked, &p->data, &p->feed, &(ex_gradient){.params = p->part}));
    for (size_t s = 0; s < p->mask->param_segments; s++) {
        const ex_segment *at = &p->mask->params[s];
        assert_close(p->part + at->offset, p->full + at->offset, at->length, 1e-4, 1e-3);
    }
}

/* At first, after steps of the plan's own, and after the lane's values came from outside. */
static void check_case(ex_norm_mode norm, mask_kind kind, ways w)
{
    ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = IMAGES, .norm = norm};
    ex_train_sums sums = {0};
    pair p = {0};
    ex_plan *plan;
    open_pair(&p, &spec, kind, w);
    assert_ok(ex_plan_create(&plan, p.by[0].lane, &spec));
    check_steps(plan, kind, w);
    load_new_values(&p, 5);
    check_gradient(&p, plan);
    for (int i = 0; i < 2; i++)
        assert_ok(ex_plan_train(plan, &p.data, &p.feed, &SGD, &sums));
    check_gradient(&p, plan);
    load_new_values(&p, 6);
    check_gradient(&p, plan);
    ex_plan_destroy(&plan);
    close_pair(&p);
}

static void check_cases(ways w)
{
    for (int kind = 0; kind < MASKS; kind++) {
        check_case(EX_NORM_TRAIN, (mask_kind)kind, w);
        check_case(EX_NORM_FROZEN, (mask_kind)kind, w);
    }
}

static void test_filters_that_stay_are_made_once_by_direct_convolutions(void **state)
{
    (void)state;
    check_cases(DIRECT);
}

static void test_filters_that_stay_are_made_once_by_tiles_and_products(void **state)
{
    (void)state;
    if (!ex_winograd_is_fast())
        skip(); /* plans do without tiles */
    check_cases(TILES);
}

/* Half of a layer's filters are not few. */
static void test_gradients_of_the_selected_filters_alone_by_rows(void **state)
{
    (void)state;
    forced_rows = 0;
    check_cases(ROWS);
    assert_true(forced_rows >= 4);
}

static void test_a_limit_of_memory_is_not_spent_on_filters(void **state)
{
    (void)state;
    check_cases(LIMITED);
}

/* Of `count` channels of every layer: whether the plan has a step for the gradients of these
 * filters of the node alone. */
static bool has_rows(int count, int node)
{
    const ex_device_options options = {.device = "cpu", .conv = EX_CONV_DIRECT};
    ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = IMAGES};
    bool found = false;
    ex_model *m;
    ex_mask *mask;
    ex_plan *plan;
    side s;
    make_model(&m);
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 0; layer < m->layer_count; layer++)
        for (int c = 0; c < count && c < m->layers[layer].channels; c++)
            assert_ok(ex_mask_select(mask, layer, c));
    assert_ok(ex_mask_seal(mask));
    spec.mask = mask;
    open_side(&s, m, &options);
    assert_ok(ex_plan_create(&plan, s.lane, &spec));
    const ex_plan_core *p = (const ex_plan_core *)(const void *)plan;
    for (int i = 0; i < p->step_count; i++)
        found |= p->steps[i].node == node && strcmp(p->steps[i].what, "conv backward rows") == 0;
    ex_plan_destroy(&plan);
    close_side(&s);
    ex_mask_destroy(&mask);
    ex_model_destroy(&m);
    return found;
}

/* Of 32 filters, the first layer's read images, whose channels do not lie together by sixteen. */
static void test_few_filters_are_fewer_where_images_are_read(void **state)
{
    enum { STEM = 1, A };
    (void)state;
    assert_true(has_rows(1, STEM));
    assert_false(has_rows(2, STEM));
    assert_true(has_rows(2, A));
    assert_true(has_rows(8, A));
    assert_false(has_rows(9, A));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_that_stay_are_made_once_by_direct_convolutions),
        cmocka_unit_test(test_filters_that_stay_are_made_once_by_tiles_and_products),
        cmocka_unit_test(test_gradients_of_the_selected_filters_alone_by_rows),
        cmocka_unit_test(test_a_limit_of_memory_is_not_spent_on_filters),
        cmocka_unit_test(test_few_filters_are_fewer_where_images_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
