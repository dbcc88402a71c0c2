/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/upload.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "base/uuid.h"
#include "codec/encode.h"
#include "s3/meta_impl.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOAD_FILE     "upload"
#define UPLOAD_FILE_MAX (256 * 1024)
#define PART_XATTR      "user.firn.s.part"

void upload_init(struct upload *u)
{
    *u = (struct upload){.dir = -1};
    meta_init(&u->meta);
}

void upload_fini(struct upload *u)
{
    if (u->dir >= 0)
        (void)close(u->dir);
    free(u->key);
    meta_fini(&u->meta);
    *u = (struct upload){.dir = -1};
}

static char *format(const struct upload *u)
{
    auto_json cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "v", 1);
    json_add_str(j, "key", u->key);
    char ns[24];
    (void)snprintf(ns, sizeof ns, "%lld", (long long)u->created_ns);
    json_add_str(j, "created", ns);
    json_add_str(j, "alg", s3_sum_name(u->alg));
    cJSON_AddBoolToObject(j, "composite", u->composite);
    struct meta_blob blob = {.meta = u->meta}; /* borrows */
    auto_buf struct buf text = {0};
    meta_blob_format(&blob, &text);
    json_add_str(j, "meta", text.data);
    return cJSON_PrintUnformatted(j);
}

static int parse(const char *text, struct upload *u, struct err *err)
{
    auto_json cJSON *j = cJSON_Parse(text);
    const char *key = json_str(j, "key", NULL);
    const char *meta = json_str(j, "meta", NULL);
    if (key == NULL || meta == NULL)
        return err_set(err, -EIO, "upload %s: its description is damaged", u->id);
    u->key = xstrdup(key);
    u->created_ns = json_int(j, "created", 0);
    u->alg = s3_sum_parse(json_str(j, "alg", ""));
    u->composite = json_bool(j, "composite", false);
    auto_blob struct meta_blob blob;
    meta_blob_init(&blob);
    int rc = meta_blob_parse(meta, &blob, err);
    if (rc < 0)
        return err_wrap(err, -EIO, "upload %s", u->id);
    meta_fini(&u->meta);
    u->meta = blob.meta;
    blob.meta = (struct meta){0};
    return 0;
}

static int make_dir(int bucket_dir, struct upload *u, struct err *err)
{
    if (mkdirat(bucket_dir, UPLOADS_DIR, 0770) != 0 && errno != EEXIST)
        return err_sys(err, errno, "make %s", UPLOADS_DIR);
    auto_close int top = beneath_open(bucket_dir, UPLOADS_DIR, O_RDONLY | O_DIRECTORY, 0);
    if (top < 0)
        return err_sys(err, -top, "open %s", UPLOADS_DIR);
    struct uuid id = uuid_new();
    for (size_t i = 0; i < UUID_BYTES; i++)
        (void)snprintf(u->id + 2 * i, 3, "%02x", id.b[i]);
    if (mkdirat(top, u->id, 0770) != 0)
        return err_sys(err, errno, "make upload %s", u->id);
    u->dir = beneath_open(top, u->id, O_RDONLY | O_DIRECTORY, 0);
    if (u->dir < 0)
        return err_sys(err, -u->dir, "open upload %s", u->id);
    int rc = io_fsync_dir(top);
    return rc < 0 ? err_sys(err, -rc, "sync %s", UPLOADS_DIR) : 0;
}

int upload_create(int bucket_dir, struct upload *u, struct err *err)
{
    u->created_ns = time_now_ns();
    int rc = make_dir(bucket_dir, u, err);
    if (rc < 0)
        return rc;
    auto_free char *text = format(u);
    if (text == NULL)
        return err_set(err, -ENOMEM, "upload %s: no memory", u->id);
    return io_replace_durable(u->dir, UPLOAD_FILE, text, strlen(text), 0660, err);
}

int upload_open(int bucket_dir, const char *id, struct upload *u, struct err *err)
{
    if (!key_upload_id_valid(id))
        return err_set(err, -ENOENT, "an upload id has %d hexadecimal digits", KEY_UPLOAD_ID_LEN);
    (void)snprintf(u->id, sizeof u->id, "%s", id);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", UPLOADS_DIR, id);
    u->dir = beneath_open(bucket_dir, path, O_RDONLY | O_DIRECTORY, 0);
    if (u->dir < 0)
        return err_sys(err, -u->dir, "open upload %s", id);
    auto_free char *text = NULL;
    auto_close int fd = beneath_open(u->dir, UPLOAD_FILE, O_RDONLY, 0);
    if (fd < 0)
        return err_sys(err, -fd, "open the description of upload %s", id);
    char proc[BENEATH_PROC_MAX];
    beneath_proc(fd, proc);
    int rc = io_read_file(AT_FDCWD, proc, UPLOAD_FILE_MAX, &text, NULL, err);
    return rc < 0 ? rc : parse(text, u, err);
}

bool upload_of_request(struct s3_call *c, struct upload *u)
{
    struct err err = {0};
    const char *id = s3_req_param(c->req, "uploadId");
    int rc = upload_open(c->dir, id, u, &err);
    if (rc == 0 && strcmp(u->key, c->req->key) == 0)
        return true;
    if (rc == 0 || rc == -ENOENT || rc == -ENOTDIR)
        (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_UPLOAD, NULL);
    else
        fault_reply(c, rc, &err);
    return false;
}

static void remove_files(int dir)
{
    int fd = beneath_reopen_dir(dir);
    if (fd < 0)
        return;
    auto_closedir DIR *d = fdopendir(fd);
    if (d == NULL) {
        (void)close(fd);
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(fd, e->d_name, 0);
}

int upload_remove(int bucket_dir, const char *id, struct err *err)
{
    auto_close int top = beneath_open(bucket_dir, UPLOADS_DIR, O_RDONLY | O_DIRECTORY, 0);
    if (top < 0)
        return err_sys(err, -top, "open %s", UPLOADS_DIR);
    auto_close int dir = beneath_open(top, id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return err_sys(err, -dir, "open upload %s", id);
    /* The description goes first: from then on the upload does not exist. */
    if (unlinkat(dir, UPLOAD_FILE, 0) != 0 && errno != ENOENT)
        return err_sys(err, errno, "remove upload %s", id);
    /* A part may still be on its way into the directory. */
    for (int i = 0; i < 8; i++) {
        remove_files(dir);
        if (unlinkat(top, id, AT_REMOVEDIR) == 0 || errno == ENOENT)
            break;
    }
    int rc = io_fsync_dir(top);
    return rc < 0 ? err_sys(err, -rc, "sync %s", UPLOADS_DIR) : 0;
}

void upload_part_name(int number, char *out)
{
    (void)snprintf(out, UPLOAD_PART_NAME_MAX, "p%05d", number);
}

void upload_part_etag(struct part *p)
{
    uint8_t raw[8] = {0};
    char hex[ENCODE_HEX_SIZE(sizeof raw)];
    if (p->md5[0] != '\0') {
        (void)snprintf(p->etag, sizeof p->etag, "%s", p->md5);
        return;
    }
    (void)encode_base64_decode(p->crc64, raw, sizeof raw);
    encode_hex(raw, sizeof raw, hex);
    (void)snprintf(p->etag, sizeof p->etag, "%s-%llx", hex, (unsigned long long)p->size);
}

int upload_part_seal(int fd, const struct part *p, struct err *err)
{
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_str(j, "a", s3_sum_name(p->alg));
    json_add_str(j, "s", p->sum);
    json_add_str(j, "c", p->crc64);
    if (p->md5[0] != '\0')
        json_add_str(j, "m", p->md5);
    auto_free char *text = cJSON_PrintUnformatted(j);
    struct xa x;
    xa_init(&x, fd);
    int rc = text != NULL ? xa_set(&x, PART_XATTR, text, strlen(text)) : -ENOMEM;
    return rc < 0 ? err_sys(err, -rc, "write %s", PART_XATTR) : 0;
}

int upload_part_open(const struct upload *u, int number, int *fd, struct part *p, struct err *err)
{
    char name[UPLOAD_PART_NAME_MAX];
    upload_part_name(number, name);
    auto_close int file = beneath_open(u->dir, name, O_RDONLY, 0);
    if (file < 0)
        return err_sys(err, -file, "open part %d of upload %s", number, u->id);
    struct stat st;
    struct xa x;
    xa_init(&x, file);
    auto_free char *text = NULL;
    if (fstat(file, &st) != 0 || xa_get(&x, PART_XATTR, &text, NULL) != 0)
        return err_set(err, -EIO, "part %d of upload %s cannot be read", number, u->id);
    auto_json cJSON *j = cJSON_Parse(text);
    *p = (struct part){.number = number,
                       .size = st.st_size,
                       .mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec,
                       .alg = s3_sum_parse(json_str(j, "a", ""))};
    (void)snprintf(p->sum, sizeof p->sum, "%s", json_str(j, "s", ""));
    (void)snprintf(p->crc64, sizeof p->crc64, "%s", json_str(j, "c", ""));
    (void)snprintf(p->md5, sizeof p->md5, "%s", json_str(j, "m", ""));
    upload_part_etag(p);
    if (fd != NULL)
        *fd = take_fd(file);
    return 0;
}
