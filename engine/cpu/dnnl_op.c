/* Making ops: attributes, the hint of backward passes, the primitive. */
#include "cpu/dnnl_impl.h"

ex_status ex_dnn_attr_make(dnnl_primitive_attr_t *attr, bool sum, bool relu)
{
    dnnl_post_ops_t ops = NULL;
    ex_status status;
    *attr = NULL;
    EX_TRY(EX_DNN(dnnl_primitive_attr_create(attr)));
    EX_TRY_GOTO(EX_DNN(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user)),
                done);
    EX_TRY_GOTO(EX_DNN(dnnl_post_ops_create(&ops)), done);
#if DNNL_VERSION_MAJOR >= 3
    if (sum)
        EX_TRY_GOTO(EX_DNN(dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32)), done);
    if (relu)
        EX_TRY_GOTO(EX_DNN(dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f)), done);
#else
    if (sum)
        EX_TRY_GOTO(EX_DNN(dnnl_post_ops_append_sum(ops, 1.0f)), done);
    if (relu)
        EX_TRY_GOTO(EX_DNN(dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f)),
                    done);
#endif
    status = EX_DNN(dnnl_primitive_attr_set_post_ops(*attr, ops));
done:
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (status != EX_OK) {
        dnnl_primitive_attr_destroy(*attr);
        *attr = NULL;
    }
    return status;
}

#if DNNL_VERSION_MAJOR < 3
dnnl_status_t ex_dnn_recipe_pd(dnnl_primitive_desc_t *pd, const ex_dnn_recipe *r,
                               const_dnnl_primitive_desc_t hint, dnnl_status_t s)
{
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &r->desc, r->attr, r->engine, hint)
                             : s;
}
#endif

ex_status ex_dnn_op_finish(ex_dnn_op *op)
{
    const ex_status status = EX_DNN(dnnl_primitive_create(&op->primitive, op->pd));
    if (status != EX_OK)
        ex_dnn_op_destroy(op);
    return status;
}

ex_status ex_dnn_reorder_make(ex_dnn_op *out, dnnl_engine_t engine, ex_dnn_md_ref from,
                              ex_dnn_md_ref to)
{
    dnnl_primitive_attr_t attr = NULL;
    ex_status status;
    *out = (ex_dnn_op){0};
    if (dnnl_memory_desc_equal(from, to))
        return EX_OK;
    EX_TRY(ex_dnn_attr_make(&attr, false, false));
    EX_TRY_GOTO(
        EX_DNN(dnnl_reorder_primitive_desc_create(&out->pd, from, engine, to, engine, attr)), done);
    status = ex_dnn_op_finish(out);
done:
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static ex_status describe(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r, ex_dnn_pass pass,
                          const_dnnl_primitive_desc_t hint)
{
    return ex_dnn_check(r->describe(pd, r, pass, hint), EX_WHERE, r->name);
}

ex_status ex_dnn_op_make(ex_dnn_op *out, ex_dnn_recipe *r)
{
    dnnl_primitive_desc_t hint = NULL;
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY(ex_dnn_attr_make(&r->attr, r->sum, r->relu));
    if (r->pass == EX_DNN_BACKWARD_DATA || r->pass == EX_DNN_BACKWARD_WEIGHTS)
        EX_TRY_GOTO(describe(&hint, r, EX_DNN_FORWARD_TRAIN, NULL), done);
    EX_TRY_GOTO(describe(&out->pd, r, r->pass, hint), done);
    status = ex_dnn_op_finish(out);
done:
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_attr_destroy(r->attr);
    r->attr = NULL;
    return status;
}

/* Padding after the last row or column: what the windows reach beyond the map. */
static dnnl_dim_t right_pad(int out, int stride, int window, int in, int pad)
{
    const int beyond = (out - 1) * stride + window - in - pad;
    return beyond > 0 ? beyond : 0;
}

ex_dnn_walk ex_dnn_walk_of(const ex_dnn_window *w)
{
    return (ex_dnn_walk){.strides = {w->stride, w->stride},
                         .left = {w->pad, w->pad},
                         .right = {right_pad(w->out_H, w->stride, w->R, w->H, w->pad),
                                   right_pad(w->out_W, w->stride, w->S, w->W, w->pad)}};
}
