/* Generated images for tests and trials: a class is a smooth pattern of its own; a sample is that
 * pattern, shifted around the edge by up to 2 pixels, with its own contrast and noise. A small
 * network learns it in a few dozen steps. */
#ifndef EX_SYNTHETIC_H
#define EX_SYNTHETIC_H

#include "data/dataset.h"

/* part: 0 train, 1 test. Fills 10 classes of 3 x 16 x 16. Sample i is the same in every set of at
 * least i + 1 samples, whatever the run's seed. */
ex_status ex_synthetic_make(ex_dataset *dataset, size_t count, uint32_t part);

#endif
