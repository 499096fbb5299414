/* The functions that describe an architecture, one family a file; models.c has the table. */
#ifndef EX_FAMILIES_H
#define EX_FAMILIES_H

#include "model/builder.h"

/* resnet_cifar.c: He et al. 2016, section 4.2, with option-A shortcuts; the same with projections
 * (option B); and ResNet-18 with the small stem. */
ex_status ex_build_resnet20(ex_builder *b, ex_model_shape shape);
ex_status ex_build_resnet20_projection(ex_builder *b, ex_model_shape shape);
ex_status ex_build_resnet18(ex_builder *b, ex_model_shape shape);
/* vgg.c: VGG-11 with batch norm for 32 x 32 images: average pool and two linear layers; biased
 * convolutions, max pool and one linear layer. */
ex_status ex_build_vgg11(ex_builder *b, ex_model_shape shape);
ex_status ex_build_vgg11_head1(ex_builder *b, ex_model_shape shape);
/* As head1, with three linear layers and dropout between them. */
ex_status ex_build_vgg11_head3(ex_builder *b, ex_model_shape shape);
/* cnn.c: two convolutions and two linear layers. */
ex_status ex_build_cnn(ex_builder *b, ex_model_shape shape);

#endif
