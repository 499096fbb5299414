#include "base/memory.h"
#include "data/dataset.h"

#include <stdatomic.h>
#include <string.h>

void ex_dataset_close(ex_dataset *dataset)
{
    ex_free(&dataset->images);
    ex_free(&dataset->labels);
    dataset->count = 0;
}

void ex_dataset_changed(ex_dataset *dataset)
{
    static atomic_uint_least64_t last;
    dataset->generation = atomic_fetch_add(&last, 1) + 1;
}

ex_status ex_samples_alloc(ex_samples *out, size_t count)
{
    *out = (ex_samples){.count = count};
    EX_TRY(ex_alloc(&out->index, count, sizeof *out->index, "samples"));
    const ex_status status = ex_alloc(&out->label, count, sizeof *out->label, "samples");
    if (status != EX_OK)
        ex_samples_free(out);
    return status;
}

void ex_samples_free(ex_samples *s)
{
    ex_free(&s->index);
    ex_free(&s->label);
    s->count = 0;
}

ex_status ex_samples_all(ex_samples *out, const ex_dataset *d)
{
    EX_TRY(ex_samples_alloc(out, d->count));
    for (size_t i = 0; i < d->count; i++) {
        out->index[i] = (uint32_t)i;
        out->label[i] = d->labels[i];
    }
    return EX_OK;
}

ex_status ex_samples_copy(ex_samples *out, const ex_samples *s)
{
    const ex_samples none = {0};
    return ex_samples_join(out, s, &none);
}

ex_status ex_samples_of_class(ex_samples *out, const ex_samples *s, int label, int keep)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        count += (s->label[i] == label) == (keep != 0);
    EX_TRY(ex_samples_alloc(out, count));
    size_t at = 0;
    for (size_t i = 0; i < s->count; i++) {
        if ((s->label[i] == label) != (keep != 0))
            continue;
        out->index[at] = s->index[i];
        out->label[at++] = s->label[i];
    }
    return EX_OK;
}

/* Copies s to position `at` of out. */
static void place(ex_samples *out, size_t at, const ex_samples *s)
{
    if (s->count == 0)
        return;
    memcpy(out->index + at, s->index, s->count * sizeof *s->index);
    memcpy(out->label + at, s->label, s->count * sizeof *s->label);
}

ex_status ex_samples_join(ex_samples *out, const ex_samples *a, const ex_samples *b)
{
    EX_TRY(ex_samples_alloc(out, a->count + b->count));
    place(out, 0, a);
    place(out, a->count, b);
    return EX_OK;
}
