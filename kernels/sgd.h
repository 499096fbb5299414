/* Element of sgd_segments, shared by host and CUDA. */
#ifndef EX_KERNELS_SGD_H
#define EX_KERNELS_SGD_H

#include "device.h"
#include "kernels.h"

/* One parameter's step, in torch.optim.SGD's order of operations. */
EX_BODY void ex_sgd_body(float *param, float *velocity, float grad, ex_sgd_coeff c)
{
    const float g = grad + c.weight_decay * *param;
    const float v = c.momentum * *velocity + g;
    *velocity = v;
    *param -= c.lr * (c.nesterov ? g + c.momentum * v : v);
}

#endif
