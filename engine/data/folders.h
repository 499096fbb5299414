/* Where a data set's files are looked for. A folder named by the caller is the only one searched,
 * it or its NAME; otherwise, in this order: $EXCISE_DATA/NAME, ./data/NAME,
 * /usr/share/datasets/NAME (Debian's dataset-fashion-mnist), ~/.cache/excise/NAME. In each, the
 * folder inside the official archive counts as well. */
#ifndef EX_FOLDERS_H
#define EX_FOLDERS_H

#include "base/status.h"

#include <limits.h>
#include <stdbool.h>

/* Path of the file of that name in the folder, plain or with .gz; false if neither is there. */
bool ex_data_find_file(char path[PATH_MAX], const char *folder, const char *name);
/* The first folder that holds `first_file`. dir, subfolder: may be NULL. EX_ERR_INPUT listing the
 * folders searched and how to get the data. */
ex_status ex_data_find_folder(char folder[PATH_MAX], const char *name, const char *dir,
                              const char *first_file, const char *subfolder);

#endif
