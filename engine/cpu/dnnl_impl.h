/* Inside of the adapter: what its files share. */
#ifndef EX_CPU_DNNL_IMPL_H
#define EX_CPU_DNNL_IMPL_H

#include "cpu/dnnl_adapter.h"

/* 2.x: descriptions are values, primitives are described by structs. 3.x: both are handles. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t ex_dnn_md_ref;
#define EX_DNN_REF(md) (md)
#else
typedef const dnnl_memory_desc_t *ex_dnn_md_ref;
#define EX_DNN_REF(md) (&(md))
#endif

/* --- memory descriptions: dnnl_memory.c ------------------------------------------------------- */

ex_status ex_dnn_md_make(dnnl_memory_desc_t *md, int ndims, const dnnl_dim_t *dims,
                         dnnl_format_tag_t tag, dnnl_data_type_t type);
ex_status ex_dnn_md_matrix(dnnl_memory_desc_t *md, int rows, int columns, dnnl_format_tag_t tag,
                           dnnl_data_type_t type);
/* Of floats. */
ex_status ex_dnn_md_vector(dnnl_memory_desc_t *md, int n);
static inline dnnl_data_type_t ex_dnn_type(bool bf16)
{
    return bf16 ? dnnl_bf16 : dnnl_f32;
}

/* Sets it to zeros, which may be freed again. */
void ex_dnn_md_free(dnnl_memory_desc_t *md);
/* Of maps in blocks of so many channels. */
dnnl_format_tag_t ex_dnn_map_tag(int block);
/* Of an op's argument; the op keeps it. NULL or of no bytes if the op has no such argument. */
ex_dnn_md_ref ex_dnn_op_md(const ex_dnn_op *op, int arg);

/* --- ops: dnnl_op.c --------------------------------------------------------------------------- */

typedef struct ex_dnn_recipe ex_dnn_recipe;
typedef dnnl_status_t (*ex_dnn_describe)(dnnl_primitive_desc_t *pd, ex_dnn_recipe *r,
                                         ex_dnn_pass pass, const_dnnl_primitive_desc_t hint);

/* How an op is made. */
struct ex_dnn_recipe {
    const char *name; /* for messages */
    dnnl_engine_t engine;
    ex_dnn_pass pass;
    bool sum, relu;           /* added to what the output holds; then */
    ex_dnn_describe describe; /* describes the primitive of a pass, from: */
    const void *what;
    dnnl_primitive_attr_t attr; /* made and freed by ex_dnn_op_make */
#if DNNL_VERSION_MAJOR < 3
    union {
        dnnl_convolution_desc_t conv;
        dnnl_inner_product_desc_t linear;
        dnnl_matmul_desc_t product;
    } desc;
#endif
};

/* The recipe's primitive; backward passes are described with the forward pass as their hint. On
 * failure *out is empty. */
ex_status ex_dnn_op_make(ex_dnn_op *out, ex_dnn_recipe *r);
#if DNNL_VERSION_MAJOR < 3
/* The end of every describe: `s` if that is a failure, else what becomes of r->desc. */
dnnl_status_t ex_dnn_recipe_pd(dnnl_primitive_desc_t *pd, const ex_dnn_recipe *r,
                               const_dnnl_primitive_desc_t hint, dnnl_status_t s);
#endif
/* An op that reorders; without a primitive where both are alike. */
ex_status ex_dnn_reorder_make(ex_dnn_op *out, dnnl_engine_t engine, ex_dnn_md_ref from,
                              ex_dnn_md_ref to);
/* Attributes: user scratchpad, then + sum, then ReLU. */
ex_status ex_dnn_attr_make(dnnl_primitive_attr_t *attr, bool sum, bool relu);
/* Makes the primitive of op->pd; on failure the op is destroyed. */
ex_status ex_dnn_op_finish(ex_dnn_op *op);

static inline dnnl_prop_kind_t ex_dnn_prop(ex_dnn_pass pass)
{
    return pass == EX_DNN_FORWARD ? dnnl_forward_inference : dnnl_forward_training;
}

/* A window's way over the map, as oneDNN asks for it: rows, columns. */
typedef struct ex_dnn_walk {
    dnnl_dims_t strides, dilates, left, right;
} ex_dnn_walk;

ex_dnn_walk ex_dnn_walk_of(const ex_dnn_window *w);

#endif
