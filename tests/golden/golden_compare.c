/* Comparison with golden arrays, whole or as summaries: sums and sums of squares of each row, and
 * sampled elements. */
#include "golden_formula.h"
#include "golden_net.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor in PyTorch's order with its reference. */
typedef struct subject {
    char label[256];
    const float *values, *ref;
    size_t count, rows;
    double scale, slack;
    ex_golden_tolerance within;
} subject;

/* Largest ratio of error to what is allowed; above 1 is wrong. NaN counts as wrong. */
static void note(double *worst, double error, double allowed)
{
    const double ratio = error <= 0.0 ? 0.0 : error / allowed;
    if (!(ratio <= *worst))
        *worst = isnan(ratio) ? INFINITY : ratio;
}

static double elements_off(const subject *s, const float *values, const float *ref, size_t count)
{
    double worst = 0.0, squares = 0.0, ref_squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double r = (double)ref[i], error = fabs((double)values[i] - r);
        note(&worst, error, s->within.element * (s->scale + fabs(r)) + s->slack * fabs(r));
        squares += error * error;
        ref_squares += r * r;
    }
    const double n = (double)count;
    note(&worst, sqrt(squares / n), s->within.rms * s->scale + s->slack * sqrt(ref_squares / n));
    return worst;
}

/* A row of n elements, each off by at most e on average, moves its sum by n * e at most, about
 * sqrt(n) * e if signs are mixed, and its sum of squares q by 2 sqrt(q n) e + n e^2. */
static double summary_off(const subject *s)
{
    const size_t row = s->count / s->rows;
    const double n = (double)row;
    double worst = 0.0;
    for (size_t k = 0; k < s->rows; k++) {
        double sum = 0.0, squares = 0.0;
        for (size_t i = k * row; i < (k + 1) * row; i++) {
            sum += (double)s->values[i];
            squares += (double)s->values[i] * (double)s->values[i];
        }
        const double ref_squares = (double)s->ref[s->rows + k];
        const double row_rms = sqrt(ref_squares / n);
        const double e = s->within.element * (s->scale + row_rms) + s->slack * row_rms;
        note(&worst, fabs(sum - (double)s->ref[k]), sqrt(n) * e);
        note(&worst, fabs(squares - ref_squares),
             2.0 * sqrt(ref_squares * n) * e + n * e * e + 1e-6 * ref_squares);
    }
    return worst;
}

static double samples_off(const subject *s, const char *name)
{
    size_t index[EX_FORMULA_SAMPLES];
    float picked[EX_FORMULA_SAMPLES];
    ex_formula_sample_index(index, name, s->count);
    for (int i = 0; i < EX_FORMULA_SAMPLES; i++)
        picked[i] = s->values[index[i]];
    return elements_off(s, picked, s->ref + 2 * s->rows, EX_FORMULA_SAMPLES);
}

/* rms of the tensor that a golden array stands for. */
static double reference_rms(const float *ref, size_t count, size_t rows, int is_summary)
{
    double squares = 0.0;
    if (is_summary)
        for (size_t k = 0; k < rows; k++)
            squares += (double)ref[rows + k];
    else
        for (size_t i = 0; i < count; i++)
            squares += (double)ref[i] * (double)ref[i];
    return sqrt(squares / (double)count);
}

/* Reads the array called `label` or its summary; says which. */
static const float *reference(const ex_golden *g, const char *label, size_t count, size_t rows,
                              int *is_summary)
{
    char name[264];
    snprintf(name, sizeof name, "%s~", label);
    *is_summary = ex_golden_find(g, name) != NULL;
    return *is_summary ? ex_golden_floats(g, 2 * rows + EX_FORMULA_SAMPLES, "%s", name)
                       : ex_golden_floats(g, count, "%s", label);
}

/* Prints what is off; returns 1 if anything is. name: KIND/TENSOR, which the samples follow from.
 */
static int check(const ex_golden *g, subject *s, const char *name)
{
    int is_summary;
    s->ref = reference(g, s->label, s->count, s->rows, &is_summary);
    if (s->scale == 0.0)
        s->scale = fmax(reference_rms(s->ref, s->count, s->rows, is_summary), 1e-12);
    const double sums = is_summary ? summary_off(s) : 0.0;
    const double elements =
        is_summary ? samples_off(s, name) : elements_off(s, s->values, s->ref, s->count);
    if (getenv("EXCISE_GOLDEN_VERBOSE"))
        print_message("%s: %.3f of the tolerance, row sums %.3f\n", s->label, elements, sums);
    if (sums <= 1.0 && elements <= 1.0)
        return 0;
    print_error("%s: errors are %.3g times what is allowed (rms %g, element %g), row sums %.3g\n",
                s->label, elements, s->within.rms, s->within.element, sums);
    return 1;
}

static size_t rows_of(const ex_tensor *t)
{
    return (size_t)t->shape[0];
}

void ex_golden_check_tensors(const ex_golden_net *net, const char *name, ex_golden_kind kind,
                             const float *vector)
{
    const ex_model *m = net->model;
    const int stats = kind.name[0] == 's';
    float *values = malloc(m->param_count * sizeof *values);
    assert_non_null(values);
    int wrong = 0;
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        if ((t->kind == EX_TENSOR_STAT) != stats)
            continue;
        ex_golden_to_torch(values, t, vector);
        subject s = {.values = values,
                     .count = t->size,
                     .rows = rows_of(t),
                     .slack = kind.slack,
                     .within = kind.within};
        if (kind.scale_of) {
            int is_summary;
            snprintf(s.label, sizeof s.label, "%s/%s/%s", name, kind.scale_of, t->name);
            const float *ref = reference(net->file, s.label, s.count, s.rows, &is_summary);
            s.scale = kind.scale * reference_rms(ref, s.count, s.rows, is_summary);
        }
        snprintf(s.label, sizeof s.label, "%s/%s/%s", name, kind.name, t->name);
        wrong += check(net->file, &s, s.label + strlen(name) + 1);
    }
    free(values);
    if (wrong)
        fail_msg("%s: %d tensors of kind %s are off", name, wrong, kind.name);
}

void ex_golden_check_array(const ex_golden_net *net, const char *name, const char *kind,
                           ex_golden_tolerance within, const float *values, size_t count,
                           size_t rows)
{
    subject s = {.values = values, .count = count, .rows = rows, .within = within};
    snprintf(s.label, sizeof s.label, "%s/%s", name, kind);
    if (check(net->file, &s, kind))
        fail_msg("%s is off", s.label);
}
