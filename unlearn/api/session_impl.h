/* Inside of libexcise: what a session holds. */
#ifndef EXCISE_SESSION_IMPL_H
#define EXCISE_SESSION_IMPL_H

#include "excise.h"

#include "effects.h"
#include "subject.h"

#include <locale.h>

struct excise_session {
    ex_subject subject;
    ex_federation *f;
    ex_effects *effects; /* measured last, on the values that f holds now; or NULL */
};

/* What a call changes in the thread that it is made from, and puts back. */
typedef struct ex_caller {
    locale_t locale;
    int threads; /* of OpenMP */
} ex_caller;

/* Every call that computes, reads or writes is between the two. Within it numbers are read and
 * written with a point, whatever the host's locale has: they are those of files. */
ex_caller ex_caller_enter(void);
/* Gives `status` as the header calls it. */
excise_status ex_caller_leave(const ex_caller *c, ex_status status);

#endif
