#include "force_tiles.h"

#include "test.h"

#include <jansson.h>
#include <string.h>

int ex_test_force_tiles(const char *path)
{
    int forced = 0;
    const char *key;
    json_t *value, *root = json_load_file(path, 0, NULL);
    json_object_foreach(json_object_get(root, "algorithms"), key, value)
    {
        if ((strncmp(key, "weights", 7) == 0 && strstr(key, " bias")) || strstr(key, " c2 "))
            continue;
        assert_int_equal(json_string_set(value, "tiles"), 0);
        forced++;
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    return forced;
}
