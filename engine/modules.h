/* Files of ours that are loaded on demand, libexcise_NAME.so: where they are. */
#ifndef EX_MODULES_H
#define EX_MODULES_H

#include "base/status.h"

/* path (PATH_MAX bytes) = that of `file`, which lies beside the program (or the library libexcise)
 * or in the installation's library folder. EX_ERR_UNSUPPORTED naming both if it is in neither. */
ex_status ex_module_locate(char *path, const char *file);

#endif
