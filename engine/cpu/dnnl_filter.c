/* Reorders of filters between the flat vector and the layouts of convolutions. */
#include "cpu/dnnl_impl.h"

static ex_status reorder_make(ex_dnn_op *out, dnnl_engine_t engine, ex_dnn_md_ref from,
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

static ex_status md_filter(dnnl_memory_desc_t *md, const ex_dnn_filter *f, dnnl_format_tag_t tag)
{
    const dnnl_dim_t dims[4] = {f->K, f->C, f->R, f->S};
    return ex_dnn_md_make(md, 4, dims, tag);
}

ex_status ex_dnn_filter_in(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                           const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, f->plain ? dnnl_oihw : dnnl_ohwi));
    const ex_status status = reorder_make(out, engine, EX_DNN_REF(flat), ex_dnn_op_md(op, arg));
    ex_dnn_md_free(&flat);
    return status;
}

ex_status ex_dnn_filter_out(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                            const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, dnnl_ohwi));
    const ex_status status = reorder_make(out, engine, ex_dnn_op_md(op, arg), EX_DNN_REF(flat));
    ex_dnn_md_free(&flat);
    return status;
}

static ex_status reorder_flat(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f,
                              dnnl_format_tag_t to)
{
    dnnl_memory_desc_t flat = {0}, other = {0};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(md_filter(&flat, f, dnnl_ohwi), done);
    EX_TRY_GOTO(md_filter(&other, f, to), done);
    status = reorder_make(out, engine, EX_DNN_REF(flat), EX_DNN_REF(other));
done:
    ex_dnn_md_free(&flat);
    ex_dnn_md_free(&other);
    return status;
}

ex_status ex_dnn_filter_plain(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    return reorder_flat(out, engine, f, dnnl_oihw);
}

ex_status ex_dnn_filter_columns(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    return reorder_flat(out, engine, f, dnnl_ihwo);
}
