/* Elements of the batch-norm operations, shared by host and CUDA. */
#ifndef EX_KERNELS_NORM_H
#define EX_KERNELS_NORM_H

#include "device.h"
#include "kernels.h"

#include <math.h>

/* What an evaluation-mode norm multiplies a channel by. */
EX_BODY float ex_norm_ratio_body(float scale, float var, float eps)
{
    return scale / sqrtf(var + eps);
}

EX_BODY float ex_norm_running_body(float running, float batch, float momentum)
{
    return running + momentum * (batch - running);
}

/* Whether a map has no elements: nothing to do. */
EX_BODY int ex_norm_empty(const ex_map_shape *m)
{
    return m->N <= 0 || m->C <= 0 || m->H <= 0 || m->W <= 0;
}

#endif
