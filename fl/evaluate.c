/* Accuracy of the global model. Samples are cut into chunks of one size, so that which lane takes
 * which chunk changes nothing: counts are integers, losses are added in the order of chunks. */
#include "federation.h"

#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { CHUNK = 512 };

typedef struct work {
    ex_federation *f;
    const ex_dataset *data;
    const ex_samples *samples;
    bool *loaded; /* (lanes) */
    double *loss; /* (chunks) */
    pthread_mutex_t lock;
    ex_accuracy *sums;
} work;

static void add_counts(work *w, const ex_eval_sums *part)
{
    pthread_mutex_lock(&w->lock);
    w->sums->correct += part->correct;
    w->sums->count += part->count;
    for (int c = 0; c < w->sums->classes; c++) {
        w->sums->class_correct[c] += part->class_correct[c];
        w->sums->class_count[c] += part->class_count[c];
    }
    pthread_mutex_unlock(&w->lock);
}

static ex_status evaluate_chunk(void *context, int item, int lane)
{
    work *w = context;
    ex_trainer *trainer = w->f->lanes[lane];
    if (!w->loaded[lane])
        EX_TRY(ex_lane_load(ex_trainer_lane(trainer), w->f->params, w->f->stats));
    w->loaded[lane] = true;
    const size_t first = (size_t)item * CHUNK, left = w->samples->count - first;
    const ex_samples chunk = {.index = w->samples->index + first,
                              .label = w->samples->label + first,
                              .count = left < CHUNK ? left : CHUNK};
    size_t *counts;
    EX_TRY(ex_alloc(&counts, 2 * (size_t)w->sums->classes, sizeof *counts, "class counts"));
    ex_eval_sums part = {.class_correct = counts, .class_count = counts + w->sums->classes};
    const ex_status status = ex_trainer_evaluate(trainer, w->data, &chunk, &part);
    if (status == EX_OK) {
        w->loss[item] = part.loss;
        add_counts(w, &part);
    }
    ex_free(&counts);
    return status;
}

/* What a run that failed has counted is to be forgotten. */
static void clear(work *w)
{
    const size_t bytes = (size_t)w->sums->classes * sizeof *w->sums->class_count;
    w->sums->correct = w->sums->count = 0;
    memset(w->sums->class_correct, 0, bytes);
    memset(w->sums->class_count, 0, bytes);
}

static ex_status run_chunks(work *w, int lanes)
{
    const size_t chunks = (w->samples->count + CHUNK - 1) / CHUNK;
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&w->loss, chunks, sizeof *w->loss, "chunks"), done);
    EX_TRY_GOTO(ex_alloc(&w->loaded, (size_t)lanes, sizeof *w->loaded, "lanes"), done);
    EX_TRY_GOTO(ex_lanes_run(lanes, (int)chunks, evaluate_chunk, w), done);
    for (size_t i = 0; i < chunks; i++)
        w->sums->loss += w->loss[i];
    w->sums->loss = w->sums->count ? w->sums->loss / (double)w->sums->count : NAN;
done:
    ex_free(&w->loss);
    ex_free(&w->loaded);
    return status;
}

/* Short of memory, by fewer lanes where their number is ours to choose; then by one, which the
 * plans that wait make room for. */
static ex_status run_within_memory(work *w)
{
    ex_federation *f = w->f;
    ex_status status;
    while ((status = run_chunks(w, f->lane_count)) == EX_ERR_MEMORY && ex_federation_fewer_lanes(f))
        clear(w);
    if (status != EX_ERR_MEMORY)
        return status;
    clear(w);
    ex_federation_drop_plans(f);
    if (f->lane_count > 1)
        ex_log("memory is short: one lane evaluates, not %d", f->lane_count);
    return run_chunks(w, 1);
}

ex_status ex_federation_evaluate(ex_federation *f, const ex_dataset *data,
                                 const ex_samples *samples, ex_accuracy *out)
{
    if (!samples) {
        ex_samples all;
        *out = (ex_accuracy){0};
        EX_TRY(ex_samples_all(&all, data));
        const ex_status status = ex_federation_evaluate(f, data, &all, out);
        ex_samples_free(&all);
        return status;
    }
    *out = (ex_accuracy){.classes = f->model->classes};
    const size_t classes = (size_t)out->classes;
    work w = {
        .f = f, .data = data, .samples = samples, .sums = out, .lock = PTHREAD_MUTEX_INITIALIZER};
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&out->class_correct, classes, sizeof(size_t), "class counts"), done);
    EX_TRY_GOTO(ex_alloc(&out->class_count, classes, sizeof(size_t), "class counts"), done);
    EX_TRY_GOTO(ex_federation_lanes(f), done);
    EX_TRY_GOTO(run_within_memory(&w), done);
    if (out->count > 0 && !isfinite(out->loss))
        ex_log_warn("the loss on %zu samples is not finite: the model has diverged, and its "
                    "accuracy says nothing; train it with a lower learning rate",
                    out->count);
done:
    pthread_mutex_destroy(&w.lock);
    if (status != EX_OK)
        ex_accuracy_free(out);
    return status;
}

void ex_accuracy_free(ex_accuracy *a)
{
    ex_free(&a->class_correct);
    ex_free(&a->class_count);
}

static double ratio(size_t part, size_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

double ex_accuracy_all(const ex_accuracy *a)
{
    return ratio(a->correct, a->count);
}

double ex_accuracy_class(const ex_accuracy *a, int label)
{
    return ratio(a->class_correct[label], a->class_count[label]);
}

double ex_accuracy_others(const ex_accuracy *a, int label)
{
    return ratio(a->correct - a->class_correct[label], a->count - a->class_count[label]);
}
