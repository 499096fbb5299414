/* What the steps of a plan took, by layer and kind of step. */
#include "cpu/cpu_impl.h"

#include <stdio.h>

/* "conv forward, layer1.block_0.conv_bn1.conv"; nodes without a layer go by their number. */
static void name_step(char *name, size_t room, const ex_model *m, const ex_cpu_step *step)
{
    const int layer = step->node >= 0 ? m->nodes[step->node].layer : -1;
    if (layer >= 0)
        snprintf(name, room, "%s, %s", step->what, m->layers[layer].name);
    else if (step->node > 0)
        snprintf(name, room, "%s, node %d", step->what, step->node);
    else
        snprintf(name, room, "%s", step->what);
}

void ex_cpu_profile(const ex_cpu_plan *plan)
{
    char name[256];
    ex_profile *profile = ex_profile_current();
    if (!profile || !plan->profiled)
        return;
    for (int i = 0; i < plan->step_count; i++) {
        ex_profile_row row = plan->steps[i].spent;
        name_step(name, sizeof name, plan->model, &plan->steps[i]);
        row.name = name;
        ex_profile_add(profile, &row);
    }
}
