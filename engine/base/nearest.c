#include "base/nearest.h"

#include <string.h>

/* By rows. */
size_t ex_word_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    const size_t rows = strlen(a), columns = strlen(b);
    size_t row[LONGEST + 1];
    if (rows > LONGEST || columns > LONGEST)
        return LONGEST + 1;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[columns];
}
