/* Algorithm 1: the effect of every channel on every class, by ablation.
 *
 * For each layer and output channel: remove it, feed the probe set, count. effect =
 * (baseline_correct - correct) / probe. Counts are integers; ties are broken by the change of the
 * mean loss, then by channel index. One pass over a probe set of several classes gives the effects
 * for each of them. */
#ifndef EX_EFFECTS_H
#define EX_EFFECTS_H

#include "federation.h"

typedef struct ex_effects {
    const ex_model *model; /* not owned */
    int classes;           /* how many classes were probed */
    int *class_label;      /* (classes) */
    int *probe;            /* (classes) samples probed */
    int *baseline_correct; /* (classes) */
    double *baseline_loss; /* (classes) mean loss; NAN in a table read from a file */
    int *correct;          /* (classes, model->channel_count) */
    double *loss_delta;    /* (classes, model->channel_count) mean loss minus the baseline's */
    ex_ablation ablation;
    uint64_t digest; /* of the model they were measured on */
    int precision;   /* ex_precision; -1: not known */
    int64_t seed;    /* what drew the probe set; -1: not known */
} ex_effects;

ex_status ex_effects_alloc(ex_effects **out, const ex_model *model, int classes);
void ex_effects_destroy(ex_effects **e);
/* Row of the class `label`, or -1. */
int ex_effects_class_index(const ex_effects *e, int label);
/* The same; EX_ERR_INPUT saying what to do where the table has none. */
ex_status ex_effects_find_class(int *row, const ex_effects *e, int label);
/* EX_ERR_INPUT where effects (of `file`, or NULL) were measured on another model than this one. */
ex_status ex_effects_check_digest(const char *file, uint64_t measured, uint64_t model);
static inline double ex_effect(const ex_effects *e, int class_index, int channel)
{
    return (double)(e->baseline_correct[class_index] -
                    e->correct[class_index * e->model->channel_count + channel]) /
           e->probe[class_index];
}
/* order (count) = channels first..first + count - 1, counted through all layers, as Algorithm 1
 * sorts them: highest effect first, ties by the change of the mean loss (a NaN is the largest),
 * then by index. */
ex_status ex_effects_rank(int *order, const ex_effects *e, int class_index, int first, int count);
/* effects.csv: a `#` line with format version, model, digest, ablation, precision and seed, then
 * class,layer,channel,effect,correct,probe,baseline_correct,loss_delta. */
ex_status ex_effects_write(const ex_effects *e, const char *path);
/* EX_ERR_INPUT when the file was measured on another model (digest) or names other layers. Format 1
 * tells neither precision nor seed. */
ex_status ex_effects_read(ex_effects **out, const ex_model *model, uint64_t digest,
                          const char *path);

/* The probe set: `probe` samples of each class in `labels` drawn by seed from the server's samples,
 * topped up from the other training samples where the server holds too few of a class, all of them
 * where there are fewer. */
ex_status ex_probe_make(ex_samples *out, const ex_federation *f, const int *labels, int label_count,
                        int probe);

/* Measures the effects on the federation's current values; strategy, ablation, probe and variants
 * from f->config.unlearn. Recorded as the ledger phase "ablation". label < 0: all classes. */
ex_status ex_ablate(ex_effects **out, ex_federation *f, int label);

#endif
