#include "close_call.h"

#include <math.h>

static const float TIE = 1e-4f;

bool ex_test_close_call(const float *logits, int classes, int label)
{
    float rival = -INFINITY;
    for (int k = 0; k < classes; k++)
        if (k != label && logits[k] > rival)
            rival = logits[k];
    return fabsf(logits[label] - rival) < TIE;
}
