/* The activation layout of kernels.h, element by element. */
#include "reference.h"

size_t ex_ref_offset(int n, int c, int y, int x, int C, int H, int W, int block)
{
    const size_t HW = (size_t)H * (size_t)W, b = (size_t)block;
    return (size_t)n * (size_t)C * HW + (size_t)(c / block) * HW * b +
           ((size_t)y * (size_t)W + (size_t)x) * b + (size_t)(c % block);
}
