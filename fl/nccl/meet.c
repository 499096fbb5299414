#include "meet.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* What rank 0 publishes; its cards (size) follow. */
typedef struct notice {
    uint64_t number; /* rank 0's */
    int32_t size, open;
    char id[EX_MEET_ID];
} notice;

typedef struct meeting {
    const char *path;
    int rank, size;
    double deadline;
    ex_meet_card *cards; /* (size) */
    notice notice;
    char *error;
} meeting;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

void ex_meet_fill(ex_meet_card *card, const char *gpu, ex_status status, const char *why)
{
    *card = (ex_meet_card){.status = (int64_t)status};
    snprintf(card->gpu, sizeof card->gpu, "%s", gpu);
    snprintf(card->why, sizeof card->why, "%s", why);
    if (gethostname(card->host, sizeof card->host - 1) != 0)
        snprintf(card->host, sizeof card->host, "a machine without a name");
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file || !fgets(card->boot, sizeof card->boot, file))
        memcpy(card->boot, card->host, sizeof card->boot);
    if (file)
        fclose(file);
}

/* --- files ---------------------------------------------------------------------------------- */

static void name_of(char name[PATH_MAX], const meeting *m, int rank)
{
    snprintf(name, PATH_MAX, "%s.%d", m->path, rank);
}

/* Written beside and renamed: a reader sees all of it or nothing. */
static ex_status publish(const meeting *m, const void *head, size_t head_bytes, const void *rest,
                         size_t rest_bytes)
{
    char name[PATH_MAX], beside[PATH_MAX + 8];
    name_of(name, m, m->rank);
    snprintf(beside, sizeof beside, "%s.tmp", name);
    FILE *file = fopen(beside, "we");
    const bool written = file && fwrite(head, 1, head_bytes, file) == head_bytes &&
                         (!rest_bytes || fwrite(rest, 1, rest_bytes, file) == rest_bytes);
    const bool closed = file && fclose(file) == 0;
    if (written && closed && rename(beside, name) == 0)
        return EX_OK;
    snprintf(m->error, EX_COMM_TEXT, "%.200s cannot be written (%s); set comm_file", name,
             strerror(errno));
    unlink(beside);
    return EX_ERR_IO;
}

/* False where it is not there or not of these sizes. */
static bool look(const meeting *m, int rank, void *head, size_t head_bytes, void *rest,
                 size_t rest_bytes)
{
    char name[PATH_MAX];
    name_of(name, m, rank);
    FILE *file = fopen(name, "re");
    if (!file)
        return false;
    const bool whole = fread(head, 1, head_bytes, file) == head_bytes &&
                       (!rest_bytes || fread(rest, 1, rest_bytes, file) == rest_bytes) &&
                       fgetc(file) == EOF;
    fclose(file);
    return whole;
}

/* A file says anything: texts end, and the status is one that there is. */
static void settle(ex_meet_card *card)
{
    card->host[sizeof card->host - 1] = '\0';
    card->boot[sizeof card->boot - 1] = '\0';
    card->gpu[sizeof card->gpu - 1] = '\0';
    card->why[sizeof card->why - 1] = '\0';
    if (card->status < 0 || card->status >= EX_STATUS_COUNT)
        card->status = EX_ERR_BACKEND;
}

static ex_status too_late(const meeting *m, int missing)
{
    snprintf(m->error, EX_COMM_TEXT,
             "rank %d did not come to %.200s.* within the timeout (comm_timeout); all ranks need "
             "the same comm_file on a disk that they share",
             missing, m->path);
    return EX_ERR_BACKEND;
}

/* --- rank 0 --------------------------------------------------------------------------------- */

static ex_status publish_notice(const meeting *m)
{
    return publish(m, &m->notice, sizeof m->notice, m->cards, (size_t)m->size * sizeof *m->cards);
}

/* Takes the others' cards; *missing: the first rank that has not accepted, or size. */
static bool take_cards(meeting *m, int *missing)
{
    bool changed = false;
    *missing = m->size;
    for (int r = m->size - 1; r > 0; r--) {
        ex_meet_card card;
        if (look(m, r, &card, sizeof card, NULL, 0)) {
            settle(&card);
            changed = changed || card.number != m->cards[r].number;
            m->cards[r] = card;
        }
        if (!m->cards[r].number || m->cards[r].accepted != m->notice.number)
            *missing = r;
    }
    return changed;
}

static bool all_gone(const meeting *m)
{
    char name[PATH_MAX];
    bool gone = true;
    for (int r = 1; r < m->size; r++) {
        name_of(name, m, r);
        gone = gone && access(name, F_OK) != 0;
    }
    return gone;
}

static ex_status lead(meeting *m, const void *id)
{
    char name[PATH_MAX];
    int missing;
    m->notice = (notice){.number = m->cards[0].number, .size = m->size};
    memcpy(m->notice.id, id, EX_MEET_ID);
    ex_status status = publish_notice(m);
    while (status == EX_OK) {
        const bool changed = take_cards(m, &missing);
        if (missing == m->size)
            break;
        if (changed)
            status = publish_notice(m);
        else if (ex_now() > m->deadline)
            status = too_late(m, missing);
        else
            nap();
    }
    m->notice.open = 1;
    if (status == EX_OK)
        status = publish_notice(m);
    while (status == EX_OK && !all_gone(m) && ex_now() < m->deadline)
        nap();
    name_of(name, m, 0);
    unlink(name);
    return status;
}

/* --- the others ----------------------------------------------------------------------------- */

static ex_status follow(meeting *m, ex_meet_card *mine, void *id)
{
    char name[PATH_MAX];
    ex_status status = publish(m, mine, sizeof *mine, NULL, 0);
    for (bool open = false; status == EX_OK && !open;) {
        const bool read =
            look(m, 0, &m->notice, sizeof m->notice, m->cards, (size_t)m->size * sizeof *m->cards);
        for (int r = 0; r < m->size; r++)
            settle(&m->cards[r]);
        const bool known =
            read && m->notice.size == m->size && m->cards[m->rank].number == mine->number;
        if (known && mine->accepted != m->notice.number) {
            mine->accepted = m->notice.number;
            status = publish(m, mine, sizeof *mine, NULL, 0);
        }
        open = known && m->notice.open;
        if (!open && ex_now() > m->deadline)
            status = too_late(m, 0);
        else if (!open)
            nap();
    }
    memcpy(id, m->notice.id, EX_MEET_ID);
    name_of(name, m, m->rank);
    unlink(name);
    return status;
}

ex_status ex_meet(const char *path, int rank, int size, double timeout, ex_meet_card *cards,
                  void *id, char *error)
{
    meeting m = {.path = path,
                 .rank = rank,
                 .size = size,
                 .deadline = ex_now() + timeout,
                 .cards = cards,
                 .error = error};
    if (strlen(path) > PATH_MAX - 32) {
        snprintf(error, EX_COMM_TEXT, "comm_file is too long");
        return EX_ERR_CONFIG;
    }
    ex_meet_card mine = cards[rank];
    while (mine.number == 0)
        if (getrandom(&mine.number, sizeof mine.number, 0) != (ssize_t)sizeof mine.number)
            mine.number = (uint64_t)getpid() << 32 ^ (uint64_t)(ex_now() * 1e9);
    cards[rank] = mine;
    return rank == 0 ? lead(&m, id) : follow(&m, &mine, id);
}
