/* What a data set calls its classes. Labels count; names are for people: to ask for a class and to
 * read a report. */
#ifndef EX_CLASSES_H
#define EX_CLASSES_H

#include "base/status.h"

typedef struct ex_class_names {
    char **name; /* (count) by label, printable; NULL: the data set has no names */
    int count;   /* classes, where that is known without their names too; else 0 */
} ex_class_names;

/* The names without the images: they are part of excise (fashion-mnist, cifar10), in a file beside
 * the images (cifar100) or those of folders (folder). dir: as in ex_data_options. EX_ERR_INPUT if
 * the files of such a data set are not found. */
ex_status ex_class_names_open(ex_class_names *out, const char *dataset, const char *dir);
void ex_class_names_free(ex_class_names *names);
/* "Trouser", or NULL. */
const char *ex_class_name(const ex_class_names *names, int label);
/* *label = the class of that name; upper and lower case are the same, and so are "-", "_" and a
 * space, where no name is the text itself. EX_ERR_USAGE naming the nearest. */
ex_status ex_class_find(int *label, const ex_class_names *names, const char *dataset,
                        const char *text);

/* --- for data sets ---------------------------------------------------------------------------- */

/* A copy of `names` (count). */
ex_status ex_class_names_copy(ex_class_names *out, const char *const *names, int count);
/* A line a class; without the file, or with another number of lines, there are no names. */
ex_status ex_class_names_read(ex_class_names *out, const char *path, int count);

#endif
