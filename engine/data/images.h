/* A folder of pictures, one subfolder a class, as a data set.
 *
 *   DIR/train/CLASS/NAME.png and DIR/test/CLASS/NAME.png, or DIR/CLASS/NAME.png, split by seed
 *
 * Classes are numbered in the order of their names' bytes; pictures lie in that order too. All must
 * have the size of the first. Hidden files and files that are not named like pictures are left
 * out. */
#ifndef EX_IMAGES_H
#define EX_IMAGES_H

#include "data/dataset.h"

/* Fills both parts, sizes, classes, and mean and deviation of the training images. EX_ERR_INPUT
 * naming the file or folder that cannot be. */
ex_status ex_images_open(ex_data *data, const ex_data_options *options);
/* The names of the classes alone; dir: data_dir. */
ex_status ex_images_classes(ex_class_names *out, const char *dir);

#endif
