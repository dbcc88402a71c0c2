/* SPDX-License-Identifier: Apache-2.0 */
/* Names, texts and buckets of kind s3, without a store. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct s3_tier *buckets(unsigned n)
{
    struct s3_tier *s = xzalloc(sizeof(*s));
    s->nbuckets = n;
    s->key_prefix = xstrdup("p/");
    s->buckets = xzalloc(n * sizeof(s->buckets[0]));
    for (unsigned i = 0; i < n; i++)
        s->buckets[i] = xasprintf("b_%u", i);
    return s;
}

static void buckets_free(struct s3_tier *s)
{
    for (unsigned i = 0; i < s->nbuckets; i++)
        free(s->buckets[i]);
    free(s->buckets);
    free(s->key_prefix);
    free(s);
}

/* What lustre-s3-copytool computed. */
static void old_objects_lie_where_djb2_says(void **state)
{
    static const struct {
        const char *key, *of8, *of257;
    } vectors[] = {
        {"0000000200000401_00000001_00000000.0", "b_1", "b_173"},
        {"0000000200000401_00000001_00000000.1", "b_2", "b_174"},
        {"0000000200000401_00000002_00000000.0", "b_2", "b_93"},
        {"00000002000013a1_0001fe2c_00000000.12", "b_5", "b_196"},
    };
    struct s3_tier *a = buckets(8);
    struct s3_tier *b = buckets(257);
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        assert_string_equal(s3_legacy_bucket(a, vectors[i].key), vectors[i].of8);
        assert_string_equal(s3_legacy_bucket(b, vectors[i].key), vectors[i].of257);
    }
    buckets_free(a);
    buckets_free(b);
}

static void chunks_spread_evenly_over_the_buckets(void **state)
{
    struct s3_tier *s = buckets(8);
    unsigned count[8] = {0};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct uuid id = uuid_new();
        for (uint64_t n = 0; n < 8; n++)
            count[strtoul(s3_bucket_for(s, &id, &n) + 2, NULL, 10)]++;
    }
    for (int i = 0; i < 8; i++)
        assert_in_range(count[i], 800, 1200);
    buckets_free(s);
}

static void keys_hold_prefix_label_and_id(void **state)
{
    struct s3_tier *s = buckets(1);
    struct uuid id;
    (void)state;
    assert_int_equal(uuid_parse("6c7d2e2a-0000-4000-8000-000000000001", &id), 0);
    auto_free char *bare = s3_key_stem(s, &id, NULL);
    auto_free char *labelled = s3_key_stem(s, &id, "l/f");
    assert_string_equal(bare, "p/6c7d2e2a-0000-4000-8000-000000000001");
    assert_string_equal(labelled, "p/l/f.6c7d2e2a-0000-4000-8000-000000000001");
    buckets_free(s);
}

static void texts_survive_percent_encoding(void **state)
{
    char all[256];
    (void)state;
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    auto_free char *encoded = s3_pct_encode(all);
    auto_free char *decoded = s3_pct_decode(encoded);
    assert_string_equal(decoded, all);
    for (const char *p = encoded; *p != '\0'; p++)
        assert_in_range(*p, 0x21, 0x7e); /* a header's value */
    static const char *const bad[] = {"%", "%1", "%zz", "%00", "a%2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(s3_pct_decode(bad[i]));
}

static void extents_survive_their_text_and_bad_ones_are_refused(void **state)
{
    struct s3_chunk *ch = xzalloc(sizeof(*ch));
    struct s3_chunk *back = xzalloc(sizeof(*back));
    (void)state;
    s3_chunk_add_extent(ch, 5, 10);
    s3_chunk_add_extent(ch, 15, 5); /* joins the first */
    s3_chunk_add_extent(ch, 100, 1);
    auto_free char *text = s3_extents_text(ch);
    assert_string_equal(text, "5+15,100+1");
    assert_int_equal(s3_extents_parse(text, back), 0);
    assert_int_equal(back->nextents, 2);
    assert_int_equal(back->extents[1].off, 100);
    static const char *const bad[] = {"",    "5",     "5+",    "+5",   "5+1,",
                                      "a+b", "5+1 ",  "-1+5",  "5+-1", "99999999999999999999+1",
                                      "5-1", "5+1,,", "5+1;2", " 5+1", "--"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(s3_extents_parse(bad[i], back), -EINVAL);
    s3_chunk_free(ch);
    s3_chunk_free(back);
}

/* f as a store gives it back. */
static void read_back(struct s3_fields *f, struct s3_own *own)
{
    struct err err = {0};
    struct store_reply r = {.meta = f->list, .nmeta = 1};
    assert_string_equal(f->list[0].name, S3_OWN);
    assert_int_equal(s3_own_parse(&r, own, &err), 0);
}

static void names_of_any_bytes_come_back_from_the_metadata(void **state)
{
    char path[] = "a;b=c d%3b\xc3\xa4,\"";
    struct s3_copy c = {.size = 1, .chunk_size = 1, .mode = 0100644, .path = path};
    struct s3_chunk ch = {.info = {.plain_size = 1}};
    struct s3_fields f;
    auto_s3_own struct s3_own own = {0};
    (void)state;
    c.fs = path;
    s3_meta_chunk(&c, &ch, &f);
    assert_null(strpbrk(f.list[0].value, " \"")); /* a space would be signed otherwise than sent */
    read_back(&f, &own);
    auto_free char *back = s3_pct_decode(s3_own_get(&own, "path"));
    assert_string_equal(back, path);
    assert_string_equal(s3_own_get(&own, "v"), "1");
    assert_string_equal(s3_own_get(&own, "chunk"), "0/1");
    assert_string_equal(s3_own_get(&own, "plain"), "1");
}

static void metadata_that_are_no_list_of_ours_are_refused(void **state)
{
    static const char *const bad[] = {"",         "1",       "v",          "v=",     "v=2",
                                      "v=10;a=b", "v=1;",    "v=1;a",      "v=1;=b", "v=1;;a=b",
                                      "a=b;v=1",  "v=1;v=1", "v=1;a=b;a=c"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        struct store_field field = {S3_OWN, bad[i]};
        struct store_reply r = {.meta = &field, .nmeta = 1};
        auto_s3_own struct s3_own own = {0};
        assert_int_equal(s3_own_parse(&r, &own, &err), -EBADMSG);
        assert_true(err.text[0] != '\0');
    }
}

/* However long the names are, the metadata stay what every store takes. */
static void metadata_never_exceed_two_kilobytes(void **state)
{
    char path[5000];
    struct s3_copy c = {.size = 1, .chunk_size = 1, .mode = 0100644, .path = path};
    struct s3_chunk ch = {.info = {.plain_size = 1}};
    (void)state;
    c.fs = xstrdup("fs1");
    c.label = xstrdup("lustre/fs.1/0x200000401:0x1:0x0");
    for (size_t n = 0; n < sizeof(path) - 1; n += 97) {
        struct s3_fields f;
        size_t bytes = 0;
        memset(path, n % 2 ? 'a' : '\xe4', n);
        path[n] = '\0';
        s3_meta_chunk(&c, &ch, &f);
        for (size_t i = 0; i < f.n; i++)
            bytes += 11 + strlen(f.list[i].name) + strlen(f.list[i].value);
        assert_true(bytes <= 2048);
        assert_int_equal(bytes, f.bytes);
        auto_s3_own struct s3_own own = {0};
        read_back(&f, &own);
        assert_int_equal(s3_own_get(&own, "path-cut") != NULL, n * (n % 2 ? 1 : 3) > 1700);
        const char *text = s3_own_get(&own, "path");
        auto_free char *back = s3_pct_decode(text != NULL ? text : "");
        assert_non_null(back); /* never cut inside %XX */
        assert_int_equal(strncmp(back, path, strlen(back)), 0);
    }
    free(c.fs);
    free(c.label);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_objects_lie_where_djb2_says),
        cmocka_unit_test(chunks_spread_evenly_over_the_buckets),
        cmocka_unit_test(keys_hold_prefix_label_and_id),
        cmocka_unit_test(texts_survive_percent_encoding),
        cmocka_unit_test(extents_survive_their_text_and_bad_ones_are_refused),
        cmocka_unit_test(names_of_any_bytes_come_back_from_the_metadata),
        cmocka_unit_test(metadata_that_are_no_list_of_ours_are_refused),
        cmocka_unit_test(metadata_never_exceed_two_kilobytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 texts", tests, NULL, NULL);
}
