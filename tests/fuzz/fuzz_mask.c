/* mask.json for the tiny model. What is read comes back from being written and read again. */
#include "fuzz.h"

#include "model/mask.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ex_model *m = fuzz_model();
    ex_mask *mask, *again;
    const char *path = fuzz_write("in", data, size);
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size); /* a file is read into 64 KiB at least */
    const ex_status status = ex_mask_read(&mask, m, path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (mask != NULL), "%p", (void *)mask);
    if (status != EX_OK)
        return 0;
    int selected = 0;
    for (int c = 0; c < m->channel_count; c++)
        selected += mask->selected[c];
    FUZZ_CHECK(mask->channel_count == selected, "%d channels", mask->channel_count);
    const char *copy = fuzz_path("out");
    FUZZ_OK(ex_mask_write(mask, copy));
    FUZZ_OK(ex_mask_read(&again, m, copy));
    FUZZ_CHECK(memcmp(mask->selected, again->selected, (size_t)m->channel_count) == 0, "mask");
    ex_mask_destroy(&mask);
    ex_mask_destroy(&again);
    return 0;
}
