/* Versions of excise and of the libraries that it runs with: part of what a result depends on. */
#ifndef EX_VERSION_H
#define EX_VERSION_H

#include <jansson.h>

/* "0.1.0" */
const char *ex_version(void);
/* {"onednn": "2.6.3", "zlib": ..., "jansson": ..., "libyaml": ..., "compiler": ...} as loaded now;
 * a new reference. onednn is null in a build without it. */
json_t *ex_version_libraries(void);

#endif
