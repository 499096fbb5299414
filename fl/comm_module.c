/* Communicators that are modules of their own, loaded when they are asked for. */
#include "comm_impl.h"

#include "modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

ex_status ex_comm_module(const ex_communicator **out, const char *name)
{
    char file[64], path[PATH_MAX];
    snprintf(file, sizeof file, "libexcise_%s.so", name);
    if (ex_module_locate(path, file) != EX_OK)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "communicator %s cannot be loaded: %s; see EXCISE_MPI and EXCISE_NCCL in "
                       "CMake",
                       name, ex_error_message());
    void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!module)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "communicator %s cannot be loaded: %s", name, dlerror());
    *out = dlsym(module, EX_COMM_MODULE_SYMBOL);
    if (!*out || (*out)->abi != EX_COMM_ABI)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "libexcise_%s.so is not of this program's version; install them together",
                       name);
    return EX_OK;
}

/* The first words of MPI_Get_library_version, which needs no MPI_Init. */
void ex_comm_mpi_version(char text[EX_COMM_VERSION_ROOM])
{
    enum { MOST = 8192 /* MPI_MAX_LIBRARY_VERSION_STRING of MPICH, which has the longest */ };
    char all[MOST] = "";
    const ex_communicator *module;
    int (*get)(char *, int *), length;
    *text = '\0';
    if (ex_comm_module(&module, "mpi") != EX_OK)
        return;
    void *found = dlsym(RTLD_DEFAULT, "MPI_Get_library_version");
    memcpy(&get, &found, sizeof get); /* a cast would not be C */
    if (!get || get(all, &length) != 0)
        return;
    all[strcspn(all, ",\n")] = '\0';
    snprintf(text, EX_COMM_VERSION_ROOM, "%.*s", EX_COMM_VERSION_ROOM - 1, all);
    ex_make_printable(text);
}
