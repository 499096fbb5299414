/* The model description that a file of tests shares: ResNet20 of 10 classes on 1 x 28 x 28. */
#ifndef EX_MODEL_FIXTURE_H
#define EX_MODEL_FIXTURE_H

#include "model/model.h"

extern ex_model *resnet20;

/* Set-up and tear-down of a group of tests. */
int ex_model_fixture_open(void **state);
int ex_model_fixture_close(void **state);

#endif
