/* excise: makes a trained convolutional classifier forget a class.
 *
 * The library does what the program's commands eval, ablate and unlearn do, on a session: a model,
 * the data it was trained on and a device to compute on.
 *
 *     excise_session *s = NULL;
 *     char *report = NULL;
 *     if (excise_open(&s, "runs/demo/train", NULL, NULL) ||
 *         excise_unlearn(s, "ce", 1, NULL, &report) || excise_save(s, "forgot.safetensors"))
 *         fprintf(stderr, "%s\n", excise_error_message());
 *     excise_free(report);
 *     excise_close(&s);
 *
 * Errors: a function that can fail returns 0 (EXCISE_OK) or a status, with a message of what was
 * expected, what was found and what to do. Nothing is printed but warnings, on stderr, unless
 * excise_set_log asks for more; the library never exits and installs no signal handler. oneDNN may
 * end the process where memory runs out: it is C++, and its std::bad_alloc finds no one to catch
 * it.
 *
 * Threads: one call at a time on a session; different sessions may be used by different threads.
 * A call leaves its thread's locale, and the number of OpenMP threads, as they were; in what it
 * reads and writes numbers have a point, whatever the locale says.
 *
 * Files: what was timed to choose convolutions is kept in ~/.cache/excise, as by the program;
 * EXCISE_CACHE=off in the environment: not.
 *
 * Stability: functions, structs and the numbers of enumerations stay as they are while the
 * library's soname does. Structs are filled by the library and read by the caller. */
#ifndef EXCISE_H
#define EXCISE_H

#include <stddef.h>

#if defined(__GNUC__)
#define EXCISE_API __attribute__((visibility("default")))
#else
#define EXCISE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum excise_status {
    EXCISE_OK = 0,
    EXCISE_ERR_USAGE = 1,       /* an argument is not what the function takes */
    EXCISE_ERR_CONFIG = 2,      /* an unknown key, a wrong type, a value out of range */
    EXCISE_ERR_INPUT = 3,       /* a file that cannot be read, or holds something else */
    EXCISE_ERR_UNSUPPORTED = 4, /* not possible on this device or in this build */
    EXCISE_ERR_EXISTS = 5,      /* the place to write to is taken */
    EXCISE_ERR_IO = 6,          /* writing failed */
    EXCISE_ERR_MEMORY = 7,
    EXCISE_ERR_NUMERIC = 8, /* a value that is not finite: a learning rate that is too high */
    EXCISE_ERR_BACKEND = 9,
    EXCISE_ERR_INTERNAL = 10,
    EXCISE_INTERRUPTED = 11 /* see excise_interrupt */
} excise_status;

/* "bad input"; "unknown status" for a number that is none. */
EXCISE_API const char *excise_status_text(excise_status status);
/* What the call that failed last in this thread has to say, in one line; never NULL, valid until
 * the next call in this thread. */
EXCISE_API const char *excise_error_message(void);
/* "0.1.0", of the library that is loaded. */
EXCISE_API const char *excise_version(void);
/* Frees a text that a function of this library has given. NULL-safe. */
EXCISE_API void excise_free(void *text);
/* 1: what is done, and how it goes on, is logged to stderr as the program does; 0, the default:
 * only warnings are. For all sessions. */
EXCISE_API void excise_set_log(int on);
/* 1: every call in this process that computes stops at its next safe point with EXCISE_INTERRUPTED,
 * and so do later ones until it is 0. May be called from a signal handler or another thread. */
EXCISE_API void excise_interrupt(int on);

/* --- sessions ------------------------------------------------------------------------------ */

typedef struct excise_session excise_session;

/* Opens a model with its data.
 *   subject   a run folder of `excise train` or `excise unlearn`, or a .safetensors file
 *   config    a configuration file (YAML), read over the run's own; NULL: none. A .safetensors file
 *             needs one that says what it was trained on.
 *   settings  "key=value" over both, as -s of the program takes them, with a NULL at the end;
 *             NULL: none. `excise --config-help` lists the keys: "device=cpu" sets one. A run
 *             keeps its seed, which names its data and clients; "unlearn.seed=2" names other draws.
 *
 * *session is NULL after a failure: EXCISE_ERR_INPUT for a subject, a configuration or data that
 * cannot be read, EXCISE_ERR_CONFIG for a key or a value, EXCISE_ERR_UNSUPPORTED for a device that
 * cannot be used here, EXCISE_ERR_USAGE for a subject that is NULL or a model without
 * configuration. Loading a data set takes from milliseconds to seconds. */
EXCISE_API excise_status excise_open(excise_session **session, const char *subject,
                                     const char *config, const char *const *settings);
/* Frees the session and sets *session to NULL. NULL-safe. */
EXCISE_API void excise_close(excise_session **session);

/* --- the model ----------------------------------------------------------------------------- */

/* "resnet20"; valid while the session is open. */
EXCISE_API const char *excise_model_name(const excise_session *session);
EXCISE_API int excise_class_count(const excise_session *session);
/* What the data set calls class `label`: "Trouser"; valid while the session is open. NULL where it
 * has no name, or there is no such class. */
EXCISE_API const char *excise_class_name(const excise_session *session, int label);
/* Layers that have channels (convolutions and linear layers), in the order of the network, and
 * their channels in all. */
EXCISE_API int excise_layer_count(const excise_session *session);
EXCISE_API int excise_channel_count(const excise_session *session);
/* "layer3.block_2.conv_bn2.conv", valid while the session is open, and the layer's channels; NULL
 * and 0 where there is no such layer. layer counts from 0. */
EXCISE_API const char *excise_layer_name(const excise_session *session, int layer);
EXCISE_API int excise_layer_channels(const excise_session *session, int layer);

/* --- what it does -------------------------------------------------------------------------- */

typedef enum excise_samples { EXCISE_TEST = 0, EXCISE_TRAIN = 1 } excise_samples;

/* Accuracy on the test or training samples of the configuration.
 *   accuracy   a fraction, 0 to 1; loss: the mean cross-entropy, in nats
 *   per_class  (excise_class_count) fractions; NAN where there are no samples of the class
 * What is NULL is not wanted. EXCISE_ERR_USAGE for other samples. After a failure nothing is
 * written there. */
EXCISE_API excise_status excise_evaluate(excise_session *session, excise_samples samples,
                                         double *accuracy, double *loss, double *per_class);

typedef struct excise_effect {
    const char *layer; /* valid while the session is open */
    int channel;       /* within the layer, from 0 */
    double effect;     /* fall of the accuracy on the class when the channel is removed, -1 to 1 */
    double loss_delta; /* rise of the mean loss on the class, in nats */
} excise_effect;

/* The effect of every channel on class `label`, by ablation, on the samples and by the strategy
 * that the configuration's section `unlearn` tells. effects (excise_channel_count): layer by layer,
 * channel by channel. The session keeps the measurement, for excise_unlearn. EXCISE_ERR_USAGE for a
 * class that the model does not have, EXCISE_ERR_INPUT for one without samples to measure on,
 * EXCISE_ERR_NUMERIC for a model whose losses are not finite. */
EXCISE_API excise_status excise_effects(excise_session *session, int label, excise_effect *effects);

/* Makes the session's model forget class `label`.
 *   method  "ce", "de", "de-random", "head" or "retrain"; see `excise unlearn --help`
 *   folder  a run folder to write, as `excise unlearn -o` does: new or empty (EXCISE_ERR_EXISTS);
 *           NULL: nothing is written
 *   report  *report = accuracy before and after, costs and course as JSON text, that of the
 *           folder's report.json; to be freed by excise_free; NULL: not wanted
 *
 * EXCISE_ERR_USAGE for an unknown method or class, EXCISE_ERR_CONFIG or EXCISE_ERR_INPUT for data
 * that the method cannot do it with, EXCISE_ERR_NUMERIC for training that diverged.
 *
 * Afterwards the session holds the new model. After a failure it holds the one from before, and
 * *report is NULL; an interrupted run in a folder goes on with `excise unlearn -o FOLDER --resume`.
 * Effects that excise_effects has measured for this class and model are used; if they are missing,
 * and the method needs them, they are measured as a part of it. */
EXCISE_API excise_status excise_unlearn(excise_session *session, const char *method, int label,
                                        const char *folder, char **report);

/* Writes the session's model as .safetensors, under PyTorch's names; a file at `path` is replaced
 * at once, or stays as it was: EXCISE_ERR_IO. */
EXCISE_API excise_status excise_save(const excise_session *session, const char *path);

#ifdef __cplusplus
}
#endif

#endif
