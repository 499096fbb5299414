/* The functions that describe an architecture, one family a file; models.c has the table. */
#ifndef EX_FAMILIES_H
#define EX_FAMILIES_H

#include "model/builder.h"

/* resnet_cifar.c: He et al. 2016, section 4.2, with option-A shortcuts. */
ex_status ex_build_resnet20(ex_builder *b, ex_model_shape shape);
/* vgg.c: VGG-11 with batch norm for 32 x 32 images. */
ex_status ex_build_vgg11(ex_builder *b, ex_model_shape shape);

#endif
