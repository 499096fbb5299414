/* Plans of our own kernels, whatever is fastest here. */
#ifndef EX_FORCE_ALGORITHM_H
#define EX_FORCE_ALGORITHM_H

/* Gives those of a file's convolutions to "tiles" or "rows" that these can make of maps whose
 * channels are multiples of 16. Not of those that read 2 channels; tiles: not gradients with that
 * of a bias; rows: gradients of filters alone. Returns how many. */
int ex_test_force_algorithm(const char *path, const char *name);

#endif
