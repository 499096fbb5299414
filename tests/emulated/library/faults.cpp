#include "faults.h"
#include "library.h"

#include <atomic>

namespace
{
std::atomic<long> fail_after;
std::atomic<const char *> failed;
std::atomic<ex_status> failure;
} // namespace

ex_status ex_library_called(const char *name)
{
    if (fail_after == 0 || --fail_after != 0)
        return EX_OK;
    failed = name;
    return EX_FAIL(failure, "%s was made to fail", name);
}

void ex_emulated_library_fail(long n, ex_status status)
{
    fail_after = n;
    failed = nullptr;
    failure = status;
}

const char *ex_emulated_library_failed(void)
{
    return failed;
}
