/* What the program and the module libexcise_cuda.so agree on.
 *
 * The module is linked with copies of its own of the engine code that it needs. State that must be
 * one, the last error and the log, stays the program's: ex_cuda_host lends it. Plain C passes
 * between the two, no objects of other libraries (each side may hold a jansson of its own, with
 * another hash seed). The module exports one function, which only gives its table: the program
 * compares `abi` and `build` before it calls anything in it. */
#ifndef EX_CUDA_HOST_H
#define EX_CUDA_HOST_H

#include "backend.h"
#include "base/log.h"
#include "profile.h"

/* Goes up with every change of the structs here. What else crosses (backend.h and all that it
 * includes) is compared by EX_BUILD_ID, a digest of these headers. */
enum { EX_CUDA_ABI = 1 };
#define EX_CUDA_ENTRY "excise_cuda_module"

/* As text, "" for what is not there. */
typedef struct ex_cuda_versions {
    char cuda[24], cudnn[24], cublaslt[24], nccl[24];
} ex_cuda_versions;

typedef struct ex_cuda_host {
    const ex_error_home *errors;
    ex_log_sink log;
    /* As ex_profile_add and ex_profile_lost; only between profile_begin and profile_end. */
    void (*profile_add)(const ex_profile_row *row);
    void (*profile_lost)(size_t calls);
} ex_cuda_host;

typedef struct ex_cuda_exports {
    int abi;           /* EX_CUDA_ABI */
    const char *build; /* EX_BUILD_ID */
    /* Called once, before all else. */
    void (*attach)(const ex_cuda_host *host);
    const ex_backend *backend;
    void (*versions)(ex_cuda_versions *out); /* needs no driver */
    /* Measures what runs on GPUs, from before the first device is opened until after the last is
     * closed. EX_ERR_UNSUPPORTED with the reason if that cannot be. */
    ex_status (*profile_begin)(void);
    ex_status (*profile_end)(void);
} ex_cuda_exports;

typedef const ex_cuda_exports *(*ex_cuda_entry)(void);

#endif
