/* Control of the emulation behind kernels/launch.h, for tests. All of it is per host thread. */
#ifndef EX_EMULATE_H
#define EX_EMULATE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Multiprocessors of the emulated device, at least 1: fewer make kernels stride more often. */
void ex_emulated_set_multiprocessors(int count);
/* What the last kernel did that it must not, as text, since the last call; NULL if nothing. Such a
 * launch also fails with cudaErrorLaunchFailure. */
const char *ex_emulated_violation(void);

#ifdef __cplusplus
}
#endif
#endif
