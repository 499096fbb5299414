/* What a module for the CUDA back end has whatever is in it (tests load stand-ins): its link to the
 * program, its profile, and the one function that it exports. */
#ifndef EX_CUDA_MODULE_ENTRY_H
#define EX_CUDA_MODULE_ENTRY_H

#include "cuda_host.h"

/* The table of the module that module_entry.c is linked to. */
extern const ex_cuda_exports ex_cuda_module_exports;

/* Entries of it. */
void ex_cuda_module_attach(const ex_cuda_host *host);
ex_status ex_cuda_module_profile_begin(void);
ex_status ex_cuda_module_profile_end(void);

#endif
