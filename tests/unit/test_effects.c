/* The table of effects and its file: a round trip, and every kind of damage is told. */
#include "base/memory.h"
#include "effects.h"
#include "model_fixture.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST = 0x1234 };

/* Two classes with numbers that no two cells share. */
static ex_effects *sample_table(void)
{
    ex_effects *e;
    assert_ok(ex_effects_alloc(&e, resnet20, 2));
    e->digest = DIGEST;
    e->ablation = EX_ABLATE_ACTIVATION;
    e->precision = EX_BF16;
    e->seed = INT64_MAX;
    for (int i = 0; i < 2; i++) {
        e->class_label[i] = 7 - 3 * i;
        e->probe[i] = 2000 + i;
        e->baseline_correct[i] = 900 - i;
        e->baseline_loss[i] = 0.25;
        for (int c = 0; c < resnet20->channel_count; c++) {
            const int cell = i * resnet20->channel_count + c;
            e->correct[cell] = cell % 2000;
            e->loss_delta[cell] = sin(cell) * pow(10.0, cell % 20 - 10);
        }
    }
    e->loss_delta[3] = INFINITY;
    return e;
}

static char *read_text(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    *bytes = fread(text, 1, (1 << 20) - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static void test_a_table_survives_the_file_to_the_last_bit(void **state)
{
    (void)state;
    ex_effects *a = sample_table(), *b;
    const char *path = ex_temp_path("effects.csv");
    assert_ok(ex_effects_write(a, path));
    assert_ok(ex_effects_read(&b, resnet20, DIGEST, path));
    assert_int_equal(b->classes, 2);
    assert_int_equal(b->ablation, EX_ABLATE_ACTIVATION);
    assert_int_equal(b->digest, DIGEST);
    assert_int_equal(b->precision, EX_BF16);
    assert_true(b->seed == INT64_MAX);
    const size_t cells = 2 * (size_t)resnet20->channel_count;
    assert_memory_equal(a->class_label, b->class_label, 2 * sizeof(int));
    assert_memory_equal(a->probe, b->probe, 2 * sizeof(int));
    assert_memory_equal(a->baseline_correct, b->baseline_correct, 2 * sizeof(int));
    assert_memory_equal(a->correct, b->correct, cells * sizeof(int));
    assert_memory_equal(a->loss_delta, b->loss_delta, cells * sizeof(double));
    assert_int_equal(ex_effects_class_index(b, 4), 1);
    assert_int_equal(ex_effects_class_index(b, 5), -1);
    ex_effects_destroy(&a);
    ex_effects_destroy(&b);
    assert_null(b);
}

static void test_rows_may_come_in_any_order_and_with_carriage_returns(void **state)
{
    (void)state;
    ex_effects *a = sample_table(), *b;
    const char *path = ex_temp_path("effects.csv");
    assert_ok(ex_effects_write(a, path));
    size_t bytes;
    char *text = read_text(path, &bytes), *turned = malloc(2 * bytes);
    /* The first two lines, then the rest from the last to the first. */
    char *rows = strchr(strchr(text, '\n') + 1, '\n') + 1;
    char *at = turned + sprintf(turned, "%.*s", (int)(rows - text), text);
    for (char *end = text + bytes; end > rows;) {
        char *start = end - 1;
        while (start > rows && start[-1] != '\n')
            start--;
        at += sprintf(at, "%.*s\r\n", (int)(end - start - 1), start);
        end = start;
    }
    path = ex_temp_write("turned.csv", turned, (size_t)(at - turned), 0);
    assert_ok(ex_effects_read(&b, resnet20, DIGEST, path));
    for (int label = 4; label <= 7; label += 3)
        for (int c = 0; c < resnet20->channel_count; c++)
            assert_int_equal(
                a->correct[ex_effects_class_index(a, label) * resnet20->channel_count + c],
                b->correct[ex_effects_class_index(b, label) * resnet20->channel_count + c]);
    free(text);
    free(turned);
    ex_effects_destroy(&a);
    ex_effects_destroy(&b);
}

/* A file of format 1 tells neither precision nor seed, nor does what is written of it. */
static void test_the_first_format_is_read_and_what_it_lacks_stays_unknown(void **state)
{
    (void)state;
    ex_effects *a = sample_table(), *old, *again;
    const char *path = ex_temp_path("effects.csv");
    size_t bytes;
    assert_ok(ex_effects_write(a, path));
    char *text = read_text(path, &bytes), *rest = strchr(text, '\n');
    char *first = malloc(bytes + 200);
    const int length = sprintf(first,
                               "# excise effects 1 model=resnet20 digest=%016x "
                               "ablate=activation%s",
                               DIGEST, rest);
    path = ex_temp_write("first.csv", first, (size_t)length, 0);
    assert_ok(ex_effects_read(&old, resnet20, DIGEST, path));
    path = ex_temp_path("again.csv");
    assert_ok(ex_effects_write(old, path));
    assert_ok(ex_effects_read(&again, resnet20, DIGEST, path));
    const size_t cells = 2 * (size_t)resnet20->channel_count;
    for (int i = 0; i < 2; i++) {
        const ex_effects *e = i ? again : old;
        assert_int_equal(e->ablation, EX_ABLATE_ACTIVATION);
        assert_int_equal(e->precision, -1);
        assert_true(e->seed == -1);
        assert_memory_equal(a->correct, e->correct, cells * sizeof(int));
        assert_memory_equal(a->loss_delta, e->loss_delta, cells * sizeof(double));
    }
    free(text);
    free(first);
    ex_effects_destroy(&a);
    ex_effects_destroy(&old);
    ex_effects_destroy(&again);
}

/* Reads the sample table's file with the first `from` replaced by `to`. */
static void assert_damage(const char *from, const char *to, const char *message)
{
    ex_effects *e = sample_table();
    const char *path = ex_temp_path("effects.csv");
    assert_ok(ex_effects_write(e, path));
    size_t bytes;
    char *text = read_text(path, &bytes), *at = strstr(text, from);
    assert_non_null(at);
    char *damaged = malloc(bytes + strlen(to) + 1);
    const int length = sprintf(damaged, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    path = ex_temp_write("damaged.csv", damaged, (size_t)length, 0);
    ex_effects_destroy(&e);
    assert_status(ex_effects_read(&e, resnet20, DIGEST, path), EX_ERR_INPUT);
    assert_null(e);
    assert_message(message);
    assert_message("damaged.csv");
    free(text);
    free(damaged);
}

static void test_every_damage_is_told_with_its_line(void **state)
{
    (void)state;
    /* The sample's third line is 7,conv_bn.conv,0,0.45,0,2000,900,0 */
    assert_damage("# excise effects 2", "# excise effects 1", ":1: no table of effects");
    assert_damage("# excise effects 2", "# excise effects 3", ":1: no table of effects");
    assert_damage("model=resnet20", "model=vgg11", ":1: effects of a vgg11");
    assert_damage("digest=0000000000001234", "digest=zz", ":1: no table of effects");
    assert_damage("digest=0000000000001234", "digest=0000000000001235", "0000000000001235");
    assert_damage("ablate=activation", "ablate=row", "one of filter, activation");
    assert_damage("ablate=activation", "ablate=activation more", ":1: no table of effects");
    assert_damage(" precision=bf16", "", ":1: no table of effects");
    assert_damage("precision=bf16", "precision=fp8", ":1: precision is \"fp8\"; one of fp32, tf32");
    assert_damage("seed=9223372036854775807", "seed=9223372036854775808", ":1: seed is \"922");
    assert_damage("seed=9223372036854775807", "seed=-1", ":1: seed is \"-1\"; a whole number");
    assert_damage("seed=9223372036854775807", "seed=1 ", ":1: no table of effects");
    assert_damage("class,layer", "layer,class", ":2: the line");
    assert_damage("\n7,conv_bn.conv,0,", "\n70,conv_bn.conv,0,", ":3: class is \"70\"");
    assert_damage("\n7,conv_bn.conv,0,", "\n-1,conv_bn.conv,0,", ":3: class is \"-1\"");
    assert_damage("\n7,conv_bn.conv,0,", "\n,conv_bn.conv,0,", ":3: class is \"\"");
    assert_damage("\n7,conv_bn.conv,0,", "\n7,conv_bn.con,0,", ":3: resnet20 has no layer");
    assert_damage("\n7,conv_bn.conv,0,", "\n7,conv_bn.conv,16,", ":3: channel is \"16\"");
    assert_damage("\n7,conv_bn.conv,0,", "\n7,conv_bn.conv,0x1,", ":3: channel is \"0x1\"");
    assert_damage("\n7,conv_bn.conv,0,", "\n7,conv_bn.conv,99999999999999999999,",
                  ":3: channel is");
    assert_damage("0,0.45,0,2000,900,", "0,0.46,0,2000,900,", ":3: effect is 0.46");
    assert_damage("0,0.45,0,2000,900,", "0,nan,0,2000,900,", ":3: effect is nan");
    assert_damage("0,0.45,0,2000,900,", "0,x,0,2000,900,", ":3: effect is \"x\"");
    assert_damage("0,0.45,0,2000,900,", "0,0.45,2001,2000,900,", ":3: correct is \"2001\"");
    assert_damage("0,0.45,0,2000,900,", "0,0.45,0,0,900,", ":3: probe is \"0\"");
    assert_damage("0,0.45,0,2000,900,", "0,0.45,0,2000,2001,", ":3: baseline_correct is \"2001\"");
    assert_damage("0,0.45,0,2000,900,", "0,0.5,0,2000,1000,", ":4: class 7 has probe");
    assert_damage("0,0.45,0,2000,900,0\n", "0,0.45,0,2000,900,?\n", ":3: loss_delta is \"?\"");
    assert_damage("0,0.45,0,2000,900,0\n", "0,0.45,0,2000,900,0,1\n", ":3: 9 fields");
    assert_damage("0,0.45,0,2000,900,0\n", "0,0.45\n", ":3: 4 fields");
    assert_damage("\n7,conv_bn.conv,1,", "\n7,conv_bn.conv,0,", "second row for class 7");
    assert_damage("\n7,conv_bn.conv,1,", "\n\n7,conv_bn.conv,1,", ":4: 1 fields");
}

static void test_ties_of_the_effect_are_broken_by_loss_then_by_index(void **state)
{
    (void)state;
    ex_effects *e;
    assert_ok(ex_effects_alloc(&e, resnet20, 2));
    static const int correct[] = {5, 4, 4, 4, 4, 9};
    static const double delta[] = {9.0, 0.1, 0.3, 0.1, NAN, 99.0};
    static const int expected[] = {4, 2, 1, 3, 0, 5};
    const int row = resnet20->channel_count, first = 16;
    for (int i = 0; i < 6; i++) {
        e->correct[row + first + i] = correct[i];
        e->loss_delta[row + first + i] = delta[i];
    }
    int order[6];
    assert_ok(ex_effects_rank(order, e, 1, first, 6));
    for (int i = 0; i < 6; i++)
        assert_int_equal(order[i], first + expected[i]);
    ex_effects_destroy(&e);
}

static void test_a_file_cut_anywhere_is_no_table(void **state)
{
    (void)state;
    ex_effects *e = sample_table();
    const char *path = ex_temp_path("effects.csv");
    assert_ok(ex_effects_write(e, path));
    ex_effects_destroy(&e);
    size_t bytes;
    char *text = read_text(path, &bytes);
    for (size_t cut = 0; cut < bytes - 20; cut += cut < 400 ? 1 : 997) {
        path = ex_temp_write("cut.csv", text, cut, 0);
        assert_status(ex_effects_read(&e, resnet20, DIGEST, path), EX_ERR_INPUT);
    }
    text[bytes / 2] = '\0';
    path = ex_temp_write("cut.csv", text, bytes, 0);
    assert_status(ex_effects_read(&e, resnet20, DIGEST, path), EX_ERR_INPUT);
    assert_message("zero byte");
    assert_status(ex_effects_read(&e, resnet20, DIGEST, ex_temp_path("absent.csv")), EX_ERR_INPUT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_survives_the_file_to_the_last_bit),
        cmocka_unit_test(test_rows_may_come_in_any_order_and_with_carriage_returns),
        cmocka_unit_test(test_the_first_format_is_read_and_what_it_lacks_stays_unknown),
        cmocka_unit_test(test_every_damage_is_told_with_its_line),
        cmocka_unit_test(test_ties_of_the_effect_are_broken_by_loss_then_by_index),
        cmocka_unit_test(test_a_file_cut_anywhere_is_no_table),
    };
    return cmocka_run_group_tests(tests, ex_model_fixture_open, ex_model_fixture_close);
}
