/* What the shared runs have in common. */
#include "methods/schemes.h"

#include "record.h"
#include "select.h"

ex_status ex_scheme_important(ex_unlearning *u)
{
    const ex_config *c = &u->f->config;
    return ex_select_important(&u->mask, u->effects, u->label, c->unlearn.delta,
                               (ex_layer_choice)c->unlearn.layers);
}

size_t ex_count_label(const ex_samples *s, int label)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        count += s->label[i] == label;
    return count;
}

void ex_record_stored(ex_unlearning *u, const ex_samples *sets, int set_count)
{
    size_t count = 0;
    for (int i = 0; i < set_count; i++)
        count += sets[i].count;
    u->stored_samples = count;
    ex_federation_stored(u->f, count);
}
