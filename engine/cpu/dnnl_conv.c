/* Convolutions. */
#include "cpu/dnnl_impl.h"

#include <string.h>

typedef struct conv {
    const ex_dnn_conv *c;
    dnnl_memory_desc_t src, weights, bias, dst, gradient; /* gradient: of the weights */
    ex_dnn_walk walk;
} conv;

static void conv_close(conv *v)
{
    ex_dnn_md_free(&v->src);
    ex_dnn_md_free(&v->weights);
    ex_dnn_md_free(&v->bias);
    ex_dnn_md_free(&v->dst);
    ex_dnn_md_free(&v->gradient);
}

static ex_status conv_init(conv *v, const ex_dnn_conv *c)
{
    const ex_dnn_window *w = &c->window;
    const dnnl_dim_t filter[4] = {c->K, c->C, w->R, w->S};
    const dnnl_dim_t src[4] = {c->N, c->C, w->H, w->W}, dst[4] = {c->N, c->K, w->out_H, w->out_W};
    const bool pixels = c->algorithm == EX_DNN_PIXELS;
    const dnnl_data_type_t type = ex_dnn_type(c->bf16);
    memset(v, 0, sizeof *v);
    v->c = c;
    v->walk = ex_dnn_walk_of(w);
    if (pixels && (c->src_block != c->C || c->dst_block != c->K))
        return EX_FAIL(EX_ERR_UNSUPPORTED, "these maps are not NHWC");
    EX_TRY(
        ex_dnn_md_make(&v->src, 4, src, pixels ? dnnl_nhwc : ex_dnn_map_tag(c->src_block), type));
    EX_TRY(ex_dnn_md_make(&v->dst, 4, dst, pixels ? dnnl_nhwc : ex_dnn_map_tag(c->dst_block),
                          ex_dnn_type(c->bf16 && !c->wide)));
    EX_TRY(ex_dnn_md_make(&v->weights, 4, filter, dnnl_format_tag_any, type));
    EX_TRY(ex_dnn_md_make(&v->gradient, 4, filter, dnnl_format_tag_any, dnnl_f32));
    return ex_dnn_md_vector(&v->bias, c->K);
}

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r, ex_dnn_pass pass,
                              const_dnnl_primitive_desc_t hint)
{
    const conv *v = r->what;
    const dnnl_alg_kind_t alg =
        v->c->algorithm == EX_DNN_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct;
    const ex_dnn_md_ref src = EX_DNN_REF(v->src),
                        weights = pass == EX_DNN_BACKWARD_WEIGHTS ? EX_DNN_REF(v->gradient)
                                                                  : EX_DNN_REF(v->weights),
                        dst = EX_DNN_REF(v->dst), bias = v->c->bias ? EX_DNN_REF(v->bias) : NULL;
    const ex_dnn_walk *w = &v->walk;
#if DNNL_VERSION_MAJOR >= 3
    if (pass == EX_DNN_BACKWARD_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, r->engine, alg, src, weights, dst, w->strides, w->dilates, w->left, w->right, hint,
            r->attr);
    if (pass == EX_DNN_BACKWARD_WEIGHTS)
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, r->engine, alg, src, weights, bias, dst, w->strides, w->dilates, w->left, w->right,
            hint, r->attr);
    return dnnl_convolution_forward_primitive_desc_create(pd, r->engine, ex_dnn_prop(pass), alg,
                                                          src, weights, bias, dst, w->strides,
                                                          w->dilates, w->left, w->right, r->attr);
#else
    dnnl_convolution_desc_t *d = &r->desc.conv;
    dnnl_status_t s;
    if (pass == EX_DNN_BACKWARD_DATA)
        s = dnnl_convolution_backward_data_desc_init(d, alg, src, weights, dst, w->strides, w->left,
                                                     w->right);
    else if (pass == EX_DNN_BACKWARD_WEIGHTS)
        s = dnnl_convolution_backward_weights_desc_init(d, alg, src, weights, bias, dst, w->strides,
                                                        w->left, w->right);
    else
        s = dnnl_convolution_forward_desc_init(d, ex_dnn_prop(pass), alg, src, weights, bias, dst,
                                               w->strides, w->left, w->right);
    return ex_dnn_recipe_pd(pd, r, hint, s);
#endif
}

ex_status ex_dnn_conv_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_conv *c)
{
    conv v;
    ex_dnn_recipe recipe = {.name = "a convolution",
                            .engine = engine,
                            .pass = c->pass,
                            .sum = c->sum,
                            .relu = c->relu,
                            .describe = describe,
                            .what = &v};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(conv_init(&v, c), done);
    status = ex_dnn_op_make(out, &recipe);
done:
    conv_close(&v);
    return status;
}
