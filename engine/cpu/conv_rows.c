/* Gradients of all filters by the kernel for few of them (kernels.h), as one of the algorithms that
 * are timed. The plan's step is that of few filters too: plan_rows.c. */
#include "cpu/cpu_impl.h"

static ex_conv_shape shape_of(const ex_dnn_conv *c)
{
    const ex_dnn_window *w = &c->window;
    return (ex_conv_shape){.in = {.N = c->N,
                                  .C = c->C,
                                  .H = w->H,
                                  .W = w->W,
                                  .block = c->src_block,
                                  .type = c->bf16 ? EX_MAP_BF16 : EX_MAP_F32},
                           .K = c->K,
                           .out_H = w->out_H,
                           .out_W = w->out_W,
                           .out_block = c->dst_block,
                           .R = w->R,
                           .S = w->S,
                           .stride = w->stride,
                           .pad = w->pad};
}

/* Other layouts have no fast kernel. */
enum { WIDE = 16 };

bool ex_cpu_rows_fit(const ex_dnn_conv *c)
{
    return c->pass == EX_DNN_BACKWARD_WEIGHTS && c->src_block % WIDE == 0;
}

/* --- a trial ---------------------------------------------------------------------------------- */

enum { DW, X, DY, SCRATCH, ROWS };

void ex_cpu_rows_trial_floats(size_t floats[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c,
                              ex_stream stream)
{
    const ex_conv_shape s = shape_of(c);
    const size_t images = (size_t)c->N;
    (void)stream;
    floats[DW] = (size_t)c->K * (size_t)c->C * (size_t)(s.R * s.S);
    floats[X] = images * (size_t)c->C * (size_t)s.in.H * (size_t)s.in.W;
    floats[DY] = images * (size_t)c->K * (size_t)s.out_H * (size_t)s.out_W;
    floats[SCRATCH] = ex_kernels_host.conv_rows_scratch(&s, c->K);
    floats[ROWS] = (size_t)c->K; /* numbers of as many bytes */
}

void ex_cpu_rows_try(float *const at[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream s)
{
    const ex_conv_shape shape = shape_of(c);
    int32_t *row = (int32_t *)(void *)at[ROWS];
    for (int k = 0; k < c->K; k++)
        row[k] = k;
    ex_kernels_host.conv_rows_bwd(at[DW], NULL, at[X], at[DY], row, c->K, &shape, at[SCRATCH], s);
}
