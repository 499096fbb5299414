/* Pooling. */
#include "cpu/dnnl_impl.h"

typedef struct pool {
    const ex_dnn_pool *p;
    dnnl_memory_desc_t src, dst;
} pool;

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r, ex_dnn_pass pass,
                              const_dnnl_primitive_desc_t hint)
{
    const pool *v = r->what;
    const dnnl_alg_kind_t alg = v->p->maximum ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
    const ex_dnn_md_ref src = EX_DNN_REF(v->src), dst = EX_DNN_REF(v->dst);
    const ex_dnn_walk w = ex_dnn_walk_of(&v->p->window);
    const dnnl_dims_t kernel = {v->p->window.R, v->p->window.S};
#if DNNL_VERSION_MAJOR >= 3
    return pass == EX_DNN_BACKWARD_DATA
               ? dnnl_pooling_backward_primitive_desc_create(pd, r->engine, alg, src, dst,
                                                             w.strides, kernel, w.dilates, w.left,
                                                             w.right, hint, r->attr)
               : dnnl_pooling_forward_primitive_desc_create(pd, r->engine, ex_dnn_prop(pass), alg,
                                                            src, dst, w.strides, kernel, w.dilates,
                                                            w.left, w.right, r->attr);
#else
    dnnl_pooling_desc_t *d = &r->desc.pool;
    const dnnl_status_t s =
        pass == EX_DNN_BACKWARD_DATA
            ? dnnl_pooling_backward_desc_init(d, alg, src, dst, w.strides, kernel, w.left, w.right)
            : dnnl_pooling_forward_desc_init(d, ex_dnn_prop(pass), alg, src, dst, w.strides, kernel,
                                             w.left, w.right);
    return ex_dnn_recipe_pd(pd, r, hint, s);
#endif
}

ex_status ex_dnn_pool_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_pool *p)
{
    const ex_dnn_window *w = &p->window;
    const dnnl_dim_t src[4] = {p->N, p->C, w->H, w->W}, dst[4] = {p->N, p->C, w->out_H, w->out_W};
    const dnnl_format_tag_t tag = ex_dnn_map_tag(p->block);
    pool v = {.p = p};
    ex_dnn_recipe recipe = {
        .name = "pooling", .engine = engine, .pass = p->pass, .describe = describe, .what = &v};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(ex_dnn_md_make(&v.src, 4, src, tag, ex_dnn_type(p->bf16)), done);
    EX_TRY_GOTO(ex_dnn_md_make(&v.dst, 4, dst, tag, ex_dnn_type(p->bf16)), done);
    status = ex_dnn_op_make(out, &recipe);
done:
    ex_dnn_md_free(&v.src);
    ex_dnn_md_free(&v.dst);
    return status;
}
