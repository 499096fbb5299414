/* Whole files, read with a cap and written atomically.
 *
 * A file is written beside its place, flushed to the disk and renamed: a reader, or a run that
 * comes after a crash, sees the old file or the new one, never a part. A symbolic link keeps
 * pointing where it did; what is no regular file (a pipe, /dev/stdout) is written directly. */
#ifndef EX_FILE_H
#define EX_FILE_H

#include "base/status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

typedef struct ex_file ex_file; /* a file being written */

/* All of these: EX_ERR_IO for what cannot be written, as ex_file_write_error has it. */
ex_status ex_file_create(ex_file **out, const char *path);
ex_status ex_file_append(ex_file *file, const void *data, size_t bytes);
/* Puts the file in its place; *file is NULL afterwards, whatever comes out. */
ex_status ex_file_commit(ex_file **file);
/* Gives up: the file's place stays as it was. NULL-safe. */
void ex_file_discard(ex_file **file);
/* All of the above in one call. */
ex_status ex_file_write(const char *path, const void *data, size_t bytes);
/* The file is what `print` prints of `what`; EX_ERR_MEMORY where there is no room for all of it. */
ex_status ex_file_print(const char *path, void (*print)(FILE *out, const void *what),
                        const void *what);
/* Indented, keys in the order in which they were set, newline at the end; as ex_json_text. */
ex_status ex_json_write(const char *path, const json_t *value);

/* The code for errno, of what could not be read: EX_ERR_MEMORY where memory is short, EX_ERR_IO
 * where too many files are open, which says nothing of this one; else EX_ERR_INPUT. */
ex_status ex_file_read_code(void);
/* The same with a message that says what could not be read and why. */
ex_status ex_file_read_error(const char *path);
/* EX_ERR_IO for errno: what could not be written, why, and what to do. */
ex_status ex_file_write_error(const char *path);

/* *text = the value as text, from malloc; NULL values and whatever jansson had no memory for come
 * out as EX_ERR_MEMORY, what is no JSON (a number that is not finite) as EX_ERR_INTERNAL. `what`
 * opens the message. */
ex_status ex_json_text(char **text, const json_t *value, size_t flags, const char *what);
/* As json_loadb: *out is NULL, and *error says why, where the text is no JSON. EX_ERR_MEMORY where
 * that is not the text's fault. */
ex_status ex_json_load(json_t **out, const char *text, size_t bytes, size_t flags,
                       json_error_t *error);
/* Makes ex_json_text notice when jansson runs out of memory while a value is built: its builders
 * leave out what does not fit, and a report must not be short of a key for that. Call it before any
 * JSON is made; again, it forgets what was missed before. */
void ex_json_guard(void);

/* *out = the file's bytes, with a zero byte behind them; freed by ex_free. EX_ERR_INPUT if the file
 * has more than `most` bytes; what cannot be read as ex_file_read_code has it. */
ex_status ex_file_read(char **out, size_t *bytes, const char *path, size_t most);
/* The same, and EX_ERR_INPUT naming line and column if it is no JSON. *out is released by
 * json_decref. */
ex_status ex_json_read(json_t **out, const char *path);

/* A real, or null for what is not finite: a number that was not measured. A new reference. */
json_t *ex_json_number(double value);

/* A string, or null for NULL and for what is no UTF-8, which JSON cannot hold. A new reference. */
json_t *ex_json_word(const char *text);

/* path (PATH_MAX bytes) = "FOLDER/name"; EX_ERR_USAGE if that is too long. */
ex_status ex_path_join(char *path, const char *folder, const char *name);
/* Makes the folder and those above it; one that exists is fine. EX_ERR_IO for one that cannot be
 * made. */
ex_status ex_make_folders(const char *path);
/* Until then, what was made, renamed or removed in the folder may not have been after a loss of
 * power. EX_ERR_IO where the disk fails at it; a file system that cannot do it is let pass. */
ex_status ex_folder_sync(const char *path);

#endif
