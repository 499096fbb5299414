#include "dry_run.h"

#include "output.h"
#include "session.h"

#include "base/bytes.h"

#include <stdio.h>

static ex_status print_rehearsal(const ex_federation *f, const ex_rehearsal *r, bool as_json)
{
    const ex_config *c = &f->config;
    const size_t up = r->turns * r->client_bytes_up, down = r->turns * r->client_bytes_down;
    char memory[EX_BYTES_ROOM], sent_up[EX_BYTES_ROOM], sent_down[EX_BYTES_ROOM];
    if (as_json) {
        json_t *json = json_pack("{s:i, s:i, s:I, s:I, s:I}", "rounds", c->rounds, "lanes",
                                 f->lane_count, "peak_memory_bytes", (json_int_t)r->peak_memory,
                                 "bytes_up", (json_int_t)up, "bytes_down", (json_int_t)down);
        const ex_status status = cli_print_json(json);
        json_decref(json);
        return status;
    }
    printf("rounds         %d, of %d clients on %d lane%s\n"
           "peak memory    %s\n"
           "to be sent     %s up, %s down\n",
           c->rounds, r->largest_cohort, f->lane_count, f->lane_count == 1 ? "" : "s",
           ex_bytes_text(memory, (double)r->peak_memory), ex_bytes_text(sent_up, (double)up),
           ex_bytes_text(sent_down, (double)down));
    return EX_OK;
}

ex_status cli_dry_run(const ex_config *config, const cli_args *args)
{
    ex_federation *f = NULL;
    ex_rehearsal r;
    ex_status status;
    EX_TRY(ex_subject_federation(&f, config, NULL));
    EX_TRY_GOTO(ex_subject_algorithms(f, args->algorithms, ""), done);
    EX_TRY_GOTO(ex_federation_rehearse(f, &r), done);
    status = print_rehearsal(f, &r, args->json);
done:
    ex_federation_close(&f);
    return status;
}
