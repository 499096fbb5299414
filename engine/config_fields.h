/* The field table behind config.h: what each key is called, where it lies, what it accepts. Only
 * the config*.c files and their tests include this. */
#ifndef EX_CONFIG_FIELDS_H
#define EX_CONFIG_FIELDS_H

#include "config.h"

typedef enum ex_field_type {
    EX_FIELD_TEXT,   /* char[EX_TEXT_MAX] */
    EX_FIELD_INT,    /* int */
    EX_FIELD_SIZE,   /* size_t */
    EX_FIELD_SEED,   /* uint64_t below 2^63, so that it fits a JSON integer */
    EX_FIELD_REAL,   /* double */
    EX_FIELD_BOOL,   /* bool */
    EX_FIELD_CHOICE, /* int, index into `choices` */
    EX_FIELD_BYTES,  /* size_t, written 512M or 4G */
    EX_FIELD_REALS,  /* ex_reals, written [0.5, 0.25]; the range is that of each */
} ex_field_type;

typedef struct ex_field {
    const char *key; /* "partition.kind" */
    ex_field_type type;
    size_t offset, size;               /* of the member in ex_config */
    double min, max;                   /* numbers: accepted range, ends included ... */
    bool above_min, below_max;         /* ... unless these are set */
    const char *const *choices;        /* EX_FIELD_CHOICE: NULL-terminated */
    const char *const *(*names)(void); /* EX_FIELD_TEXT: what it may be, NULL-terminated, or NULL */
    const char *default_text;          /* parsed like any other value */
    const char *help;
    const char *hint; /* what a refusal adds: another way to what was meant; NULL: nothing */
    bool resumable;   /* may differ when a run is resumed: it does not change what is trained */
} ex_field;

const ex_field *ex_fields(void); /* ends with a field whose key is NULL */
/* NULL if there is no such key. */
const ex_field *ex_field_find(const char *key);
/* Whether `name` opens a section: some key starts with "name.". */
bool ex_field_is_section(const char *name);
/* EX_ERR_CONFIG, with the key that may have been meant. */
ex_status ex_field_unknown(const char *key, const char *origin);

/* Sets the field from text. `origin` ("exp.yaml:7", "-s") opens the message of EX_ERR_CONFIG. */
ex_status ex_field_parse(ex_config *c, const ex_field *field, const char *text, const char *origin);
/* The value as the text that ex_field_parse turns back into the same value. */
void ex_field_format(const ex_config *c, const ex_field *field, char *out, size_t room);
/* "one of iid, shard, ...", "an integer from 1 to 4095": what a value may be. */
void ex_field_accepts(const ex_field *field, char *out, size_t room);

#endif
