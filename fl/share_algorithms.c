/* Convolution algorithms: rank 0 times them, the others take its choices. */
#include "share_impl.h"

#include "base/digest.h"
#include "base/memory.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALGORITHMS_MAX = 1 << 24 };

static ex_status make_file(ex_share *s)
{
    if (s->file[0])
        return EX_OK;
    const char *folder = getenv("TMPDIR");
    const int length = snprintf(s->file, sizeof s->file, "%s/excise-algorithms-XXXXXX",
                                folder && *folder ? folder : "/tmp");
    const int fd = length < (int)sizeof s->file ? mkstemp(s->file) : -1;
    if (fd < 0) {
        s->file[0] = '\0';
        return EX_FAIL(EX_ERR_IO, "no temporary file for algorithms can be made in %s",
                       folder && *folder ? folder : "/tmp");
    }
    close(fd);
    return EX_OK;
}

ex_status ex_share_choose_algorithms(ex_federation *f, const ex_round *round, char **text,
                                     size_t *bytes)
{
    *text = NULL;
    *bytes = 0;
    if (f->config.conv == EX_CONV_DIRECT)
        return EX_OK;
    EX_TRY(ex_federation_lanes(f));
    for (int i = 0; i < f->config.num_clients; i++) {
        const ex_fit fit = ex_round_fit(f, round, i);
        if (fit.samples->count > 0)
            EX_TRY(ex_trainer_prepare(f->lanes[0], &fit));
    }
    EX_TRY(make_file(f->share));
    EX_TRY(ex_device_write_algorithms(f->device, f->share->file));
    EX_TRY(ex_file_read(text, bytes, f->share->file, ALGORITHMS_MAX));
    const uint64_t digest = ex_digest(EX_DIGEST_START, *text, *bytes);
    if (digest == f->share->algorithms) {
        free(*text);
        *text = NULL;
        *bytes = 0;
    }
    f->share->algorithms = digest;
    return EX_OK;
}

ex_status ex_share_receive_algorithms(ex_federation *f, size_t bytes)
{
    char *text;
    if (bytes > ALGORITHMS_MAX)
        return EX_FAIL(EX_ERR_INTERNAL,
                       "rank 0 tells of %zu bytes of algorithms; at most %d are "
                       "expected",
                       bytes, ALGORITHMS_MAX);
    EX_TRY(ex_alloc(&text, bytes, 1, "algorithms"));
    ex_status status = ex_comm_broadcast(f->comm, text, bytes, 0);
    if (status == EX_OK)
        status = make_file(f->share);
    if (status == EX_OK)
        status = ex_file_write(f->share->file, text, bytes);
    if (status == EX_OK)
        status = ex_device_read_algorithms(f->device, f->share->file);
    ex_free(&text);
    return status;
}
