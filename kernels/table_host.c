/* The host instance of the operation table. */
#include "kernels.h"
