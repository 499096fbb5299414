#include "version.h"

#include <stdio.h>
#include <yaml.h>
#include <zlib.h>
#ifdef EXCISE_HAVE_ONEDNN
#include <dnnl.h>
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

json_t *ex_version_libraries(void)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:s}", "onednn", onednn_version(), "zlib", zlibVersion(),
                     "jansson", JANSSON_VERSION, "libyaml", yaml_get_version_string(), "compiler",
                     __VERSION__);
}
