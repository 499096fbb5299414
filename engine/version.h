/* Versions of excise and of the libraries that it runs with: part of what a result depends on. */
#ifndef EX_VERSION_H
#define EX_VERSION_H

#include <jansson.h>

/* "0.1.0" */
const char *ex_version(void);
/* The commit that the program was built from, "" outside a checkout. In programs only: it stands in
 * commit.c, which the engine's library leaves out. */
const char *ex_version_commit(void);
/* {"onednn": "2.6.3", "isa": "AVX-512", "zlib": ..., "jansson": ..., "libyaml": ..., "libpng": ...,
 * "libjpeg": ..., "openmp": ..., "compiler": ..., "cuda": ..., "cudnn": ..., "cublaslt": ...,
 * "nccl": ...} as loaded now; null is what is not: the last four come with the CUDA module
 * (cuda_module.h), which this does not load. A new reference.
 */
json_t *ex_version_libraries(void);

#endif
