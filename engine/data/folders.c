#include "data/folders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDERS_MAX = 5 };

/* Joins up to three parts by slashes; false if the result is too long. NULL parts are left out. */
static bool join(char out[PATH_MAX], const char *a, const char *b, const char *c)
{
    const int n = snprintf(out, PATH_MAX, "%s%s%s%s%s", a, b ? "/" : "", b ? b : "", c ? "/" : "",
                           c ? c : "");
    return n > 0 && n < PATH_MAX;
}

bool ex_data_find_file(char path[PATH_MAX], const char *folder, const char *name)
{
    static const char *const endings[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        const int n = snprintf(path, PATH_MAX, "%s/%s%s", folder, name, endings[i]);
        if (n > 0 && n < PATH_MAX && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* The folders to search, in order; returns how many. */
static int list_folders(char folders[FOLDERS_MAX][PATH_MAX], const char *name, const char *dir)
{
    int count = 0;
    if (dir && *dir) {
        count += join(folders[count], dir, NULL, NULL);
        count += join(folders[count], dir, name, NULL);
        return count;
    }
    const char *own = getenv("EXCISE_DATA"), *home = getenv("HOME");
    if (own && *own)
        count += join(folders[count], own, name, NULL);
    count += join(folders[count], "data", name, NULL);
    count += join(folders[count], "/usr/share/datasets", name, NULL);
    if (home && *home)
        count += join(folders[count], home, ".cache/excise", name);
    return count;
}

ex_status ex_data_find_folder(char folder[PATH_MAX], const char *name, const char *dir,
                              const char *first_file, const char *subfolder)
{
    char folders[FOLDERS_MAX][PATH_MAX], searched[1024] = "", path[PATH_MAX];
    const int count = list_folders(folders, name, dir);
    for (int i = 0; i < count; i++) {
        memcpy(folder, folders[i], PATH_MAX);
        if (ex_data_find_file(path, folder, first_file))
            return EX_OK;
        if (subfolder && join(folder, folders[i], subfolder, NULL) &&
            ex_data_find_file(path, folder, first_file))
            return EX_OK;
        ex_append(searched, sizeof searched, "%s%.255s", i ? ", " : "", folders[i]);
    }
    return EX_FAIL(
        EX_ERR_INPUT,
        "no %s found: %s, plain or with .gz, is in none of %s; run scripts/get_data.sh "
        "%s (installed: excise-get-data %s), or give the folder by data_dir or EXCISE_DATA",
        name, first_file, searched, name, name);
}
