/* Reorders of filters between the flat vector and the layouts of convolutions. */
#include "cpu/dnnl_impl.h"

static ex_status md_filter(dnnl_memory_desc_t *md, const ex_dnn_filter *f, dnnl_format_tag_t tag,
                           dnnl_data_type_t type)
{
    const dnnl_dim_t dims[4] = {f->K, f->C, f->R, f->S};
    return ex_dnn_md_make(md, 4, dims, tag, type);
}

ex_status ex_dnn_filter_in(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                           const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, f->plain ? dnnl_oihw : dnnl_ohwi, dnnl_f32));
    const ex_status status =
        ex_dnn_reorder_make(out, engine, EX_DNN_REF(flat), ex_dnn_op_md(op, arg));
    ex_dnn_md_free(&flat);
    return status;
}

ex_status ex_dnn_filter_out(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                            const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, dnnl_ohwi, dnnl_f32));
    const ex_status status =
        ex_dnn_reorder_make(out, engine, ex_dnn_op_md(op, arg), EX_DNN_REF(flat));
    ex_dnn_md_free(&flat);
    return status;
}

static ex_status reorder_flat(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f,
                              dnnl_format_tag_t to, dnnl_data_type_t type)
{
    dnnl_memory_desc_t flat = {0}, other = {0};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(md_filter(&flat, f, dnnl_ohwi, dnnl_f32), done);
    EX_TRY_GOTO(md_filter(&other, f, to, type), done);
    status = ex_dnn_reorder_make(out, engine, EX_DNN_REF(flat), EX_DNN_REF(other));
done:
    ex_dnn_md_free(&flat);
    ex_dnn_md_free(&other);
    return status;
}

ex_status ex_dnn_filter_plain(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    return reorder_flat(out, engine, f, dnnl_oihw, dnnl_f32);
}

ex_status ex_dnn_filter_columns(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    return reorder_flat(out, engine, f, dnnl_ihwo, ex_dnn_type(f->bf16));
}
