/* The functions that describe an architecture, one family a file; models.c has the table. */
#ifndef EX_FAMILIES_H
#define EX_FAMILIES_H

#include "model/builder.h"

/* resnet_cifar.c. He et al. 2016, section 4.2, with option-A shortcuts. */
ex_status ex_build_resnet20(ex_builder *b, ex_model_shape shape);
/* The same with projections (option B). */
ex_status ex_build_resnet20_projection(ex_builder *b, ex_model_shape shape);
/* ResNet-18 with the stem for small images. */
ex_status ex_build_resnet18(ex_builder *b, ex_model_shape shape);
/* vgg.c. VGG-11 with batch norm for 32 x 32 images: average pool and two linear layers. */
ex_status ex_build_vgg11(ex_builder *b, ex_model_shape shape);
/* Biased convolutions, max pool and one linear layer. */
ex_status ex_build_vgg11_head1(ex_builder *b, ex_model_shape shape);
/* As head1, with three linear layers and dropout between them. */
ex_status ex_build_vgg11_head3(ex_builder *b, ex_model_shape shape);
/* cnn.c: two convolutions and two linear layers. */
ex_status ex_build_cnn(ex_builder *b, ex_model_shape shape);

#endif
