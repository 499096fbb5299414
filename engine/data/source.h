/* A data set as a row of the table in sources.c. Inside of engine/data. */
#ifndef EX_SOURCE_H
#define EX_SOURCE_H

#include "data/dataset.h"

typedef struct ex_source {
    int classes;
    float mean[EX_CHANNELS_MAX], std[EX_CHANNELS_MAX]; /* of the training images, in 0..1 */
    const char *first_file; /* its presence marks a folder; NULL: no files */
    const char *subfolder;  /* of the official archive, or NULL */
    ex_status (*open)(ex_data *data, const char *folder, const ex_data_options *options);
    /* What the classes are called: a list (classes), a file of the folder with a line each, or a
     * function of data_dir. All NULL: nothing. */
    const char *const *class_names;
    const char *names_file;
    ex_status (*read_names)(ex_class_names *out, const char *dir);
} ex_source;

/* EX_ERR_CONFIG listing the names for an unknown one. */
ex_status ex_source_find(const ex_source **out, const char *name);

#endif
