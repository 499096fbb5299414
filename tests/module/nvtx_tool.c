/* A tool that NVTX loads by NVTX_INJECTION64_PATH: writes every range to the file RANGES. */
#include <nvtx3/nvToolsExt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static FILE *ranges;

static int push(const char *name)
{
    fprintf(ranges, "+ %lu %s\n", (unsigned long)pthread_self(), name);
    return 0;
}

static int pop(void)
{
    fprintf(ranges, "- %lu\n", (unsigned long)pthread_self());
    return 0;
}

static void finish(void)
{
    fclose(ranges);
}

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get);

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get)
{
    const NvtxExportTableCallbacks *callbacks = get(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table;
    unsigned size;
    ranges = fopen(getenv("RANGES"), "w");
    if (!ranges || !callbacks ||
        !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) ||
        size <= NVTX_CBID_CORE_RangePop)
        return 0;
    *(int (**)(const char *))(void *)table[NVTX_CBID_CORE_RangePushA] = push;
    *(int (**)(void))(void *)table[NVTX_CBID_CORE_RangePop] = pop;
    atexit(finish);
    return 1;
}
