/* main() of a fuzz target without libFuzzer: runs it once on each file given, and on each file of
 * each folder given. Fails if there is none, or if one takes too long or ends the process: its name
 * is the last one printed. */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECONDS_MAX = 20, FILE_MAX = 1 << 24 };

static int replay_file(const char *path)
{
    printf("%s\n", path);
    fflush(stdout);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MAX);
    FUZZ_CHECK(file && data, "%s cannot be read", path);
    const size_t size = fread(data, 1, FILE_MAX, file);
    fclose(file);
    /* Of its exact size, so that reading past the end is seen. */
    uint8_t *input = malloc(size ? size : 1);
    FUZZ_CHECK(input, "%s", path);
    memcpy(input, data, size);
    free(data);
    alarm(SECONDS_MAX);
    LLVMFuzzerTestOneInput(input, size);
    alarm(0);
    free(input);
    return 1;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay(const char *path)
{
    struct stat info;
    FUZZ_CHECK(stat(path, &info) == 0, "%s is not there", path);
    if (!S_ISDIR(info.st_mode))
        return replay_file(path);
    struct dirent **entries;
    int replayed = 0;
    const int count = scandir(path, &entries, is_visible, alphasort);
    FUZZ_CHECK(count >= 0, "%s cannot be listed", path);
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        free(entries[i]);
        replayed += replay_file(file);
    }
    free(entries);
    return replayed;
}

int main(int argc, char **argv)
{
    int replayed = 0;
    for (int i = 1; i < argc; i++)
        replayed += replay(argv[i]);
    printf("%d inputs\n", replayed);
    return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
