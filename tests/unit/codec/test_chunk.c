/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "codec/chunk.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <lz4.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MIB       (1UL << 20)
#define KEY_A     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B     "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
#define AAD       "6c7d2e2a-0000-4000-8000-000000000001/0"
#define AAD_OTHER "6c7d2e2a-0000-4000-8000-000000000001/1"

struct fixture {
    char dir[32];
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/firn-chunk-XXXXXX");
    *state = f;
    return mkdtemp(f->dir) == NULL ? -1 : 0;
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)nftw(f->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static char *write_file(struct fixture *f, const char *name, const void *data, size_t n,
                        unsigned mode)
{
    char *path = xasprintf("%s/%s", f->dir, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, data, n), 0);
    assert_int_equal(fchmod(fd, (mode_t)mode), 0);
    return path;
}

static struct chunk_keys *load(struct fixture *f, const char *text)
{
    struct chunk_keys *k = NULL;
    auto_free char *path = write_file(f, "keys", text, strlen(text), 0600);
    assert_int_equal(chunk_keys_load(path, &k, &f->err), 0);
    return k;
}

static uint8_t *text_of(size_t n)
{
    uint8_t *p = xzalloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)("the snow on its way to ice "[i % 27] + (i / 997) % 3);
    return p;
}

static uint8_t *noise_of(size_t n)
{
    uint8_t *p = xzalloc(n + 1);
    uint64_t x = 88172645463325252ULL;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)(x >> 32);
    }
    return p;
}

struct encoded {
    struct chunk_info info;
    uint8_t *data; /* info.stored_size bytes */
};

static struct encoded encode(struct chunk_coder *c, const uint8_t *plain, size_t n)
{
    struct encoded e = {0};
    struct err err;
    const void *stored = NULL;
    size_t cap = chunk_bound(n);
    auto_free uint8_t *out = malloc(cap);
    assert_int_equal(chunk_encode(c, plain, n, AAD, strlen(AAD), out, cap, &e.info, &stored, &err),
                     0);
    assert_int_equal(e.info.plain_size, n);
    e.data = xzalloc(e.info.stored_size + 1);
    memcpy(e.data, stored, e.info.stored_size);
    return e;
}

static int decode(struct chunk_coder *c, const struct encoded *e, const char *aad, uint8_t *out,
                  const void **plain, struct err *err)
{
    return chunk_decode(c, &e->info, e->data, e->info.stored_size, aad, strlen(aad), out,
                        e->info.plain_size, true, plain, err);
}

static void round_trip(struct chunk_coder *c, const uint8_t *plain, size_t n)
{
    struct encoded e = encode(c, plain, n);
    struct err err = {0};
    const void *got = NULL;
    auto_free uint8_t *out = xzalloc(n + 1);
    assert_true(e.info.stored_size <= n + CHUNK_OVERHEAD);
    assert_int_equal(decode(c, &e, AAD, out, &got, &err), 0);
    assert_memory_equal(got, plain, n);
    free(e.data);
}

static const size_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 65536, 65537, MIB, 5 * MIB + 3};

static void every_codec_gives_back_what_it_took(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = load(f, "one " KEY_A "\n");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        auto_free uint8_t *text = text_of(sizes[s]);
        auto_free uint8_t *noise = noise_of(sizes[s]);
        for (int variant = 0; variant < 6; variant++) {
            struct chunk_coder *c =
                chunk_coder_new((enum chunk_codec)(variant % 3), 1, k, variant < 3 ? NULL : "one");
            assert_non_null(c);
            round_trip(c, text, sizes[s]);
            round_trip(c, noise, sizes[s]);
            chunk_coder_free(c);
        }
    }
    chunk_keys_free(k);
}

static void what_does_not_shrink_is_stored_raw(void **state)
{
    (void)state;
    auto_free uint8_t *text = text_of(MIB);
    auto_free uint8_t *noise = noise_of(MIB);
    for (enum chunk_codec codec = CHUNK_LZ4; codec <= CHUNK_ZSTD; codec++) {
        struct chunk_coder *c = chunk_coder_new(codec, 1, NULL, NULL);
        struct encoded a = encode(c, text, MIB);
        struct encoded b = encode(c, noise, MIB);
        assert_int_equal(a.info.codec, codec);
        assert_true(a.info.stored_size < MIB / 4);
        assert_int_equal(b.info.codec, CHUNK_RAW);
        assert_int_equal(b.info.stored_size, MIB);
        free(a.data);
        free(b.data);
        chunk_coder_free(c);
    }
}

static void a_table_inside_noise_is_still_found(void **state)
{
    (void)state;
    auto_free uint8_t *p = noise_of(MIB);
    assert_false(chunk_compressible(p, MIB));
    memset(p + MIB / 2, 0, MIB / 8);
    assert_true(chunk_compressible(p, MIB));
    assert_false(chunk_compressible(p, 63));
}

static void info_carries_the_canonical_xxh3(void **state)
{
    (void)state;
    uint8_t want[DIGEST_MAX];
    auto_free uint8_t *text = text_of(1000);
    struct chunk_coder *c = chunk_coder_new(CHUNK_LZ4, 0, NULL, NULL);
    struct encoded e = encode(c, text, 1000);
    (void)digest_of(DIGEST_XXH3_128, text, 1000, want);
    assert_memory_equal(e.info.xxh3, want, 16);
    free(e.data);
    chunk_coder_free(c);
}

/* Runs "PROGRAM -dc FILE" and compares what it prints with plain. */
static void read_by(struct fixture *f, const char *program, const struct encoded *e,
                    const uint8_t *plain)
{
    auto_free char *path = write_file(f, "chunk", e->data, e->info.stored_size, 0600);
    auto_free char *command = xasprintf("%s -dc < %s", program, path);
    auto_free uint8_t *got = xzalloc(e->info.plain_size + 1);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fread(got, 1, e->info.plain_size + 1, p), e->info.plain_size);
    assert_int_equal(pclose(p), 0);
    assert_memory_equal(got, plain, e->info.plain_size);
}

static void lz4_and_zstd_read_our_chunks(void **state)
{
    struct fixture *f = *state;
    auto_free uint8_t *text = text_of(9 * MIB + 17);
    for (enum chunk_codec codec = CHUNK_LZ4; codec <= CHUNK_ZSTD; codec++) {
        struct chunk_coder *c = chunk_coder_new(codec, 1, NULL, NULL);
        struct encoded e = encode(c, text, 9 * MIB + 17);
        assert_int_equal(e.info.codec, codec);
        read_by(f, codec == CHUNK_LZ4 ? "lz4" : "zstd", &e, text);
        free(e.data);
        chunk_coder_free(c);
    }
}

/* Flips each of some bits and cuts some bytes; nothing wrong may pass. */
static void damage(struct chunk_coder *c, struct encoded *e, const uint8_t *plain)
{
    struct err err = {0};
    auto_free uint8_t *out = xzalloc(e->info.plain_size + 1);
    auto_free uint8_t *good = xzalloc(e->info.stored_size);
    const void *got = NULL;
    size_t n = e->info.stored_size;
    memcpy(good, e->data, n);
    for (size_t at = 0; at < n; at += n < 400 ? 1 : n / 400) {
        e->data[at] ^= (uint8_t)(1U << at % 8);
        int rc = decode(c, e, AAD, out, &got, &err);
        if (rc == 0) /* bits without a meaning: reserved ones, checksums that XXH3 replaces */
            assert_memory_equal(got, plain, e->info.plain_size);
        else
            assert_int_equal(rc, -EBADMSG);
        memcpy(e->data, good, n);
    }
    for (size_t cut = 1; cut < n && cut < 100; cut++) {
        struct encoded part = *e;
        part.info.stored_size = n - cut;
        assert_int_equal(decode(c, &part, AAD, out, &got, &err), -EBADMSG);
        assert_string_not_equal(err.text, "");
        memcpy(e->data, good, n);
    }
    e->info.plain_size++;
    auto_free uint8_t *larger = xzalloc(e->info.plain_size);
    assert_int_equal(decode(c, e, AAD, larger, &got, &err), -EBADMSG);
}

static void damage_is_never_taken_for_data(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = load(f, "one " KEY_A "\n");
    auto_free uint8_t *text = text_of(70000);
    for (int variant = 0; variant < 6; variant++) {
        struct chunk_coder *c =
            chunk_coder_new((enum chunk_codec)(variant % 3), 1, k, variant < 3 ? NULL : "one");
        struct encoded e = encode(c, text, 70000);
        damage(c, &e, text);
        free(e.data);
        chunk_coder_free(c);
    }
    chunk_keys_free(k);
}

static void two_frames_or_bytes_behind_a_frame_are_refused(void **state)
{
    struct fixture *f = *state;
    auto_free uint8_t *text = text_of(1000);
    for (enum chunk_codec codec = CHUNK_LZ4; codec <= CHUNK_ZSTD; codec++) {
        struct chunk_coder *c = chunk_coder_new(codec, 1, NULL, NULL);
        struct encoded e = encode(c, text, 1000);
        uint8_t out[1000];
        const void *got = NULL;
        e.data = xrealloc_array(e.data, e.info.stored_size + 1, 1);
        e.data[e.info.stored_size++] = 0;
        assert_int_equal(decode(c, &e, AAD, out, &got, &f->err), -EBADMSG);
        free(e.data);
        chunk_coder_free(c);
    }
}

static void an_encrypted_chunk_opens_only_at_its_own_place(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = load(f, "one " KEY_A "\n");
    auto_free uint8_t *text = text_of(1000);
    struct chunk_coder *c = chunk_coder_new(CHUNK_LZ4, 0, k, "one");
    struct encoded e = encode(c, text, 1000);
    uint8_t out[1000];
    const void *got = NULL;
    assert_memory_equal(e.data, "FIRN\1\1\1", 8);
    assert_int_equal(decode(c, &e, AAD_OTHER, out, &got, &f->err), -EBADMSG);
    assert_non_null(strstr(f->err.text, "\"one\""));
    free(e.data);
    chunk_coder_free(c);
    chunk_keys_free(k);
}

static void two_chunks_of_the_same_data_look_different_when_encrypted(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = load(f, "one " KEY_A "\n");
    auto_free uint8_t *text = text_of(1000);
    struct chunk_coder *c = chunk_coder_new(CHUNK_RAW, 0, k, "one");
    struct encoded a = encode(c, text, 1000);
    struct encoded b = encode(c, text, 1000);
    assert_int_equal(a.info.stored_size, 1000 + 44);
    assert_memory_not_equal(a.data + 16, b.data + 16, 1000);
    free(a.data);
    free(b.data);
    chunk_coder_free(c);
    chunk_keys_free(k);
}

static void a_wrong_or_missing_key_is_named(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = load(f, "one " KEY_A "\n");
    struct chunk_keys *other = load(f, "one " KEY_B "\n");
    struct chunk_keys *none = load(f, "two " KEY_A "\n");
    auto_free uint8_t *text = text_of(1000);
    struct chunk_coder *c = chunk_coder_new(CHUNK_LZ4, 0, k, "one");
    struct chunk_coder *wrong = chunk_coder_new(CHUNK_LZ4, 0, other, NULL);
    struct chunk_coder *absent = chunk_coder_new(CHUNK_LZ4, 0, none, NULL);
    struct encoded e = encode(c, text, 1000);
    struct encoded copy = e;
    uint8_t out[1000];
    const void *got = NULL;
    copy.data = xzalloc(e.info.stored_size);
    memcpy(copy.data, e.data, e.info.stored_size);
    assert_int_equal(decode(wrong, &copy, AAD, out, &got, &f->err), -EBADMSG);
    assert_int_equal(decode(absent, &e, AAD, out, &got, &f->err), -ENOKEY);
    assert_non_null(strstr(f->err.text, "\"one\""));
    assert_null(chunk_coder_new(CHUNK_LZ4, 0, none, "one"));
    free(e.data);
    free(copy.data);
    chunk_coder_free(c);
    chunk_coder_free(wrong);
    chunk_coder_free(absent);
    chunk_keys_free(k);
    chunk_keys_free(other);
    chunk_keys_free(none);
}

static void keys_are_read_with_comments_and_the_last_is_the_newest(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k =
        load(f, "# keys of the archive\n\n  2024.a\t" KEY_A "  # old\r\n2026-b " KEY_B);
    assert_string_equal(chunk_keys_newest(k), "2026-b");
    assert_true(chunk_keys_has(k, "2024.a"));
    assert_false(chunk_keys_has(k, "2025"));
    assert_false(chunk_keys_has(NULL, "2025"));
    chunk_keys_free(k);
}

static void a_bad_key_file_is_named_with_its_line_but_not_its_key(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"one " KEY_A "\none " KEY_B "\n", "line 2"},
        {"a b\n", "line 1"},
        {"ok " KEY_A "\n\nfew 0011\n", "line 3"},
        {"more " KEY_A "00\n", "line 1"},
        {"trail " KEY_A " x\n", "line 1"},
        {"sl/ash " KEY_A "\n", "line 1"},
        {"# nothing\n", "holds no key"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct chunk_keys *k = NULL;
        auto_free char *path = write_file(f, "bad", bad[i].text, strlen(bad[i].text), 0600);
        assert_int_equal(chunk_keys_load(path, &k, &f->err), -EINVAL);
        assert_non_null(strstr(f->err.text, bad[i].says));
        assert_non_null(strstr(f->err.text, path));
        assert_null(strstr(f->err.text, "0001"));
        assert_null(k);
    }
}

static void a_key_file_that_others_may_read_is_refused(void **state)
{
    struct fixture *f = *state;
    struct chunk_keys *k = NULL;
    auto_free char *path = write_file(f, "open", "one " KEY_A "\n", 69, 0640);
    assert_int_equal(chunk_keys_load(path, &k, &f->err), -EACCES);
    assert_non_null(strstr(f->err.text, "chmod 600"));
    assert_int_equal(chunk_keys_load("/nonexistent/keys", &k, &f->err), -ENOENT);
}

/* The vector of an object that lustre-s3-copytool has stored, and its empty file. */
static void a_raw_lz4_block_is_read_with_its_exact_length(void **state)
{
    struct fixture *f = *state;
    uint8_t block[23];
    char out[64];
    assert_int_equal(encode_hex_decode("df68656c6c6f20776f726c642c200d000050776f726c64", block, 23),
                     0);
    assert_int_equal(chunk_decode_lz4_block(block, 23, out, 37, &f->err), 0);
    assert_memory_equal(out, "hello world, hello world, hello world", 37);
    assert_int_equal(chunk_decode_lz4_block(block, 23, out, 36, &f->err), -EBADMSG);
    assert_int_equal(chunk_decode_lz4_block(block, 23, out, 38, &f->err), -EBADMSG);
    assert_int_equal(chunk_decode_lz4_block(block, 22, out, 37, &f->err), -EBADMSG);
    assert_int_equal(chunk_decode_lz4_block("", 1, out, 0, &f->err), 0);
}

static void a_legacy_block_decodes_as_a_chunk(void **state)
{
    struct fixture *f = *state;
    uint8_t block[23];
    char out[64];
    const void *plain = NULL;
    struct chunk_info info = {.codec = CHUNK_LZ4_BLOCK, .plain_size = 37, .stored_size = 23};
    struct chunk_coder *c = chunk_coder_new(CHUNK_RAW, 0, NULL, NULL);
    assert_int_equal(encode_hex_decode("df68656c6c6f20776f726c642c200d000050776f726c64", block, 23),
                     0);
    assert_int_equal(chunk_decode(c, &info, block, 23, NULL, 0, out, 37, false, &plain, &f->err),
                     0);
    assert_memory_equal(plain, "hello world, hello world, hello world", 37);
    chunk_coder_free(c);
}

static void codec_names_lead_back_and_old_blocks_are_not_written(void **state)
{
    (void)state;
    for (enum chunk_codec c = CHUNK_RAW; c <= CHUNK_LZ4_BLOCK; c++) {
        enum chunk_codec found = CHUNK_RAW;
        assert_int_equal(chunk_codec_parse(chunk_codec_name(c), &found), 0);
        assert_int_equal(found, c);
    }
    enum chunk_codec none;
    assert_int_equal(chunk_codec_parse("gzip", &none), -EINVAL);
    assert_null(chunk_coder_new(CHUNK_LZ4_BLOCK, 0, NULL, NULL));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_codec_gives_back_what_it_took),
        T(what_does_not_shrink_is_stored_raw),
        T(a_table_inside_noise_is_still_found),
        T(info_carries_the_canonical_xxh3),
        T(lz4_and_zstd_read_our_chunks),
        T(damage_is_never_taken_for_data),
        T(two_frames_or_bytes_behind_a_frame_are_refused),
        T(an_encrypted_chunk_opens_only_at_its_own_place),
        T(two_chunks_of_the_same_data_look_different_when_encrypted),
        T(a_wrong_or_missing_key_is_named),
        T(keys_are_read_with_comments_and_the_last_is_the_newest),
        T(a_bad_key_file_is_named_with_its_line_but_not_its_key),
        T(a_key_file_that_others_may_read_is_refused),
        T(a_raw_lz4_block_is_read_with_its_exact_length),
        T(a_legacy_block_decodes_as_a_chunk),
        T(codec_names_lead_back_and_old_blocks_are_not_written),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
