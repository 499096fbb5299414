/* Inside of effects*.c: the first line of effects.csv, which says what was measured on what. */
#ifndef EX_EFFECTS_IMPL_H
#define EX_EFFECTS_IMPL_H

#include "effects.h"

enum { EX_EFFECTS_LINE_MAX = 512 };

/* Without an end of line; its length. */
int ex_effects_format_preamble(char line[EX_EFFECTS_LINE_MAX], const ex_effects *e);
/* Sets what *e, whose model is there, holds of it. line NULL: the file has none. EX_ERR_INPUT for
 * another model than e->model with this digest. */
ex_status ex_effects_parse_preamble(ex_effects *e, const char *path, const char *line,
                                    uint64_t digest);

#endif
