/* algorithms.json for the CPU back end. The first "$DEVICE" in the input stands for the description
 * of the device, so that inputs work on any machine. What is read is written, and read again gives
 * the same file. */
#include "fuzz.h"

#include "backend.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

static const char MARK[] = "$DEVICE";

static ex_device *open_device(void)
{
    const ex_device_options options = {.device = "cpu"};
    ex_device *device;
    FUZZ_OK(ex_device_open(&device, &options));
    return device;
}

static const char *write_input(const uint8_t *data, size_t size, const char *description)
{
    const size_t mark = sizeof MARK - 1, more = strlen(description);
    const uint8_t *at = size ? memmem(data, size, MARK, mark) : NULL;
    if (!at)
        return fuzz_write("in", data, size);
    const size_t before = (size_t)(at - data), after = size - before - mark;
    uint8_t *text = malloc(before + more + after);
    FUZZ_CHECK(text, "memory");
    memcpy(text, data, before);
    memcpy(text + before, description, more);
    memcpy(text + before + more, at + mark, after);
    const char *path = fuzz_write("in", text, before + more + after);
    free(text);
    return path;
}

static void check_round_trip(const ex_device *device)
{
    ex_device *again = open_device();
    char *first, *second;
    size_t bytes, bytes2;
    const char *path = fuzz_path("out"), *path2 = fuzz_path("again");
    FUZZ_OK(ex_device_write_algorithms(device, path));
    FUZZ_OK(ex_device_read_algorithms(again, path));
    FUZZ_OK(ex_device_write_algorithms(again, path2));
    FUZZ_OK(ex_file_read(&first, &bytes, path, SIZE_MAX / 2));
    FUZZ_OK(ex_file_read(&second, &bytes2, path2, SIZE_MAX / 2));
    FUZZ_CHECK(bytes == bytes2 && memcmp(first, second, bytes) == 0, "the files differ");
    free(first);
    free(second);
    ex_device_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_silence_log();
    ex_device *device = open_device();
    const char *path = write_input(data, size, device->description);
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size);
    const ex_status status = ex_device_read_algorithms(device, path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK)
        check_round_trip(device);
    ex_device_close(&device);
    return 0;
}
