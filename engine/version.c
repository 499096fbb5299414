#include "version.h"

#include "cuda_module.h"
#include "data/picture.h"

#include <stdio.h>
#include <yaml.h>
#include <zlib.h>
#ifdef EXCISE_HAVE_ONEDNN
#include "cpu/dnnl_adapter.h"
#endif

const char *ex_version(void)
{
    return EXCISE_VERSION;
}

static json_t *onednn_version(void)
{
#ifdef EXCISE_HAVE_ONEDNN
    const dnnl_version_t *v = dnnl_version();
    return json_sprintf("%d.%d.%d", v->major, v->minor, v->patch);
#else
    return json_null();
#endif
}

/* Of the processor, as oneDNN uses it: the bits of a result depend on it. */
static const char *instruction_set(void)
{
#ifdef EXCISE_HAVE_ONEDNN
    return ex_dnn_isa();
#else
    return NULL;
#endif
}

/* The specification's date, as the compiler has it; the runtime has no version of its own. */
static json_t *openmp_version(void)
{
#ifdef _OPENMP
    return json_sprintf("%d", _OPENMP);
#else
    return json_null();
#endif
}

static json_t *compiler_version(void)
{
#ifdef __clang__
    return json_string(__VERSION__);
#else
    return json_string("GCC " __VERSION__);
#endif
}

/* NULL, for json_pack's "s?", if there is none. */
static const char *known(const char *version)
{
    return *version ? version : NULL;
}

json_t *ex_version_libraries(void)
{
    ex_cuda_versions v = {0};
    if (ex_cuda_module_is_loaded())
        (void)ex_cuda_module_versions(&v); /* what is loaded cannot fail to load */
    return json_pack("{s:o, s:s?, s:s, s:s, s:s, s:s?, s:s?, s:o, s:o, s:s?, s:s?, s:s?, s:s?}",
                     "onednn", onednn_version(), "isa", instruction_set(), "zlib", zlibVersion(),
                     "jansson", jansson_version_str(), "libyaml", yaml_get_version_string(),
                     "libpng", ex_png_version(), "libjpeg", ex_jpeg_version(), "openmp",
                     openmp_version(), "compiler", compiler_version(), "cuda", known(v.cuda),
                     "cudnn", known(v.cudnn), "cublaslt", known(v.cublaslt), "nccl", known(v.nccl));
}
