/* Elements of the batch-norm operations, shared by host and CUDA. */
#ifndef EX_KERNELS_NORM_H
#define EX_KERNELS_NORM_H

#include "device.h"

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

#endif
