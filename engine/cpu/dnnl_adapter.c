#include "cpu/dnnl_adapter.h"

#include <stdio.h>
#include <string.h>

/* 2.x: descriptions are values, primitives are described by structs. 3.x: both are handles. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_ref;
#define REF(md) (md)
#else
typedef const dnnl_memory_desc_t *md_ref;
#define REF(md) (&(md))
#endif

ex_status ex_dnn_check(dnnl_status_t s, const char *where, const char *call)
{
    if (s == dnnl_success)
        return EX_OK;
    if (s == dnnl_out_of_memory)
        return ex_fail_at(EX_ERR_MEMORY, where,
                          "oneDNN ran out of memory; lower batch_size or lanes");
    if (s == dnnl_unimplemented)
        return ex_fail_at(EX_ERR_UNSUPPORTED, where, "oneDNN has no implementation of this shape");
    return ex_fail_at(EX_ERR_BACKEND, where, "oneDNN failed with status %d in %s", (int)s, call);
}

/* --- memory descriptions --------------------------------------------------------------------- */

static ex_status md_make(dnnl_memory_desc_t *md, int ndims, const dnnl_dim_t *dims,
                         dnnl_format_tag_t tag)
{
    dnnl_dims_t full = {0};
    memcpy(full, dims, (size_t)ndims * sizeof *full);
#if DNNL_VERSION_MAJOR >= 3
    return EX_DNN(dnnl_memory_desc_create_with_tag(md, ndims, full, dnnl_f32, tag));
#else
    return EX_DNN(dnnl_memory_desc_init_by_tag(md, ndims, full, dnnl_f32, tag));
#endif
}

static void md_free(dnnl_memory_desc_t *md)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*md)
        dnnl_memory_desc_destroy(*md);
#endif
    memset(md, 0, sizeof *md);
}

static dnnl_format_tag_t map_tag(int block)
{
    if (block == 0)
        return dnnl_format_tag_any;
    if (block == 1)
        return dnnl_nchw;
    if (block == 16)
        return dnnl_nChw16c;
    return dnnl_nChw8c;
}

static ex_status md_map(dnnl_memory_desc_t *md, int N, int C, int H, int W, int block)
{
    const dnnl_dim_t dims[4] = {N, C, H, W};
    return md_make(md, 4, dims, map_tag(block));
}

static ex_status md_matrix(dnnl_memory_desc_t *md, int rows, int columns)
{
    const dnnl_dim_t dims[2] = {rows, columns};
    return md_make(md, 2, dims, dnnl_ab);
}

static ex_status md_vector(dnnl_memory_desc_t *md, int n)
{
    const dnnl_dim_t dims[1] = {n};
    return md_make(md, 1, dims, dnnl_a);
}

static md_ref op_md(const ex_dnn_op *op, int arg)
{
    /* Older versions do not know these two as arguments. */
    if (arg == DNNL_ARG_SCRATCHPAD)
        return dnnl_primitive_desc_query_md(op->pd, dnnl_query_scratchpad_md, 0);
    if (arg == DNNL_ARG_WORKSPACE)
        return dnnl_primitive_desc_query_md(op->pd, dnnl_query_workspace_md, 0);
    return dnnl_primitive_desc_query_md(op->pd, dnnl_query_exec_arg_md, arg);
}

/* --- ops -------------------------------------------------------------------------------------- */

void ex_dnn_op_destroy(ex_dnn_op *op)
{
    if (op->primitive)
        dnnl_primitive_destroy(op->primitive);
    if (op->pd)
        dnnl_primitive_desc_destroy(op->pd);
    *op = (ex_dnn_op){0};
}

size_t ex_dnn_op_bytes(const ex_dnn_op *op, int arg)
{
    const md_ref md = op_md(op, arg);
    return md ? dnnl_memory_desc_get_size(md) : 0;
}

int ex_dnn_op_block(const ex_dnn_op *op, int arg, int C)
{
    const md_ref md = op_md(op, arg);
    dnnl_dims_t dims;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_dims_t *queried = NULL;
    if (dnnl_memory_desc_query(md, dnnl_query_dims, &queried) != dnnl_success)
        return 0;
    memcpy(dims, *queried, sizeof dims);
#else
    memcpy(dims, md->dims, sizeof dims);
#endif
    static const int candidates[] = {16, 8, 1};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        dnnl_memory_desc_t candidate = {0};
        if (C % candidates[i] != 0)
            continue; /* padded channels are nothing that kernels know */
        if (md_make(&candidate, 4, dims, map_tag(candidates[i])) != EX_OK)
            continue;
        const bool equal = dnnl_memory_desc_equal(md, REF(candidate));
        md_free(&candidate);
        if (equal)
            return candidates[i];
    }
    return 0;
}

ex_status ex_dnn_op_memory(dnnl_memory_t *out, const ex_dnn_op *op, int arg, dnnl_engine_t engine)
{
    *out = NULL;
    return EX_DNN(dnnl_memory_create(out, op_md(op, arg), engine, DNNL_MEMORY_NONE));
}

bool ex_dnn_op_same(const ex_dnn_op *a, int arg_a, const ex_dnn_op *b, int arg_b)
{
    return dnnl_memory_desc_equal(op_md(a, arg_a), op_md(b, arg_b));
}

/* Attributes: user scratchpad, then + sum, then ReLU. */
static ex_status attr_make(dnnl_primitive_attr_t *attr, bool sum, bool relu)
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

/* The description of an operation, complete but for the hint that backward passes need. */
typedef struct op_recipe {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr;
#if DNNL_VERSION_MAJOR < 3
    union {
        dnnl_convolution_desc_t conv;
        dnnl_pooling_desc_t pool;
        dnnl_inner_product_desc_t linear;
    } desc;
#endif
} op_recipe;

#if DNNL_VERSION_MAJOR < 3
static dnnl_status_t recipe_pd(dnnl_primitive_desc_t *pd, const op_recipe *r,
                               const_dnnl_primitive_desc_t hint)
{
    return dnnl_primitive_desc_create(pd, &r->desc, r->attr, r->engine, hint);
}
#endif

/* Makes the primitive of op->pd; on failure the op is destroyed. */
static ex_status op_finish(ex_dnn_op *op)
{
    const ex_status status = EX_DNN(dnnl_primitive_create(&op->primitive, op->pd));
    if (status != EX_OK)
        ex_dnn_op_destroy(op);
    return status;
}

/* Padding after the last row or column: what the windows reach beyond the map. */
static dnnl_dim_t right_pad(int out, int stride, int window, int in, int pad)
{
    const int beyond = (out - 1) * stride + window - in - pad;
    return beyond > 0 ? beyond : 0;
}

/* --- convolution ------------------------------------------------------------------------------ */

typedef struct conv_mds {
    dnnl_memory_desc_t src, weights, bias, dst;
    dnnl_dims_t strides, dilates, left, right;
} conv_mds;

static void conv_mds_free(conv_mds *m)
{
    md_free(&m->src);
    md_free(&m->weights);
    md_free(&m->bias);
    md_free(&m->dst);
}

static ex_status conv_mds_make(conv_mds *m, const ex_dnn_conv *c)
{
    const dnnl_dim_t filter[4] = {c->K, c->C, c->R, c->S};
    const dnnl_dim_t src[4] = {c->N, c->C, c->H, c->W}, dst[4] = {c->N, c->K, c->out_H, c->out_W};
    const bool pixels = c->algorithm == EX_DNN_PIXELS;
    memset(m, 0, sizeof *m);
    if (pixels && (c->src_block != c->C || c->dst_block != c->K))
        return EX_FAIL(EX_ERR_UNSUPPORTED, "these maps are not NHWC");
    EX_TRY(md_make(&m->src, 4, src, pixels ? dnnl_nhwc : map_tag(c->src_block)));
    EX_TRY(md_make(&m->dst, 4, dst, pixels ? dnnl_nhwc : map_tag(c->dst_block)));
    EX_TRY(md_make(&m->weights, 4, filter, dnnl_format_tag_any));
    EX_TRY(md_vector(&m->bias, c->K));
    m->strides[0] = m->strides[1] = c->stride;
    m->left[0] = m->left[1] = c->pad;
    m->right[0] = right_pad(c->out_H, c->stride, c->R, c->H, c->pad);
    m->right[1] = right_pad(c->out_W, c->stride, c->S, c->W, c->pad);
    return EX_OK;
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, op_recipe *r, const conv_mds *m,
                             const ex_dnn_conv *c, ex_dnn_pass pass,
                             const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg =
        c->algorithm == EX_DNN_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct;
    const dnnl_prop_kind_t prop =
        pass == EX_DNN_FORWARD ? dnnl_forward_inference : dnnl_forward_training;
    const md_ref src = REF(m->src), weights = REF(m->weights), dst = REF(m->dst);
    const md_ref bias = c->bias ? REF(m->bias) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    if (pass == EX_DNN_BACKWARD_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, r->engine, alg, src, weights, dst, m->strides, m->dilates, m->left, m->right, hint,
            r->attr);
    if (pass == EX_DNN_BACKWARD_WEIGHTS)
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, r->engine, alg, src, weights, bias, dst, m->strides, m->dilates, m->left, m->right,
            hint, r->attr);
    return dnnl_convolution_forward_primitive_desc_create(pd, r->engine, prop, alg, src, weights,
                                                          bias, dst, m->strides, m->dilates,
                                                          m->left, m->right, r->attr);
#else
    dnnl_convolution_desc_t *d = &r->desc.conv;
    dnnl_status_t s;
    if (pass == EX_DNN_BACKWARD_DATA)
        s = dnnl_convolution_backward_data_desc_init(d, alg, src, weights, dst, m->strides, m->left,
                                                     m->right);
    else if (pass == EX_DNN_BACKWARD_WEIGHTS)
        s = dnnl_convolution_backward_weights_desc_init(d, alg, src, weights, bias, dst, m->strides,
                                                        m->left, m->right);
    else
        s = dnnl_convolution_forward_desc_init(d, prop, alg, src, weights, bias, dst, m->strides,
                                               m->left, m->right);
    return s == dnnl_success ? recipe_pd(pd, r, hint) : s;
#endif
}

ex_status ex_dnn_conv_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_conv *c)
{
    op_recipe recipe = {.engine = engine};
    dnnl_primitive_desc_t hint = NULL;
    conv_mds mds;
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(conv_mds_make(&mds, c), done);
    EX_TRY_GOTO(attr_make(&recipe.attr, c->sum, c->relu), done);
    if (c->pass == EX_DNN_BACKWARD_DATA || c->pass == EX_DNN_BACKWARD_WEIGHTS)
        EX_TRY_GOTO(EX_DNN(conv_pd(&hint, &recipe, &mds, c, EX_DNN_FORWARD_TRAIN, NULL)), done);
    EX_TRY_GOTO(EX_DNN(conv_pd(&out->pd, &recipe, &mds, c, c->pass, hint)), done);
    status = op_finish(out);
done:
    conv_mds_free(&mds);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (recipe.attr)
        dnnl_primitive_attr_destroy(recipe.attr);
    return status;
}

/* --- pooling ---------------------------------------------------------------------------------- */

static dnnl_status_t pool_pd(dnnl_primitive_desc_t *pd, op_recipe *r, md_ref src, md_ref dst,
                             const ex_dnn_pool *p, ex_dnn_pass pass,
                             const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = p->maximum ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
    const dnnl_prop_kind_t prop =
        pass == EX_DNN_FORWARD ? dnnl_forward_inference : dnnl_forward_training;
    const dnnl_dims_t strides = {p->stride, p->stride}, kernel = {p->R, p->S},
                      left = {p->pad, p->pad},
                      right = {right_pad(p->out_H, p->stride, p->R, p->src.H, p->pad),
                               right_pad(p->out_W, p->stride, p->S, p->src.W, p->pad)};
#if DNNL_VERSION_MAJOR >= 3
    const dnnl_dims_t dilation = {0, 0};
    return pass == EX_DNN_BACKWARD_DATA
               ? dnnl_pooling_backward_primitive_desc_create(pd, r->engine, alg, src, dst, strides,
                                                             kernel, dilation, left, right, hint,
                                                             r->attr)
               : dnnl_pooling_forward_primitive_desc_create(pd, r->engine, prop, alg, src, dst,
                                                            strides, kernel, dilation, left, right,
                                                            r->attr);
#else
    dnnl_pooling_desc_t *d = &r->desc.pool;
    const dnnl_status_t s =
        pass == EX_DNN_BACKWARD_DATA
            ? dnnl_pooling_backward_desc_init(d, alg, src, dst, strides, kernel, left, right)
            : dnnl_pooling_forward_desc_init(d, prop, alg, src, dst, strides, kernel, left, right);
    return s == dnnl_success ? recipe_pd(pd, r, hint) : s;
#endif
}

ex_status ex_dnn_pool_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_pool *p)
{
    op_recipe recipe = {.engine = engine};
    dnnl_primitive_desc_t hint = NULL;
    dnnl_memory_desc_t src = {0}, dst = {0};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(md_map(&src, p->src.N, p->src.C, p->src.H, p->src.W, p->src.block), done);
    EX_TRY_GOTO(md_map(&dst, p->src.N, p->src.C, p->out_H, p->out_W, p->src.block), done);
    EX_TRY_GOTO(attr_make(&recipe.attr, false, false), done);
    if (p->pass == EX_DNN_BACKWARD_DATA)
        EX_TRY_GOTO(
            EX_DNN(pool_pd(&hint, &recipe, REF(src), REF(dst), p, EX_DNN_FORWARD_TRAIN, NULL)),
            done);
    EX_TRY_GOTO(EX_DNN(pool_pd(&out->pd, &recipe, REF(src), REF(dst), p, p->pass, hint)), done);
    status = op_finish(out);
done:
    md_free(&src);
    md_free(&dst);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (recipe.attr)
        dnnl_primitive_attr_destroy(recipe.attr);
    return status;
}

/* --- linear ----------------------------------------------------------------------------------- */

typedef struct linear_mds {
    dnnl_memory_desc_t src, weights, bias, dst;
} linear_mds;

static dnnl_status_t linear_pd(dnnl_primitive_desc_t *pd, op_recipe *r, const linear_mds *m,
                               ex_dnn_pass pass, const_dnnl_primitive_desc_t hint)
{
    const md_ref src = REF(m->src), weights = REF(m->weights), bias = REF(m->bias),
                 dst = REF(m->dst);
    const dnnl_prop_kind_t prop =
        pass == EX_DNN_FORWARD ? dnnl_forward_inference : dnnl_forward_training;
#if DNNL_VERSION_MAJOR >= 3
    if (pass == EX_DNN_BACKWARD_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(pd, r->engine, src, weights,
                                                                      dst, hint, r->attr);
    if (pass == EX_DNN_BACKWARD_WEIGHTS)
        return dnnl_inner_product_backward_weights_primitive_desc_create(
            pd, r->engine, src, weights, bias, dst, hint, r->attr);
    return dnnl_inner_product_forward_primitive_desc_create(pd, r->engine, prop, src, weights, bias,
                                                            dst, r->attr);
#else
    dnnl_inner_product_desc_t *d = &r->desc.linear;
    dnnl_status_t s;
    if (pass == EX_DNN_BACKWARD_DATA)
        s = dnnl_inner_product_backward_data_desc_init(d, src, weights, dst);
    else if (pass == EX_DNN_BACKWARD_WEIGHTS)
        s = dnnl_inner_product_backward_weights_desc_init(d, src, weights, bias, dst);
    else
        s = dnnl_inner_product_forward_desc_init(d, prop, src, weights, bias, dst);
    return s == dnnl_success ? recipe_pd(pd, r, hint) : s;
#endif
}

ex_status ex_dnn_linear_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_linear *l)
{
    op_recipe recipe = {.engine = engine};
    dnnl_primitive_desc_t hint = NULL;
    linear_mds mds = {0};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(md_matrix(&mds.src, l->N, l->C), done);
    EX_TRY_GOTO(md_matrix(&mds.weights, l->K, l->C), done);
    EX_TRY_GOTO(md_vector(&mds.bias, l->K), done);
    EX_TRY_GOTO(md_matrix(&mds.dst, l->N, l->K), done);
    EX_TRY_GOTO(attr_make(&recipe.attr, false, l->relu), done);
    if (l->pass == EX_DNN_BACKWARD_DATA || l->pass == EX_DNN_BACKWARD_WEIGHTS)
        EX_TRY_GOTO(EX_DNN(linear_pd(&hint, &recipe, &mds, EX_DNN_FORWARD_TRAIN, NULL)), done);
    EX_TRY_GOTO(EX_DNN(linear_pd(&out->pd, &recipe, &mds, l->pass, hint)), done);
    status = op_finish(out);
done:
    md_free(&mds.src);
    md_free(&mds.weights);
    md_free(&mds.bias);
    md_free(&mds.dst);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (recipe.attr)
        dnnl_primitive_attr_destroy(recipe.attr);
    return status;
}

/* --- filters ---------------------------------------------------------------------------------- */

static ex_status reorder_make(ex_dnn_op *out, dnnl_engine_t engine, md_ref from, md_ref to)
{
    dnnl_primitive_attr_t attr = NULL;
    ex_status status;
    *out = (ex_dnn_op){0};
    if (dnnl_memory_desc_equal(from, to))
        return EX_OK;
    EX_TRY(attr_make(&attr, false, false));
    EX_TRY_GOTO(
        EX_DNN(dnnl_reorder_primitive_desc_create(&out->pd, from, engine, to, engine, attr)), done);
    status = op_finish(out);
done:
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static ex_status md_filter(dnnl_memory_desc_t *md, const ex_dnn_filter *f, dnnl_format_tag_t tag)
{
    const dnnl_dim_t dims[4] = {f->K, f->C, f->R, f->S};
    return md_make(md, 4, dims, tag);
}

ex_status ex_dnn_filter_in(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                           const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, f->plain ? dnnl_oihw : dnnl_ohwi));
    const ex_status status = reorder_make(out, engine, REF(flat), op_md(op, arg));
    md_free(&flat);
    return status;
}

ex_status ex_dnn_filter_out(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                            const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0};
    *out = (ex_dnn_op){0};
    EX_TRY(md_filter(&flat, f, dnnl_ohwi));
    const ex_status status = reorder_make(out, engine, op_md(op, arg), REF(flat));
    md_free(&flat);
    return status;
}

ex_status ex_dnn_filter_plain(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    dnnl_memory_desc_t flat = {0}, plain = {0};
    ex_status status;
    *out = (ex_dnn_op){0};
    EX_TRY_GOTO(md_filter(&flat, f, dnnl_ohwi), done);
    EX_TRY_GOTO(md_filter(&plain, f, dnnl_oihw), done);
    status = reorder_make(out, engine, REF(flat), REF(plain));
done:
    md_free(&flat);
    md_free(&plain);
    return status;
}

/* --- library ---------------------------------------------------------------------------------- */

void ex_dnn_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

const char *ex_dnn_isa(void)
{
    static const struct {
        unsigned value;
        const char *name;
    } names[] = {
        {0x1, "SSE4.1"},        {0x3, "AVX"},           {0x7, "AVX2"},  {0x27, "AVX-512"},
        {0x67, "AVX-512 VNNI"}, {0xe7, "AVX-512 BF16"}, {0x3e7, "AMX"},
    };
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    const char *best = "baseline";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((isa & names[i].value) == names[i].value)
            best = names[i].name;
    return best;
}
