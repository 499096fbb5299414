/* Memory descriptions: layouts of maps, matrices and vectors in oneDNN's terms. */
#include "cpu/dnnl_impl.h"

#include <string.h>

ex_status ex_dnn_md_make(dnnl_memory_desc_t *md, int ndims, const dnnl_dim_t *dims,
                         dnnl_format_tag_t tag, dnnl_data_type_t type)
{
    dnnl_dims_t full = {0};
    memcpy(full, dims, (size_t)ndims * sizeof *full);
#if DNNL_VERSION_MAJOR >= 3
    return EX_DNN(dnnl_memory_desc_create_with_tag(md, ndims, full, type, tag));
#else
    return EX_DNN(dnnl_memory_desc_init_by_tag(md, ndims, full, type, tag));
#endif
}

void ex_dnn_md_free(dnnl_memory_desc_t *md)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*md)
        dnnl_memory_desc_destroy(*md);
#endif
    memset(md, 0, sizeof *md);
}

dnnl_format_tag_t ex_dnn_map_tag(int block)
{
    if (block == 0)
        return dnnl_format_tag_any;
    if (block == 1)
        return dnnl_nchw;
    if (block == 16)
        return dnnl_nChw16c;
    return dnnl_nChw8c;
}

ex_status ex_dnn_md_matrix(dnnl_memory_desc_t *md, int rows, int columns, dnnl_format_tag_t tag,
                           dnnl_data_type_t type)
{
    const dnnl_dim_t dims[2] = {rows, columns};
    return ex_dnn_md_make(md, 2, dims, tag, type);
}

ex_status ex_dnn_md_vector(dnnl_memory_desc_t *md, int n)
{
    const dnnl_dim_t dims[1] = {n};
    return ex_dnn_md_make(md, 1, dims, dnnl_a, dnnl_f32);
}

ex_dnn_md_ref ex_dnn_op_md(const ex_dnn_op *op, int arg)
{
    /* Older versions do not know these two as arguments. */
    if (arg == DNNL_ARG_SCRATCHPAD)
        return dnnl_primitive_desc_query_md(op->pd, dnnl_query_scratchpad_md, 0);
    if (arg == DNNL_ARG_WORKSPACE)
        return dnnl_primitive_desc_query_md(op->pd, dnnl_query_workspace_md, 0);
    return dnnl_primitive_desc_query_md(op->pd, dnnl_query_exec_arg_md, arg);
}
