/* Control of the emulated library, for tests. */
#ifndef EX_EMULATED_LIBRARY_H
#define EX_EMULATED_LIBRARY_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "cuda/dnn_graph.h"

/* From now on it takes graphs of one operation alone, as cuDNN does where nothing fits. */
void ex_emulated_library_refuse_fused(bool refuse);

/* From now on that candidate of a graph (its number; -1: none) is built, and does not run. */
void ex_emulated_library_fail_runs(int candidate);
/* Call number n from now on, from 1, ends with that status and does nothing: those that create
 * handles and plans, count candidates, tell a plan's text, and queue runs. 0: none does. */
void ex_emulated_library_fail(long n, ex_status status);
/* The function that was made to fail; NULL if there were fewer calls. */
const char *ex_emulated_library_failed(void);

/* From now on `seen` is told every graph whose candidates are counted or of which a plan is made;
 * NULL: nobody is. Of several threads one at a time. */
void ex_emulated_library_watch(void (*seen)(const ex_dnn_graph *g, void *context), void *context);

#ifdef __cplusplus
}
#endif
#endif
