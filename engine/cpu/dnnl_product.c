/* Several matrix products of one size at once. */
#include "cpu/dnnl_impl.h"

typedef struct product {
    dnnl_memory_desc_t src, weights, dst;
} product;

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r, ex_dnn_pass pass,
                              const_dnnl_primitive_desc_t hint)
{
    const product *v = r->what;
    const ex_dnn_md_ref src = EX_DNN_REF(v->src), weights = EX_DNN_REF(v->weights),
                        dst = EX_DNN_REF(v->dst);
    (void)pass;
#if DNNL_VERSION_MAJOR >= 3
    (void)hint;
    return dnnl_matmul_primitive_desc_create(pd, r->engine, src, weights, NULL, dst, r->attr);
#else
    return ex_dnn_recipe_pd(pd, r, hint,
                            dnnl_matmul_desc_init(&r->desc.product, src, weights, NULL, dst));
#endif
}

static void product_close(product *v)
{
    ex_dnn_md_free(&v->src);
    ex_dnn_md_free(&v->weights);
    ex_dnn_md_free(&v->dst);
}

ex_status ex_dnn_product_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_product *p)
{
    const dnnl_dim_t src[3] = {p->count, p->M, p->K}, weights[3] = {p->count, p->K, p->N},
                     dst[3] = {p->count, p->M, p->N};
    product v = {0};
    ex_dnn_recipe recipe = {
        .name = "matrix products", .engine = engine, .describe = describe, .what = &v};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(ex_dnn_md_make(&v.src, 3, src, p->src_transposed ? dnnl_acb : dnnl_abc, dnnl_f32),
                done);
    EX_TRY_GOTO(ex_dnn_md_make(&v.weights, 3, weights, p->weights_transposed ? dnnl_acb : dnnl_abc,
                               dnnl_f32),
                done);
    EX_TRY_GOTO(ex_dnn_md_make(&v.dst, 3, dst, dnnl_abc, dnnl_f32), done);
    status = ex_dnn_op_make(out, &recipe);
done:
    product_close(&v);
    return status;
}
