/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/stager_list.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/action.h"
#include "policy/list.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define COUNT_BYTES (1u << 20)

/* ---- records ---- */

/* Whether line begins as a policy record does: three numbers. */
static bool looks_like_record(const char *line)
{
    const char *p = line;
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)*p))
            return false;
        while (isdigit((unsigned char)*p))
            p++;
        if (*p++ != ' ')
            return false;
    }
    return strstr(p, " -- ") != NULL;
}

static void put_path(struct buf *store, const char *cwd, const char *path)
{
    buf_reset(store);
    if (path[0] != '/') {
        while (strncmp(path, "./", 2) == 0)
            path += 2 + strspn(path + 2, "/");
        buf_adds(store, cwd);
        if (store->len > 0 && store->data[store->len - 1] != '/')
            buf_addc(store, '/');
    }
    buf_adds(store, path);
}

static int take_record(const char *line, size_t len, struct buf *store, struct stager_record *out,
                       struct err *err)
{
    struct policy_record rec;
    buf_reset(store);
    int rc = policy_list_parse(line, len, NULL, store, &rec, err);
    if (rc < 0)
        return rc;
    out->path = rec.path;
    return 1;
}

int stager_record_parse(const char *line, size_t len, bool nul, const char *cwd, struct buf *store,
                        struct stager_record *out, struct err *err)
{
    out->path = NULL;
    out->fid = (struct lu_fid){0};
    if (memchr(line, '\0', len) != NULL)
        return err_set(err, -EINVAL, "a NUL byte in a line (are names separated by them? --null)");
    auto_free char *text = xstrndup(line, len);
    if (text[nul ? 0 : strspn(text, " \t\r")] == '\0')
        return 0;
    if (text[0] == '[' && fid_parse(text, &out->fid) == 0)
        return 1;
    out->fid = (struct lu_fid){0};
    if (!nul && looks_like_record(text))
        return take_record(text, len, store, out, err);
    put_path(store, cwd, text);
    out->path = store->data;
    return 1;
}

/* ---- the stream ---- */

static int lock_list(struct stager_list_reader *r, struct err *err)
{
    struct stat st;
    if (fstat(fileno(r->in), &st) != 0)
        return err_sys(err, errno, "list file %s", r->name);
    if (!S_ISREG(st.st_mode))
        return 0;
    r->size = (uint64_t)st.st_size;
    r->mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
    if (flock(fileno(r->in), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return err_set(err, -EBUSY, "list file %s: another run works on it", r->name);
    return 0;
}

int stager_list_open(const char *name, bool nul, struct stager_list_reader *r, struct err *err)
{
    *r = (struct stager_list_reader){.nul = nul, .owned = strcmp(name, "-") != 0};
    r->name = xstrdup(r->owned ? name : "standard input");
    r->cwd = getcwd(NULL, 0);
    if (r->cwd == NULL)
        r->cwd = xstrdup("/");
    r->in = r->owned ? fopen(name, "re") : stdin;
    int rc = 0;
    if (r->in == NULL)
        rc = err_sys(err, errno, "list file %s", name);
    else if (r->owned)
        rc = lock_list(r, err);
    if (rc < 0)
        stager_list_fini(r);
    return rc;
}

int stager_list_seek(struct stager_list_reader *r, uint64_t ordinal, uint64_t offset,
                     struct err *err)
{
    if (r->size > 0 && fseeko(r->in, (off_t)offset, SEEK_SET) != 0)
        return err_sys(err, errno, "list file %s", r->name);
    for (uint64_t i = r->offset; r->size == 0 && i < offset; i++)
        if (getc(r->in) == EOF)
            return err_set(err, -EINVAL,
                           "%s is shorter than in the run that this one goes on with; give it "
                           "the same list",
                           r->name);
    r->ordinal = ordinal;
    r->offset = offset;
    return 0;
}

int stager_list_next(struct stager_list_reader *r, struct stager_record *out, struct err *err)
{
    int end = r->nul ? '\0' : '\n';
    for (;;) {
        errno = 0;
        ssize_t n = getdelim(&r->line, &r->cap, end, r->in);
        if (n < 0 && ferror(r->in))
            return err_sys(err, errno, "list file %s", r->name);
        if (n <= 0)
            return 0;
        size_t len = (size_t)n - (r->line[n - 1] == end);
        out->offset = r->offset;
        out->ordinal = r->ordinal++;
        r->offset += (uint64_t)n;
        int rc = stager_record_parse(r->line, len, r->nul, r->cwd, &r->store, out, err);
        if (rc < 0)
            return err_wrap(err, rc, "%s:%" PRIu64, r->name, out->ordinal + 1);
        if (rc > 0)
            return 1;
    }
}

uint64_t stager_list_count(struct stager_list_reader *r)
{
    uint64_t n = 0;
    int last = -1;
    int end = r->nul ? '\0' : '\n';
    if (r->size == 0)
        return 0;
    auto_free char *bytes = xzalloc(COUNT_BYTES);
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(fileno(r->in), bytes, COUNT_BYTES, at);
        if (got <= 0)
            break;
        for (const char *p = bytes; (p = memchr(p, end, (size_t)(bytes + got - p))) != NULL; p++)
            n++;
        last = (unsigned char)bytes[got - 1];
        at += got;
    }
    return n + (last >= 0 && last != end);
}

void stager_list_fini(struct stager_list_reader *r)
{
    if (r->owned && r->in != NULL)
        (void)fclose(r->in);
    free(r->name);
    free(r->cwd);
    free(r->line);
    buf_fini(&r->store);
    *r = (struct stager_list_reader){0};
}
