/* A folder for one process, removed with what is in it when that ends. For tests and fuzz targets.
 */
#ifndef EX_TEST_SCRATCH_H
#define EX_TEST_SCRATCH_H

/* Makes it on the first call, as BASE/NAME-XXXXXX, and returns its path; NULL if it cannot be made.
 * BASE is TMPDIR where that is set, else `base`. */
const char *ex_scratch_folder(const char *base, const char *name);
/* Path of `name` in it, once it is made; each call returns its own buffer, one of the last 16. */
const char *ex_scratch_path(const char *name);

#endif
