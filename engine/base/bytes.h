/* Sizes as people read them: the one place that chooses a unit. */
#ifndef EX_BYTES_H
#define EX_BYTES_H

enum { EX_BYTES_ROOM = 16 };

/* text = "512 B", "1.0 kB", "1.2 MB": units of 1000, the largest that leaves a number of at least
 * 1. Gives text. */
const char *ex_bytes_text(char text[EX_BYTES_ROOM], double bytes);

#endif
