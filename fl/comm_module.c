/* Communicators that are modules of their own, loaded when they are asked for. */
#include "comm_impl.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder that the program lies in, with a slash at its end; "" if that is not known. */
static void program_folder(char folder[PATH_MAX])
{
    const ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[length < 0 ? 0 : length] = '\0';
    char *slash = strrchr(folder, '/');
    folder[slash ? slash + 1 - folder : 0] = '\0';
}

/* Build trees have modules beside the program; installed, they are in the libraries' folder. */
static void *open_module(const char *name)
{
    static const char *const places[] = {"", EX_MODULE_FROM_PROGRAM "/"};
    char folder[PATH_MAX], path[2 * PATH_MAX];
    program_folder(folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s%slibexcise_%s.so", folder, places[i], name);
        if (access(path, R_OK) == 0)
            return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    }
    return NULL;
}

ex_status ex_comm_module(const ex_communicator **out, const char *name)
{
    (void)dlerror();
    void *module = open_module(name);
    if (!module) {
        const char *why = dlerror();
        return EX_FAIL(EX_ERR_UNSUPPORTED, "communicator %s cannot be loaded: %s", name,
                       why ? why : "it was not built; see EXCISE_MPI and EXCISE_NCCL in CMake");
    }
    *out = dlsym(module, EX_COMM_MODULE_SYMBOL);
    if (!*out || (*out)->abi != EX_COMM_ABI)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "libexcise_%s.so is not of this program's version; install them together",
                       name);
    return EX_OK;
}
