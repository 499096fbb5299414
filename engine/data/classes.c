#include "data/classes.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "io/file.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, NAME_BYTES_MAX = 128, NAMED = 3 /* nearest, in a message */ };

void ex_class_names_free(ex_class_names *names)
{
    for (int i = 0; names->name && i < names->count; i++)
        ex_free(&names->name[i]);
    ex_free(&names->name);
    names->count = 0;
}

const char *ex_class_name(const ex_class_names *names, int label)
{
    return names->name && label >= 0 && label < names->count ? names->name[label] : NULL;
}

/* --- making ----------------------------------------------------------------------------------- */

ex_status ex_class_names_copy(ex_class_names *out, const char *const *names, int count)
{
    *out = (ex_class_names){0};
    EX_TRY(ex_alloc(&out->name, (size_t)count, sizeof *out->name, "names of classes"));
    out->count = count;
    for (int i = 0; i < count; i++) {
        const ex_status status =
            ex_text_copy(&out->name[i], names[i], NAME_BYTES_MAX, "names of classes");
        if (status != EX_OK) {
            ex_class_names_free(out);
            return status;
        }
        ex_make_printable(out->name[i]);
    }
    return EX_OK;
}

/* lines (count) = the lines of text, which is cut up; returns how many there are. */
static int cut_lines(const char **lines, int count, char *text)
{
    int found = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (found < count)
            lines[found] = line;
        found++;
    }
    return found;
}

ex_status ex_class_names_read(ex_class_names *out, const char *path, int count)
{
    char *text = NULL;
    const char **lines = NULL;
    size_t bytes;
    ex_status status;
    *out = (ex_class_names){.count = count};
    if (access(path, F_OK) != 0)
        return EX_OK;
    EX_TRY_GOTO(ex_file_read(&text, &bytes, path, FILE_BYTES_MAX), done);
    EX_TRY_GOTO(ex_alloc(&lines, (size_t)count, sizeof *lines, "names of classes"), done);
    const int found = cut_lines(lines, count, text);
    if (found == count)
        status = ex_class_names_copy(out, lines, count);
    else
        ex_log_warn("%s names %d classes, %d are expected; they go without names", path, found,
                    count);
done:
    ex_free(&lines);
    ex_free(&text);
    return status;
}

/* --- finding ---------------------------------------------------------------------------------- */

/* In lower case, "-" and "_" as spaces. */
static void simplify(char out[NAME_BYTES_MAX + 1], const char *text)
{
    size_t i = 0;
    for (; text[i] && i < NAME_BYTES_MAX; i++)
        out[i] = text[i] == '-' || text[i] == '_' ? ' ' : (char)tolower((unsigned char)text[i]);
    out[i] = '\0';
}

static int find(const ex_class_names *names, const char *text)
{
    char wanted[NAME_BYTES_MAX + 1], name[NAME_BYTES_MAX + 1];
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->name[i], text) == 0)
            return i;
    simplify(wanted, text);
    for (int i = 0; i < names->count; i++) {
        simplify(name, names->name[i]);
        if (strcmp(name, wanted) == 0)
            return i;
    }
    return -1;
}

/* "Shirt (6), Coat (4), ...": the names nearest to the text. */
static void list_nearest(char *list, size_t room, const ex_class_names *names, const char *text)
{
    char wanted[NAME_BYTES_MAX + 1], name[NAME_BYTES_MAX + 1];
    size_t last = 0; /* distance and label of the one that was listed last */
    int last_label = -1;
    simplify(wanted, text);
    for (int n = 0; n < NAMED && n < names->count; n++) {
        size_t best = SIZE_MAX;
        int label = -1;
        for (int i = 0; i < names->count; i++) {
            simplify(name, names->name[i]);
            const size_t d = ex_word_distance(wanted, name);
            const bool after = n == 0 || d > last || (d == last && i > last_label);
            if (after && d < best) {
                best = d;
                label = i;
            }
        }
        ex_append(list, room, "%s%s (%d)", n ? ", " : "", names->name[label], label);
        last = best;
        last_label = label;
    }
}

ex_status ex_class_find(int *label, const ex_class_names *names, const char *dataset,
                        const char *text)
{
    char nearest[NAMED * (NAME_BYTES_MAX + 16)] = "";
    if (!names->name)
        return EX_FAIL(EX_ERR_USAGE,
                       "the class is \"%s\", but the classes of %s have no names here; give its "
                       "number, from 0 on",
                       text, dataset);
    *label = find(names, text);
    if (*label >= 0)
        return EX_OK;
    list_nearest(nearest, sizeof nearest, names, text);
    return EX_FAIL(EX_ERR_USAGE,
                   "%s has no class \"%s\"; nearest are %s; or give its number, 0 to %d", dataset,
                   text, nearest, names->count - 1);
}
