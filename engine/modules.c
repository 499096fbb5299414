#include "modules.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of the program or the shared library that holds this code. */
static ex_status own_folder(char folder[PATH_MAX])
{
    static const char here[] = "";
    struct link_map *map = NULL;
    Dl_info info;
    const char *file = "/proc/self/exe";
    if (dladdr1(here, &info, (void **)&map, RTLD_DL_LINKMAP) && map && map->l_name[0])
        file = map->l_name;
    if (!realpath(file, folder))
        return EX_FAIL(EX_ERR_INTERNAL, "the path of %s is not to be had: %s", file,
                       strerror(errno));
    *strrchr(folder, '/') = '\0';
    return EX_OK;
}

ex_status ex_module_locate(char *path, const char *file)
{
    static const char *const places[] = {".", EX_MODULE_FROM_PROGRAM}; /* from the own folder */
    char folder[PATH_MAX];
    EX_TRY(own_folder(folder));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const int length = snprintf(path, PATH_MAX, "%s/%s/%s", folder, places[i], file);
        if (length > 0 && length < PATH_MAX && access(path, F_OK) == 0)
            return EX_OK;
    }
    return EX_FAIL(EX_ERR_UNSUPPORTED, "%s is neither in %s nor in %s/%s", file, folder, folder,
                   EX_MODULE_FROM_PROGRAM);
}
