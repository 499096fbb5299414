/* Reference of batch.c's operations: plain, for tests only. */
#include "kernels.h"
