/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/llapi.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum need { OPTIONAL, CORE };

/* One function: its place in struct llapi. */
struct symbol {
    const char *name;
    const char *since;
    enum need need;
    size_t offset;
};

static const struct symbol symbols[] = {
#define LLAPI(since, need, result, name, args)                                                     \
    {"llapi_" #name, since, need, offsetof(struct llapi, name)},
#include "lustre/llapi_symbols.def"
#undef LLAPI
};
#define SYMBOLS (sizeof(symbols) / sizeof(symbols[0]))

/* A quirk holds from version from (0: ever) up to, without, version to (0: still). */
static const struct {
    enum llapi_quirk quirk;
    uint32_t from, to;
} quirks[] = {
    {LLAPI_FILTERS_DUPLICATES, 0, LLAPI_VERSION(2, 13, 57, 0)},
    {LLAPI_REMOVE_OPENS, LLAPI_VERSION(2, 13, 0, 0), 0},
    {LLAPI_SUMS_PROGRESS, 0, LLAPI_VERSION(2, 15, 0, 0)},
    {LLAPI_RESTORE_OPENS, LLAPI_VERSION(2, 16, 0, 0), 0},
    {LLAPI_TELLS_BLOCKING, LLAPI_VERSION(2, 17, 0, 0), 0},
    {LLAPI_FAILURE_DIRTIES, LLAPI_VERSION(2, 17, 51, 0), 0},
    {LLAPI_SHORT_READS, 0, LLAPI_VERSION(2, 17, 53, 0)},
};

#define OLDEST      LLAPI_VERSION(2, 12, 0, 0)
#define OLDEST_TEXT "2.12"

uint32_t llapi_version(const char *text)
{
    uint32_t v = 0;
    const char *p = text;
    while (*p != '\0' && !isdigit((unsigned char)*p))
        p++;
    if (*p == '\0')
        return 0;
    for (int part = 0; part < 4; part++) {
        char *end = NULL;
        unsigned long n = 0;
        if (isdigit((unsigned char)*p)) {
            n = strtoul(p, &end, 10);
            p = *end == '.' || *end == '_' ? end + 1 : "";
        }
        v = (v << 8) | (uint32_t)(n > 255 ? 255 : n);
    }
    return v;
}

unsigned llapi_quirks(uint32_t version)
{
    unsigned out = 0;
    for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
        if (version >= quirks[i].from && (quirks[i].to == 0 || version < quirks[i].to))
            out |= quirks[i].quirk;
    }
    return out;
}

void llapi_describe(void (*row)(void *ctx, const char *symbol, const char *since, bool core),
                    void *ctx)
{
    for (size_t i = 0; i < SYMBOLS; i++)
        row(ctx, symbols[i].name, symbols[i].since, symbols[i].need == CORE);
}

/* A pointer to a function out of one to an object, as dlsym means it (POSIX, dlsym, "Rationale").
 */
static void put_pointer(struct llapi *api, const struct symbol *s, void *address)
{
    memcpy((char *)api + s->offset, &address, sizeof(address));
}

static void find_version(struct llapi *api)
{
    if (api->get_version_string == NULL ||
        api->get_version_string(api->version_text, sizeof(api->version_text)) != 0 ||
        api->version_text[0] == '\0')
        (void)snprintf(api->version_text, sizeof(api->version_text), "of unknown version");
    api->version_text[sizeof(api->version_text) - 1] = '\0';
    api->version = llapi_version(api->version_text);
    api->quirks = llapi_quirks(api->version);
}

static int find_symbols(struct llapi *api, const char *library, struct err *err)
{
    const struct symbol *missing = NULL;
    for (size_t i = 0; i < SYMBOLS; i++) {
        void *address = dlsym(RTLD_DEFAULT, symbols[i].name);
        put_pointer(api, &symbols[i], address);
        if (address == NULL && symbols[i].need == CORE && missing == NULL)
            missing = &symbols[i];
    }
    find_version(api);
    if (missing != NULL)
        return err_set(err, -ENOTSUP,
                       "%s %s has no function %s, which is there since Lustre %s: install the "
                       "Lustre client of %s or later",
                       library, api->version_text, missing->name, missing->since, OLDEST_TEXT);
    if (api->version != 0 && api->version < OLDEST)
        return err_set(err, -ENOTSUP, "%s is version %s: Lustre %s or later is needed", library,
                       api->version_text, OLDEST_TEXT);
    return 0;
}

int llapi_load(const char *library, struct llapi **out, struct err *err)
{
    static const char probe[] = "llapi_hsm_copytool_register";
    const char *name = library != NULL ? library : LLAPI_LIBRARY;
    auto_llapi struct llapi *api = xzalloc(sizeof(*api));
    void *handle = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return err_set(err, -ENOENT,
                       "%s cannot be opened (%s): install the Lustre client (%s or later) on this "
                       "node",
                       name, why != NULL ? why : "no reason given", OLDEST_TEXT);
    }
    int rc = find_symbols(api, name, err);
    if (rc != 0)
        return rc;
    api->coordinatool = dlsym(RTLD_DEFAULT, probe) != dlsym(handle, probe);
    *out = take_ptr(api);
    return 0;
}

void llapi_free(struct llapi *api)
{
    free(api);
}
