/* A federation on golden images: opened on synthetic data of their shape, then given the start
 * values and normalisation of resnet20_small.gold. */
#ifndef EX_GOLDEN_FEDERATION_H
#define EX_GOLDEN_FEDERATION_H

#include "federation.h"
#include "golden_net.h"

enum {
    EX_GOLDEN_CLIENTS = 3,
    EX_GOLDEN_SHARES = 40, /* images of all clients together */
    EX_GOLDEN_POOL = 1000, /* training images */
    EX_GOLDEN_CHANNELS = 3,
    EX_GOLDEN_SIZE = 16
};

typedef struct ex_golden_setting {
    ex_golden_net net; /* net.params, net.stats: before the case */
    ex_federation *f;
} ex_golden_setting;

/* The ledger phase "golden" is open until the setting is closed. */
void ex_golden_setting_open(ex_golden_setting *s, ex_conv_choice conv, int lanes);
void ex_golden_setting_close(ex_golden_setting *s);

#endif
