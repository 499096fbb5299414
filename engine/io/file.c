#include "io/file.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_ROOM = 1 << 16 };

struct ex_file {
    FILE *stream;
    char path[PATH_MAX];
    char temporary[PATH_MAX]; /* "" if the place is written directly */
};

ex_status ex_file_write_error(const char *path)
{
    const char *remedy = errno == ENOSPC || errno == EDQUOT ? "; free some space there"
                         : errno == EFBIG                   ? "; raise `ulimit -f`"
                                                            : "";
    return EX_FAIL(EX_ERR_IO, "%s cannot be written: %s%s", path, strerror(errno), remedy);
}

ex_status ex_file_read_code(void)
{
    if (errno == ENOMEM)
        return EX_ERR_MEMORY;
    return errno == EMFILE || errno == ENFILE ? EX_ERR_IO : EX_ERR_INPUT;
}

ex_status ex_file_read_error(const char *path)
{
    const ex_status code = ex_file_read_code();
    if (code == EX_ERR_MEMORY)
        return EX_FAIL(code, "%s: no memory to read it", path);
    return EX_FAIL(code, "%s cannot be read: %s", path, strerror(errno));
}

/* Where the bytes go: fills path, temporary and the mode that the file will have. */
static ex_status resolve(ex_file *file, const char *path, mode_t *mode)
{
    struct stat info;
    *mode = 0;
    int written;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return EX_FAIL(EX_ERR_IO, "%s is a folder; a file is to be written there", path);
        if (!S_ISREG(info.st_mode)) {
            snprintf(file->path, sizeof file->path, "%s", path);
            return EX_OK;
        }
        *mode = info.st_mode & 07777;
        if (!realpath(path, file->path))
            return ex_file_write_error(path);
    } else {
        written = snprintf(file->path, sizeof file->path, "%s", path);
        if (written < 0 || (size_t)written >= sizeof file->path)
            return EX_FAIL(EX_ERR_IO, "the path %.64s... is too long", path);
    }
    written =
        snprintf(file->temporary, sizeof file->temporary, "%s.%ld.tmp", file->path, (long)getpid());
    if (written < 0 || (size_t)written >= sizeof file->temporary)
        return EX_FAIL(EX_ERR_IO, "the path %.64s... is too long", path);
    return EX_OK;
}

ex_status ex_file_create(ex_file **out, const char *path)
{
    *out = NULL;
    ex_status status;
    mode_t mode;
    ex_file *file;
    EX_TRY(ex_alloc(&file, 1, sizeof *file, "file"));
    EX_TRY_GOTO(resolve(file, path, &mode), fail);
    const char *target = file->temporary[0] ? file->temporary : file->path;
    const int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || (mode && fchmod(fd, mode) != 0) || !(file->stream = fdopen(fd, "wb"))) {
        status = ex_file_write_error(path);
        if (fd >= 0)
            close(fd);
        goto fail;
    }
    *out = file;
    return EX_OK;
fail:
    ex_free(&file);
    return status;
}

ex_status ex_file_append(ex_file *file, const void *data, size_t bytes)
{
    if (bytes && fwrite(data, 1, bytes, file->stream) != bytes)
        return ex_file_write_error(file->path);
    return EX_OK;
}

/* 0, or the errno of a disk that failed. Not every folder can be opened, nor every file system do
 * this: those errors are none. */
static int sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int error = fd >= 0 && fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error == EIO || error == ENOSPC || error == EDQUOT ? error : 0;
}

/* The same for the folder that holds `path`. */
static int sync_parent(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    return sync_folder(slash ? folder : ".");
}

ex_status ex_folder_sync(const char *path)
{
    errno = sync_folder(path);
    return errno ? ex_file_write_error(path) : EX_OK;
}

ex_status ex_file_commit(ex_file **file)
{
    ex_file *f = *file;
    int failed = fflush(f->stream) != 0;
    if (f->temporary[0])
        failed = failed || fsync(fileno(f->stream)) != 0;
    const ex_status status = failed ? ex_file_write_error(f->path) : EX_OK;
    if (failed) {
        ex_file_discard(file);
        return status;
    }
    failed = fclose(f->stream) != 0;
    f->stream = NULL;
    if (!failed && f->temporary[0]) {
        failed = rename(f->temporary, f->path) != 0;
        if (!failed) {
            f->temporary[0] = '\0';
            errno = sync_parent(f->path);
            failed = errno != 0;
        }
    }
    const ex_status moved = failed ? ex_file_write_error(f->path) : EX_OK;
    ex_file_discard(file);
    return moved;
}

void ex_file_discard(ex_file **file)
{
    if (*file) {
        if ((*file)->stream)
            fclose((*file)->stream);
        if ((*file)->temporary[0])
            unlink((*file)->temporary);
    }
    ex_free(file);
}

ex_status ex_file_write(const char *path, const void *data, size_t bytes)
{
    ex_status status;
    ex_file *file;
    EX_TRY(ex_file_create(&file, path));
    EX_TRY_GOTO(ex_file_append(file, data, bytes), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    return status;
}

/* At its end a stream to memory may have no text and not say so. */
ex_status ex_file_print(const char *path, void (*print)(FILE *out, const void *what),
                        const void *what)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out)
        print(out, what);
    const bool whole = out && !ferror(out);
    const bool closed = out && fclose(out) == 0;
    const ex_status status = whole && closed && text
                                 ? ex_file_write(path, text, bytes)
                                 : EX_FAIL(EX_ERR_MEMORY, "%s: no memory for its text", path);
    free(text);
    return status;
}

/* NULL with errno. Opening a pipe waits for a writer, for ever where there is none: not so here,
 * where it then reads as empty. */
static FILE *open_to_read(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *stream = fd >= 0 && fcntl(fd, F_SETFL, 0) == 0 ? fdopen(fd, "rb") : NULL;
    if (!stream && fd >= 0)
        close(fd);
    return stream;
}

/* For all of a file that tells its size, or its first `most` bytes; with one more, by which the end
 * is noticed, and the zero byte. */
static size_t room_for(FILE *stream, size_t most)
{
    struct stat info;
    const bool told = fstat(fileno(stream), &info) == 0 && S_ISREG(info.st_mode);
    const size_t size = told ? (size_t)info.st_size : 0, wanted = size < most ? size : most;
    return wanted + 2 > READ_ROOM ? wanted + 2 : READ_ROOM;
}

ex_status ex_file_read(char **out, size_t *bytes, const char *path, size_t most)
{
    *out = NULL;
    ex_status status = EX_OK;
    FILE *stream = open_to_read(path);
    if (!stream)
        return ex_file_read_error(path);
    size_t used = 0, room = room_for(stream, most);
    char *data = NULL;
    EX_TRY_GOTO(ex_alloc(&data, room, 1, path), fail);
    for (;;) {
        used += fread(data + used, 1, room - 1 - used, stream);
        if (used < room - 1 || used > most)
            break;
        char *bigger;
        EX_TRY_GOTO(ex_alloc(&bigger, 2 * room, 1, path), fail);
        memcpy(bigger, data, used);
        ex_free(&data);
        data = bigger;
        room *= 2;
    }
    if (ferror(stream))
        status = ex_file_read_error(path);
    else if (used > most)
        status = EX_FAIL(EX_ERR_INPUT, "%s has more than the %zu bytes expected", path, most);
    if (status != EX_OK)
        goto fail;
    data[used] = '\0';
    fclose(stream);
    *out = data;
    *bytes = used;
    return EX_OK;
fail:
    fclose(stream);
    ex_free(&data);
    return status;
}

ex_status ex_path_join(char *path, const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", folder);
    return EX_OK;
}

static ex_status make_folder(const char *path)
{
    const bool made = mkdir(path, 0777) == 0;
    int error = made || errno == EEXIST ? 0 : errno;
    if (made && (error = sync_parent(path)) != 0)
        rmdir(path);
    return error ? EX_FAIL(EX_ERR_IO, "folder %s cannot be made: %s", path, strerror(error))
                 : EX_OK;
}

ex_status ex_make_folders(const char *path)
{
    char part[PATH_MAX];
    const int written = snprintf(part, sizeof part, "%s", path);
    if (written < 0 || (size_t)written >= sizeof part)
        return EX_FAIL(EX_ERR_IO, "the path %.64s... is too long", path);
    for (char *p = part; *p; p++) {
        if (p == part || *p != '/')
            continue;
        *p = '\0';
        EX_TRY(make_folder(part));
        *p = '/';
    }
    struct stat info;
    EX_TRY(make_folder(part));
    if (stat(part, &info) != 0 || !S_ISDIR(info.st_mode))
        return EX_FAIL(EX_ERR_IO, "%s is there and is no folder", part);
    return EX_OK;
}
