/* Linear layers. */
#include "cpu/dnnl_impl.h"

typedef struct linear {
    dnnl_memory_desc_t src, weights, bias, dst, gradient; /* gradient: of the weights */
} linear;

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r, ex_dnn_pass pass,
                              const_dnnl_primitive_desc_t hint)
{
    const linear *v = r->what;
    const ex_dnn_md_ref src = EX_DNN_REF(v->src),
                        weights = pass == EX_DNN_BACKWARD_WEIGHTS ? EX_DNN_REF(v->gradient)
                                                                  : EX_DNN_REF(v->weights),
                        bias = EX_DNN_REF(v->bias), dst = EX_DNN_REF(v->dst);
#if DNNL_VERSION_MAJOR >= 3
    if (pass == EX_DNN_BACKWARD_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(pd, r->engine, src, weights,
                                                                      dst, hint, r->attr);
    if (pass == EX_DNN_BACKWARD_WEIGHTS)
        return dnnl_inner_product_backward_weights_primitive_desc_create(
            pd, r->engine, src, weights, bias, dst, hint, r->attr);
    return dnnl_inner_product_forward_primitive_desc_create(pd, r->engine, ex_dnn_prop(pass), src,
                                                            weights, bias, dst, r->attr);
#else
    dnnl_inner_product_desc_t *d = &r->desc.linear;
    dnnl_status_t s;
    if (pass == EX_DNN_BACKWARD_DATA)
        s = dnnl_inner_product_backward_data_desc_init(d, src, weights, dst);
    else if (pass == EX_DNN_BACKWARD_WEIGHTS)
        s = dnnl_inner_product_backward_weights_desc_init(d, src, weights, bias, dst);
    else
        s = dnnl_inner_product_forward_desc_init(d, ex_dnn_prop(pass), src, weights, bias, dst);
    return ex_dnn_recipe_pd(pd, r, hint, s);
#endif
}

ex_status ex_dnn_linear_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_linear *l)
{
    linear v = {0};
    ex_dnn_recipe recipe = {.name = "a linear layer",
                            .engine = engine,
                            .pass = l->pass,
                            .relu = l->relu,
                            .describe = describe,
                            .what = &v};
    const dnnl_data_type_t type = ex_dnn_type(l->bf16),
                           dst =
                               ex_dnn_type(l->bf16 && !(l->wide && l->pass < EX_DNN_BACKWARD_DATA));
    const dnnl_format_tag_t weights = l->bf16 ? dnnl_format_tag_any : dnnl_ab;
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(ex_dnn_md_matrix(&v.src, l->N, l->C, dnnl_ab, type), done);
    EX_TRY_GOTO(ex_dnn_md_matrix(&v.weights, l->K, l->C, weights, type), done);
    EX_TRY_GOTO(ex_dnn_md_matrix(&v.gradient, l->K, l->C, dnnl_ab, dnnl_f32), done);
    EX_TRY_GOTO(ex_dnn_md_vector(&v.bias, l->K), done);
    EX_TRY_GOTO(ex_dnn_md_matrix(&v.dst, l->N, l->K, dnnl_ab, dst), done);
    status = ex_dnn_op_make(out, &recipe);
done:
    ex_dnn_md_free(&v.src);
    ex_dnn_md_free(&v.weights);
    ex_dnn_md_free(&v.bias);
    ex_dnn_md_free(&v.dst);
    ex_dnn_md_free(&v.gradient);
    return status;
}

ex_status ex_dnn_linear_weights(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op,
                                const ex_dnn_linear *l)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(ex_dnn_md_matrix(&flat, l->K, l->C, dnnl_ab, dnnl_f32));
    const ex_status status =
        ex_dnn_reorder_make(out, engine, EX_DNN_REF(flat), ex_dnn_op_md(op, DNNL_ARG_WEIGHTS));
    ex_dnn_md_free(&flat);
    return status;
}
