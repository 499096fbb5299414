#include "golden_device.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static ex_status open_device(ex_device **out, ex_conv_choice conv, ex_precision precision)
{
    const char *wanted = getenv("EXCISE_TEST_DEVICE");
    const ex_device_options options = {
        .device = wanted ? wanted : "cpu", .precision = precision, .conv = conv};
    return ex_device_open(out, &options);
}

ex_device *ex_golden_device_open(ex_conv_choice conv, ex_precision precision)
{
    ex_device *device;
    assert_ok(open_device(&device, conv, precision));
    return device;
}

bool ex_golden_device_has(ex_precision precision)
{
    ex_device *device;
    if (open_device(&device, EX_CONV_DIRECT, precision) != EX_OK) {
        fprintf(stderr, "skipped: %s\n", ex_error_message());
        return false;
    }
    ex_device_close(&device);
    return true;
}

int ex_golden_device_missing(void)
{
    ex_device *device;
    if (open_device(&device, EX_CONV_DIRECT, EX_FP32) != EX_OK) {
        fprintf(stderr, "skipped: %s\n", ex_error_message());
        return 77;
    }
    ex_device_close(&device);
    return 0;
}
