/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn library create: a virtual library, made without firnd. The only command that touches a
 * library itself; firnd learns of the library from its configuration.
 */
#include "cmd/cmd_impl.h"
#include "tape/changer.h"

#include <inttypes.h>
#include <string.h>

/* Capacity of a cartridge when none is asked for: small enough that a test machine holds some. */
#define CAPACITY_DFLT (8LL << 30)
#define CAPACITY_MIN  (4LL << 20)

int cmd_library_create(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *kind = cmd_has(args, "kind") ? cmd_value(args, "kind") : "dir";
    if (strcmp(kind, "dir") != 0)
        return cmd_usage(args, "--kind \"%s\": only dir can be made", kind);
    int64_t drives = 0;
    int64_t cartridges = 0;
    int64_t slots = 0;
    int64_t capacity = CAPACITY_DFLT;
    int rc = cmd_number(args, "drives", 2, 1, 64, &drives);
    if (rc == 0)
        rc = cmd_number(args, "cartridges", 8, 1, 9999, &cartridges);
    if (rc == 0)
        rc = cmd_number(args, "slots", cartridges, cartridges, 9999, &slots);
    if (rc != 0)
        return rc;
    const char *size = cmd_value(args, "size");
    if (size != NULL && (cmd_parse_size(size, &capacity) < 0 || capacity < CAPACITY_MIN))
        return cmd_usage(args, "--size \"%s\": a size of 4MiB or more is wanted, like 8GiB", size);
    struct changer_dir_spec spec = {
        .drives = (unsigned)drives,
        .cartridges = (unsigned)cartridges,
        .slots = (unsigned)slots,
        .prefix = cmd_value(args, "prefix"),
        .media = cmd_value(args, "media"),
        .capacity_bytes = (uint64_t)capacity,
    };
    auto_free char *path = cmd_path_absolute(args->argv[0]);
    rc = changer_dir_create(path, &spec, &ctx->err);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("path", path, "kind", kind));
    char text[CMD_NUMBER_MAX];
    (void)printf("Created library %s: %" PRId64 " drives, %" PRId64 " cartridges of %s.\n", path,
                 drives, cartridges, cmd_human_bytes(capacity, text));
    return 0;
}
