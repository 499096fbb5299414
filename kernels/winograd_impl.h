/* What the kernels of winograd.h share: points, groups of tiles, their inputs' values. */
#ifndef EX_KERNELS_WINOGRAD_IMPL_H
#define EX_KERNELS_WINOGRAD_IMPL_H

#include "wide.h"
#include "winograd.h"

enum { OUT = 4, SIDE = 6, POINTS = EX_WINOGRAD_POINTS, TAPS = 3, PANEL = EX_WINOGRAD_PANEL };

/* Small loops over vectors, which are to stay in registers. */
#define EX_UNROLL _Pragma("GCC unroll 9")

/* Between the values of a point and the next one's, so that their lines fall into different sets of
 * a cache. */
enum { APART = EX_WIDE };

/* Tiles in a group: enough that filters are seldom read again, few enough for a cache; fewer where
 * threads take whole groups, so that small batches are shared evenly. */
enum { GROUP = 128, GROUP_ALONE = 64 };

/* C times K up to which threads take groups: their filters at all points, 1.2 MB, stay near a core.
 * With two threads twice as fast as sharing each step (64 to 128 channels, maps of 16 x 16); for
 * 512 to 512 channels each thread would read 38 MB of filters for a few tiles. */
enum { FILTERS_NEAR = 64 * 128 };

/* The points 0, a, -a, b, -b and infinity; sums and products of their squares. */
static const float A = 0.75f, B = 1.5f, AA = 0.5625f, BB = 2.25f, AABB = 1.265625f, AA_BB = 2.8125f;

typedef struct ex_winograd_work {
    const ex_winograd_shape *shape;
    const ex_winograd_end *end;
    void *y;
    const void *x;
    float *v, *m;                    /* before and behind the products */
    size_t in_blocks, out_blocks;    /* of channels */
    size_t columns, tiles_per_image; /* of tiles */
    size_t room, tiles, first;       /* in a group: at most, now; the first one */
    size_t v_point, m_point;         /* floats between points */
} ex_winograd_work;

EX_INLINE size_t all_tiles(const ex_winograd_shape *s)
{
    return (size_t)s->N * (size_t)(s->H / OUT) * (size_t)(s->W / OUT);
}

/* Tiles that are multiplied for so many. */
EX_INLINE size_t rows_of(size_t tiles)
{
    return (tiles + EX_WINOGRAD_ROWS - 1) / EX_WINOGRAD_ROWS * EX_WINOGRAD_ROWS;
}

EX_INLINE bool takes_groups(const ex_winograd_shape *s)
{
    return (size_t)s->C * (size_t)s->K <= FILTERS_NEAR;
}

EX_INLINE size_t room_of(const ex_winograd_shape *s)
{
    const size_t tiles = rows_of(all_tiles(s)), most = takes_groups(s) ? GROUP_ALONE : GROUP;
    return tiles < most ? tiles : most;
}

EX_INLINE size_t groups_of(const ex_winograd_shape *s)
{
    return (all_tiles(s) + room_of(s) - 1) / room_of(s);
}

/* How many work at once, each with scratch of its own, on what can be divided into so many pieces:
 * each thread, if there is a piece for each; else 1, and all threads are on the same. */
EX_INLINE size_t workers_of(const ex_winograd_shape *s, size_t pieces, int threads)
{
    const bool each = takes_groups(s) && threads > 1 && pieces >= (size_t)threads;
    return each ? (size_t)threads : 1;
}

/* Floats of a worker's scratch. */
EX_INLINE size_t slot_of(const ex_winograd_shape *s)
{
    return POINTS * ((size_t)(s->C + s->K) * room_of(s) + 2 * APART);
}

/* Multiply-adds of products of so many tiles, by sixteens. */
EX_INLINE size_t products(const ex_winograd_work *g, size_t tiles)
{
    return POINTS * tiles * g->in_blocks * g->out_blocks * EX_WIDE;
}

/* Of a group. */
EX_INLINE size_t products_of(const ex_winograd_work *g)
{
    return products(g, g->tiles);
}

EX_INLINE size_t products_of_all(const ex_winograd_work *g)
{
    return products(g, all_tiles(g->shape));
}

/* Of the panel that begins with filter (or channel) k. */
EX_INLINE size_t panel_width(size_t k, size_t K)
{
    return K - k < PANEL ? K - k : PANEL;
}

/* The tile's place in the group -> its image, and its first row and column there. */
EX_INLINE size_t tile_at(const ex_winograd_work *g, size_t tile, int *h, int *w)
{
    const size_t all = g->first + tile, in_image = all % g->tiles_per_image;
    *h = (int)(in_image / g->columns) * OUT;
    *w = (int)(in_image % g->columns) * OUT;
    return all / g->tiles_per_image;
}

/* Before any group; `scratch` is a worker's. */
ex_winograd_work ex_winograd_begin(const ex_winograd_shape *shape, const void *x, float *scratch);
/* On to a group. */
void ex_winograd_move(ex_winograd_work *g, size_t group);

/* The values of x for the tiles of a group; units are blocks of channels and tiles. */
void ex_winograd_input(const ex_winograd_work *g, size_t begin, size_t end);

#endif
