/* Preloaded into a program, makes the disk fail where the n-th folder or the n-th file is synced:
 * EXCISE_FOLDER_SYNC_FAILS=n, EXCISE_FILE_SYNC_FAILS=n. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int folders, files;

/* Counts on, up to the number that the environment names. */
static int reaches(atomic_int *count, const char *name)
{
    const char *at = getenv(name);
    return atomic_fetch_add(count, 1) + 1 == (at ? atoi(at) : 0);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    struct stat info;
    if (fstat(fd, &info) == 0 &&
        ((S_ISDIR(info.st_mode) && reaches(&folders, "EXCISE_FOLDER_SYNC_FAILS")) ||
         (S_ISREG(info.st_mode) && reaches(&files, "EXCISE_FILE_SYNC_FAILS")))) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
