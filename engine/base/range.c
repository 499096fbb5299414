#include "base/range.h"

#ifdef EXCISE_HAVE_NVTX

#include <nvtx3/nvToolsExt.h>
#include <stdarg.h>
#include <stdio.h>

void ex_range_begin(const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    nvtxRangePushA(name);
}

void ex_range_end(void)
{
    nvtxRangePop();
}

#else

void ex_range_begin(const char *format, ...)
{
    (void)format;
}

void ex_range_end(void)
{
}

#endif
