/* The host instance of the operation table. */
#include "host.h"

const ex_kernels ex_kernels_host = {
    .name = "host",
    .batch_gather = ex_batch_gather_host,
    .softmax_xent = ex_softmax_xent_host,
    .feed_next = ex_feed_next_host,
    .feed_log = ex_feed_log_host,
    .sgd_segments = ex_sgd_segments_host,
    .segments_pack = ex_segments_pack_host,
    .segments_unpack = ex_segments_unpack_host,
    .accumulate_fixed = ex_accumulate_fixed_host,
    .norm_fold = ex_norm_fold_host,
    .norm_fold_bwd = ex_norm_fold_bwd_host,
    .norm_running = ex_norm_running_host,
    .norm_train_fwd = ex_norm_train_fwd_host,
    .norm_train_bwd = ex_norm_train_bwd_host,
    .norm_train_scratch = ex_norm_train_scratch_host,
    .add_relu_fwd = ex_add_relu_fwd_host,
    .add_relu_bwd = ex_add_relu_bwd_host,
    .shortcut_a_fwd = ex_shortcut_a_fwd_host,
    .shortcut_a_bwd = ex_shortcut_a_bwd_host,
    .conv_rows_bwd = ex_conv_rows_bwd_host,
    .conv_rows_scratch = ex_conv_rows_scratch_host,
    .flatten_fwd = ex_flatten_fwd_host,
    .flatten_bwd = ex_flatten_bwd_host,
    .channel_ablate = ex_channel_ablate_host,
};
