/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/stager_resume.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "codec/crc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#define MAGIC     "firn-stager 1"
#define FILE_MAX  (256u << 20)
#define LINES_MAX 20000 /* behind a picture, then a new one is made */

/* A record in work, or one behind the picture's end whose fate is known. */
struct open_record {
    uint64_t ordinal, offset;
    bool sent;
    bool ended; /* only of an earlier run: need not be looked at again */
    UT_hash_handle hh;
};

struct stager_resume {
    char *path;
    struct stager_resume_id id;
    int fd;
    struct open_record *records;        /* in work, or ended behind the earlier run's picture */
    struct stager_resumed sums;         /* found: of this run and all before */
    uint64_t next_ordinal, next_offset; /* the first record that was never read */
    uint64_t old_ordinal; /* the earlier run's next_ordinal: below, only records in work count */
    uint64_t report_len;
    struct buf ends; /* lines not written yet: they wait for the report's */
    size_t nlines;   /* behind the picture */
};

static struct open_record *find(const struct stager_resume *r, uint64_t ordinal)
{
    struct open_record *o = NULL;
    HASH_FIND(hh, r->records, &ordinal, sizeof(ordinal), o);
    return o;
}

static struct open_record *add(struct stager_resume *r, uint64_t ordinal, uint64_t offset)
{
    struct open_record *o = find(r, ordinal);
    if (o == NULL) {
        o = xzalloc(sizeof(*o));
        o->ordinal = ordinal;
        HASH_ADD(hh, r->records, ordinal, sizeof(o->ordinal), o);
    }
    o->offset = offset;
    return o;
}

static void drop(struct stager_resume *r, struct open_record *o)
{
    HASH_DEL(r->records, o);
    free(o);
}

static void free_records(struct stager_resume *r)
{
    struct open_record *o = NULL;
    struct open_record *tmp = NULL;
    HASH_ITER (hh, r->records, o, tmp)
        drop(r, o);
}

static void count_end(struct stager_resumed *s, unsigned result, uint64_t size)
{
    s->ended++;
    s->results[result]++;
    if (result == STAGER_DONE)
        s->bytes_done += size;
}

/* ---- reading ---- */

struct parser {
    const char *p, *end;
};

/* The next whole line, without its end, into *line; false when there is none. */
static bool next_line(struct parser *x, const char **line, size_t *len)
{
    const char *nl = x->p < x->end ? memchr(x->p, '\n', (size_t)(x->end - x->p)) : NULL;
    if (nl == NULL)
        return false;
    *line = x->p;
    *len = (size_t)(nl - x->p);
    x->p = nl + 1;
    return true;
}

/* The line word followed by n numbers, each behind one blank. */
static bool numbers(const char *line, size_t len, const char *word, uint64_t *out, size_t n)
{
    char text[256];
    size_t w = strlen(word);
    if (len >= sizeof(text) || len < w || memcmp(line, word, w) != 0)
        return false;
    memcpy(text, line + w, len - w);
    text[len - w] = '\0';
    const char *p = text;
    for (size_t i = 0; i < n; i++) {
        char *end = NULL;
        if (p[0] != ' ' || p[1] < '0' || p[1] > '9')
            return false;
        errno = 0;
        out[i] = strtoull(p + 1, &end, 10);
        if (errno != 0)
            return false;
        p = end;
    }
    return *p == '\0';
}

static bool wanted(struct parser *x, const char *word, uint64_t *out, size_t n)
{
    const char *line = NULL;
    size_t len = 0;
    return next_line(x, &line, &len) && numbers(line, len, word, out, n);
}

/* The lines of the picture between its head and its end. */
static int parse_records(struct stager_resume *r, struct parser *x, const char *begin)
{
    uint64_t v[3];
    for (;;) {
        const char *line = NULL;
        size_t len = 0;
        const char *at = x->p;
        if (!next_line(x, &line, &len))
            return -EINVAL;
        if (numbers(line, len, "end", v, 1))
            return v[0] == crc32c_update(0, begin, (size_t)(at - begin)) ? 0 : -EINVAL;
        if (!numbers(line, len, "open", v, 3) || v[2] > 1 || v[0] >= r->next_ordinal ||
            v[1] > r->next_offset)
            return -EINVAL;
        add(r, v[0], v[1])->sent = v[2] == 1;
    }
}

static int parse_picture(struct stager_resume *r, struct parser *x)
{
    const char *begin = x->p;
    const char *line = NULL;
    size_t len = 0;
    uint64_t v[STAGER_RESULTS + 1];
    if (!next_line(x, &line, &len) || len != strlen(MAGIC) || memcmp(line, MAGIC, len) != 0)
        return -EINVAL;
    if (!wanted(x, "run", v, 4) || v[0] > STAGER_CANCEL)
        return -EINVAL;
    r->id =
        (struct stager_resume_id){(enum stager_action)v[0], (uint32_t)v[1], v[2], (int64_t)v[3]};
    if (!wanted(x, "ended", v, STAGER_RESULTS + 1))
        return -EINVAL;
    for (size_t i = 0; i < STAGER_RESULTS; i++) {
        r->sums.results[i] = v[i];
        r->sums.ended += v[i];
    }
    r->sums.bytes_done = v[STAGER_RESULTS];
    if (!wanted(x, "report", &r->report_len, 1) || !wanted(x, "next", v, 2))
        return -EINVAL;
    r->next_ordinal = v[0];
    r->next_offset = v[1];
    return parse_records(r, x, begin);
}

static void replay_end(struct stager_resume *r, const uint64_t *v)
{
    struct open_record *o = find(r, v[0]);
    if (v[1] >= STAGER_RESULTS || (o == NULL && v[0] < r->next_ordinal) || (o != NULL && o->ended))
        return;
    if (o == NULL)
        o = add(r, v[0], 0);
    o->ended = true;
    count_end(&r->sums, (unsigned)v[1], v[2]);
}

/* What happened since the picture. Records behind it are known by their number only. */
static void replay(struct stager_resume *r, struct parser *x)
{
    const char *line = NULL;
    size_t len = 0;
    uint64_t v[3];
    while (next_line(x, &line, &len)) {
        if (numbers(line, len, "s", v, 1)) {
            struct open_record *o = find(r, v[0]);
            if (o == NULL && v[0] >= r->next_ordinal)
                o = add(r, v[0], 0);
            if (o != NULL)
                o->sent = true;
        } else if (numbers(line, len, "e", v, 3)) {
            replay_end(r, v);
        } else if (numbers(line, len, "r", v, 1)) {
            r->report_len = v[0];
        } else if (numbers(line, len, "k", v, 1)) {
            add(r, v[0], 0)->ended = true;
        } else {
            return; /* torn: nothing behind it is believed */
        }
    }
}

/* Where to begin reading: at the first record that is not ended. */
static void find_begin(struct stager_resume *r)
{
    struct open_record *o = NULL;
    struct open_record *tmp = NULL;
    r->sums.ordinal = r->next_ordinal;
    r->sums.offset = r->next_offset;
    HASH_ITER (hh, r->records, o, tmp) {
        if (o->ended || o->ordinal >= r->sums.ordinal)
            continue;
        r->sums.ordinal = o->ordinal;
        r->sums.offset = o->offset;
    }
}

static bool is_other(const struct stager_resume_id *a, const struct stager_resume_id *b)
{
    return a->action != b->action || a->archive_id != b->archive_id ||
           a->list_size != b->list_size || a->list_mtime_ns != b->list_mtime_ns;
}

int stager_resume_parse(const char *text, size_t len, const struct stager_resume_id *id,
                        struct stager_resume **out, struct stager_resumed *found, struct err *err)
{
    struct stager_resume *r = xzalloc(sizeof(*r));
    struct parser x = {text, text + len};
    r->fd = -1;
    int rc = parse_picture(r, &x);
    if (rc < 0)
        rc = err_set(err, rc, "it is damaged");
    else if (id != NULL && is_other(&r->id, id))
        rc = err_set(err, -ESTALE,
                     "it belongs to %s of another list, or the list was changed; finish that run, "
                     "or give --restart to begin anew",
                     stager_action_name(r->id.action));
    if (rc < 0) {
        stager_resume_close(r, false);
        return rc;
    }
    replay(r, &x);
    find_begin(r);
    r->old_ordinal = r->next_ordinal;
    r->sums.found = true;
    r->sums.report_len = r->report_len;
    *found = r->sums;
    *out = r;
    return 0;
}

/* ---- writing ---- */

static void picture_text(const struct stager_resume *r, struct buf *b)
{
    buf_addf(b, MAGIC "\nrun %d %" PRIu32 " %" PRIu64 " %" PRId64 "\nended", (int)r->id.action,
             r->id.archive_id, r->id.list_size, r->id.list_mtime_ns);
    for (size_t i = 0; i < STAGER_RESULTS; i++)
        buf_addf(b, " %" PRIu64, r->sums.results[i]);
    buf_addf(b, " %" PRIu64 "\nreport %" PRIu64 "\nnext %" PRIu64 " %" PRIu64 "\n",
             r->sums.bytes_done, r->report_len, r->next_ordinal, r->next_offset);
    struct open_record *o = NULL;
    struct open_record *tmp = NULL;
    struct open_record *head = r->records;
    HASH_ITER (hh, head, o, tmp) {
        if (!o->ended && o->ordinal < r->next_ordinal)
            buf_addf(b, "open %" PRIu64 " %" PRIu64 " %d\n", o->ordinal, o->offset, o->sent);
    }
    buf_addf(b, "end %" PRIu32 "\n", crc32c_update(0, b->data, b->len));
    /* ended in an earlier run, and not come across again yet */
    HASH_ITER (hh, head, o, tmp) {
        if (o->ended && o->ordinal >= r->next_ordinal)
            buf_addf(b, "k %" PRIu64 "\n", o->ordinal);
    }
}

static int write_picture(struct stager_resume *r, struct err *err)
{
    auto_buf struct buf b = {0};
    auto_free char *dir_text = xstrdup(r->path);
    auto_free char *base_text = xstrdup(r->path);
    picture_text(r, &b);
    const char *base = basename(base_text);
    auto_close int dir = open(dirname(dir_text), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, errno, "resume file %s", r->path);
    int rc = io_replace_durable(dir, base, b.data, b.len, 0600, err);
    if (rc < 0)
        return err_wrap(err, rc, "resume file %s", r->path);
    if (r->fd >= 0)
        (void)close(r->fd);
    r->fd = openat(dir, base, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (r->fd < 0)
        return err_sys(err, errno, "resume file %s", r->path);
    buf_reset(&r->ends);
    r->nlines = 0;
    return 0;
}

static int write_lines(struct stager_resume *r, struct buf *lines, struct err *err)
{
    if (lines->len == 0)
        return 0;
    int rc = io_write_full(r->fd, lines->data, lines->len);
    buf_reset(lines);
    return rc < 0 ? err_sys(err, -rc, "resume file %s", r->path) : 0;
}

/* ---- the door ---- */

static int read_old(const char *path, const struct stager_resume_id *id, struct stager_resume **out,
                    struct stager_resumed *found, struct err *err)
{
    auto_free char *text = NULL;
    size_t len = 0;
    if (access(path, F_OK) != 0)
        return 0;
    int rc = io_read_file(AT_FDCWD, path, FILE_MAX, &text, &len, err);
    if (rc == 0)
        rc = stager_resume_parse(text, len, id, out, found, err);
    if (rc == -EINVAL) {
        found->damaged = true;
        return 0;
    }
    return rc < 0 ? err_wrap(err, rc, "resume file %s", path) : 0;
}

int stager_resume_open(const char *path, const struct stager_resume_id *id, bool restart,
                       struct stager_resume **out, struct stager_resumed *found, struct err *err)
{
    struct stager_resume *r = NULL;
    *found = (struct stager_resumed){0};
    int rc = restart ? 0 : read_old(path, id, &r, found, err);
    if (rc < 0)
        return rc;
    if (r == NULL) {
        r = xzalloc(sizeof(*r));
        r->id = *id;
        r->fd = -1;
    }
    r->path = xstrdup(path);
    rc = write_picture(r, err); /* anew: what is torn at the old one's end must not stay */
    if (rc < 0) {
        stager_resume_close(r, false);
        return rc;
    }
    *out = r;
    return 0;
}

bool stager_resume_take(struct stager_resume *r, uint64_t ordinal, uint64_t offset,
                        uint64_t next_offset, bool *sent)
{
    struct open_record *o = find(r, ordinal);
    bool known = o != NULL;
    bool wanted_now = known ? !o->ended : ordinal >= r->old_ordinal;
    *sent = known && o->sent;
    if (wanted_now)
        (void)add(r, ordinal, offset);
    else if (known)
        drop(r, o);
    if (ordinal >= r->next_ordinal) {
        r->next_ordinal = ordinal + 1;
        r->next_offset = next_offset;
    }
    return wanted_now;
}

int stager_resume_sent(struct stager_resume *r, const uint64_t *ordinals, size_t n, struct err *err)
{
    auto_buf struct buf lines = {0};
    for (size_t i = 0; i < n; i++) {
        struct open_record *o = find(r, ordinals[i]);
        if (o != NULL && !o->sent) {
            o->sent = true;
            buf_addf(&lines, "s %" PRIu64 "\n", ordinals[i]);
            r->nlines++;
        }
    }
    return write_lines(r, &lines, err);
}

void stager_resume_ended(struct stager_resume *r, uint64_t ordinal, enum stager_result result,
                         uint64_t size)
{
    struct open_record *o = find(r, ordinal);
    if (o == NULL)
        return;
    buf_addf(&r->ends, "e %" PRIu64 " %d %" PRIu64 "\n", ordinal, (int)result, size);
    r->nlines++;
    count_end(&r->sums, result, size);
    drop(r, o);
}

int stager_resume_flush(struct stager_resume *r, uint64_t report_len, bool picture, struct err *err)
{
    if (picture || r->nlines >= LINES_MAX) {
        r->report_len = report_len;
        return write_picture(r, err);
    }
    if (report_len != r->report_len) {
        r->report_len = report_len;
        buf_addf(&r->ends, "r %" PRIu64 "\n", report_len);
    }
    return write_lines(r, &r->ends, err);
}

void stager_resume_close(struct stager_resume *r, bool complete)
{
    if (r == NULL)
        return;
    if (complete && r->path != NULL)
        (void)unlink(r->path);
    if (r->fd >= 0)
        (void)close(r->fd);
    free_records(r);
    buf_fini(&r->ends);
    free(r->path);
    free(r);
}
