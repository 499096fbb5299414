/* Errors and facts of the library, and what every op has: arguments, layouts, a primitive. */
#include "cpu/dnnl_impl.h"

#include <stdio.h>
#include <string.h>

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

void ex_dnn_op_destroy(ex_dnn_op *op)
{
    if (op->primitive)
        dnnl_primitive_destroy(op->primitive);
    if (op->pd)
        dnnl_primitive_desc_destroy(op->pd);
    *op = (ex_dnn_op){0};
}

bool ex_dnn_op_multiplies(const ex_dnn_op *op)
{
    dnnl_primitive_kind_t kind = dnnl_undefined_primitive;
    return op->pd &&
           dnnl_primitive_desc_query(op->pd, dnnl_query_primitive_kind, 0, &kind) == dnnl_success &&
           (kind == dnnl_convolution || kind == dnnl_inner_product || kind == dnnl_matmul);
}

size_t ex_dnn_op_bytes(const ex_dnn_op *op, int arg)
{
    const ex_dnn_md_ref md = ex_dnn_op_md(op, arg);
    return md ? dnnl_memory_desc_get_size(md) : 0;
}

int ex_dnn_op_block(const ex_dnn_op *op, int arg, int C)
{
    const ex_dnn_md_ref md = ex_dnn_op_md(op, arg);
    dnnl_dims_t dims;
    dnnl_data_type_t type;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_dims_t *queried = NULL;
    if (dnnl_memory_desc_query(md, dnnl_query_dims, &queried) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_data_type, &type) != dnnl_success)
        return 0;
    memcpy(dims, *queried, sizeof dims);
#else
    memcpy(dims, md->dims, sizeof dims);
    type = md->data_type;
#endif
    static const int candidates[] = {16, 8, 1};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        dnnl_memory_desc_t candidate = {0};
        if (C % candidates[i] != 0)
            continue; /* padded channels are nothing that kernels know */
        if (ex_dnn_md_make(&candidate, 4, dims, ex_dnn_map_tag(candidates[i]), type) != EX_OK)
            continue;
        const bool equal = dnnl_memory_desc_equal(md, EX_DNN_REF(candidate));
        ex_dnn_md_free(&candidate);
        if (equal)
            return candidates[i];
    }
    return 0;
}

ex_status ex_dnn_op_memory(dnnl_memory_t *out, const ex_dnn_op *op, int arg, dnnl_engine_t engine)
{
    *out = NULL;
    return EX_DNN(dnnl_memory_create(out, ex_dnn_op_md(op, arg), engine, DNNL_MEMORY_NONE));
}

void ex_dnn_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

bool ex_dnn_has_bf16(dnnl_engine_t engine)
{
    /* Below, oneDNN has loops that nobody would wait for, or none. */
    enum { AVX512 = 0x27 };
    const ex_dnn_linear smallest = {
        .pass = EX_DNN_FORWARD_TRAIN, .N = 1, .C = 16, .K = 16, .bf16 = true};
    ex_dnn_op op;
    if (((unsigned)dnnl_get_effective_cpu_isa() & AVX512) != AVX512 ||
        ex_dnn_linear_create(&op, engine, &smallest) != EX_OK)
        return false;
    ex_dnn_op_destroy(&op);
    return true;
}

bool ex_dnn_is_bf16_native(void)
{
    enum { AVX512_BF16 = 0x80 }; /* what 0xe7 has and 0x67 has not */
    return (unsigned)dnnl_get_effective_cpu_isa() & AVX512_BF16;
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
