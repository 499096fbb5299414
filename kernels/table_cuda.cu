/* The CUDA instance of the operation table, and the launch errors of its functions, which return
 * nothing: a back end asks once after a phase instead of after every call. */
#include "launch.h"

static constexpr ex_kernels table()
{
    ex_kernels k = {};
    k.name = "cuda";
    k.convert = ex_convert_cuda;
    k.batch_gather = ex_batch_gather_cuda;
    k.softmax_xent = ex_softmax_xent_cuda;
    k.feed_next = ex_feed_next_cuda;
    k.feed_log = ex_feed_log_cuda;
    k.sgd_segments = ex_sgd_segments_cuda;
    k.segments_pack = ex_segments_pack_cuda;
    k.segments_unpack = ex_segments_unpack_cuda;
    k.accumulate_fixed = ex_accumulate_fixed_cuda;
    k.norm_fold = ex_norm_fold_cuda;
    k.norm_fold_bwd = ex_norm_fold_bwd_cuda;
    k.norm_running = ex_norm_running_cuda;
    k.norm_train_fwd = ex_norm_train_fwd_cuda;
    k.norm_train_bwd = ex_norm_train_bwd_cuda;
    k.norm_train_scratch = ex_norm_train_scratch_cuda;
    k.add_relu_fwd = ex_add_relu_fwd_cuda;
    k.add_relu_bwd = ex_add_relu_bwd_cuda;
    k.shortcut_a_fwd = ex_shortcut_a_fwd_cuda;
    k.shortcut_a_bwd = ex_shortcut_a_bwd_cuda;
    k.maxpool_fwd = ex_maxpool_fwd_cuda;
    k.maxpool_bwd = ex_maxpool_bwd_cuda;
    k.avgpool_fwd = ex_avgpool_fwd_cuda;
    k.avgpool_bwd = ex_avgpool_bwd_cuda;
    k.conv_rows_bwd = ex_conv_rows_bwd_cuda;
    k.conv_rows_scratch = ex_conv_rows_scratch_cuda;
    k.flatten_fwd = ex_flatten_fwd_cuda;
    k.flatten_bwd = ex_flatten_bwd_cuda;
    k.channel_ablate = ex_channel_ablate_cuda;
    k.conv_channel_update = ex_conv_channel_update_cuda;
    k.conv_channel_scratch = ex_conv_channel_scratch_cuda;
    return k;
}

const ex_kernels ex_kernels_cuda = table();

static thread_local int kept_error;
static thread_local const char *kept_kernel, *kept_where;

void ex_kernels_cuda_keep_error(const char *kernel, const char *where)
{
    const int error = (int)cudaGetLastError();
    if (error == 0 || kept_error != 0)
        return;
    kept_error = error;
    kept_kernel = kernel;
    kept_where = where;
}

int ex_kernels_cuda_error(const char **kernel, const char **where)
{
    const int error = kept_error;
    if (kernel)
        *kernel = kept_kernel;
    if (where)
        *where = kept_where;
    kept_error = 0;
    kept_kernel = kept_where = NULL;
    return error;
}
