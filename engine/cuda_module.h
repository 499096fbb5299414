/* The CUDA back end, loaded on demand from libexcise_cuda.so: linked into the program, cuBLASLt and
 * its like would cost every start 150 MB and up to half a second. Once loaded it stays.
 *
 * It is looked for beside the program (or the library libexcise) and in the installation's library
 * folder; a file named by EXCISE_CUDA_MODULE is taken instead of those. */
#ifndef EX_CUDA_MODULE_H
#define EX_CUDA_MODULE_H

#include "cuda_host.h"

/* *out = the CUDA back end. EX_ERR_UNSUPPORTED with the reason if the driver shows no GPU (asked
 * first, which costs little), or the module is missing, cannot be loaded, or was built from another
 * version. */
ex_status ex_cuda_module(const ex_backend **out);
/* The libraries that the module was loaded with; loads it if need be, for which no driver is
 * needed. EX_ERR_UNSUPPORTED as above. */
ex_status ex_cuda_module_versions(ex_cuda_versions *out);
bool ex_cuda_module_is_loaded(void);
/* Before a CUDA device is opened: makes the module measure, if the process profiles (profile.h). */
ex_status ex_cuda_module_profile(void);

#endif
