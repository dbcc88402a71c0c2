/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes on tape: reading the one at a block, finding the newest from the end of data backwards,
 * writing one.
 *
 * A data record can be taken for an index only if it follows a file mark, holds the volume's own
 * uuid (which is told to nobody but readers of the tape) and its own block number.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/crash.h"
#include "base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Feeds the records from the head to the next file mark to parser p. */
static int feed_records(struct ltfs_volume *v, struct ltfs_parser *p, struct ltfs_found *f,
                        struct err *err)
{
    int parsed = 0;
    for (;;) {
        size_t len;
        int rc = drive_read_record(v->drive, v->cache, v->label.blocksize, &len, err);
        f->closed = rc == DRIVE_FILEMARK;
        if (rc == DRIVE_FILEMARK || rc == DRIVE_END_OF_DATA)
            break;
        if (rc == -EMSGSIZE)
            return err_set(err, -EBADMSG, "a record is longer than the volume's blocksize");
        if (rc < 0)
            return rc;
        if (parsed == 0)
            parsed = ltfs_parser_feed(p, v->cache, len, false, err);
        if (parsed != 0)
            return parsed;
    }
    return ltfs_parser_feed(p, v->cache, 0, true, err);
}

static int check_self(struct ltfs_volume *v, unsigned p, uint64_t block,
                      const struct ltfs_index *ix, struct err *err)
{
    if (memcmp(ix->uuid.b, v->label.uuid.b, UUID_BYTES) != 0)
        return err_set(err, -EBADMSG, "the index is that of another volume");
    if (ix->self.letter != v->letters[p] || ix->self.block != block)
        return err_set(err, -EBADMSG, "the index says it is at partition %c block %" PRIu64,
                       ix->self.letter, ix->self.block);
    return 0;
}

int ltfs_index_read(struct ltfs_volume *v, unsigned p, uint64_t block, bool head_only,
                    struct ltfs_found *f, struct err *err)
{
    struct drive_position pos = {0};

    ltfs_index_fini(&f->index);
    f->ok = false;
    f->block = block;
    v->cache_len = 0;
    int rc = ltfs_head_to(v, p, block, err);
    if (rc < 0)
        return rc;
    v->head_known = false;
    struct ltfs_parser *parser =
        ltfs_parser_new(&f->index, v->letters, v->label.blocksize, head_only);
    rc = feed_records(v, parser, f, err);
    ltfs_parser_free(parser);
    if (rc == LTFS_PARSER_HEAD)
        rc = 0;
    if (rc == 0)
        rc = check_self(v, p, block, &f->index, err);
    if (rc == 0)
        rc = drive_position(v->drive, &pos, err);
    if (rc < 0)
        return err_wrap(err, rc, "cartridge %s: partition %c block %" PRIu64, v->barcode,
                        drive_letter(p), block);
    f->end = pos.block;
    f->ok = rc == 0;
    return rc;
}

/* Remembers the first place where an index was expected and not found. */
static void note_failure(struct ltfs_found *f, const struct err *why)
{
    if (f->failed++ == 0)
        f->why = *why;
}

int ltfs_index_find(struct ltfs_volume *v, unsigned p, struct ltfs_found *f, struct err *err)
{
    struct drive_position pos;

    v->head_known = false;
    int rc = drive_locate_eod(v->drive, p, err);
    if (rc >= 0)
        rc = drive_position(v->drive, &pos, err);
    if (rc < 0)
        return rc;
    f->eod = pos.block;
    for (uint64_t before = f->eod;; before = pos.block) {
        struct err why = {0};
        rc = drive_space_filemarks(v->drive, -1, err);
        if (rc == DRIVE_BEGINNING)
            return 0;
        if (rc >= 0)
            rc = drive_position(v->drive, &pos, err);
        if (rc < 0)
            return rc;
        if (pos.block < LTFS_FIRST_INDEX)
            return 0; /* the marks of the label */
        const uint64_t block = pos.block + 1;
        if (block >= before)
            continue; /* nothing between two marks, or behind the last one */
        if (ltfs_index_read(v, p, block, false, f, &why) == 0)
            return 0;
        if (why.code != 0)
            note_failure(f, &why);
        rc = drive_locate(v->drive, p, pos.block, err);
        if (rc < 0)
            return rc;
    }
}

static int write_piece(void *arg, const void *data, size_t len, struct err *err)
{
    struct ltfs_volume *v = arg;
    int rc = drive_write_record(v->drive, data, len, err);
    return rc == DRIVE_EARLY_WARNING ? 0 : rc;
}

static int write_mark(struct ltfs_volume *v, struct err *err)
{
    int rc = drive_write_filemarks(v->drive, 1, err);
    return rc == DRIVE_EARLY_WARNING ? 0 : rc;
}

/* Writes mark, records, mark at the head, which stands before block of partition p. */
static int write_construct(struct ltfs_volume *v, unsigned p, uint64_t block, struct err *err)
{
    v->index.self = (struct ltfs_pointer){.letter = v->letters[p], .block = block + 1};
    v->head_known = false;
    v->cache_len = 0;
    int rc = write_mark(v, err);
    if (rc == 0 && p == v->index_part)
        crash_point(CRASH_index_index_begin);
    if (rc == 0)
        rc = ltfs_xml_write(&v->index, v->letters, v->label.blocksize, write_piece, v, err);
    if (rc == 0)
        rc = write_mark(v, err);
    if (rc > 0)
        rc = err_set(err, -ENOSPC, "the index does not fit");
    if (rc < 0)
        return err_wrap(err, rc, "cartridge %s: index at partition %c block %" PRIu64, v->barcode,
                        drive_letter(p), block + 1);
    return 0;
}

int ltfs_index_write_data(struct ltfs_volume *v, struct err *err)
{
    int rc = ltfs_head_to_eod(v, err);
    if (rc < 0)
        return rc;
    const uint64_t at = v->data_eod;
    v->eod_known = false;
    rc = write_construct(v, v->data_part, at, err);
    if (rc == 0)
        v->data_index_block = at + 1;
    return rc;
}

int ltfs_index_write_index(struct ltfs_volume *v, struct err *err)
{
    struct ltfs_pointer previous = v->index.previous;
    const uint64_t at =
        v->index_index_block > LTFS_FIRST_INDEX ? v->index_index_block - 1 : LTFS_FIRST_INDEX;

    int rc = ltfs_head_to(v, v->index_part, at, err);
    if (rc < 0)
        return rc;
    v->index_index_block = 0;
    v->index.previous =
        (struct ltfs_pointer){.letter = v->letters[v->data_part], .block = v->data_index_block};
    rc = write_construct(v, v->index_part, at, err);
    v->index.previous = previous;
    if (rc == 0)
        v->index_index_block = at + 1;
    return rc;
}

static int copy_piece(void *arg, const void *data, size_t len, struct err *err)
{
    const int *fd = arg;
    int rc = io_write_full(*fd, data, len);
    return rc < 0 ? err_sys(err, -rc, "writing the index") : 0;
}

int ltfs_index_write(struct ltfs_volume *v, int fd, struct err *err)
{
    const struct ltfs_pointer on_data = {v->letters[v->data_part], v->data_index_block};
    struct ltfs_index ix = v->index;

    if (v->dirty)
        return err_set(err, -EBUSY, "cartridge %s: the index in memory is not on tape yet",
                       v->barcode);
    if (v->index_index_block != 0) { /* else it was read from the data partition, as it is there */
        ix.self = (struct ltfs_pointer){v->letters[v->index_part], v->index_index_block};
        ix.previous = on_data;
    }
    return ltfs_xml_write(&ix, v->letters, v->label.blocksize, copy_piece, &fd, err);
}
