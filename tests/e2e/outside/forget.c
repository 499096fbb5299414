/* forget SUBJECT CONFIG|- CLASS OUT.safetensors: shows the channels that carry a class, removes it,
 * and writes the model. A program of somebody else's: it knows excise.h and nothing more. */
#include <excise.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static excise_status show_effects(excise_session *s, int label)
{
    const int count = excise_channel_count(s);
    excise_effect *effects = malloc((size_t)count * sizeof *effects);
    const excise_status status = excise_effects(s, label, effects);
    for (int i = 0; status == EXCISE_OK && i < count; i++)
        printf("%s,%d,%.9g\n", effects[i].layer, effects[i].channel, effects[i].effect);
    free(effects);
    return status;
}

int main(int argc, char **argv)
{
    const char *const settings[] = {"device=cpu", "server.threads=1", NULL};
    excise_session *s = NULL;
    char *report = NULL;
    if (argc != 5)
        return 2;
    const char *config = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    const int label = atoi(argv[3]);
    excise_status status = excise_open(&s, argv[1], config, settings);
    if (status == EXCISE_OK)
        status = show_effects(s, label);
    if (status == EXCISE_OK)
        status = excise_unlearn(s, "ce", label, NULL, &report);
    if (status == EXCISE_OK)
        status = excise_save(s, argv[4]);
    if (status != EXCISE_OK)
        fprintf(stderr, "%s: %s\n", excise_status_text(status), excise_error_message());
    excise_free(report);
    excise_close(&s);
    return status == EXCISE_OK ? 0 : 1;
}
