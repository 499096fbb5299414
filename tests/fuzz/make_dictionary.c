/* Writes a libFuzzer dictionary of the configuration's keys, choices, names and defaults to the
 * file given. */
#include "config_fields.h"

#include <string.h>

static void print_word(const char *before, const char *text, size_t length, const char *after)
{
    if (length)
        printf("\"%s%.*s%s\"\n", before, (int)length, text, after);
}

static void print_all(const char *const *words)
{
    for (; words && *words; words++)
        print_word("", *words, strlen(*words), "");
}

int main(int argc, char **argv)
{
    if (argc != 2 || !freopen(argv[1], "w", stdout))
        return 1;
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const char *dot = strchr(f->key, '.');
        const size_t section = dot ? (size_t)(dot - f->key) : 0;
        print_word("", f->key, section, ":\\x0a");
        print_word(dot ? "  " : "", dot ? dot + 1 : f->key, strlen(dot ? dot + 1 : f->key), ": ");
        print_word("\\xff", f->key, strlen(f->key), "="); /* as fuzz_config.c separates -s */
        print_all(f->choices);
        print_all(f->names ? f->names() : NULL);
        print_word("", f->default_text, strlen(f->default_text), "");
    }
    return fflush(stdout) != 0;
}
