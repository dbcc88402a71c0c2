/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/crc.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Published check values over "123456789". */
static const struct {
    enum digest_alg alg;
    const char *hex;
} vectors[] = {
    {DIGEST_CRC32, "cbf43926"},
    {DIGEST_CRC32C, "e3069283"},
    {DIGEST_CRC64NVME, "ae8b14860a799888"},
    {DIGEST_MD5, "25f9e794323b453885f5181f1b624d0b"},
    {DIGEST_SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
    {DIGEST_SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
};

static void digests_match_published_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t out[DIGEST_MAX];
        char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
        size_t n = digest_of(vectors[i].alg, "123456789", 9, out);
        encode_hex(out, n, hex);
        assert_string_equal(hex, vectors[i].hex);
    }
}

static void a_digest_in_pieces_equals_one_shot(void **state)
{
    (void)state;
    uint8_t data[1000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 13);
    for (int a = 0; a < DIGEST_COUNT; a++) {
        uint8_t whole[DIGEST_MAX];
        uint8_t parts[DIGEST_MAX];
        size_t n = digest_of((enum digest_alg)a, data, sizeof(data), whole);
        assert_int_equal(n, digest_size((enum digest_alg)a));
        auto_digest struct digest *d = digest_new((enum digest_alg)a);
        for (size_t cut = 1; cut < 40; cut++) {
            digest_reset(d);
            for (size_t off = 0; off < sizeof(data); off += cut)
                digest_update(d, data + off, off + cut <= sizeof(data) ? cut : sizeof(data) - off);
            assert_int_equal(digest_final(d, parts), n);
            assert_memory_equal(whole, parts, n);
        }
    }
}

/* Long inputs go another way through the processor than short ones. */
static void crc64_of_long_data_is_that_of_its_bytes_one_by_one(void **state)
{
    (void)state;
    uint8_t data[2000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i * 31 + i / 7);
    for (size_t n = 0; n < sizeof(data) - 3; n += n < 300 ? 1 : 61) {
        uint64_t slow = 0;
        for (size_t i = 0; i < n; i++)
            slow = crc64nvme_update(slow, data + 3 + i, 1);
        assert_true(crc64nvme_update(0, data + 3, n) == slow);
        uint64_t half = crc64nvme_update(0, data + 3, n / 3);
        assert_true(crc64nvme_update(half, data + 3 + n / 3, n - n / 3) == slow);
    }
}

static void hmac_matches_rfc4231_case_2(void **state)
{
    (void)state;
    uint8_t out[32];
    char hex[65];
    digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    encode_hex(out, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    digest_hmac_sha256("", 0, "", 0, out);
    encode_hex(out, 32, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void base64_survives_a_round_trip_at_every_length(void **state)
{
    (void)state;
    uint8_t in[50];
    uint8_t back[50];
    char text[ENCODE_BASE64_SIZE(50)];
    for (size_t n = 0; n <= sizeof(in); n++) {
        memset(in, (int)(0xf0 + n), sizeof(in));
        encode_base64(in, n, text);
        assert_int_equal(strlen(text), ENCODE_BASE64_SIZE(n) - 1);
        assert_int_equal(encode_base64_decode(text, back, sizeof(back)), n);
        assert_memory_equal(in, back, n);
    }
}

static void bad_base64_and_hex_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A", "AAA", "AA=A", "A===", "AAAA=", "AB==", "AAB=", "A A=", "=AAA"};
    uint8_t out[8];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(encode_base64_decode(bad[i], out, sizeof(out)), -EINVAL);
    assert_int_equal(encode_base64_decode("AAAA", out, 2), -ENOSPC);
    assert_int_equal(encode_hex_decode("0g", out, 1), -EINVAL);
    assert_int_equal(encode_hex_decode("000", out, 1), -EINVAL);
    assert_int_equal(encode_hex_decode("fF", out, 1), 0);
    assert_int_equal(out[0], 255);
}

static void names_lead_back_to_algorithms(void **state)
{
    (void)state;
    for (int a = 0; a < DIGEST_COUNT; a++) {
        enum digest_alg found = DIGEST_COUNT;
        assert_int_equal(digest_parse(digest_name((enum digest_alg)a), &found), 0);
        assert_int_equal(found, a);
    }
    enum digest_alg none;
    assert_int_equal(digest_parse("md6", &none), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_match_published_values),
        cmocka_unit_test(a_digest_in_pieces_equals_one_shot),
        cmocka_unit_test(crc64_of_long_data_is_that_of_its_bytes_one_by_one),
        cmocka_unit_test(hmac_matches_rfc4231_case_2),
        cmocka_unit_test(base64_survives_a_round_trip_at_every_length),
        cmocka_unit_test(bad_base64_and_hex_are_refused),
        cmocka_unit_test(names_lead_back_to_algorithms),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
