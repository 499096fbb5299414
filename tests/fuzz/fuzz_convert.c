/* Model files under the names of PyTorch's collections. Models of excise are too large for a
 * corpus, so that an input is refused at last: for the right reason, and without memory for the
 * values of a model that the file does not hold. What is taken all the same comes back. A file of
 * an odd size is read as vgg11, others as what they look like. */
#include "fuzz.h"

#include "io/convert.h"

#include <string.h>

static void check_round_trip(const ex_converted *c)
{
    ex_converted again;
    const char *path = fuzz_path("out");
    FUZZ_OK(ex_convert_write(c, path, &c->names));
    FUZZ_OK(ex_convert_read(&again, path, c->model->name, NULL));
    FUZZ_CHECK(memcmp(c->params, again.params, c->model->param_count * sizeof(float)) == 0,
               "params");
    FUZZ_CHECK(memcmp(c->stats, again.stats, c->model->stat_count * sizeof(float)) == 0, "stats");
    ex_convert_close(&again);
}

static void convert(const char *path, const char *architecture, size_t size)
{
    ex_converted c;
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size);
    const ex_status status = ex_convert_read(&c, path, architecture, NULL);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (c.model && c.params && c.stats), "%s", ex_error_message());
    if (status == EX_OK)
        check_round_trip(&c);
    ex_convert_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_write("in", data, size);
    convert(path, size % 2 ? "vgg11" : NULL, size);
    return 0;
}
