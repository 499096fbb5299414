/* How PyTorch models call the tensors that excise has under the paper's names. A naming is a row in
 * the table of naming.c: rules from our names of layers and norms to theirs. */
#ifndef EX_NAMING_H
#define EX_NAMING_H

#include <stdbool.h>
#include <stddef.h>

enum { EX_FILE_NAME_MAX = 192, EX_NAMING_PREFIX_MAX = 64, EX_NAMING_LISTS = 3 };

typedef struct ex_naming_rule {
    const char *ours, *theirs; /* '#': a number, the same in both, in this order */
} ex_naming_rule;

typedef struct ex_naming {
    const char *name;  /* "torchvision"; NULL ends the table */
    const char *about; /* what it looks like, and where it is found */
    /* Lists that each end with a NULL rule; the first rule that fits counts. None: names stay. */
    const ex_naming_rule *rules[EX_NAMING_LISTS];
} ex_naming;

/* Under which names a file holds a model's tensors. */
typedef struct ex_file_names {
    const ex_naming *naming;           /* NULL: ours */
    char prefix[EX_NAMING_PREFIX_MAX]; /* before each name: "module." */
} ex_file_names;

/* All namings; the first is our own. */
const ex_naming *ex_namings(void);
/* NULL if there is none of that name. */
const ex_naming *ex_naming_find(const char *name);
/* out (EX_FILE_NAME_MAX) = what the file calls our tensor `ours` ("conv_bn.conv.weight"). False if
 * the naming has no name for it. names NULL: our names. */
bool ex_file_name(char *out, const ex_file_names *names, const char *ours);

#endif
