/* Plans of our own Winograd kernels, whatever is fastest here. */
#ifndef EX_FORCE_TILES_H
#define EX_FORCE_TILES_H

/* Makes each convolution of a file of algorithms one of tiles, but what they cannot make of maps
 * whose channels are multiples of 16: those that read 2 channels, and gradients with that of a
 * bias. Returns how many. */
int ex_test_force_tiles(const char *path);

#endif
