/* SPDX-License-Identifier: Apache-2.0 */
/* The texts on tape: labels, coherency attribute, index XML both ways, the tree. */
#include "tape_fixture.h"
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char letters[DRIVE_PARTITIONS] = {'a', 'b'};

#define HEAD                                                                                       \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ltfsindex version=\"2.4.0\"><creator>x</creator>"  \
    "<volumeuuid>30a91a08-daae-48d1-ae75-69804e61d2ea</volumeuuid>"                                \
    "<generationnumber>3</generationnumber><updatetime>2024-01-02T03:04:05.123456789Z"             \
    "</updatetime><location><partition>b</partition><startblock>8</startblock></location>"         \
    "<previousgenerationlocation><partition>b</partition><startblock>5</startblock>"               \
    "</previousgenerationlocation><allowpolicyupdate>true</allowpolicyupdate>"                     \
    "<highestfileuid>9</highestfileuid><volumelockstate>unlocked</volumelockstate>"
#define DIR_TIMES                                                                                  \
    "<readonly>false</readonly><creationtime>2024-01-02T03:04:05.000000000Z</creationtime>"        \
    "<changetime>2024-01-02T03:04:05.000000000Z</changetime>"                                      \
    "<modifytime>2024-01-02T03:04:05.000000000Z</modifytime>"                                      \
    "<accesstime>2024-01-02T03:04:05.000000000Z</accesstime>"                                      \
    "<backuptime>2024-01-02T03:04:05.000000000Z</backuptime>"
#define ROOT "<directory><name>vol</name>" DIR_TIMES "<fileuid>1</fileuid>"
#define EXTENT(off, part, block, byte, count)                                                      \
    "<extent><fileoffset>" off "</fileoffset><partition>" part "</partition><startblock>" block    \
    "</startblock><byteoffset>" byte "</byteoffset><bytecount>" count "</bytecount></extent>"
#define TAIL "</contents></directory></ltfsindex>"

static int parse(const char *text, struct ltfs_index *ix, struct err *err)
{
    *ix = (struct ltfs_index){0};
    err_clear(err);
    struct ltfs_parser *p = ltfs_parser_new(ix, letters, 65536, false);
    int rc = 0;
    for (const char *s = text; rc == 0 && *s != '\0'; s++) /* byte by byte: pieces do not matter */
        rc = ltfs_parser_feed(p, s, 1, false, err);
    if (rc == 0)
        rc = ltfs_parser_feed(p, "", 0, true, err);
    ltfs_parser_free(p);
    return rc;
}

static void assert_refused(const char *text, const char *why)
{
    struct ltfs_index ix;
    struct err err = {0};
    assert_int_equal(parse(text, &ix, &err), -EBADMSG);
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    ltfs_index_fini(&ix);
}

static void an_index_of_another_writer_is_read(void **state)
{
    struct ltfs_index ix;
    struct err err = {0};
    (void)state;
    int rc =
        parse(HEAD ROOT
              "<contents><unknown><file><name>not me</name></file></unknown>"
              "<file><name percentencoded=\"true\">a%20b%3Ac</name><length>100</length>" DIR_TIMES
              "<openforwrite>false</openforwrite><fileuid>7</fileuid><extendedattributes>"
              "<xattr><key>k</key><value type=\"base64\">AAEC\nAw==</value></xattr>"
              "<xattr><key>t</key><value>text</value></xattr></extendedattributes>"
              "<extentinfo>" EXTENT("50", "b", "8", "1000", "50")
                  EXTENT("0", "a", "7", "0",
                         "10") "</extentinfo></file>"
                               "<file><name>link</name><length>4</length>" DIR_TIMES
                               "<fileuid>8</fileuid><symlink>x/y</symlink></file>" TAIL,
              &ix, &err);
    assert_ok(rc, err);
    assert_int_equal(ix.generation, 3);
    assert_int_equal(ix.self.block, 8);
    assert_int_equal(ix.previous.block, 5);
    assert_int_equal(ix.tree.highest_uid, 9);
    assert_int_equal(ix.tree.files, 2);
    struct ltfs_node *n = ltfs_tree_find(&ix.tree, ix.tree.root, "a b:c", 5);
    assert_non_null(n);
    assert_int_equal(n->uid, 7);
    assert_int_equal(n->extent_count, 2);
    assert_int_equal(n->u.extents[0].partition, 0); /* sorted by file offset */
    assert_int_equal(n->u.extents[1].byteoffset, 1000);
    const void *value;
    size_t len;
    assert_int_equal(ltfs_get_xattr(n, "k", &value, &len), 0);
    assert_int_equal(len, 4);
    assert_memory_equal(value, "\0\1\2\3", 4);
    n = ltfs_tree_find(&ix.tree, ix.tree.root, "link", 4);
    assert_string_equal(ltfs_symlink_target(n), "x/y");
    ltfs_index_fini(&ix);
}

static void version_2_5_is_read_and_incremental_indexes_are_passed_over(void **state)
{
    struct ltfs_index ix;
    struct err err = {0};
    (void)state;
    auto_free char *text = xstrdup(HEAD ROOT "<contents>" TAIL);
    memcpy(strstr(text, "2.4.0"), "2.5.1", 5);
    assert_ok(parse(text, &ix, &err), err);
    ltfs_index_fini(&ix);
    assert_int_equal(parse("<ltfsincrementalindex version=\"2.5.0\">", &ix, &err),
                     LTFS_PARSER_OTHER);
    ltfs_index_fini(&ix);
}

static void a_bad_index_is_refused_with_a_reason(void **state)
{
    (void)state;
    assert_refused("", "no element");
    assert_refused("<html></html>", "no LTFS index");
    assert_refused("<ltfsindex version=\"1.0\"></ltfsindex>", "version");
    assert_refused(HEAD "</ltfsindex>", "root directory is missing");
    assert_refused(HEAD ROOT "<contents>", "no element");
    assert_refused(HEAD ROOT "<contents></contents></directory>" ROOT TAIL, "two root");
    assert_refused("<!DOCTYPE ltfsindex [<!ENTITY a \"b\">]>" HEAD ROOT "<contents>" TAIL, "");
    assert_refused(HEAD ROOT "<contents><file><length>1</length></file>" TAIL, "no proper name");
    assert_refused(HEAD ROOT "<contents><file><name>..</name></file>" TAIL, "no proper name");
    assert_refused(HEAD ROOT
                   "<contents><file><name percentencoded=\"true\">a%2Fb</name></file>" TAIL,
                   "no proper name");
    assert_refused(HEAD ROOT "<contents><file><name percentencoded=\"true\">%0</name></file>" TAIL,
                   "percent");
    assert_refused(HEAD ROOT
                   "<contents><file><name>a</name></file><file><name>a</name></file>" TAIL,
                   "same name");
    assert_refused(HEAD ROOT "<contents><file><name>a</name><length>-1</length></file>" TAIL,
                   "number");
    assert_refused(
        HEAD ROOT "<contents><file><name>a</name><length>99999999999999999999</length></file>" TAIL,
        "number");
    assert_refused(HEAD ROOT
                   "<contents><file><name>a</name><creationtime>now</creationtime></file>" TAIL,
                   "time");
#define FILE_OF(len, extents)                                                                      \
    HEAD ROOT "<contents><file><name>a</name><length>" len "</length><extentinfo>" extents         \
              "</extentinfo></file>" TAIL
    assert_refused(FILE_OF("10", EXTENT("0", "b", "7", "0", "11")), "length");
    assert_refused(FILE_OF("10", EXTENT("18446744073709551615", "b", "7", "0", "5")), "length");
    assert_refused(FILE_OF("20", EXTENT("0", "b", "7", "0", "10") EXTENT("9", "b", "9", "0", "5")),
                   "overlap");
    assert_refused(FILE_OF("20", EXTENT("0", "c", "7", "0", "10")), "extent");
    assert_refused(FILE_OF("20", EXTENT("0", "b", "7", "65536", "10")), "extent");
    assert_refused(FILE_OF("20", EXTENT("0", "b", "7", "0", "0")), "extent");
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    auto_buf struct buf b = {0};
    buf_adds(&b, HEAD ROOT "<contents>");
    for (unsigned i = 0; i < 600; i++)
        buf_addf(&b, "<directory><name>d%u</name><contents>", i);
    assert_refused(b.data, "too deep");
    buf_reset(&b);
    buf_adds(&b, HEAD);
    for (unsigned i = 0; i < 600; i++)
        buf_adds(&b, "<x>");
    assert_refused(b.data, "too deep");
}

static int collect(void *arg, const void *data, size_t len, struct err *err)
{
    (void)err;
    buf_add(arg, data, len);
    return 0;
}

static void what_is_written_reads_back_the_same(void **state)
{
    struct ltfs_index ix;
    struct ltfs_index again;
    struct err err = {0};
    auto_buf struct buf first = {0};
    auto_buf struct buf second = {0};
    (void)state;
    assert_ok(parse(HEAD "<dataplacementpolicy><indexpartitioncriteria><size>1024</size>"
                         "<name>*.txt</name><name>b</name></indexpartitioncriteria>"
                         "</dataplacementpolicy><comment>&lt;hi&gt;</comment>" ROOT
                         "<contents><directory><name>d</name>" DIR_TIMES
                         "<fileuid>4</fileuid><contents></contents></directory>"
                         "<file><name>s</name><length>4</length>" DIR_TIMES
                         "<fileuid>8</fileuid><symlink>x/y</symlink></file>" TAIL,
                    &ix, &err),
              err);
    assert_ok(ltfs_xml_write(&ix, letters, 100, collect, &first, &err), err);
    assert_ok(parse(first.data, &again, &err), err);
    assert_string_equal(again.policy_size, "1024");
    assert_string_equal(again.policy_names, "*.txt\nb");
    assert_string_equal(again.comment, "<hi>");
    assert_int_equal(again.update_time_ns, ix.update_time_ns);
    assert_ok(ltfs_xml_write(&again, letters, 65536, collect, &second, &err), err);
    assert_string_equal(first.data, second.data);
    first.data[first.len / 2] ^= 1; /* somewhere in the text */
    ltfs_index_fini(&again);
    assert_int_equal(parse(first.data, &again, &err), -EBADMSG);
    ltfs_index_fini(&again);
    ltfs_index_fini(&ix);
}

static void labels_are_as_the_format_says(void **state)
{
    struct ltfs_label l = {.version = "2.4.0",
                           .creator = "firn 1 - Linux - x",
                           .uuid = uuid_new(),
                           .format_time_ns = 1700000000123456789LL,
                           .location = 'b',
                           .index_letter = 'a',
                           .data_letter = 'b',
                           .blocksize = 524288,
                           .compression = true};
    struct ltfs_label got = {0};
    struct err err = {0};
    char vol1[LTFS_VOL1_BYTES];
    auto_buf struct buf xml = {0};
    const char *what = "";
    (void)state;
    ltfs_label_make_vol1("ABC", vol1);
    assert_memory_equal(vol1,
                        "VOL1ABC   L             LTFS                                            "
                        "       4",
                        LTFS_VOL1_BYTES);
    assert_ok(ltfs_label_parse_vol1(vol1, sizeof(vol1), &got, &err), err);
    assert_string_equal(got.volume_id, "ABC");
    vol1[24] = 'X';
    assert_int_equal(ltfs_label_parse_vol1(vol1, sizeof(vol1), &got, &err), -EBADMSG);
    assert_int_equal(ltfs_label_parse_vol1(vol1, 79, &got, &err), -EBADMSG);
    ltfs_label_make_xml(&l, &xml);
    assert_ok(ltfs_label_parse_xml(xml.data, xml.len, &got, &err), err);
    (void)snprintf(l.volume_id, sizeof(l.volume_id), "ABC");
    l.location = 'a';
    assert_true(ltfs_label_same(&l, &got, &what));
    got.blocksize = 4096;
    assert_false(ltfs_label_same(&l, &got, &what));
    assert_string_equal(what, "blocksize");
    for (size_t i = 0; i < xml.len; i++) { /* a cut label is refused, never believed */
        if (i < xml.len - 1)
            assert_int_equal(ltfs_label_parse_xml(xml.data, i, &got, &err), -EBADMSG);
    }
}

static void the_coherency_attribute_is_as_the_format_says(void **state)
{
    struct ltfs_coherency c = {.vcr = 0x01020304, .generation = 7, .block = 5, .version = 1};
    struct ltfs_coherency got = {0};
    uint8_t raw[LTFS_COHERENCY_BYTES];
    (void)state;
    assert_int_equal(uuid_parse("30a91a08-daae-48d1-ae75-69804e61d2ea", &c.uuid), 0);
    ltfs_coherency_pack(&c, raw);
    assert_int_equal(sizeof(raw), 0x46);
    assert_memory_equal(raw, "\x08\0\0\0\0\1\2\3\4\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\5\0\x2bLTFS\0",
                        32);
    assert_memory_equal(raw + 32, "30a91a08-daae-48d1-ae75-69804e61d2ea\0\1", 38);
    assert_int_equal(ltfs_coherency_unpack(raw, sizeof(raw), &got), 0);
    assert_memory_equal(&got, &c, sizeof(c));
    assert_int_equal(ltfs_coherency_unpack(raw, sizeof(raw) - 1, &got), -EBADMSG);
    raw[69] = 0;
    assert_int_equal(ltfs_coherency_unpack(raw, sizeof(raw), &got), -EBADMSG);
}

static void the_tree_finds_and_forgets_many_nodes(void **state)
{
    struct ltfs_tree t;
    char name[32];
    (void)state;
    ltfs_tree_init(&t, "r", 1);
    struct ltfs_node *dir = ltfs_tree_add(&t, t.root, "dir", 3, LTFS_NODE_DIR, 0);
    for (unsigned i = 0; i < 20000; i++) {
        int n = snprintf(name, sizeof(name), "%u", i);
        assert_non_null(ltfs_tree_add(&t, i % 2 ? dir : t.root, name, (size_t)n, 0, 0));
    }
    for (unsigned i = 0; i < 20000; i += 3) {
        int n = snprintf(name, sizeof(name), "%u", i);
        ltfs_tree_remove(&t, ltfs_tree_find(&t, i % 2 ? dir : t.root, name, (size_t)n));
    }
    for (unsigned i = 0; i < 20000; i++) {
        int n = snprintf(name, sizeof(name), "%u", i);
        struct ltfs_node *found = ltfs_tree_find(&t, i % 2 ? dir : t.root, name, (size_t)n);
        assert_int_equal(found != NULL, i % 3 != 0);
        assert_null(ltfs_tree_find(&t, i % 2 ? t.root : dir, name, (size_t)n));
    }
    assert_int_equal(t.files, 13333);
    ltfs_tree_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_of_another_writer_is_read),
        cmocka_unit_test(version_2_5_is_read_and_incremental_indexes_are_passed_over),
        cmocka_unit_test(a_bad_index_is_refused_with_a_reason),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(labels_are_as_the_format_says),
        cmocka_unit_test(the_coherency_attribute_is_as_the_format_says),
        cmocka_unit_test(the_tree_finds_and_forgets_many_nodes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
