/* A folder of a test's own, removed with what is in it. */
#ifndef EX_TEST_TEMP_H
#define EX_TEST_TEMP_H

#include <stddef.h>

/* Makes the folder (once a process; removed at exit) and returns its path. */
const char *ex_temp_folder(void);
/* Path of `name` in it; each call returns its own buffer, one of the last 16. */
const char *ex_temp_path(const char *name);
/* Writes bytes to the file of that name in it and returns its path; gzipped if `gzip`. */
const char *ex_temp_write(const char *name, const void *data, size_t bytes, int gzip);
/* Writes the text to the file of that path, in that folder or elsewhere. */
void ex_temp_text(const char *path, const char *text);

#endif
