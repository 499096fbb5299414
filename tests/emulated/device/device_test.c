#include "device_test.h"

#include "table_cuda.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void device_test_error(cudaError_t actual, cudaError_t expected, const char *call, const char *file,
                       int line)
{
    if (actual == expected)
        return;
    print_error("%s gave %s, not %s\n", call, cudaGetErrorName(actual), cudaGetErrorName(expected));
    _fail(file, line);
}

int device_test_fresh(void **state)
{
    (void)state;
    ex_emulated_reset(0);
    return 0;
}

float *device_test_floats(size_t n)
{
    void *p = NULL;
    assert_done(cudaMalloc(&p, n * sizeof(float)));
    return p;
}

/* What the child writes, up to its end. */
static void read_all(int from, char *text, size_t size)
{
    size_t length = 0;
    ssize_t got = 0;
    while (length + 1 < size && (got = read(from, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
}

void device_test_dies(void (*body)(void), const char *text)
{
    int ends[2] = {-1, -1}, status = 0;
    char said[8192];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    read_all(ends[0], said, sizeof said);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || !strstr(said, text))
        fail_msg("signal %d, \"%s\"; expected a death that says \"%s\"",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0, said, text);
}

void device_test_add(float *out, const float *a, const float *b, size_t n, cudaStream_t stream)
{
    const ex_stream s = {.threads = 1, .queue = stream};
    ex_kernels_cuda.add_relu_fwd(out, a, b, n, EX_MAP_F32, s);
}
