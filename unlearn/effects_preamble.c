/* "# excise effects 2 model=resnet20 digest=0123456789abcdef ablate=filter precision=fp32 seed=1".
 *
 * Format 1 ended before precision. A table that was read from it, and is written again, says
 * "unknown" there. */
#include "config.h"
#include "effects_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC   "# excise effects "
#define UNKNOWN "unknown"

typedef struct preamble {
    char model[EX_NAME_MAX], ablate[16], precision[16], seed[24];
    uint64_t digest;
} preamble;

int ex_effects_format_preamble(char line[EX_EFFECTS_LINE_MAX], const ex_effects *e)
{
    char seed[24] = UNKNOWN;
    if (e->seed >= 0)
        snprintf(seed, sizeof seed, "%" PRId64, e->seed);
    return snprintf(line, EX_EFFECTS_LINE_MAX,
                    MAGIC "2 model=%s digest=%016" PRIx64 " ablate=%s precision=%s seed=%s",
                    e->model->name, e->digest, ex_choice_name("unlearn.ablate", (int)e->ablation),
                    e->precision >= 0 ? ex_choice_name("precision", e->precision) : UNKNOWN, seed);
}

/* The line's words; false if it is built otherwise. */
static bool split(preamble *p, const char *line)
{
    static const char both[] = "model=%63s digest=%16" SCNx64 " ablate=%15s%n";
    int end = 0, more = 0;
    *p = (preamble){.precision = UNKNOWN, .seed = UNKNOWN};
    const bool old = strncmp(line, MAGIC "1 ", strlen(MAGIC) + 2) == 0;
    if (!old && strncmp(line, MAGIC "2 ", strlen(MAGIC) + 2) != 0)
        return false;
    const char *rest = line + strlen(MAGIC) + 2;
    if (sscanf(rest, both, p->model, &p->digest, p->ablate, &end) != 3)
        return false;
    rest += end;
    if (!old && sscanf(rest, " precision=%15s seed=%23s%n", p->precision, p->seed, &more) != 2)
        return false;
    return rest[more] == '\0';
}

/* What the model was: everything else would be effects of something else. */
static ex_status check_model(const ex_model *model, uint64_t digest, const preamble *p,
                             const char *path)
{
    if (strcmp(p->model, model->name) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:1: effects of a %s; the model is a %s", path, p->model,
                       model->name);
    return ex_effects_check_digest(path, p->digest, digest);
}

static ex_status parse_seed(int64_t *out, const char *text, const char *path)
{
    char *end;
    *out = -1;
    if (strcmp(text, UNKNOWN) == 0)
        return EX_OK;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:1: seed is \"%s\"; a whole number from 0 is expected",
                       path, text);
    *out = value;
    return EX_OK;
}

ex_status ex_effects_parse_preamble(ex_effects *e, const char *path, const char *line,
                                    uint64_t digest)
{
    preamble p;
    if (!line || !split(&p, line))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s:1: no table of effects; \"" MAGIC "2 model=NAME digest=HEX "
                       "ablate=filter|activation precision=NAME seed=N\" is expected",
                       path);
    EX_TRY(check_model(e->model, digest, &p, path));
    const int ablation = ex_choice_find("unlearn.ablate", p.ablate);
    if (ablation < 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:1: ablate is \"%s\"; one of filter, activation", path,
                       p.ablate);
    e->precision = ex_choice_find("precision", p.precision);
    if (e->precision < 0 && strcmp(p.precision, UNKNOWN) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:1: precision is \"%s\"; one of fp32, tf32, bf16", path,
                       p.precision);
    e->ablation = (ex_ablation)ablation;
    e->digest = p.digest;
    return parse_seed(&e->seed, p.seed, path);
}
