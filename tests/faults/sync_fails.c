/* Preloaded into a program, makes the disk fail where the n-th folder is synced:
 * EXCISE_SYNC_FAILS=n. Files are synced as ever. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int folders;

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    const char *at = getenv("EXCISE_SYNC_FAILS");
    struct stat info;
    if (at && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) &&
        atomic_fetch_add(&folders, 1) + 1 == atoi(at)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
