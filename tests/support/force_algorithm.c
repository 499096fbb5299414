#include "force_algorithm.h"

#include "test.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

static bool may_be(const char *name, const char *key)
{
    const bool weights = strncmp(key, "weights", 7) == 0;
    if (strstr(key, " c2 "))
        return false;
    return strcmp(name, "rows") == 0 ? weights : !(weights && strstr(key, " bias"));
}

int ex_test_force_algorithm(const char *path, const char *name)
{
    int forced = 0;
    const char *key;
    json_t *value, *root = json_load_file(path, 0, NULL);
    json_object_foreach(json_object_get(root, "algorithms"), key, value)
    {
        if (!may_be(name, key))
            continue;
        assert_int_equal(json_string_set(value, name), 0);
        forced++;
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    return forced;
}
