/* A short job on a back end, for tests that run it again and again: training with a mask,
 * augmentation and dropout on some lanes, evaluation, gradients, forks. */
#ifndef EX_BACKEND_JOB_H
#define EX_BACKEND_JOB_H

#include "net_fixture.h"

enum { JOB_BATCH = 4, JOB_STEPS = 5, JOB_LANES_MAX = 3, JOB_VARIANTS = 3 };

typedef struct backend_job {
    ex_model *model;
    ex_dataset data;
    ex_samples feed;
    ex_mask *mask;
    float *params, *stats;
    int lanes;
    bool untrained; /* only evaluation and forks */
    bool timed;     /* conv: auto */
    ex_precision precision;
} backend_job;

/* What came out; arrays of the sizes that the model has. */
typedef struct backend_result {
    float *params, *stats, *velocity; /* after training on every channel, on the last lane */
    float *masked;                    /* parameters after training on a few */
    float *gradient, *input;
    float *logits; /* (count, classes) of the evaluation */
    float *forked; /* (JOB_VARIANTS * JOB_BATCH, classes) */
    ex_train_sums trained;
    ex_eval_sums evaluated;
    long calls; /* of the emulated device until it was all done, or failed: the rest gives back */
} backend_result;

/* which: a test model (net_reference.h). */
void backend_job_open(backend_job *job, int which, int lanes);
void backend_job_close(backend_job *job);
void backend_result_open(backend_result *r, const backend_job *job);
void backend_result_close(backend_result *r);

/* Runs it on a device that it opens and closes; the first error ends it. */
ex_status backend_job_run(const backend_job *job, const char *device, backend_result *r);

#endif
