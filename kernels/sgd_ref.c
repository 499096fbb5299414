/* Reference of the optimizer operations: torch.optim.SGD, in its order of float32 operations. */
#include "reference.h"

void ex_sgd_segments_ref(float *params, float *velocity, const float *grads,
                         const ex_segment *segments, size_t segment_count, ex_sgd_coeff c)
{
    for (size_t s = 0; s < segment_count; s++)
        for (size_t i = 0; i < segments[s].length; i++) {
            const size_t at = segments[s].offset + i;
            float grad = grads[at];
            grad += c.weight_decay * params[at];
            velocity[at] *= c.momentum;
            velocity[at] += grad;
            if (c.nesterov)
                grad += c.momentum * velocity[at];
            else
                grad = velocity[at];
            params[at] -= c.lr * grad;
        }
}
