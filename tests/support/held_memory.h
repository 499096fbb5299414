/* What plans hold: counted where lanes ask for memory and give it back, whatever the budget says.
 */
#ifndef EX_HELD_MEMORY_H
#define EX_HELD_MEMORY_H

#include "backend.h"

/* Counts what the lane's plans take from now on; all lanes that are watched are of one back end. */
void ex_test_held_watch(ex_lane *lane);
/* Bytes held now; and at most since the last call of ex_test_held_again. */
size_t ex_test_held(void);
size_t ex_test_held_most(void);
void ex_test_held_again(void);

#endif
