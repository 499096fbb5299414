/* The planes of differences that host and CUDA work on: for each variant and image what its channel
 * loses, x - x', as far as the convolution's windows reach, with zeros where they leave the map. */
#ifndef EX_KERNELS_CONV_CHANNEL_H
#define EX_KERNELS_CONV_CHANNEL_H

#include "device.h"
#include "kernels.h"

typedef struct ex_channel_plane {
    int H, W;
} ex_channel_plane;

EX_BODY ex_channel_plane ex_channel_plane_of(const ex_conv_shape *c)
{
    const ex_channel_plane p = {(c->out_H - 1) * c->stride + c->R,
                                (c->out_W - 1) * c->stride + c->S};
    return p;
}

EX_BODY size_t ex_channel_plane_floats(const ex_conv_shape *c)
{
    const ex_channel_plane p = ex_channel_plane_of(c);
    return p.H > 0 && p.W > 0 ? (size_t)p.H * (size_t)p.W : 0;
}

#endif
