#include "cuda_module.h"

#include "build_id.h"
#include "cuda_driver.h"
#include "modules.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FILE_NAME[] = "libexcise_cuda.so";

static struct {
    pthread_mutex_t lock;
    const ex_cuda_exports *exports; /* NULL until loaded */
} module = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- where ------------------------------------------------------------------------------------ */

/* The module's path, found as the header says. */
static ex_status locate(char path[PATH_MAX])
{
    const char *named = getenv("EXCISE_CUDA_MODULE");
    if (!named || !*named) {
        if (ex_module_locate(path, FILE_NAME) == EX_OK)
            return EX_OK;
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s; build excise where nvcc and cuDNN are, name the file by "
                       "EXCISE_CUDA_MODULE, or use --device cpu",
                       ex_error_message());
    }
    if (!realpath(named, path)) /* dlopen does not look for a bare name in the working folder */
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "EXCISE_CUDA_MODULE is %s: %s; name the file %s, or unset it", named,
                       strerror(errno), FILE_NAME);
    return EX_OK;
}

/* --- loading ---------------------------------------------------------------------------------- */

static ex_status check_build(const ex_cuda_exports *e, const char *path)
{
    if (e->abi != EX_CUDA_ABI)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s was built from another version of excise: its interface has number %d, "
                       "the program's %d; build and install both together",
                       path, e->abi, EX_CUDA_ABI);
    if (strcmp(e->build, EX_BUILD_ID) != 0)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s was built from another version of excise, %s; the program is %s; build "
                       "and install both together",
                       path, e->build, EX_BUILD_ID);
    return EX_OK;
}

/* CUPTI's own thread calls these: perhaps once more when the profile is over. */
static void add_profile(const ex_profile_row *row)
{
    if (ex_profile_current())
        ex_profile_add(ex_profile_current(), row);
}

static void lose_profile(size_t calls)
{
    if (ex_profile_current())
        ex_profile_lost(ex_profile_current(), calls);
}

static ex_status open_module(const ex_cuda_exports **out)
{
    char path[PATH_MAX];
    ex_cuda_entry entry;
    EX_TRY(locate(path));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s cannot be loaded: %s; install the CUDA libraries that it needs, or add "
                       "their folder to LD_LIBRARY_PATH",
                       path, dlerror());
    void *found = dlsym(library, EX_CUDA_ENTRY);
    if (!found) {
        dlclose(library);
        return EX_FAIL(EX_ERR_UNSUPPORTED, "%s is no module of excise: it has no %s", path,
                       EX_CUDA_ENTRY);
    }
    memcpy(&entry, &found, sizeof entry); /* a cast would not be C */
    const ex_cuda_exports *e = entry();
    const ex_status status = check_build(e, path);
    if (status != EX_OK) {
        dlclose(library);
        return status;
    }
    static ex_cuda_host host;
    host = (ex_cuda_host){.errors = ex_error_home_get(),
                          .log = ex_log_sink_get(),
                          .profile_add = add_profile,
                          .profile_lost = lose_profile};
    e->attach(&host);
    *out = e;
    return EX_OK;
}

static ex_status load(const ex_cuda_exports **out)
{
    pthread_mutex_lock(&module.lock);
    const ex_status status = module.exports ? EX_OK : open_module(&module.exports);
    *out = module.exports;
    pthread_mutex_unlock(&module.lock);
    return status;
}

/* --- what is asked of it ---------------------------------------------------------------------- */

ex_status ex_cuda_module(const ex_backend **out)
{
    const ex_cuda_exports *e;
    int gpus;
    *out = NULL;
    EX_TRY(ex_cuda_driver_count(&gpus));
    EX_TRY(load(&e));
    *out = e->backend;
    return EX_OK;
}

ex_status ex_cuda_module_versions(ex_cuda_versions *out)
{
    const ex_cuda_exports *e;
    *out = (ex_cuda_versions){0};
    EX_TRY(load(&e));
    e->versions(out);
    return EX_OK;
}

bool ex_cuda_module_is_loaded(void)
{
    pthread_mutex_lock(&module.lock);
    const bool loaded = module.exports != NULL;
    pthread_mutex_unlock(&module.lock);
    return loaded;
}

ex_status ex_cuda_module_profile(void)
{
    const ex_cuda_exports *e;
    if (!ex_profile_current() || ex_profile_has_source())
        return EX_OK;
    EX_TRY(load(&e));
    EX_TRY(e->profile_begin());
    ex_profile_set_source(e->profile_end);
    return EX_OK;
}
