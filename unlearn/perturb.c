/* Perturbed samples: the class's own under wrong labels, which muddies what the model knows of it.
 */
#include "base/rng.h"
#include "select.h"

ex_status ex_perturb(ex_samples *out, const ex_samples *in, int label, int classes, uint64_t seed,
                     int client, int draw)
{
    *out = (ex_samples){0};
    EX_CHECK_ARG(classes >= 2, "%d classes leave no other label to draw", classes);
    EX_CHECK_ARG(label >= 0 && label < classes, "class %d; 0 to %d are expected", label,
                 classes - 1);
    EX_TRY(ex_samples_copy(out, in));
    const ex_rng_key key = {
        .seed = seed, .use = EX_RNG_RELABEL, .client = (uint32_t)client, .round = (uint32_t)draw};
    ex_rng r = ex_rng_at(key);
    for (size_t i = 0; i < out->count; i++) {
        if (out->label[i] != label)
            continue;
        const uint32_t other = ex_rng_below(&r, (uint32_t)classes - 1);
        out->label[i] = (uint16_t)(other + (other >= (uint32_t)label));
    }
    return EX_OK;
}
