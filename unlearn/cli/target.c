/* Where a single file of results goes: checked before minutes are spent on what goes there. */
#include "output.h"

#include "profile.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = NAME_MAX - 16 }; /* the rest is for the temporary file's ending */

ex_status cli_check_target(const char *path, bool overwrite)
{
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return EX_FAIL(EX_ERR_USAGE, "%s is a folder; the name of a file is expected", path);
    if (exists && S_ISREG(info.st_mode) && !overwrite)
        return EX_FAIL(EX_ERR_EXISTS, "%s exists; name another file, or add --overwrite", path);
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", path);
    char *slash = strrchr(folder, '/');
    const char *name = slash ? slash + 1 : folder;
    if (!*name || strlen(name) > NAME_BYTES_MAX)
        return EX_FAIL(EX_ERR_USAGE, "\"%s\" names a file of %zu bytes; 1 to %d are expected", path,
                       strlen(name), NAME_BYTES_MAX);
    if (slash)
        slash[slash == folder] = '\0';
    if (access(slash ? folder : ".", W_OK) != 0)
        return EX_FAIL(EX_ERR_USAGE, "%s: the folder %s does not exist or cannot be written to",
                       path, slash ? folder : ".");
    return EX_OK;
}

ex_status cli_check_profile(const char *path)
{
    char start[sizeof EX_PROFILE_CSV_HEADER] = "";
    struct stat info;
    EX_TRY(cli_check_target(path, true));
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0)
        return EX_OK;
    FILE *file = fopen(path, "rb");
    if (!file)
        return EX_OK; /* writing tells why */
    const size_t length = fread(start, 1, sizeof start - 1, file);
    fclose(file);
    if (length == sizeof start - 1 && strcmp(start, EX_PROFILE_CSV_HEADER) == 0)
        return EX_OK;
    return EX_FAIL(EX_ERR_EXISTS, "%s exists and is no profile; name another file for --profile",
                   path);
}
