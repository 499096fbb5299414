/* Federations for tests: the CPU back end with synthetic data, small, but everything is real. */
#ifndef EX_FEDERATION_FIXTURE_H
#define EX_FEDERATION_FIXTURE_H

#include "federation.h"

/* ResNet20, 200 samples, four clients, one lane, two rounds of one epoch. */
ex_config ex_test_config(void);
/* Opened, with the ledger in phase "train"; closed by ex_federation_close. */
ex_federation *ex_test_federation(const ex_config *c);
/* Round `number` of all clients as the configuration wants it, without a mask. */
ex_round ex_test_round(const ex_federation *f, int number);
/* One channel of every layer; destroyed by ex_mask_destroy. */
ex_mask *ex_test_mask(const ex_model *model);

/* A copy of a federation's global values. */
typedef struct ex_test_values {
    float *params, *stats;
} ex_test_values;

ex_test_values ex_test_values_copy(const ex_federation *f);
void ex_test_values_free(ex_test_values *v);
/* Fails unless the federation's values are the same bits. */
void ex_test_values_same(const ex_federation *f, const ex_test_values *v);

#endif
