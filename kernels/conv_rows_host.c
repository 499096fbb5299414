/* Gradient of a few filters of a convolution.
 *
 *   dw[k, r, s, c] = sum over n, h, w of
 *       dy[n, k, h, w] * x[n, c, h * stride + r - pad, w * stride + s - pad]
 *
 * Libraries pad the filters to a full vector of them, so that one costs as much as sixteen. Here
 * the vector runs over input channels: the selected channels of dy are first laid out as planes,
 * and then every pixel of a plane is a scalar that multiplies sixteen channels of x. Filters go in
 * batches, so that one load of x serves several.
 *
 * Sums are made image by image within a group of images, then over the groups: in one order for any
 * number of threads. */
#include "wide.h"

typedef struct rows_pass {
    const void *x, *dy;
    const int32_t *row;
    int rows;
    const ex_conv_shape *c;
    float *plane;   /* (N, rows, out_H, out_W) */
    float *sum;     /* (N, rows) */
    float *partial; /* (groups, rows, R, S, C) */
    size_t groups;  /* of images */
    size_t slices;  /* of channels */
} rows_pass;

enum {
    UNITS = 16,         /* of work, at least: for threads to share */
    STRIP_PIXELS = 256, /* of sixteen channels: half of a first-level cache */
    BATCH = 8,          /* filters served by one load of x: what registers hold */
    CHAINS = 4,         /* sums that are under way at a time, at least */
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

static size_t groups_of(const ex_conv_shape *c)
{
    const size_t slices = slices_of(c), images = (size_t)c->in.N;
    const size_t groups = slices < UNITS ? UNITS / slices : 1;
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

/* One tap of `rows` filters over rows [h.first, h.last) of one image: sums (rows, step apart) +=.
 * x: the channels at the tap's pixel of output (0, 0), perhaps outside the image; dy: a plane each.
 * A sum waits for the one before it: few filters get several sums each, of pixels in turn. */
EX_INLINE void tap(float *sums, size_t step, const void *x, ex_map_type type, size_t x_line,
                   size_t x_pixel, const float *dy, size_t plane, int width, span h, span w,
                   int rows)
{
    ex_wide acc[BATCH] = {0};
    const int turns = rows < CHAINS ? CHAINS / rows : 1;
    for (int oh = h.first; oh < h.last; oh++) {
        const void *line = ex_map_in(x, (ptrdiff_t)oh * (ptrdiff_t)x_line, type);
        const float *d = dy + (size_t)oh * (size_t)width;
        int ow = w.first;
        for (; ow + turns <= w.last; ow += turns)
            for (int t = 0; t < turns; t++) {
                const ex_wide v = ex_wide_get(
                    ex_map_in(line, (ptrdiff_t)(ow + t) * (ptrdiff_t)x_pixel, type), 0, type);
                for (int j = 0; j < rows; j++)
                    acc[t * rows + j] += v * d[(size_t)j * plane + (size_t)(ow + t)];
            }
        for (; ow < w.last; ow++) {
            const ex_wide v =
                ex_wide_get(ex_map_in(line, (ptrdiff_t)ow * (ptrdiff_t)x_pixel, type), 0, type);
            for (int j = 0; j < rows; j++)
                acc[j] += v * d[(size_t)j * plane + (size_t)ow];
        }
    }
    for (int j = 0; j < rows; j++) {
        float *sum = sums + (size_t)j * step;
        for (int t = 1; t < turns; t++)
            acc[j] += acc[t * rows + j];
        ex_wide_store(sum, ex_wide_load(sum) + acc[j]);
    }
}

/* All taps of `rows` filters from the j-th on: a strip of output rows of image n, a slice of x. */
EX_INLINE void taps(const rows_pass *p, ex_map_type type, float *partial, size_t n, size_t slice,
                    int j, span strip, int rows)
{
    const ex_conv_shape *c = p->c;
    const size_t block = (size_t)c->in.block, plane = out_pixels(c), row = filter_floats(c);
    const size_t channel = slice * EX_WIDE;
    const size_t pixels = (size_t)c->in.H * (size_t)c->in.W;
    const void *x = ex_map_in(
        p->x,
        (ptrdiff_t)((n * (size_t)c->in.C + channel / block * block) * pixels + channel % block),
        type);
    const float *dy = p->plane + (n * (size_t)p->rows + (size_t)j) * plane;
    for (int r = 0; r < c->R; r++) {
        const span all = span_of(r - c->pad, c->stride, c->in.H, c->out_H);
        const span h = {all.first > strip.first ? all.first : strip.first,
                        all.last < strip.last ? all.last : strip.last};
        for (int s = 0; s < c->S; s++) {
            const span w = span_of(s - c->pad, c->stride, c->in.W, c->out_W);
            const ptrdiff_t shift = (ptrdiff_t)(r - c->pad) * c->in.W + (s - c->pad);
            tap(partial + (size_t)j * row + (size_t)(r * c->S + s) * (size_t)c->in.C + channel, row,
                ex_map_in(x, shift * (ptrdiff_t)block, type), type,
                (size_t)(c->stride * c->in.W) * block, (size_t)c->stride * block, dy, plane,
                c->out_W, h, w, rows);
        }
    }
}

EX_INLINE void image_slice(const rows_pass *p, ex_map_type type, float *partial, size_t n,
                           size_t slice)
{
    const int strip = STRIP_PIXELS / p->c->out_W + 1;
    for (int top = 0; top < p->c->out_H; top += strip) {
        const span h = {top, top + strip < p->c->out_H ? top + strip : p->c->out_H};
        int j = 0;
        for (; j + BATCH <= p->rows; j += BATCH)
            taps(p, type, partial, n, slice, j, h, BATCH);
        for (; j + 4 <= p->rows; j += 4)
            taps(p, type, partial, n, slice, j, h, 4);
        for (; j + 2 <= p->rows; j += 2)
            taps(p, type, partial, n, slice, j, h, 2);
        if (j < p->rows)
            taps(p, type, partial, n, slice, j, h, 1);
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
        const size_t g = u / p->slices, slice = u % p->slices;
        float *partial = p->partial + g * (size_t)p->rows * filter_floats(p->c);
        for (size_t n = images * g / p->groups; n < images * (g + 1) / p->groups; n++) {
            if (is_wide(p->c))
                image_slice(p, type, partial, n, slice);
            else
                image_plain(p, type, partial, n);
        }
    }
}

EX_CLONES static void product_range(const rows_pass *p, size_t begin, size_t end)
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
    const rows_pass p = {.x = x,
                         .dy = dy,
                         .row = row,
                         .rows = rows,
                         .c = c,
                         .plane = scratch,
                         .sum = scratch + planes * pixels,
                         .partial = scratch + planes * (pixels + 1),
                         .groups = groups_of(c),
                         .slices = slices_of(c)};
    memset(p.partial, 0, p.groups * (size_t)rows * filter_floats(c) * sizeof *p.partial);
    EX_SHARE(planes, planes * pixels, s, plane_range(&p, begin, end));
    EX_SHARE(p.groups * p.slices, planes * pixels * filter_floats(c) / EX_WIDE, s,
             product_range(&p, begin, end));
    finish(dw, dsum, &p);
}
