/* What the program's commands and the library's sessions work on: a run folder, which brings its
 * own configuration, or a bare model file. */
#ifndef EX_SUBJECT_H
#define EX_SUBJECT_H

#include "federation.h"

#include <limits.h>

typedef struct ex_subject {
    char run[PATH_MAX];   /* the run folder read from; "" for a bare model file */
    char model[PATH_MAX]; /* the model file; "" where a run goes on without it */
} ex_subject;

/* Tells a run folder from a model file. EX_ERR_INPUT if it is neither, or a run that is not
 * finished. */
ex_status ex_subject_find(ex_subject *s, const char *path);
/* Defaults, the run's config.yaml, then `file` (NULL: none; a bare model needs one). Settings and
 * ex_config_check are the caller's. */
ex_status ex_subject_configure(ex_config *c, const ex_subject *s, const char *file);
/* Whether *c still has the data that the run was trained on: EX_ERR_CONFIG for another seed, which
 * would draw other training samples and other clients (unlearn.seed is what may change); a warning
 * for other keys of data and clients. Nothing for a bare model. */
ex_status ex_subject_check_config(const ex_subject *s, const ex_config *c);
/* Opens the federation and says in the log where it runs. comm: taken, as by
 * ex_federation_open_shared; NULL: this process alone. */
ex_status ex_subject_federation(ex_federation **out, const ex_config *config, ex_comm **comm);
/* The model's values into the federation, if a model is named. */
ex_status ex_subject_load(const ex_subject *s, ex_federation *f);
/* Reads `file`; where it is NULL, FOLDER/algorithms.json if that is there. folder "": none. */
ex_status ex_subject_algorithms(ex_federation *f, const char *file, const char *folder);
/* EX_ERR_USAGE if `output` is the folder that is read from. */
ex_status ex_subject_check_output(const ex_subject *s, const char *output);

/* "`excise train -o RUN --resume`", quoted for a shell where it must be; valid until the next call
 * in this thread. */
const char *ex_resume_command(const char *command, const char *run);

#endif
