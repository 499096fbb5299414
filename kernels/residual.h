/* Elements of the residual-block operations, shared by host and CUDA. */
#ifndef EX_KERNELS_RESIDUAL_H
#define EX_KERNELS_RESIDUAL_H

#include "device.h"

/* max(x, 0); a NaN stays one, so that a diverged run is seen in its loss. */
EX_BODY float ex_relu_body(float x)
{
    return x < 0.0f ? 0.0f : x;
}

/* Gradient through a ReLU whose output was y. */
EX_BODY float ex_relu_gradient_body(float g, float y)
{
    return y > 0.0f ? g : 0.0f;
}

#endif
