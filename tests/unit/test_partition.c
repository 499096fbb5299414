#include "partition.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { CLASSES = 10, PER_CLASS = 120, COUNT = CLASSES * PER_CLASS, CLIENTS_MAX = 64 };

/* Labels in a scattered order; indexes that are not positions, so that one cannot pass for the
 * other. */
static uint32_t pool_index[COUNT];
static uint16_t pool_label[COUNT];
static const ex_samples pool = {.index = pool_index, .label = pool_label, .count = COUNT};
static const ex_dataset data = {.classes = CLASSES, .count = 4 * COUNT};

static int fill_pool(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        pool_index[i] = 3 * i + 1;
        pool_label[i] = (uint16_t)(i * 7 % CLASSES);
    }
    return 0;
}

static ex_config config_of(ex_partition_kind kind, int clients)
{
    ex_config c;
    ex_config_default(&c);
    c.seed = 5;
    c.num_clients = clients;
    c.partition.kind = kind;
    return c;
}

static void free_clients(ex_samples *clients, int count)
{
    for (int k = 0; k < count; k++)
        ex_samples_free(&clients[k]);
}

/* Every sample once at most, under its own label; how many were given out. */
static size_t check_disjoint(const ex_samples *clients, int count)
{
    static uint8_t seen[COUNT];
    size_t given = 0;
    memset(seen, 0, sizeof seen);
    for (int k = 0; k < count; k++) {
        assert_true(clients[k].count > 0);
        for (size_t i = 0; i < clients[k].count; i++) {
            const uint32_t index = clients[k].index[i];
            assert_int_equal(index % 3, 1);
            const uint32_t position = index / 3;
            assert_true(position < COUNT);
            assert_int_equal(clients[k].label[i], pool_label[position]);
            assert_int_equal(seen[position], 0);
            seen[position] = 1;
            given++;
        }
    }
    return given;
}

/* counts (CLASSES) of one client's labels. */
static void count_labels(size_t *counts, const ex_samples *s)
{
    memset(counts, 0, CLASSES * sizeof *counts);
    for (size_t i = 0; i < s->count; i++)
        counts[s->label[i]]++;
}

static void size_range(const ex_samples *clients, int count, size_t *low, size_t *high)
{
    *low = SIZE_MAX, *high = 0;
    for (int k = 0; k < count; k++) {
        *low = clients[k].count < *low ? clients[k].count : *low;
        *high = clients[k].count > *high ? clients[k].count : *high;
    }
}

static void test_every_kind_gives_each_sample_to_one_client(void **state)
{
    (void)state;
    for (int kind = EX_PARTITION_IID; kind <= EX_PARTITION_DIRICHLET_CLASS; kind++) {
        ex_samples clients[12];
        ex_config c = config_of(kind, 12);
        c.partition.classes_per_client = 3;
        assert_ok(ex_partition(clients, &c, &data, &pool));
        assert_int_equal(check_disjoint(clients, 12), COUNT);
        free_clients(clients, 12);
    }
}

static void test_same_seed_same_split_and_another_seed_another(void **state)
{
    (void)state;
    for (int kind = EX_PARTITION_IID; kind <= EX_PARTITION_DIRICHLET_CLASS; kind++) {
        ex_samples split[3][10];
        for (int run = 0; run < 3; run++) {
            ex_config c = config_of(kind, 10);
            c.partition.classes_per_client = 4;
            c.seed = run < 2 ? 21 : 22;
            assert_ok(ex_partition(split[run], &c, &data, &pool));
        }
        bool differs = false;
        for (int k = 0; k < 10; k++) {
            const size_t bytes = split[0][k].count * sizeof *split[0][k].index;
            assert_int_equal(split[0][k].count, split[1][k].count);
            assert_memory_equal(split[0][k].index, split[1][k].index, bytes);
            differs = differs || split[0][k].count != split[2][k].count ||
                      memcmp(split[0][k].index, split[2][k].index, bytes) != 0;
        }
        assert_true(differs);
        for (int run = 0; run < 3; run++)
            free_clients(split[run], 10);
    }
}

static void test_iid_sizes_differ_by_one_and_labels_are_mixed(void **state)
{
    (void)state;
    ex_samples clients[7];
    const ex_config c = config_of(EX_PARTITION_IID, 7);
    assert_ok(ex_partition(clients, &c, &data, &pool));
    size_t low, high, counts[CLASSES];
    size_range(clients, 7, &low, &high);
    assert_int_equal(low, COUNT / 7);
    assert_int_equal(high, COUNT / 7 + 1);
    for (int k = 0; k < 7; k++) {
        count_labels(counts, &clients[k]);
        for (int label = 0; label < CLASSES; label++) /* about 17 each; 5 deviations are 20 */
            assert_in_range(counts[label], 1, 38);
    }
    free_clients(clients, 7);
}

static void test_shard_clients_hold_few_labels(void **state)
{
    (void)state;
    ex_samples clients[10];
    ex_config c = config_of(EX_PARTITION_SHARD, 10);
    c.partition.shards_per_client = 2; /* 20 shards of 60: half a class each */
    assert_ok(ex_partition(clients, &c, &data, &pool));
    for (int k = 0; k < 10; k++) {
        size_t counts[CLASSES], held = 0;
        assert_int_equal(clients[k].count, 2 * COUNT / 20);
        count_labels(counts, &clients[k]);
        for (int label = 0; label < CLASSES; label++)
            held += counts[label] > 0;
        assert_in_range(held, 1, 2);
    }
    free_clients(clients, 10);
}

static void test_one_class_per_client_is_the_papers_non_iid(void **state)
{
    (void)state;
    ex_samples clients[10];
    const ex_config c = config_of(EX_PARTITION_PATHOLOGICAL, 10);
    assert_int_equal(c.partition.classes_per_client, 1);
    assert_ok(ex_partition(clients, &c, &data, &pool));
    assert_int_equal(check_disjoint(clients, 10), COUNT);
    unsigned taken = 0;
    for (int k = 0; k < 10; k++) {
        assert_int_equal(clients[k].count, PER_CLASS);
        for (size_t i = 0; i < PER_CLASS; i++)
            assert_int_equal(clients[k].label[i], clients[k].label[0]);
        taken |= 1u << clients[k].label[0];
    }
    assert_int_equal(taken, (1u << CLASSES) - 1);
    free_clients(clients, 10);
}

static void test_pathological_holders_share_a_class_evenly(void **state)
{
    (void)state;
    for (int each = 1; each <= CLASSES; each++)
        for (int count = 10; count <= 30; count += 5) {
            ex_samples clients[30];
            ex_config c = config_of(EX_PARTITION_PATHOLOGICAL, count);
            c.partition.classes_per_client = each;
            assert_ok(ex_partition(clients, &c, &data, &pool));
            assert_int_equal(check_disjoint(clients, count), COUNT);
            size_t counts[30][CLASSES];
            for (int k = 0; k < count; k++) {
                int held = 0;
                count_labels(counts[k], &clients[k]);
                for (int label = 0; label < CLASSES; label++)
                    held += counts[k][label] > 0;
                assert_int_equal(held, each);
            }
            for (int label = 0; label < CLASSES; label++) {
                size_t low = SIZE_MAX, high = 0, holders = 0;
                for (int k = 0; k < count; k++) {
                    const size_t n = counts[k][label];
                    holders += n > 0;
                    low = n && n < low ? n : low;
                    high = n > high ? n : high;
                }
                assert_in_range(high - low, 0, 1);
                assert_in_range(holders, count * each / CLASSES, (count * each - 1) / CLASSES + 1);
            }
            free_clients(clients, count);
        }
}

static void test_pathological_leaves_out_classes_without_a_holder(void **state)
{
    (void)state;
    ex_samples clients[3];
    ex_config c = config_of(EX_PARTITION_PATHOLOGICAL, 3);
    c.partition.classes_per_client = 2;
    assert_ok(ex_partition(clients, &c, &data, &pool));
    assert_int_equal(check_disjoint(clients, 3), 6 * PER_CLASS);
    free_clients(clients, 3);
}

/* Mean over the clients of the largest class's share: 1 / CLASSES if mixed, 1 if one class each. */
static double skew(const ex_samples *clients, int count)
{
    double sum = 0;
    for (int k = 0; k < count; k++) {
        size_t counts[CLASSES], most = 0;
        count_labels(counts, &clients[k]);
        for (int label = 0; label < CLASSES; label++)
            most = counts[label] > most ? counts[label] : most;
        sum += (double)most / (double)clients[k].count;
    }
    return sum / count;
}

static void test_dirichlet_skew_grows_as_alpha_falls(void **state)
{
    (void)state;
    static const double alphas[] = {100.0, 1.0, 0.3, 0.1};
    for (int kind = EX_PARTITION_DIRICHLET_CLIENT; kind <= EX_PARTITION_DIRICHLET_CLASS; kind++) {
        double before = 1.0 / CLASSES;
        for (int a = 0; a < 4; a++) {
            double mean = 0;
            enum { SEEDS = 5, CLIENTS = 5 };
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                ex_samples clients[CLIENTS];
                ex_config c = config_of(kind, CLIENTS);
                c.partition.alpha = alphas[a];
                c.seed = seed;
                assert_ok(ex_partition(clients, &c, &data, &pool));
                mean += skew(clients, CLIENTS) / SEEDS;
                free_clients(clients, CLIENTS);
            }
            assert_true(mean > before);
            before = mean;
        }
        /* A class is half of an equal share, and the last draws take what is left. */
        assert_true(before > 0.3);
    }
}

static void test_dirichlet_client_sizes_are_equal(void **state)
{
    (void)state;
    ex_samples clients[11];
    ex_config c = config_of(EX_PARTITION_DIRICHLET_CLIENT, 11);
    c.partition.alpha = 0.05;
    assert_ok(ex_partition(clients, &c, &data, &pool));
    size_t low, high;
    size_range(clients, 11, &low, &high);
    assert_in_range(high - low, 0, 1);
    free_clients(clients, 11);
}

/* Shares of Dirichlet(alpha) have the variance (1/n)(1 - 1/n) / (n alpha + 1). */
static void test_dirichlet_class_shares_have_the_variance_of_alpha(void **state)
{
    (void)state;
    enum { CLIENTS = 4, SEEDS = 60 };
    const double alpha = 2.0, mean = 1.0 / CLIENTS;
    double squares = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_samples clients[CLIENTS];
        ex_config c = config_of(EX_PARTITION_DIRICHLET_CLASS, CLIENTS);
        c.partition.alpha = alpha;
        c.seed = seed;
        assert_ok(ex_partition(clients, &c, &data, &pool));
        for (int k = 0; k < CLIENTS; k++) {
            size_t counts[CLASSES];
            count_labels(counts, &clients[k]);
            for (int label = 0; label < CLASSES; label++)
                squares += pow((double)counts[label] / PER_CLASS - mean, 2);
        }
        free_clients(clients, CLIENTS);
    }
    const double variance = squares / (SEEDS * CLIENTS * CLASSES);
    const double expected = mean * (1 - mean) / (CLIENTS * alpha + 1);
    assert_true(fabs(variance / expected - 1) < 0.15);
}

static void test_empty_client_is_refused_with_what_to_change(void **state)
{
    (void)state;
    ex_samples clients[CLIENTS_MAX];
    ex_samples few = pool;
    few.count = 20;
    static const struct {
        ex_partition_kind kind;
        const char *advice;
    } cases[] = {{EX_PARTITION_IID, "num_clients"},
                 {EX_PARTITION_SHARD, "train_samples"},
                 {EX_PARTITION_PATHOLOGICAL, "classes_per_client"},
                 {EX_PARTITION_DIRICHLET_CLIENT, "num_clients"},
                 {EX_PARTITION_DIRICHLET_CLASS, "partition.alpha"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ex_config c = config_of(cases[i].kind, CLIENTS_MAX);
        assert_status(ex_partition(clients, &c, &data, &few), EX_ERR_CONFIG);
        assert_message("client ");
        assert_message(ex_config_choice(&c, "partition.kind"));
        assert_message(cases[i].advice);
        for (int k = 0; k < CLIENTS_MAX; k++)
            assert_null(clients[k].index); /* none is left to free */
    }
    ex_config c = config_of(EX_PARTITION_PATHOLOGICAL, 10);
    c.partition.classes_per_client = CLASSES + 1;
    assert_status(ex_partition(clients, &c, &data, &pool), EX_ERR_CONFIG);
    assert_message("classes_per_client is 11");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_gives_each_sample_to_one_client),
        cmocka_unit_test(test_same_seed_same_split_and_another_seed_another),
        cmocka_unit_test(test_iid_sizes_differ_by_one_and_labels_are_mixed),
        cmocka_unit_test(test_shard_clients_hold_few_labels),
        cmocka_unit_test(test_one_class_per_client_is_the_papers_non_iid),
        cmocka_unit_test(test_pathological_holders_share_a_class_evenly),
        cmocka_unit_test(test_pathological_leaves_out_classes_without_a_holder),
        cmocka_unit_test(test_dirichlet_skew_grows_as_alpha_falls),
        cmocka_unit_test(test_dirichlet_client_sizes_are_equal),
        cmocka_unit_test(test_dirichlet_class_shares_have_the_variance_of_alpha),
        cmocka_unit_test(test_empty_client_is_refused_with_what_to_change),
    };
    return cmocka_run_group_tests(tests, fill_pool, NULL);
}
