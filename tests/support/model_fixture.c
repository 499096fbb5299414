#include "model_fixture.h"

ex_model *resnet20;

int ex_model_fixture_open(void **state)
{
    (void)state;
    return ex_model_create(&resnet20, "resnet20", (ex_model_shape){10, 1, 28, 28}) != EX_OK;
}

int ex_model_fixture_close(void **state)
{
    (void)state;
    ex_model_destroy(&resnet20);
    return 0;
}
