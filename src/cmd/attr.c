/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn attr: attributes of a file as mmlsattr shows them, and setting of user attributes.
 */
#include "base/mem.h"
#include "base/timefmt.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define LABEL_WIDTH 21 /* of mmlsattr, with one blank behind it */
#define TAG_PREFIX  "user.noobaa.tag."

static void print_field(FILE *out, const char *label, const char *value)
{
    if (*value == '\0')
        (void)fprintf(out, "%s\n", label);
    else
        (void)fprintf(out, "%-*s %s\n", LABEL_WIDTH, label, value);
}

/* "Thu Feb 29 12:22:49 2024", local. */
static void print_created(FILE *out, const char *iso)
{
    int64_t ns = 0;
    char text[TIMEFMT_MAX] = "";
    if (iso != NULL && timefmt_parse_iso(iso, &ns) == 0) {
        time_t t = (time_t)(ns / NS_PER_SEC);
        struct tm tm;
        if (localtime_r(&t, &tm) != NULL)
            (void)strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
    }
    print_field(out, "creation time:", text);
}

/* The words that mmlsattr prints for MISC_ATTRIBUTES letters. */
static void print_misc(FILE *out, const char *letters)
{
    static const struct {
        char letter;
        const char *word;
    } words[] = {{'D', "DIRECTORY"}, {'A', "ARCHIVE"}, {'R', "READONLY"}, {'H', "HIDDEN"},
                 {'S', "SYSTEM"},    {'V', "OFFLINE"}, {'s', "SPARSE"}};
    auto_buf struct buf b = {0};
    buf_adds(&b, "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strchr(letters, words[i].letter) != NULL)
            buf_addf(&b, "%s%s", b.len > 0 ? " " : "", words[i].word);
    print_field(out, "Misc attributes:", b.data != NULL ? b.data : "");
}

static bool is_tag(const char *name)
{
    return strncmp(name, TAG_PREFIX, strlen(TAG_PREFIX)) == 0;
}

/* What is firn's own or the system's, and not shown. */
static bool hidden(const char *name)
{
    static const char *const prefixes[] = {"user.firn.", "trusted.", "security.", "system."};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Order of the document: by name, object tags behind everything else. */
static int by_name(const void *a, const void *b)
{
    const char *x = json_str(*(const cJSON *const *)a, "name", "");
    const char *y = json_str(*(const cJSON *const *)b, "name", "");
    if (is_tag(x) != is_tag(y))
        return is_tag(x) ? 1 : -1;
    return strcmp(x, y);
}

/* The bytes of base64 text as hex digits into b. */
static void add_hex_of_base64(struct buf *b, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0;
    unsigned value = 0;
    buf_adds(b, "0x");
    for (const char *p = text; *p != '\0' && *p != '='; p++) {
        const char *d = strchr(digits, *p);
        if (d == NULL)
            continue;
        value = (value << 6) | (unsigned)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_addf(b, "%02X", (value >> bits) & 0xffu);
        }
    }
}

static void print_xattr(FILE *out, const cJSON *x)
{
    const cJSON *b64 = cJSON_GetObjectItemCaseSensitive(x, "base64");
    const char *value = json_str(x, "value", "");
    if (cJSON_IsString(b64) && b64->valuestring[0] != '\0')
        value = b64->valuestring;
    auto_buf struct buf b = {0};
    if (cJSON_IsTrue(b64) || value == cJSON_GetStringValue(b64))
        add_hex_of_base64(&b, value);
    else
        buf_addf(&b, "\"%s\"", value);
    auto_free char *label = xasprintf("%s:", json_str(x, "name", ""));
    (void)fprintf(out, "%-*s ", LABEL_WIDTH, label);
    cmd_put_text(out, b.data);
    (void)fputc('\n', out);
}

static void print_xattrs(FILE *out, const cJSON *list)
{
    size_t n = 0;
    const cJSON **sorted = NULL;
    const cJSON *x = NULL;
    cJSON_ArrayForEach (x, list) {
        if (hidden(json_str(x, "name", "")))
            continue;
        sorted = xrealloc_array(sorted, n + 1, sizeof(const cJSON *));
        sorted[n++] = x;
    }
    if (n > 0)
        qsort(sorted, n, sizeof(const cJSON *), by_name);
    for (size_t i = 0; i < n; i++)
        print_xattr(out, sorted[i]);
    free(sorted);
}

void cmd_print_attributes(FILE *out, const cJSON *lsattr, bool xattrs)
{
    const char *misc = json_str(lsattr, "misc", "");
    (void)fprintf(out, "%-*s ", LABEL_WIDTH, "file name:");
    cmd_put_text(out, json_str(lsattr, "path", "?"));
    (void)fputc('\n', out);
    print_field(out, "metadata replication:", "1 max 2");
    print_field(out, "data replication:", "1 max 2");
    print_field(out, "immutable:", strchr(misc, 'X') != NULL ? "yes" : "no");
    print_field(out, "appendOnly:", strchr(misc, 'a') != NULL ? "yes" : "no");
    print_field(out, "flags:", "");
    print_field(out, "storage pool name:", json_str(lsattr, "pool", "system"));
    print_field(out, "fileset name:", json_str(lsattr, "fileset", "root"));
    print_field(out, "snapshot name:", "");
    print_created(out, json_str(lsattr, "created", NULL));
    print_misc(out, misc);
    print_field(out, "Encrypted:", "no");
    if (xattrs)
        print_xattrs(out, cJSON_GetObjectItemCaseSensitive(lsattr, "xattrs"));
}

static int run_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *all = cJSON_CreateArray();
    bool failed = false;
    for (int i = 0; i < args->argc; i++) {
        auto_free char *path = cmd_path_absolute(args->argv[i]);
        auto_json cJSON *res = NULL;
        int rc = cmd_call(ctx, "file.lsattr", cmd_object("path", path), &res);
        if (rc < 0 && ctx->unreachable)
            return rc;
        if (rc < 0) {
            failed = true;
            (void)fflush(stdout);
            (void)fprintf(stderr, "%s: %s\n", ctx->program->name, ctx->err.text);
            continue;
        }
        if (ctx->json) {
            (void)cJSON_AddItemToArray(all, take_ptr(res));
            continue;
        }
        if (i > 0)
            (void)putchar('\n');
        cmd_print_attributes(stdout, res, true);
    }
    if (ctx->json)
        (void)cmd_print_payload(take_ptr(all));
    return failed ? CMD_EXIT_FAILED : 0;
}

/* Sets or removes one user attribute; nothing of firn's own can be named. */
static int change(struct cmd_ctx *ctx, const char *path, const char *name, const char *value)
{
    int rc =
        value != NULL ? setxattr(path, name, value, strlen(value), 0) : removexattr(path, name);
    if (rc == 0 || (value == NULL && errno == ENODATA))
        return 0;
    return err_sys(&ctx->err, errno, "%s: attribute %s", path, name);
}

static int run_set(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    bool remove = cmd_has(args, "remove");
    auto_free char *name = xstrdup(args->argv[0]);
    char *equals = strchr(name, '=');
    if (remove == (equals != NULL))
        return cmd_usage(args,
                         remove ? "with --remove a name alone is wanted, not \"%s\""
                                : "\"%s\" is not NAME=VALUE",
                         args->argv[0]);
    if (equals != NULL)
        *equals = '\0';
    if (strncmp(name, "user.", 5) != 0 || hidden(name))
        return cmd_usage(args,
                         "\"%s\": only names that begin with \"user.\" can be set, and none "
                         "of user.firn",
                         name);
    for (int i = 1; i < args->argc; i++) {
        int rc = change(ctx, args->argv[i], name, equals != NULL ? equals + 1 : NULL);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const struct cmd_opt set_opts[] = {
    {"remove", 0, NULL, "remove the attribute", 0},
    {0},
};

const struct cmd cmds_attr[] = {
    {"", "PATH...", "show the attributes of files", 1, -1, NULL, run_show},
    {"set", "NAME=VALUE PATH...", "set a user attribute that policies can read", 2, -1, set_opts,
     run_set},
    {0},
};
