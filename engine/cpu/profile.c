/* Where a plan's time goes: for tuning, not for users. */
#include "cpu/cpu_impl.h"

#include <stdio.h>
#include <string.h>

void ex_cpu_profile(ex_cpu_plan *plan, bool by_node)
{
    const double batches = plan->profiled > 0 ? plan->profiled : 1;
    double total = 0.0;
    for (int i = 0; i < plan->step_count; i++) {
        double seconds = plan->steps[i].seconds;
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen = seen || strcmp(plan->steps[i].what, plan->steps[j].what) == 0;
        total += seconds;
        if (by_node) {
            fprintf(stderr, "%9.3f ms  node %2d  %s\n", 1e3 * seconds / batches,
                    plan->steps[i].node, plan->steps[i].what);
            continue;
        }
        if (seen)
            continue;
        for (int j = i + 1; j < plan->step_count; j++)
            if (strcmp(plan->steps[i].what, plan->steps[j].what) == 0)
                seconds += plan->steps[j].seconds;
        fprintf(stderr, "%9.3f ms  %s\n", 1e3 * seconds / batches, plan->steps[i].what);
    }
    fprintf(stderr, "%9.3f ms  in all, per batch\n", 1e3 * total / batches);
    for (int i = 0; i < plan->step_count; i++)
        plan->steps[i].seconds = 0.0;
    plan->profiled = 0;
}
