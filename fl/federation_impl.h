/* Inside of federation*.c: the parts of opening. */
#ifndef EX_FEDERATION_IMPL_H
#define EX_FEDERATION_IMPL_H

#include "federation.h"

/* All but the communicator; *out stays as it was on an error. */
ex_status ex_federation_open_alone(ex_federation **out, const ex_config *config);
/* The server's samples, then the clients': f->data is there. */
ex_status ex_federation_split(ex_federation *f);

#endif
