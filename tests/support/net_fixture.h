/* A test model opened on the device under test, with images, values, and the same in double
 * precision. */
#ifndef EX_NET_FIXTURE_H
#define EX_NET_FIXTURE_H

#include "net_reference.h"

typedef struct ex_net_fixture {
    ex_model *model;
    ex_dataset data;
    ex_samples feed;
    ex_device *device;
    ex_lane *lane;
    float *params, *stats;
    double *dparams, *dstats, *input;
    int batch;
} ex_net_fixture;

/* The device under test: what EXCISE_TEST_DEVICE names, or the CPU. */
const char *ex_test_device(void);

void ex_net_fixture_open(ex_net_fixture *f, int which, int batch, int threads, ex_conv_choice conv);
/* The same in another precision than fp32, which the device must have. */
void ex_net_fixture_open_as(ex_net_fixture *f, int which, int batch, int threads,
                            ex_conv_choice conv, ex_precision precision);
void ex_net_fixture_close(ex_net_fixture *f);
/* The reference net with the fixture's values. */
ex_net ex_net_fixture_net(const ex_net_fixture *f, bool batch_statistics);

#endif
