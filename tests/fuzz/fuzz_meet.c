/* The files by which NCCL's ranks meet, on a disk that others may write to. Input: a byte (0: this
 * is rank 0, and the files of ranks 1 and 2 follow, of equal shares; else rank 1 or 2, and rank 0's
 * follows). Nobody else comes, so that what is not there in the files is too late at once. */
#include "fuzz.h"

#include "meet.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 3 };

/* Ranks draw their numbers; here the files' writer knows this rank's. */
static const uint64_t NUMBER = 0x1111111111111111;

static void check_card(const ex_meet_card *card)
{
    FUZZ_CHECK(memchr(card->host, 0, sizeof card->host), "the host's name has no end");
    FUZZ_CHECK(memchr(card->boot, 0, sizeof card->boot), "the machine's id has no end");
    FUZZ_CHECK(memchr(card->gpu, 0, sizeof card->gpu), "the GPU's id has no end");
    FUZZ_CHECK(memchr(card->why, 0, sizeof card->why), "the reason has no end");
    FUZZ_CHECK(card->status >= 0 && card->status < EX_STATUS_COUNT, "status %lld",
               (long long)card->status);
}

static void write_files(int rank, const uint8_t *data, size_t size)
{
    if (rank == 0) {
        fuzz_write("meet.1", data, size / 2);
        fuzz_write("meet.2", data + size / 2, size / 2);
    } else {
        fuzz_write("meet.0", data, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const int rank = data[0] % SIZE;
    ex_meet_card cards[SIZE] = {0};
    char id[EX_MEET_ID] = "id", error[EX_COMM_TEXT] = "";
    write_files(rank, data + 1, size - 1);
    ex_meet_fill(&cards[rank], "gpu", EX_OK, "");
    cards[rank].number = NUMBER;
    const ex_status status = ex_meet(fuzz_path("meet"), rank, SIZE, -1.0, cards, id, error);
    FUZZ_CHECK(status == EX_OK || status == EX_ERR_BACKEND, "%s", ex_status_name(status));
    FUZZ_CHECK((status == EX_OK) == (*error == '\0'), "%s", error);
    for (int r = 0; status == EX_OK && r < SIZE; r++)
        check_card(&cards[r]);
    for (int r = 0; r < SIZE; r++) {
        char name[16];
        snprintf(name, sizeof name, "meet.%d", r);
        FUZZ_CHECK(unlink(fuzz_path(name)) != 0 || r != rank, "this rank's file stays");
    }
    return 0;
}
