/* The cost ledger that a checkpoint carries, as JSON. What is restored comes back from being
 * written and restored again. */
#include "fuzz.h"

#include "ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (!json)
        return 0;
    ex_ledger *ledger, *again;
    FUZZ_OK(ex_ledger_create(&ledger));
    FUZZ_OK(ex_ledger_create(&again));
    fuzz_memory_begin(((size_t)1 << 16) + 64 * size);
    const ex_status status = ex_ledger_restore(ledger, json);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    json_t *written = ex_ledger_json(ledger);
    FUZZ_CHECK(written, "the ledger cannot be written");
    FUZZ_OK(ex_ledger_restore(again, written));
    json_t *rewritten = ex_ledger_json(again);
    FUZZ_CHECK(json_equal(written, rewritten), "the ledger differs");
    json_decref(json);
    json_decref(written);
    json_decref(rewritten);
    ex_ledger_destroy(&ledger);
    ex_ledger_destroy(&again);
    return 0;
}
