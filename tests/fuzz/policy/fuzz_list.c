/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of file lists, read and written back, and script options. The first byte says how. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "policy/list.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line(const char *p, size_t n, const char *escape)
{
    auto_buf struct buf store = {0}, again = {0}, store2 = {0};
    struct policy_record r, r2;
    struct err err = {0};
    if (policy_list_parse(p, n, escape, &store, &r, &err) < 0)
        return;
    if (policy_list_show_is_risky(r.show, r.show_len) && escape == NULL)
        return;
    policy_list_add(&again, &r, escape);
    /* What was read can be written and read again, unless blanks of SHOW meet the separator. */
    if (policy_list_parse(again.data, again.len - 1, escape, &store2, &r2, &err) == 0 &&
        r2.show_len == r.show_len)
        assert(r2.path_len == r.path_len && memcmp(r2.path, r.path, r.path_len) == 0);
}

static void options(const char *p, size_t n)
{
    auto_free char *text = xstrndup(p, n);
    struct policy_target *t = NULL;
    char **argv = NULL;
    size_t count = 0;
    struct err err = {0};
    if (policy_opts_split(text, &argv, &count, &err) == 0)
        policy_argv_free(argv);
    if (policy_opts_targets(text, &t, &count, &err) == 0)
        policy_targets_free(t, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const escapes[] = {NULL, "", "/+@#"};
    if (size == 0)
        return 0;
    if (data[0] % 4 == 3)
        options((const char *)data + 1, size - 1);
    else
        line((const char *)data + 1, size - 1, escapes[data[0] % 4]);
    return 0;
}
