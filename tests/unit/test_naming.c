#include "io/naming.h"
#include "model/model.h"
#include "test.h"

#include <string.h>

static const ex_naming *find(const char *name)
{
    const ex_naming *n = ex_naming_find(name);
    assert_non_null(n);
    return n;
}

static void test_names_are_translated(void **state)
{
    (void)state;
    static const struct {
        const char *naming, *ours, *theirs;
    } cases[] = {
        {"torchvision", "conv_bn.conv.weight", "conv1.weight"},
        {"torchvision", "layer12.block_34.conv_bn2.bn.running_var", "layer12.34.bn2.running_var"},
        {"torchvision", "layer2.block_0.shortcut.bn.num_batches_tracked",
         "layer2.0.downsample.1.num_batches_tracked"},
        {"torchvision", "linear.bias", "fc.bias"},
        {"torchvision", "feature.bn_7.weight", "features.26.weight"},
        {"torchvision", "classifier.linear_1.weight", "classifier.3.weight"},
        {"kuangliu", "layer2.block_0.shortcut.conv.weight", "layer2.0.shortcut.0.weight"},
        {"kuangliu", "linear.weight", "linear.weight"},
        {"kuangliu", "classifier.linear_0.bias", "classifier.bias"},
        {"weiaicunzai", "conv_bn.bn.running_mean", "conv1.1.running_mean"},
        {"weiaicunzai", "layer1.block_1.conv_bn2.conv.weight",
         "conv2_x.1.residual_function.3.weight"},
        {"weiaicunzai", "layer4.block_0.shortcut.bn.bias", "conv5_x.0.shortcut.1.bias"},
        {"weiaicunzai", "layer3.block_0.conv_bn1.bn.weight",
         "conv4_x.0.residual_function.1.weight"},
        {"sequential", "classifier.linear_1.bias", "classifier.2.bias"},
        {"excise", "layer1.block_0.conv_bn1.conv.weight", "layer1.block_0.conv_bn1.conv.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[EX_FILE_NAME_MAX];
        ex_file_names names = {.naming = find(cases[i].naming)};
        assert_true(ex_file_name(name, &names, cases[i].ours));
        assert_string_equal(name, cases[i].theirs);
        strcpy(names.prefix, "module.");
        assert_true(ex_file_name(name, &names, cases[i].ours));
        assert_string_equal(name + 7, cases[i].theirs);
        assert_memory_equal(name, "module.", 7);
    }
}

static void test_names_without_a_rule_have_none(void **state)
{
    (void)state;
    static const char *const cases[] = {"layer.block_0.conv_bn1.conv.weight",
                                        "layer1.block_.conv_bn1.conv.weight",
                                        "linear2.weight",
                                        "conv_bn.convx.weight",
                                        "feature.conv_8.weight",
                                        ""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[EX_FILE_NAME_MAX];
        const ex_file_names names = {.naming = find("torchvision")};
        assert_false(ex_file_name(name, &names, cases[i]));
    }
    assert_null(ex_naming_find("caffe"));
}

/* Of a whole model: nothing is called like another, so that a file can be read back. */
static void test_every_naming_tells_tensors_apart(void **state)
{
    (void)state;
    enum { MOST = 160 };
    static char seen[MOST][EX_FILE_NAME_MAX];
    int whole = 0;
    for (const ex_naming *n = ex_namings(); n->name; n++)
        for (const char *const *arch = ex_model_names(); *arch; arch++) {
            const ex_file_names names = {.naming = n};
            ex_model *m;
            assert_ok(ex_model_create(&m, *arch, (ex_model_shape){10, 3, 32, 32}));
            int count = 0;
            assert_true(m->tensor_count <= MOST);
            for (int i = 0; i < m->tensor_count; i++) {
                if (!ex_file_name(seen[count], &names, m->tensors[i].name))
                    continue;
                for (int j = 0; j < count; j++)
                    assert_string_not_equal(seen[j], seen[count]);
                count++;
            }
            whole += count == m->tensor_count;
            ex_model_destroy(&m);
        }
    assert_true(whole >= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_translated),
        cmocka_unit_test(test_names_without_a_rule_have_none),
        cmocka_unit_test(test_every_naming_tells_tensors_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
