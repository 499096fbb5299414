/* Calls of the emulated library that fail on demand: ex_emulated_library_fail (library.h). */
#ifndef EX_EMULATED_LIBRARY_FAULTS_H
#define EX_EMULATED_LIBRARY_FAULTS_H

extern "C" {
#include "base/status.h"
}

/* Each call that may fail begins with it: the status that it has to end with. */
ex_status ex_library_called(const char *name);

#endif
