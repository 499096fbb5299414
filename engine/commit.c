#include "version.h"

const char *ex_version_commit(void)
{
    return EXCISE_COMMIT;
}
