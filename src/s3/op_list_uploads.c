/* SPDX-License-Identifier: Apache-2.0 */
/* ListMultipartUploads. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3/page.h"
#include "s3/upload.h"
#include "codec/xml.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UPLOADS_MAX 200000 /* in one bucket, that a listing looks at */

struct found {
    char *key;
    int64_t created_ns;
    char id[KEY_UPLOAD_ID_LEN + 1];
    char class[META_CLASS_MAX];
};

struct list {
    struct found *v;
    size_t n;
};

static void list_fini(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].key);
    free(l->v);
}

/* Order: key, start time, id. */
static int by_key(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    int d = strcmp(x->key, y->key);
    if (d == 0)
        d = (x->created_ns > y->created_ns) - (x->created_ns < y->created_ns);
    return d != 0 ? d : strcmp(x->id, y->id);
}

static void add_found(struct s3_call *c, const char *id, const char *prefix, struct list *l)
{
    auto_upload struct upload u;
    upload_init(&u);
    if (upload_open(c->dir, id, &u, NULL) < 0 || strncmp(u.key, prefix, strlen(prefix)) != 0)
        return;
    l->v = xrealloc_array(l->v, l->n + 1, sizeof *l->v);
    struct found *f = &l->v[l->n++];
    *f = (struct found){.created_ns = u.created_ns};
    f->key = take_ptr(u.key);
    (void)snprintf(f->id, sizeof f->id, "%.32s", id);
    (void)snprintf(f->class, sizeof f->class, "%s", u.meta.storage_class);
}

static int collect(struct s3_call *c, const char *prefix, struct list *l)
{
    int fd = beneath_open(c->dir, UPLOADS_DIR, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    auto_closedir DIR *d = fdopendir(fd);
    if (d == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    for (struct dirent *e = readdir(d); e != NULL && l->n < UPLOADS_MAX; e = readdir(d))
        if (key_upload_id_valid(e->d_name))
            add_found(c, e->d_name, prefix, l);
    if (l->n > 0)
        qsort(l->v, l->n, sizeof *l->v, by_key);
    return 0;
}

struct marks {
    const char *key;
    const char *id;
    bool passed; /* the upload that id names was seen */
};

/* Is f behind the markers? */
static bool behind(const struct found *f, struct marks *m)
{
    int d = strcmp(f->key, m->key);
    if (d != 0 || m->id[0] == '\0')
        return d > 0;
    bool after = m->passed;
    if (strcmp(f->id, m->id) == 0)
        m->passed = true;
    return after;
}

static void add_upload(struct s3_call *c, const struct found *f, bool url, struct buf *xml)
{
    char when[TIMEFMT_MAX];
    timefmt_iso_s3(f->created_ns, when);
    buf_adds(xml, "<Upload>");
    page_element(xml, "Key", f->key, url);
    buf_addf(xml, "<UploadId>%s</UploadId><Initiator><ID>", f->id);
    buf_add_xml(xml, c->bucket->owner);
    buf_adds(xml, "</ID><DisplayName>");
    buf_add_xml(xml, c->bucket->owner);
    buf_adds(xml, "</DisplayName></Initiator>");
    page_owner(xml, c->bucket);
    buf_addf(xml, "<StorageClass>%s</StorageClass><Initiated>%s</Initiated></Upload>", f->class,
             when);
}

/* Fills the page; *last is the last upload shown (NULL when the last was a common prefix). */
static void fill(struct s3_call *c, struct page *p, const struct list *l, struct marks *m,
                 const struct found **last)
{
    auto_free char *shown = NULL;
    for (size_t i = 0; i < l->n && p->max > 0; i++) {
        const struct found *f = &l->v[i];
        auto_free char *common = page_common(f->key, p->prefix, p->delimiter);
        if (!behind(f, m) || (common != NULL && strncmp(m->key, common, strlen(common)) == 0) ||
            (common != NULL && shown != NULL && strcmp(shown, common) == 0))
            continue;
        if (p->count == p->max) {
            p->truncated = true;
            return;
        }
        p->count++;
        free(p->last);
        p->last = xstrdup(common != NULL ? common : f->key);
        *last = common != NULL ? NULL : f;
        if (common == NULL) {
            add_upload(c, f, p->url, &p->contents);
            continue;
        }
        buf_adds(&p->prefixes, "<CommonPrefixes>");
        page_element(&p->prefixes, "Prefix", common, p->url);
        buf_adds(&p->prefixes, "</CommonPrefixes>");
        free(shown);
        shown = take_ptr(common);
    }
}

static void answer(struct s3_call *c, const struct page *p, const struct marks *m,
                   const struct found *last)
{
    auto_buf struct buf xml = {0};
    buf_addf(&xml,
             S3_XML_DECL "<ListMultipartUploadsResult xmlns=\"" S3_XML_NS "\"><Bucket>%s</Bucket>",
             c->bucket->name);
    page_element(&xml, "KeyMarker", m->key, p->url);
    page_element(&xml, "UploadIdMarker", m->id, false);
    if (p->truncated) {
        page_element(&xml, "NextKeyMarker", p->last, p->url);
        page_element(&xml, "NextUploadIdMarker", last != NULL ? last->id : "", false);
    }
    page_element(&xml, "Prefix", p->prefix, p->url);
    if (p->delimiter[0] != '\0')
        page_element(&xml, "Delimiter", p->delimiter, p->url);
    if (p->url)
        buf_adds(&xml, "<EncodingType>url</EncodingType>");
    buf_addf(&xml, "<MaxUploads>%" PRId64 "</MaxUploads><IsTruncated>%s</IsTruncated>", p->max,
             p->truncated ? "true" : "false");
    buf_add(&xml, p->contents.data, p->contents.len);
    buf_add(&xml, p->prefixes.data, p->prefixes.len);
    buf_adds(&xml, "</ListMultipartUploadsResult>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

void op_list_uploads(struct s3_call *c)
{
    auto_page struct page p = {0};
    if (!page_params(c, "max-uploads", &p))
        return;
    const char *key = s3_req_param(c->req, "key-marker");
    const char *id = s3_req_param(c->req, "upload-id-marker");
    struct marks m = {.key = key != NULL ? key : "", .id = key != NULL && id != NULL ? id : ""};
    struct list l = {0};
    struct err err = {0};
    int rc = collect(c, p.prefix, &l);
    if (rc < 0) {
        fault_reply(c, err_sys(&err, -rc, "list the uploads of %s", c->bucket->name), &err);
    } else {
        const struct found *last = NULL;
        fill(c, &p, &l, &m, &last);
        answer(c, &p, &m, last);
    }
    list_fini(&l);
}
