/* Inside of libexcise: what a session holds. */
#ifndef EXCISE_SESSION_IMPL_H
#define EXCISE_SESSION_IMPL_H

#include "excise.h"

#include "effects.h"
#include "subject.h"

struct excise_session {
    ex_subject subject;
    ex_federation *f;
    ex_effects *effects; /* measured last, on the values that f holds now; or NULL */
};

#endif
