#include "held_memory.h"

#include "lane_core.h"
#include "test.h"

#include <pthread.h>
#include <string.h>

enum { BLOCKS_MAX = 512 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const ex_lane_memory *real;
static struct {
    void *at;
    size_t bytes;
} blocks[BLOCKS_MAX];
static int block_count;
static size_t held, most;

static ex_status alloc_counted(void *out, ex_lane_core *lane, size_t bytes, const char *what)
{
    void *at;
    EX_TRY(real->alloc(out, lane, bytes, what));
    memcpy(&at, out, sizeof at);
    pthread_mutex_lock(&lock);
    assert_true(block_count < BLOCKS_MAX);
    blocks[block_count].at = at;
    blocks[block_count++].bytes = bytes;
    held += bytes;
    most = held > most ? held : most;
    pthread_mutex_unlock(&lock);
    return EX_OK;
}

/* A lane's values were there before it was watched. */
static void free_counted(void *pointer)
{
    void *at;
    memcpy(&at, pointer, sizeof at);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < block_count; i++)
        if (blocks[i].at == at) {
            held -= blocks[i].bytes;
            blocks[i] = blocks[--block_count];
            break;
        }
    pthread_mutex_unlock(&lock);
    real->free(pointer);
}

static ex_status zero(ex_lane_core *lane, void *at, size_t bytes)
{
    return real->zero(lane, at, bytes);
}

static ex_status wait(ex_lane_core *lane)
{
    return real->wait(lane);
}

static const ex_lane_memory counted = {
    .alloc = alloc_counted, .free = free_counted, .zero = zero, .wait = wait};

void ex_test_held_watch(ex_lane *lane)
{
    ex_lane_core *core = (ex_lane_core *)lane;
    if (core->memory == &counted)
        return;
    real = core->memory;
    core->memory = &counted;
}

size_t ex_test_held(void)
{
    return held;
}

size_t ex_test_held_most(void)
{
    return most;
}

void ex_test_held_again(void)
{
    most = held;
}
