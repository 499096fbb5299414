/* Counting: from logits to correct predictions and losses per class. */
#include "ablate.h"

#include <math.h>

/* -log softmax(row)[label] in double; NaN if a logit is NaN. *correct as ex_ablate_tally has it. */
static double outcome(const float *row, int classes, int label, bool *correct)
{
    int best = 0;
    bool has_nan = false;
    for (int k = 0; k < classes; k++) {
        has_nan |= isnan(row[k]);
        if (row[k] > row[best])
            best = k;
    }
    *correct = !has_nan && best == label;
    if (has_nan)
        return NAN;
    double sum = 0.0;
    for (int k = 0; k < classes; k++)
        sum += exp((double)row[k] - (double)row[best]);
    return log(sum) - ((double)row[label] - (double)row[best]);
}

void ex_ablate_tally(const ex_ablate_job *job, int channel, const float *logits,
                     const uint16_t *label, int images)
{
    ex_effects *e = job->e;
    const int classes = e->model->classes;
    for (int i = 0; i < images; i++) {
        const int class_index = job->class_of[label[i]];
        if (class_index < 0)
            continue;
        bool correct;
        const double loss =
            outcome(logits + (size_t)i * (size_t)classes, classes, label[i], &correct);
        const size_t cell = (size_t)class_index * (size_t)e->model->channel_count + (size_t)channel;
        if (channel == EX_ABLATE_BASELINE) {
            e->baseline_correct[class_index] += correct;
            e->baseline_loss[class_index] += loss;
        } else {
            e->correct[cell] += correct;
            e->loss_delta[cell] += loss;
        }
    }
}
