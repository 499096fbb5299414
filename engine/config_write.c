/* The configuration written out: config.yaml, and the reference of all keys. */
#include "config_fields.h"
#include "io/file.h"

#include <string.h>

/* Text in double quotes, as JSON and YAML both read it. Escaped are also the characters that YAML
 * takes for ends of lines (U+2028, U+2029) or does not allow (U+FEFF, U+FFFE, U+FFFF). */
static void write_quoted(FILE *out, const char *text)
{
    static const struct {
        const char *bytes, *escape;
    } escapes[] = {
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"\xe2\x80\xa8", "\\u2028"},
        {"\xe2\x80\xa9", "\\u2029"},
        {"\xef\xbb\xbf", "\\ufeff"},
        {"\xef\xbf\xbe", "\\ufffe"},
        {"\xef\xbf\xbf", "\\uffff"},
    };
    enum { ESCAPES = sizeof escapes / sizeof *escapes };
    fputc('"', out);
    while (*text) {
        size_t i = 0;
        while (i < ESCAPES && strncmp(text, escapes[i].bytes, strlen(escapes[i].bytes)) != 0)
            i++;
        if (i < ESCAPES) {
            fputs(escapes[i].escape, out);
            text += strlen(escapes[i].bytes);
        } else {
            fputc(*text++, out);
        }
    }
    fputc('"', out);
}

/* Numbers and plain words go bare, other text in quotes. */
static void write_value(FILE *out, const ex_field *field, const char *text)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    const bool letter = (*text | 0x20) >= 'a' && (*text | 0x20) <= 'z';
    if (field->type != EX_FIELD_TEXT ||
        (letter && text[strspn(text, word)] == '\0' && strcmp(text, "null") != 0))
        fputs(text, out);
    else
        write_quoted(out, text);
}

static void write_yaml(FILE *out, const void *what)
{
    const ex_config *c = what;
    fputs("# Resolved configuration of an excise run: every key.\n", out);
    char section[64] = "";
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const char *dot = strchr(f->key, '.');
        const int length = dot ? (int)(dot - f->key) : 0;
        if (strlen(section) != (size_t)length || strncmp(section, f->key, (size_t)length) != 0) {
            snprintf(section, sizeof section, "%.*s", length, f->key);
            if (dot)
                fprintf(out, "%s:\n", section);
        }
        char text[EX_TEXT_MAX];
        ex_field_format(c, f, text, sizeof text);
        fprintf(out, "%s%s: ", dot ? "  " : "", dot ? dot + 1 : f->key);
        write_value(out, f, text);
        fprintf(out, "  # %s\n", f->help);
    }
}

ex_status ex_config_write(const ex_config *c, const char *path)
{
    return ex_file_print(path, write_yaml, c);
}

void ex_config_print_reference(FILE *out, bool markdown)
{
    if (markdown)
        fputs("| key | accepts | default | meaning |\n| --- | --- | --- | --- |\n", out);
    for (const ex_field *f = ex_fields(); f->key; f++) {
        char accepts[512];
        ex_field_accepts(f, accepts, sizeof accepts);
        const char *initial = *f->default_text ? f->default_text : "\"\"";
        if (markdown)
            fprintf(out, "| `%s` | %s | `%s` | %s |\n", f->key, accepts, initial, f->help);
        else
            fprintf(out, "  %-28s %s\n  %28s %s; default %s\n", f->key, f->help, "", accepts,
                    initial);
    }
}
