/* Inside of run*.c: the folder, and checkpoints as files. */
#ifndef EX_RUN_IMPL_H
#define EX_RUN_IMPL_H

#include "run.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>

struct ex_run {
    char path[PATH_MAX];
    bool made;     /* ex_run_open made the folder */
    int lock;      /* the folder, opened and locked; the lock ends with the process */
    FILE *metrics; /* opened by the first line */
};

/* For "RUN/name" and "RUN/checkpoint/name". */
enum { EX_RUN_PATH_MAX = PATH_MAX + NAME_MAX + 16 };

/* Calls `visit` with every name in the folder but "." and "..". 0, or the errno of a folder that
 * cannot be read; of its names some may have been visited. */
int ex_run_list(const char *folder, void (*visit)(void *context, const char *name), void *context);

/* --- checkpoint/round-N.bin --------------------------------------------------------------------
 *
 * Values and state are one file, so that they cannot come from different rounds. Little endian:
 * this header; json_bytes of JSON {"metrics_bytes", "state"}; float32 params; stats; velocity.
 * Sizes and checksum are checked before anything else in it is believed. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "checkpoints are written as they lie in memory: little endian"
#endif

#define EX_CHECKPOINT_MAGIC "EXCKPT\0\2" /* the last byte is the version */

typedef struct ex_checkpoint_header {
    char magic[8];
    uint64_t param_count, stat_count;
    uint64_t velocity_count; /* 0 or that of params */
    uint64_t json_bytes;
    uint32_t crc, zero; /* crc32 of the file with this field zero */
} ex_checkpoint_header;

enum { EX_RUN_KEPT = 2, EX_RUN_LISTED = 64 };

/* RUN/checkpoint, and RUN/checkpoint/round-N.bin, of the run's folder. */
void ex_run_checkpoint_folder(char path[EX_RUN_PATH_MAX], const char *run);
void ex_run_checkpoint_file(char path[EX_RUN_PATH_MAX], const char *run, long round);
/* Complete rounds of the newest checkpoints in the folder, newest first: *count of them, at most
 * `room`. EX_ERR_IO or another if that cannot be told; no folder is none. */
ex_status ex_run_checkpoints(const char *path, long *rounds, int room, int *count);
/* Whether there is a folder of checkpoints with nothing in it but what
 * ex_run_prune_checkpoints(path, 0) would still have removed, had it not been killed. */
bool ex_run_checkpoints_are_gone(const char *path);
/* That each is a file, and could be removed as far as its folder's permissions tell: else
 * EX_ERR_INPUT. */
ex_status ex_run_check_checkpoints(const char *path);
/* Removes all but the `keep` newest, and whatever an interrupted write left. What cannot be removed
 * now stays for the next time; one that was not to be kept: EX_ERR_IO. */
ex_status ex_run_prune_checkpoints(const char *path, int keep);
/* Puts a damaged checkpoint out of the way, so that none is taken later whose metrics are cut. */
void ex_run_set_aside(const char *path, long round);
/* The length of metrics.jsonl; 0 where there is none. */
size_t ex_run_metrics_bytes(const ex_run *run);

#endif
