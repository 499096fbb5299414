#include "data/images.h"

#include "base/log.h"
#include "base/memory.h"
#include "data/image_list.h"
#include "data/picture.h"

#include <math.h>
#include <string.h>

ex_status ex_images_classes(ex_class_names *out, const char *dir)
{
    ex_image_list l = {0};
    *out = (ex_class_names){0};
    ex_status status = ex_image_list_classes(&l, dir);
    if (status == EX_OK)
        status = ex_class_names_copy(out, (const char *const *)l.names, l.classes);
    ex_image_list_free(&l);
    return status;
}

static ex_status room(ex_dataset *d, const ex_picture *like, const ex_image_list *l, size_t count)
{
    d->classes = l->classes;
    d->channels = like->channels;
    d->height = like->height;
    d->width = like->width;
    const size_t bytes = (size_t)like->channels * (size_t)like->height * (size_t)like->width;
    EX_TRY(ex_alloc(&d->images, count, bytes, "images"));
    return ex_alloc(&d->labels, count, sizeof *d->labels, "labels");
}

static ex_status place(ex_data *data, const ex_image_list *l, const ex_image_entry *e,
                       const ex_picture *p)
{
    ex_dataset *d = e->test ? &data->test : &data->train;
    if (!data->train.images) {
        size_t tests = 0;
        for (int i = 0; i < l->count; i++)
            tests += l->entries[i].test;
        EX_TRY(room(&data->train, p, l, (size_t)l->count - tests));
        EX_TRY(room(&data->test, p, l, tests));
    }
    if (p->height != d->height || p->width != d->width)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is %d x %d, but %s is %d x %d; all pictures must have one size", e->path,
                       p->height, p->width, l->entries[0].path, d->height, d->width);
    const size_t bytes = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    memcpy(d->images + d->count * bytes, p->pixels, bytes);
    d->labels[d->count++] = e->label;
    return EX_OK;
}

static ex_status load(ex_data *data, const ex_image_list *l, bool grey)
{
    for (int i = 0; i < l->count; i++) {
        ex_picture p;
        ex_status status = ex_picture_read(&p, l->entries[i].path, grey);
        if (status == EX_OK)
            status = place(data, l, &l->entries[i], &p);
        ex_free(&p.pixels);
        EX_TRY(status);
    }
    return EX_OK;
}

/* Of the training images, in 0..1; a channel without contrast keeps deviation 1. */
static void measure(ex_data *data)
{
    ex_dataset *d = &data->train;
    const size_t pixels = (size_t)d->height * (size_t)d->width;
    for (int c = 0; c < d->channels; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < d->count; i++)
            for (size_t p = 0; p < pixels; p++) {
                const double x =
                    d->images[(i * (size_t)d->channels + (size_t)c) * pixels + p] / 255.0;
                sum += x, squares += x * x;
            }
        const double n = (double)(d->count * pixels), mean = sum / n;
        const double variance = squares / n - mean * mean;
        d->mean[c] = data->test.mean[c] = (float)mean;
        d->std[c] = data->test.std[c] = variance > 1e-8 ? (float)sqrt(variance) : 1.0f;
    }
}

static void log_classes(const ex_data *data, const ex_image_list *l)
{
    char names[512] = "";
    for (int i = 0; i < l->classes; i++)
        ex_append(names, sizeof names, "%s%d %.40s", i ? ", " : "", i, l->names[i]);
    ex_log("%zu training and %zu test pictures of %d x %d; classes %s", data->train.count,
           data->test.count, data->train.height, data->train.width, names);
}

ex_status ex_images_open(ex_data *data, const ex_data_options *options)
{
    ex_image_list l = {0};
    ex_status status;
    EX_TRY_GOTO(ex_image_list_read(&l, options), done);
    EX_TRY_GOTO(load(data, &l, options->grey), done);
    measure(data);
    log_classes(data, &l);
done:
    ex_image_list_free(&l);
    return status;
}
