/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a cartridge with a volume of all that the format allows (packed, sparse, empty and large
 * files, odd names, removed files, several generations), and copies of it after accidents, for
 * verify_volume.sh. usage: make_volume DIR
 */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gives file path, of content seed and len, its checksums. */
static void add_hashes(struct ltfs_volume *v, const char *path, size_t len, unsigned seed)
{
    static const struct {
        const char *key;
        enum digest_alg alg;
    } kinds[] = {{"ltfs.hash.sha256sum", DIGEST_SHA256},
                 {"ltfs.hash.crc32sum", DIGEST_CRC32},
                 {"ltfs.hash.md5sum", DIGEST_MD5}};
    struct err err = {0};
    struct ltfs_node *n;
    auto_free uint8_t *data = malloc(len + 1);
    fixture_fill(data, len, seed);
    assert_ok(ltfs_lookup(v, path, &n), err);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint8_t raw[DIGEST_MAX];
        char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
        encode_hex(raw, digest_of(kinds[i].alg, data, len, raw), hex);
        struct ltfs_xattr x = {kinds[i].key, hex, strlen(hex)};
        assert_ok(ltfs_set_xattr(v, n, &x, &err), err);
    }
}

static void put(struct ltfs_volume *v, const char *path, size_t len, unsigned seed)
{
    assert_int_equal(fixture_write(v, path, len, seed), 0);
    add_hashes(v, path, len, seed);
}

static void put_sparse(struct ltfs_volume *v)
{
    struct err err = {0};
    struct ltfs_writer *w;
    const struct ltfs_create_args args = {.readonly = true};
    assert_ok(ltfs_writer_begin(v, "sparse/file", &args, &w, &err), err);
    assert_ok(ltfs_writer_seek(w, 100000, &err), err);
    assert_ok(ltfs_writer_append(w, "middle", 6, &err), err);
    assert_ok(ltfs_writer_seek(w, 300000, &err), err);
    assert_ok(ltfs_writer_commit(w, NULL, 0, NULL, NULL, &err), err);
}

static void first_session(struct ltfs_volume *v)
{
    struct err err = {0};
    char name[64];
    put(v, "large/one", 300001, 1);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "small/%u", i);
        put(v, name, i * 37, i);
    }
    put_sparse(v);
    assert_ok(ltfs_sync(v, &err), err);
}

static void second_session(struct ltfs_volume *v)
{
    struct err err = {0};
    struct ltfs_node *n;
    const struct ltfs_xattr binary = {"bin:ary", "\0\1\xff", 3};
    put(v, "latin1 caf\xe9", 10, 1);
    put(v, "utf-8 caf\xc3\xa9: * <&>\n", 10, 2);
    put(v, "large/two", 4096 * 20, 3);
    assert_ok(ltfs_lookup(v, "small/50", &n), err);
    assert_ok(ltfs_remove(v, n, &err), err);
    assert_ok(ltfs_lookup(v, "small/51", &n), err);
    assert_ok(ltfs_set_xattr(v, n, &binary, &err), err);
    assert_ok(ltfs_mkdirs(v, "empty/directory", NULL, &err), err);
    assert_ok(ltfs_sync(v, &err), err);
}

int main(int argc, char **argv)
{
    struct err err = {0};

    if (argc != 2)
        return 2;
    log_init("make_volume", LOG_LEVEL_ERR);
    auto_free char *cartridge = fixture_cartridge(argv[1], 16);
    struct drive *d = fixture_formatted(cartridge, FIXTURE_BS);
    struct ltfs_volume *v = fixture_mount(d, 0);
    first_session(v);
    second_session(v);
    assert_int_equal(fixture_write(v, "torn", 50000, 9), 0); /* never synced */
    ltfs_volume_free(v);
    assert_ok(drive_unload(d, &err), err);
    auto_free char *torn = xasprintf("%s/TORN01L8", argv[1]);
    fixture_copy(cartridge, torn);
    assert_ok(drive_load(d, &err), err);
    v = fixture_mount(d, 0); /* recovers */
    assert_ok(ltfs_unmount(v, &err), err);
    drive_close(d);
    return 0;
}
