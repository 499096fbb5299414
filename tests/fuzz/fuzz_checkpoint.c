/* checkpoint/round-3.bin of a run folder, for a model of 5 parameters and 3 statistics, as it is
 * and with its checksum put right, which a fuzzer cannot. What is restored comes back from being
 * saved and restored again; a refusal leaves the values alone. */
#include "fuzz.h"

#include "io/file.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { PARAMS = 5, STATS = 3, HEADER = 48, CRC_AT = 40, ROUND = 3, METRICS = 64 };

typedef struct values {
    float params[PARAMS], stats[STATS], velocity[PARAMS];
} values;

static const values untouched = {{1, 2, 3, 4, 5}, {6, 7, 8}, {9, 10, 11, 12, 13}};

static ex_run_values arrays_of(values *v)
{
    return (ex_run_values){.params = v->params,
                           .stats = v->stats,
                           .velocity = v->velocity,
                           .param_count = PARAMS,
                           .stat_count = STATS};
}

static ex_run *open_run(void)
{
    static ex_run *run; /* of the process */
    static const uint8_t nothing[METRICS];
    if (!run) {
        FUZZ_OK(ex_run_open(&run, fuzz_path("run"), EX_RUN_OVERWRITE));
        FUZZ_OK(ex_make_folders(fuzz_path("run/checkpoint")));
    }
    fuzz_write("run/metrics.jsonl", nothing, METRICS);
    return run;
}

static ex_status restore(ex_run *run, values *v, json_t **state)
{
    const ex_run_values arrays = arrays_of(v);
    return ex_run_restore(run, &arrays, state);
}

static void check_round_trip(ex_run *run, values *v, json_t *state)
{
    values again = untouched;
    const ex_run_values arrays = arrays_of(v);
    json_t *state2;
    FUZZ_OK(ex_run_checkpoint(run, &arrays, state));
    FUZZ_OK(restore(run, &again, &state2));
    FUZZ_CHECK(memcmp(v, &again, sizeof again) == 0, "values");
    FUZZ_CHECK(json_equal(state, state2), "state");
    json_decref(state2);
}

/* What is told without the values is the same. */
static void check_peek(const json_t *state)
{
    json_t *seen;
    const ex_status status = ex_run_peek(fuzz_path("run"), &seen);
    FUZZ_CHECK(status == EX_OK || !state, "%s", ex_error_message());
    FUZZ_CHECK(!state || json_equal(state, seen), "state");
    json_decref(seen);
}

static void restore_bytes(const uint8_t *bytes, size_t size)
{
    ex_run *run = open_run();
    values v = untouched;
    json_t *state;
    fuzz_write("run/checkpoint/round-3.bin", bytes, size);
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size);
    const ex_status status = restore(run, &v, &state);
    fuzz_memory_end();
    /* EX_ERR_CONFIG: it is of another model. */
    fuzz_check_status(status, status == EX_ERR_CONFIG ? EX_ERR_CONFIG : EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (state != NULL), "%p", (void *)state);
    check_peek(state);
    if (status == EX_OK) {
        FUZZ_CHECK(json_integer_value(json_object_get(state, "round")) == ROUND, "another round");
        check_round_trip(run, &v, state);
    } else {
        FUZZ_CHECK(memcmp(&v, &untouched, sizeof v) == 0, "the values changed");
    }
    json_decref(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_silence_log();
    restore_bytes(data, size);
    if (size < HEADER)
        return 0;
    uint32_t stored;
    memcpy(&stored, data + CRC_AT, sizeof stored);
    uint8_t *copy = malloc(size);
    FUZZ_CHECK(copy, "memory");
    memcpy(copy, data, size);
    memset(copy + CRC_AT, 0, sizeof(uint32_t));
    const uint32_t crc = (uint32_t)crc32_z(0, copy, size);
    memcpy(copy + CRC_AT, &crc, sizeof crc);
    if (crc != stored)
        restore_bytes(copy, size);
    free(copy);
    return 0;
}
