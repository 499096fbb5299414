/* Control of the emulated library, for tests. */
#ifndef EX_EMULATED_LIBRARY_H
#define EX_EMULATED_LIBRARY_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From now on it takes graphs of one operation alone, as cuDNN does where nothing fits. */
void ex_emulated_library_refuse_fused(bool refuse);

/* From now on that candidate of a graph (its number; -1: none) is built, and does not run. */
void ex_emulated_library_fail_runs(int candidate);

#ifdef __cplusplus
}
#endif
#endif
