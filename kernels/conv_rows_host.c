/* Gradient of a few filters of a convolution.
 *
 *   dw[k, r, s, c] = sum over n, h, w of
 *       dy[n, k, h, w] * x[n, c, h * stride + r - pad, w * stride + s - pad]
 *
 * Libraries pad the filters to a full vector of them, so that one costs as much as sixteen. Here
 * the vector runs over input channels: the selected channels of dy are first laid out as planes,
 * and then every pixel of a plane is a scalar that multiplies sixteen channels of x. One load of x
 * serves several filters, and one of dy several slices of sixteen channels.
 *
 * Sums are made image by image within a group of images, then over the groups: in one order for any
 * number of threads. */
#include "wide.h"

typedef struct rows_pass {
    const void *x, *dy;
    const int32_t *row;
    int rows;
    const ex_conv_shape *c;
    int whole;      /* all filters, in order, of maps whose blocks are wide */
    float *plane;   /* (N, rows, out_H, out_W); whole: dy as float32, as it lies */
    float *sum;     /* (N, rows) */
    float *partial; /* (groups, rows, R, S, C) */
    size_t groups;  /* of images */
    size_t parts;   /* of channels: SLICES slices each */
} rows_pass;

enum {
    UNITS = 16,         /* of work, at least: for threads to share */
    SLICES = 2,         /* of sixteen channels, served by one load of dy */
    STRIP_PIXELS = 128, /* of SLICES: a third of a first-level cache */
    CHAINS = 8,         /* sums that are under way at a time */
};

/* Sixteen channels of a pixel lie together. */
static int is_wide(const ex_conv_shape *c)
{
    return c->in.block % EX_WIDE == 0;
}

static size_t slices_of(const ex_conv_shape *c)
{
    return is_wide(c) ? (size_t)(c->in.C / EX_WIDE) : 1;
}

static size_t parts_of(const ex_conv_shape *c)
{
    return (slices_of(c) + SLICES - 1) / SLICES;
}

static size_t groups_of(const ex_conv_shape *c)
{
    const size_t parts = parts_of(c), images = (size_t)c->in.N;
    const size_t groups = parts < UNITS ? UNITS / parts : 1;
    return groups < images ? groups : images;
}

static size_t filter_floats(const ex_conv_shape *c)
{
    return (size_t)c->R * (size_t)c->S * (size_t)c->in.C;
}

static size_t out_pixels(const ex_conv_shape *c)
{
    return (size_t)c->out_H * (size_t)c->out_W;
}

size_t ex_conv_rows_scratch_host(const ex_conv_shape *c, int rows)
{
    return (size_t)rows * ((size_t)c->in.N * (out_pixels(c) + 1) + groups_of(c) * filter_floats(c));
}

/* --- planes of dy ----------------------------------------------------------------------------- */

EX_INLINE void planes(const rows_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const ex_conv_shape *c = p->c;
    const size_t pixels = out_pixels(c), block = (size_t)c->out_block;
    for (size_t u = begin; u < end; u++) { /* image, selected filter */
        const size_t n = u / (size_t)p->rows, k = (size_t)p->row[u % (size_t)p->rows];
        const size_t from = (n * (size_t)c->K + k / block * block) * pixels + k % block;
        float *to = p->plane + u * pixels, sum = 0.0f;
        for (size_t i = 0; i < pixels; i++) {
            to[i] = ex_map_get(p->dy, from + i * block, type);
            sum += to[i];
        }
        p->sum[u] = sum;
    }
}

EX_CLONES static void plane_range(const rows_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->c->in.type, T, planes(p, T, begin, end));
}

/* Sums of planes that are there. */
static void sum_range(const rows_pass *p, size_t begin, size_t end)
{
    const size_t pixels = out_pixels(p->c);
    for (size_t u = begin; u < end; u++) {
        p->sum[u] = 0.0f;
        for (size_t i = 0; i < pixels; i++)
            p->sum[u] += p->plane[u * pixels + i];
    }
}

/* --- whole maps of dy ------------------------------------------------------------------------- */

static int all_in_order(const int32_t *row, int rows, const ex_conv_shape *c)
{
    int j = 0;
    while (j < rows && row[j] == j)
        j++;
    return j == c->K;
}

/* Units are images and slices of filters. */
EX_INLINE void whole(const rows_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const ex_conv_shape *c = p->c;
    const size_t pixels = out_pixels(c), block = (size_t)c->out_block,
                 slices = (size_t)c->K / EX_WIDE;
    for (size_t u = begin; u < end; u++) {
        const size_t k = u % slices * EX_WIDE;
        const size_t at = (u / slices * (size_t)c->K + k / block * block) * pixels + k % block;
        ex_wide sum = {0};
        for (size_t i = 0; i < pixels; i++) {
            const ex_wide v = ex_wide_get(p->dy, at + i * block, type);
            if (type != EX_MAP_F32)
                ex_wide_store(p->plane + at + i * block, v);
            sum += v;
        }
        ex_wide_store(p->sum + u * EX_WIDE, sum);
    }
}

EX_CLONES static void whole_range(const rows_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->c->in.type, T, whole(p, T, begin, end));
}

/* --- products --------------------------------------------------------------------------------- */

/* Outputs o in [first, last) whose input o * stride + shift lies in [0, size). */
typedef struct span {
    int first, last;
} span;

EX_INLINE span span_of(int shift, int stride, int size, int outputs)
{
    const int first = shift < 0 ? (stride - 1 - shift) / stride : 0;
    const int last = size - 1 - shift < 0 ? 0 : (size - 1 - shift) / stride + 1;
    return (span){first, last < outputs ? last : outputs};
}

/* Output rows h of images [n, n + images): so many that their x stays in a first-level cache while
 * all taps and filters go over it. */
typedef struct strip {
    size_t n, images;
    span h;
} strip;

/* What one tap of a few filters reads: x at the pixel of output (0, 0), perhaps outside of the
 * image, a pointer for each slice; planes of dy. Strides are in values. */
typedef struct tap_in {
    const void *x[SLICES];
    size_t x_image, x_line, x_pixel;
    const float *dy;
    size_t dy_image, dy_row, dy_line, dy_pixel;
    size_t images;
    span h, w;
} tap_in;

EX_INLINE void pixel(ex_wide *acc, const tap_in *t, ptrdiff_t x, const float *dy, ex_map_type type,
                     int slices, int rows)
{
    for (int v = 0; v < slices; v++) {
        const ex_wide wide = ex_wide_get(ex_map_in(t->x[v], x, type), 0, type);
        for (int j = 0; j < rows; j++)
            acc[v * rows + j] += wide * dy[(size_t)j * t->dy_row];
    }
}

/* sums (rows, step apart; slices one behind the other) += a tap. A sum waits for the one before it:
 * few of them get several accumulators each, of pixels in turn. */
EX_INLINE void tap(float *sums, size_t step, const tap_in *t, ex_map_type type, int slices,
                   int rows)
{
    ex_wide acc[CHAINS] = {0};
    const int chains = slices * rows, turns = CHAINS / chains;
    for (size_t n = 0; n < t->images; n++)
        for (int oh = t->h.first; oh < t->h.last; oh++) {
            const ptrdiff_t x = (ptrdiff_t)(n * t->x_image + (size_t)oh * t->x_line);
            const float *dy = t->dy + n * t->dy_image + (size_t)oh * t->dy_line;
            int ow = t->w.first;
            for (; ow + turns <= t->w.last; ow += turns)
                for (int i = 0; i < turns; i++)
                    pixel(acc + i * chains, t, x + (ptrdiff_t)((size_t)(ow + i) * t->x_pixel),
                          dy + (size_t)(ow + i) * t->dy_pixel, type, slices, rows);
            for (; ow < t->w.last; ow++)
                pixel(acc, t, x + (ptrdiff_t)((size_t)ow * t->x_pixel),
                      dy + (size_t)ow * t->dy_pixel, type, slices, rows);
        }
    for (int i = 0; i < chains; i++) {
        float *sum = sums + (size_t)(i % rows) * step + (size_t)(i / rows) * EX_WIDE;
        for (int turn = 1; turn < turns; turn++)
            acc[i] += acc[turn * chains + i];
        ex_wide_store(sum, ex_wide_load(sum) + acc[i]);
    }
}

static span overlap(span a, span b)
{
    return (span){a.first > b.first ? a.first : b.first, a.last < b.last ? a.last : b.last};
}

/* All taps of `rows` filters from the j-th on, `slices` of x from the slice on. */
EX_INLINE void taps(const rows_pass *p, ex_map_type type, float *partial, const strip *part,
                    size_t slice, int j, int slices, int rows)
{
    const ex_conv_shape *c = p->c;
    const size_t block = (size_t)c->in.block, row = filter_floats(c);
    const size_t pixels = (size_t)c->in.H * (size_t)c->in.W, image = (size_t)c->in.C * pixels;
    const size_t plane = out_pixels(c), out_block = p->whole ? (size_t)c->out_block : 1;
    const size_t first = (size_t)j;
    tap_in t = {.x_image = image,
                .x_line = (size_t)(c->stride * c->in.W) * block,
                .x_pixel = (size_t)c->stride * block,
                .dy_image = (size_t)p->rows * plane,
                .dy_row = p->whole ? 1 : plane,
                .dy_line = (size_t)c->out_W * out_block,
                .dy_pixel = out_block,
                .images = part->images};
    t.dy =
        p->plane + part->n * t.dy_image + first / out_block * out_block * plane + first % out_block;
    for (int r = 0; r < c->R; r++) {
        t.h = overlap(part->h, span_of(r - c->pad, c->stride, c->in.H, c->out_H));
        for (int s = 0; s < c->S; s++) {
            const ptrdiff_t shift = (ptrdiff_t)(r - c->pad) * c->in.W + (s - c->pad);
            t.w = span_of(s - c->pad, c->stride, c->in.W, c->out_W);
            for (int v = 0; v < slices; v++) {
                const size_t channel = (slice + (size_t)v) * EX_WIDE;
                const size_t at = part->n * image + channel / block * block * pixels;
                t.x[v] = ex_map_in(
                    p->x, (ptrdiff_t)(at + channel % block) + shift * (ptrdiff_t)block, type);
            }
            tap(partial + (size_t)j * row + (size_t)(r * c->S + s) * (size_t)c->in.C +
                    slice * EX_WIDE,
                row, &t, type, slices, rows);
        }
    }
}

EX_INLINE void strip_filters(const rows_pass *p, ex_map_type type, float *partial,
                             const strip *part, size_t slice, int slices)
{
    int j = 0;
    for (; slices == 1 && j + 8 <= p->rows; j += 8)
        taps(p, type, partial, part, slice, j, 1, 8);
    for (; j + 4 <= p->rows; j += 4)
        taps(p, type, partial, part, slice, j, slices, 4);
    for (; j + 2 <= p->rows; j += 2)
        taps(p, type, partial, part, slice, j, slices, 2);
    if (j < p->rows)
        taps(p, type, partial, part, slice, j, slices, 1);
}

/* Images [n, end) and as many slices as there are of SLICES from the slice on. */
EX_INLINE void image_slices(const rows_pass *p, ex_map_type type, float *partial, size_t n,
                            size_t end, size_t slice)
{
    const ex_conv_shape *c = p->c;
    const size_t whole = STRIP_PIXELS / out_pixels(c), left = slices_of(c) - slice;
    const int lines = STRIP_PIXELS / c->out_W + 1, step = whole ? c->out_H : lines;
    strip part = {.n = n};
    for (; part.n < end; part.n += part.images) {
        part.images = whole < 1 ? 1 : whole < end - part.n ? whole : end - part.n;
        for (int top = 0; top < c->out_H; top += step) {
            part.h = (span){top, top + step < c->out_H ? top + step : c->out_H};
            if (left >= SLICES)
                strip_filters(p, type, partial, &part, slice, SLICES);
            else
                strip_filters(p, type, partial, &part, slice, 1);
        }
    }
}

/* Layouts in which channels do not lie together by sixteen: images, for the first layer. */
EX_INLINE void image_plain(const rows_pass *p, ex_map_type type, float *partial, size_t n)
{
    const ex_conv_shape *c = p->c;
    const int C = c->in.C, block = c->in.block;
    const size_t pixels = (size_t)c->in.H * (size_t)c->in.W, row = filter_floats(c);
    for (int j = 0; j < p->rows; j++) {
        const float *dy = p->plane + (n * (size_t)p->rows + (size_t)j) * out_pixels(c);
        for (int i = 0; i < c->R * c->S * C; i++) { /* taps, channels */
            const int r = i / C / c->S, s = i / C % c->S, channel = i % C;
            const span h = span_of(r - c->pad, c->stride, c->in.H, c->out_H);
            const span w = span_of(s - c->pad, c->stride, c->in.W, c->out_W);
            const size_t x = (n * (size_t)C + (size_t)(channel / block * block)) * pixels +
                             (size_t)(channel % block);
            ex_wide wide = {0};
            float sum = 0.0f;
            for (int oh = h.first; oh < h.last; oh++) {
                const void *line = ex_map_in(
                    p->x,
                    (ptrdiff_t)x + (ptrdiff_t)((oh * c->stride + r - c->pad) * c->in.W * block),
                    type);
                const float *d = dy + (size_t)(oh * c->out_W);
                int ow = w.first;
                if (block == 1 && c->stride == 1)
                    for (; ow + EX_WIDE <= w.last; ow += EX_WIDE)
                        wide += ex_wide_get(line, (size_t)(ow + s - c->pad), type) *
                                ex_wide_load(d + ow);
                for (; ow < w.last; ow++)
                    sum += ex_map_get(line, (size_t)((ow * c->stride + s - c->pad) * block), type) *
                           d[ow];
            }
            for (int lane = 0; lane < EX_WIDE; lane++)
                sum += wide[lane];
            partial[(size_t)j * row + (size_t)i] += sum;
        }
    }
}

EX_INLINE void products(const rows_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const size_t images = (size_t)p->c->in.N;
    for (size_t u = begin; u < end; u++) {
        const size_t g = u / p->parts, slice = u % p->parts * SLICES;
        const size_t first = images * g / p->groups, last = images * (g + 1) / p->groups;
        float *partial = p->partial + g * (size_t)p->rows * filter_floats(p->c);
        if (is_wide(p->c))
            image_slices(p, type, partial, first, last, slice);
        else
            for (size_t n = first; n < last; n++)
                image_plain(p, type, partial, n);
    }
}

EX_FUSED_CLONES static void product_range(const rows_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->c->in.type, T, products(p, T, begin, end));
}

/* --- the sum ---------------------------------------------------------------------------------- */

static void finish(float *dw, float *dsum, const rows_pass *p)
{
    const size_t row = filter_floats(p->c), images = (size_t)p->c->in.N;
    for (size_t j = 0; j < (size_t)p->rows; j++) {
        float *out = dw + (size_t)p->row[j] * row;
        memset(out, 0, row * sizeof *out);
        for (size_t g = 0; g < p->groups; g++) {
            const float *in = p->partial + (g * (size_t)p->rows + j) * row;
            for (size_t i = 0; i < row; i++)
                out[i] += in[i];
        }
        if (!dsum)
            continue;
        dsum[p->row[j]] = 0.0f;
        for (size_t n = 0; n < images; n++)
            dsum[p->row[j]] += p->sum[n * (size_t)p->rows + j];
    }
}

void ex_conv_rows_bwd_host(float *dw, float *dsum, const void *x, const void *dy,
                           const int32_t *row, int rows, const ex_conv_shape *c, float *scratch,
                           ex_stream s)
{
    const size_t planes = (size_t)c->in.N * (size_t)rows, pixels = out_pixels(c);
    rows_pass p = {.x = x,
                   .dy = dy,
                   .row = row,
                   .rows = rows,
                   .c = c,
                   .whole = dy && is_wide(c) && c->out_block % EX_WIDE == 0 &&
                            all_in_order(row, rows, c),
                   .plane = scratch,
                   .sum = scratch + planes * pixels,
                   .partial = scratch + planes * (pixels + 1),
                   .groups = groups_of(c),
                   .parts = parts_of(c)};
    memset(p.partial, 0, p.groups * (size_t)rows * filter_floats(c) * sizeof *p.partial);
    if (p.whole && c->in.type == EX_MAP_F32)
        p.plane = (float *)dy; /* is read */
    if (p.whole && (dsum || c->in.type != EX_MAP_F32))
        EX_SHARE(planes / EX_WIDE, planes * pixels, s, whole_range(&p, begin, end));
    if (!p.whole && dy)
        EX_SHARE(planes, planes * pixels, s, plane_range(&p, begin, end));
    if (!dy && dsum)
        EX_SHARE(planes, planes * pixels, s, sum_range(&p, begin, end));
    EX_SHARE(p.groups * p.parts, planes * pixels * filter_floats(c) / EX_WIDE, s,
             product_range(&p, begin, end));
    finish(dw, dsum, &p);
}
