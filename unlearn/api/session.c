/* libexcise: sessions. A thin layer: every call is one or two of those that the program's commands
 * make. */
#include "session_impl.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/model_file.h"
#include "trainer.h"
#include "version.h"

#include <omp.h>
#include <stdlib.h>

/* --- status and process-wide switches ------------------------------------------------------ */

/* The public numbers are the inner ones, by the same names. */
#define SAME(outer, inner) _Static_assert((int)(outer) == (int)(inner), #inner)
SAME(EXCISE_OK, EX_OK);
SAME(EXCISE_ERR_USAGE, EX_ERR_USAGE);
SAME(EXCISE_ERR_CONFIG, EX_ERR_CONFIG);
SAME(EXCISE_ERR_INPUT, EX_ERR_INPUT);
SAME(EXCISE_ERR_UNSUPPORTED, EX_ERR_UNSUPPORTED);
SAME(EXCISE_ERR_EXISTS, EX_ERR_EXISTS);
SAME(EXCISE_ERR_IO, EX_ERR_IO);
SAME(EXCISE_ERR_MEMORY, EX_ERR_MEMORY);
SAME(EXCISE_ERR_NUMERIC, EX_ERR_NUMERIC);
SAME(EXCISE_ERR_BACKEND, EX_ERR_BACKEND);
SAME(EXCISE_ERR_INTERNAL, EX_ERR_INTERNAL);
SAME(EXCISE_INTERRUPTED, EX_ERR_INTERRUPTED);

const char *excise_status_text(excise_status status)
{
    const int number = (int)status;
    return number >= EXCISE_OK && number <= EXCISE_INTERRUPTED ? ex_status_text((ex_status)number)
                                                               : "unknown status";
}

const char *excise_error_message(void)
{
    return ex_error_message();
}

const char *excise_version(void)
{
    return ex_version();
}

void excise_free(void *text)
{
    free(text);
}

static locale_t plain; /* "C", for good */

/* A library is silent unless asked; the program's level begins with the log. */
__attribute__((constructor)) static void begin(void)
{
    ex_log_set_level(EX_LOG_QUIET);
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

ex_caller ex_caller_enter(void)
{
    return (ex_caller){.locale = uselocale(plain), .threads = omp_get_max_threads()};
}

excise_status ex_caller_leave(const ex_caller *c, ex_status status)
{
    uselocale(c->locale);
    omp_set_num_threads(c->threads);
    return (excise_status)status;
}

void excise_set_log(int on)
{
    ex_log_set_level(on ? EX_LOG_INFO : EX_LOG_QUIET);
}

void excise_interrupt(int on)
{
    ex_interrupt_set(on != 0);
}

/* --- sessions ------------------------------------------------------------------------------ */

static ex_status configure(ex_config *c, const ex_subject *subject, const char *file,
                           const char *const *settings)
{
    EX_TRY(ex_subject_configure(c, subject, file));
    for (; settings && *settings; settings++)
        EX_TRY(ex_config_set(c, *settings, "settings"));
    EX_TRY(ex_config_check(c));
    return ex_subject_check_config(subject, c);
}

static ex_status open_session(excise_session *s, const char *subject, const char *file,
                              const char *const *settings)
{
    ex_config config;
    EX_CHECK_ARG(subject, "excise_open: a run folder or a model file is expected, not NULL");
    EX_TRY(ex_subject_find(&s->subject, subject));
    EX_TRY(configure(&config, &s->subject, file, settings));
    EX_TRY(ex_subject_federation(&s->f, &config, NULL));
    EX_TRY(ex_subject_load(&s->subject, s->f));
    return ex_subject_algorithms(s->f, NULL, s->subject.run);
}

excise_status excise_open(excise_session **session, const char *subject, const char *config,
                          const char *const *settings)
{
    *session = NULL;
    excise_session *s = NULL;
    ex_status status;
    const ex_caller host = ex_caller_enter();
    EX_TRY_GOTO(ex_alloc(&s, 1, sizeof *s, "session"), done);
    EX_TRY_GOTO(open_session(s, subject, config, settings), done);
    *session = s;
    s = NULL;
done:
    excise_close(&s);
    return ex_caller_leave(&host, status);
}

void excise_close(excise_session **session)
{
    if (*session) {
        ex_effects_destroy(&(*session)->effects);
        ex_federation_close(&(*session)->f);
    }
    ex_free(session);
}

/* --- the model ----------------------------------------------------------------------------- */

const char *excise_model_name(const excise_session *session)
{
    return session->f->model->name;
}

int excise_class_count(const excise_session *session)
{
    return session->f->model->classes;
}

const char *excise_class_name(const excise_session *session, int label)
{
    return ex_class_name(&session->f->data->names, label);
}

int excise_layer_count(const excise_session *session)
{
    return session->f->model->layer_count;
}

int excise_channel_count(const excise_session *session)
{
    return session->f->model->channel_count;
}

static const ex_layer *find_layer(const excise_session *session, int layer)
{
    const ex_model *m = session->f->model;
    return layer >= 0 && layer < m->layer_count ? &m->layers[layer] : NULL;
}

const char *excise_layer_name(const excise_session *session, int layer)
{
    const ex_layer *l = find_layer(session, layer);
    return l ? l->name : NULL;
}

int excise_layer_channels(const excise_session *session, int layer)
{
    const ex_layer *l = find_layer(session, layer);
    return l ? l->channels : 0;
}

static ex_status save(const ex_federation *f, const char *path)
{
    EX_CHECK_ARG(path, "excise_save: the path of a file is expected, not NULL");
    return ex_model_file_write(path, f->model, f->params, f->stats, f->batches, NULL);
}

excise_status excise_save(const excise_session *session, const char *path)
{
    const ex_caller host = ex_caller_enter();
    return ex_caller_leave(&host, save(session->f, path));
}
