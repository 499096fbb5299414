/* What lies in a folder of pictures (images.h): the files, their classes, and which are for tests.
 */
#ifndef EX_IMAGE_LIST_H
#define EX_IMAGE_LIST_H

#include "data/dataset.h"

typedef struct ex_image_entry {
    char *path;
    uint16_t label;
    bool test;
} ex_image_entry;

typedef struct ex_image_list {
    ex_image_entry *entries;
    int count, room;
    char **names; /* of the classes */
    int classes, class_room;
} ex_image_list;

/* Of o->dir, split by o->test_share and o->seed where it has no parts. EX_ERR_INPUT naming the
 * folder that cannot be. *l: zeros; freed by the caller, also after an error. */
ex_status ex_image_list_read(ex_image_list *l, const ex_data_options *o);
/* The classes alone, whatever is in them. */
ex_status ex_image_list_classes(ex_image_list *l, const char *dir);
void ex_image_list_free(ex_image_list *l);

#endif
