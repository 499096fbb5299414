/* What plans run on: errors of the CUDA runtime, a GPU and what it keeps for all of its lanes, and
 * a lane: a stream with its library handles, a model's values, scratch memory that its plans share,
 * and pinned memory through which everything passes between host and GPU. */
#ifndef EX_CUDA_LANE_H
#define EX_CUDA_LANE_H

#include "algorithms_cache.h"
#include "cuda/blas.h"
#include "cuda/dnn_graph.h"
#include "lane_core.h"

#include <cuda_runtime_api.h>
#include <pthread.h>

/* --- errors and memory ------------------------------------------------------------------------ */

/* The status of a call of the CUDA runtime; the message names the call and what it was made for.
 * Where it found no memory, EX_ERR_MEMORY with what is free and what lowers it. */
#define EX_CUDA(call) ex_cuda_check((call), #call, EX_WHERE)
ex_status ex_cuda_check(cudaError_t error, const char *call, const char *where);
/* What this thread does, for messages: static text. */
void ex_cuda_phase(const char *phase);
/* The first launch of a kernel that failed in this thread. */
ex_status ex_cuda_launches(void);
/* The status of a function of dnn_graph.h or blas.h, which know neither phases nor settings: the
 * message gets both. */
ex_status ex_cuda_library(ex_status status, const char *lever);

/* What lowers the memory that is needed, in messages: settings, by what needs it. */
#define EX_CUDA_LESS_DATA "train_samples or test_samples"
#define EX_CUDA_LESS_LANE "lanes"
#define EX_CUDA_LESS_PLAN "batch_size, lanes or unlearn.variants"
/* Device memory, at least one byte, not zeroed, and the host's. EX_ERR_MEMORY says what was needed,
 * what was free and what lowers it. cudaFree waits for the device: whoever frees needs no other
 * wait. */
ex_status ex_cuda_alloc(void *out, size_t bytes, const char *what, const char *lever);
ex_status ex_cuda_alloc_pinned(void *out, size_t bytes, const char *what, const char *lever);
void ex_cuda_free(void *pointer); /* takes the address, sets NULL */

/* --- device ----------------------------------------------------------------------------------- */

/* A data set's bytes on the device. */
typedef struct ex_cuda_resident {
    const uint8_t *images; /* of the host: who it is */
    size_t count, bytes;
    uint64_t generation; /* of the data set, or 0: then the digest tells */
    uint64_t digest;     /* of all bytes; 0 where there is a generation */
    uint8_t *at;
} ex_cuda_resident;

/* What was chosen for a graph, as ex_dnn_plan_store tells it. */
typedef struct ex_cuda_choice {
    char *graph, *stored;
    bool read; /* from a file: this run did not make it */
} ex_cuda_choice;

typedef struct ex_cuda_device {
    ex_device base;
    int index;
    ex_budget budget;
    pthread_mutex_t lock;     /* of resident */
    pthread_mutex_t choosing; /* of choices */
    ex_cuda_resident *resident;
    int resident_count, resident_room;
    ex_cuda_choice *choices;
    int choice_count, choice_room;
    ex_algorithms_cache cache; /* of choices, too */
} ex_cuda_device;

ex_status ex_cuda_algorithms_read(ex_device *device, const char *path);
ex_status ex_cuda_algorithms_write(const ex_device *device, const char *path);

/* --- lane ------------------------------------------------------------------------------------- */

/* Pinned memory of the host: copies from and to other memory make the driver wait. Handed out from
 * the front; all of it is free again when the lane was waited for. */
typedef struct ex_cuda_stage {
    char *at;
    size_t room, used; /* bytes */
} ex_cuda_stage;

/* Lists of a run's samples on the device, and what came out for each. */
typedef struct ex_cuda_feed {
    size_t room; /* samples */
    void *memory;
    uint32_t *index;
    float *loss;
    int32_t *predicted;
    uint16_t *label;
    /* In the lane's stage, of the run under way. */
    float *host_loss;
    int32_t *host_predicted;
} ex_cuda_feed;

typedef struct ex_cuda_lane {
    ex_lane_core core;
    ex_cuda_device *device;
    cudaStream_t stream;
    ex_dnn_handle *dnn;
    ex_blas_handle *blas;
    ex_cuda_stage stage;
    ex_cuda_feed feed;
    float *constants; /* of the host, (channel_count): what a norm makes of a filter of zeros */
    uint64_t constants_version;
} ex_cuda_lane;

static inline ex_cuda_lane *ex_cuda_lane_of(const ex_lane *lane)
{
    return (ex_cuda_lane *)lane;
}

/* Every entry calls this: the current device is the calling thread's. */
ex_status ex_cuda_enter(const ex_cuda_lane *lane, const char *phase);
/* Waits for the lane's work. */
ex_status ex_cuda_wait(ex_cuda_lane *lane);
/* A queued copy between device memory and device or pinned memory, in order with the lane's other
 * work. */
ex_status ex_cuda_copy(const ex_cuda_lane *lane, void *to, const void *from, size_t bytes);
/* *out = what `work` queues on the lane instead of running it, ready to be launched; freed by
 * ex_cuda_graph_free. */
ex_status ex_cuda_capture_work(cudaGraphExec_t *out, const ex_cuda_lane *lane,
                               ex_status (*work)(void *context), void *context);
void ex_cuda_graph_free(cudaGraphExec_t *graph);
/* lane->constants of the lane's present values. */
ex_status ex_cuda_constants(ex_cuda_lane *lane);

/* Makes the stage so large that what is taken next, `bytes` in all, is there at once. */
ex_status ex_cuda_stage_room(ex_cuda_lane *lane, size_t bytes);
/* *out = so many bytes of the stage; waits for the lane, and frees what was taken before, where no
 * more is left. */
ex_status ex_cuda_stage_take(void *out, ex_cuda_lane *lane, size_t bytes);
void ex_cuda_stage_free(ex_cuda_stage *stage);
/* From any memory of the host to the device: `from` may change as soon as the call returns. */
ex_status ex_cuda_send(ex_cuda_lane *lane, void *to, const void *from, size_t bytes);
/* From the device to any memory of the host: it is there when the call returns. */
ex_status ex_cuda_fetch(ex_cuda_lane *lane, void *to, const void *from, size_t bytes);

/* Uploads the samples, each batch whole: a last one that is short repeats its last sample. The
 * lists grow as needed and stay. The stage has room for `more` bytes besides, until the lane is
 * waited for. */
ex_status ex_cuda_feed_upload(ex_cuda_lane *lane, const ex_samples *feed, size_t batch,
                              size_t more);
/* Makes the room that this takes, with the lane's values sent before it. */
ex_status ex_cuda_feed_reserve(ex_cuda_lane *lane, size_t samples);
/* feed.host_loss and host_predicted of `count` samples; waits for the lane. They stay until
 * something else is taken of the stage. */
ex_status ex_cuda_feed_read(ex_cuda_lane *lane, size_t count);
void ex_cuda_feed_free(ex_cuda_feed *feed);

/* *out = the data set's images on the device, uploaded when first asked for. */
ex_status ex_cuda_images(const uint8_t **out, ex_cuda_lane *lane, const ex_dataset *data);
void ex_cuda_resident_free(ex_cuda_device *device);

#endif
