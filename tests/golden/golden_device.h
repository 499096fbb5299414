/* Which device the golden tests run on: EXCISE_TEST_DEVICE, else the CPU back end. */
#ifndef EX_GOLDEN_DEVICE_H
#define EX_GOLDEN_DEVICE_H

#include "backend.h"

/* How a step is run. */
typedef struct ex_golden_setup {
    int threads;
    ex_conv_choice conv;
    ex_precision precision;
} ex_golden_setup;

/* Fails the test if the device cannot be opened. */
ex_device *ex_golden_device_open(ex_conv_choice conv, ex_precision precision);
/* Whether the device computes in that precision; why not goes to stderr. */
bool ex_golden_device_has(ex_precision precision);
/* For main: 77 with the reason on stderr if the device cannot be used here, else 0. */
int ex_golden_device_missing(void);

#endif
