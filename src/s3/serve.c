/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include "base/log.h"
#include "base/timefmt.h"
#include "conf/conf.h"
#include "s3/registry.h"

#include <string.h>
#include <sys/random.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Request ids only tell log lines apart; splitmix64 from a random start per thread. */
static void make_id(char *out)
{
    static _Thread_local uint64_t state;
    if (state == 0 && getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
        state = (uint64_t)time_now_ns();
    state += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    for (int i = 0; i < S3_ID_TEXT - 1; i++, z <<= 4)
        out[i] = "0123456789ABCDEF"[z >> 60];
    out[S3_ID_TEXT - 1] = '\0';
}

static void begin(struct s3_conn *c, struct s3_active *a, struct s3_site *site)
{
    memset(&a->req, 0, sizeof(a->req));
    struct s3_req *req = &a->req;
    req->site = site;
    req->conn = c;
    req->target = req->host = req->bucket = req->key = "";
    req->content_length = 0;
    req->start_ns = time_mono_ns();
    make_id(req->id);
    a->n_snaps = 0;
    a->waiting = false;
    c->active = a;
}

/* Takes over what the head's parser understood, whether or not it was content. */
static void adopt_head(struct s3_active *a)
{
    struct s3_req *req = &a->req;
    req->method = a->http.method;
    if (a->http.target != NULL)
        req->target = a->http.target;
    if (a->http.host != NULL)
        req->host = a->http.host;
    req->headers = a->http.headers;
    req->n_headers = a->http.n_headers;
}

static void adopt_uri(struct s3_active *a)
{
    struct s3_req *req = &a->req;
    req->bucket = a->uri.bucket;
    req->key = a->uri.key;
    req->virtual_host = a->uri.virtual_host;
    req->params = a->uri.params;
    req->n_params = a->uri.n_params;
}

static const char *method_name(enum s3_method m)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    return names[m];
}

/* Finds the secret of the request's access key; the account is held by the request. */
static enum s3_error find_key(struct s3_active *a, const char **secret)
{
    struct s3_registry *r = a->req.site->registry;
    for (int round = 0; round < 2; round++) {
        struct s3_snapshot *s = s3_registry_get(r);
        a->req.account = s3_snapshot_key(s, a->sig.access_key, secret);
        if (a->req.account != NULL) {
            a->snaps[a->n_snaps++] = s;
            return S3_ERR_NONE;
        }
        bool loaded = s3_snapshot_loaded(s);
        server_may_block(a->req.conn->server, a);
        s3_creds_leave(); /* the thread may still be whom it served before */
        bool newer = round == 0 && s3_registry_miss(r, s);
        s3_snapshot_unref(s);
        if (!newer)
            return loaded ? S3_ERR_INVALID_ACCESS_KEY_ID : S3_ERR_SERVICE_UNAVAILABLE;
    }
    return S3_ERR_INVALID_ACCESS_KEY_ID;
}

static enum s3_error authenticate(struct s3_active *a, struct s3_fail *fail)
{
    struct s3_req *req = &a->req;
    struct sigv4_input in = {.method = method_name(req->method),
                             .raw_path = a->uri.raw_path,
                             .params = a->uri.params,
                             .n_params = a->uri.n_params,
                             .headers = a->http.headers,
                             .n_headers = a->http.n_headers,
                             .region = req->site->conf->s3.region,
                             .now_ns = time_now_ns(),
                             .scratch = &a->scratch};
    enum s3_error e = sigv4_parse(&in, &a->sig, fail);
    if (e != S3_ERR_NONE || a->sig.anonymous)
        return e;
    req->presigned = a->sig.presigned;
    const char *secret = NULL;
    e = find_key(a, &secret);
    if (e == S3_ERR_NONE)
        e = sigv4_verify(&in, &a->sig, secret, server_keys(req->conn->server), fail);
    if (e != S3_ERR_NONE)
        req->account = NULL;
    return e;
}

/* What the payload's kind and the rest of the request must agree on. */
static enum s3_error check_payload(struct s3_active *a, struct s3_fail *fail)
{
    const struct s3_req *req = &a->req;
    bool hashed = a->sig.payload == S3_PAYLOAD_HASH;
    bool is_signed =
        a->sig.payload == S3_PAYLOAD_STREAM || a->sig.payload == S3_PAYLOAD_STREAM_TRAILER;
    if (a->sig.anonymous && is_signed)
        return s3_fail_set(fail, S3_ERR_ACCESS_DENIED,
                           "A body with chunk signatures needs a signed request");
    if (!hashed && !is_signed && !a->sig.presigned && req->has_body &&
        !req->site->conf->s3.allow_unsigned_payload)
        return s3_fail_set(fail, S3_ERR_INVALID_REQUEST,
                           "Unsigned payloads are not allowed here; sign the SHA-256 of the body");
    if (hashed && !req->has_body && strcmp(a->body.sha256, EMPTY_SHA256) != 0)
        return S3_ERR_X_AMZ_CONTENT_SHA256_MISMATCH;
    return S3_ERR_NONE;
}

/* Everything between the head's bytes and the handler. Returns whether the request may go on; else
 * it has been answered. */
static bool prepare(struct s3_conn *c, struct s3_active *a, size_t len)
{
    struct s3_req *req = &a->req;
    struct s3_fail fail = {0};
    const char *why = NULL;
    enum s3_error e = http_head_parse(c->head, len, &a->http, &why);
    adopt_head(a);
    if (e != S3_ERR_NONE)
        c->close = true; /* where the next request begins is not known for sure */
    if (e == S3_ERR_NONE) {
        e = uri_parse(req->target, req->host, req->site->conf->s3.domain, &a->uri);
        if (e == S3_ERR_NONE)
            adopt_uri(a);
        /* The framing is known now: with a body unread, an error reply closes. */
        a->body.left = a->http.content_length > 0 ? a->http.content_length : 0;
        a->body.chunked = a->http.chunked;
    }
    if (e == S3_ERR_NONE)
        e = authenticate(a, &fail);
    if (e == S3_ERR_NONE)
        e = body_declare(a, &why);
    if (e == S3_ERR_NONE)
        e = check_payload(a, &fail);
    if (e == S3_ERR_NONE)
        return true;
    if (why != NULL)
        (void)s3_fail_set(&fail, e, "%s", why);
    if (e == S3_ERR_SERVICE_UNAVAILABLE)
        s3_reply_header(req, "Retry-After", "%d", 2);
    (void)reply_fail(req, e, &fail);
    return false;
}

static void handle(struct s3_conn *c, struct s3_active *a)
{
    struct s3_req *req = &a->req;
    struct err err = {0};
    if (s3_creds_enter(req->account, &err) < 0) {
        log_err("request %s: %s", req->id, err.text);
        (void)s3_reply_error(req, S3_ERR_INTERNAL_ERROR, NULL);
        return;
    }
    if (req->method != S3_METHOD_GET || req->has_body)
        s3_may_block(req);
    server_handle(c->server, a);
    s3_wait_end(req);
    if (!a->reply.begun) {
        log_err("request %s (%s) ended without a reply", req->id, req->op != NULL ? req->op : "-");
        s3_reply_reset_headers(req);
        (void)s3_reply_error(req, S3_ERR_INTERNAL_ERROR, NULL);
    }
    if (!a->reply.ended) /* begun and abandoned: the peer must see that it is not whole */
        c->close = true;
}

/* Moves what came behind the request to the start of the head's buffer. */
static void keep_rest(struct s3_conn *c, struct s3_active *a)
{
    size_t left = c->head_len - c->taken;
    if (left > 0) {
        memmove(c->head, c->head + c->taken, left);
    } else if (a->body.in_len > 0) {
        left = a->body.in_len; /* fits: else the reply has closed */
        memcpy(c->head, a->body.in, left);
    }
    c->head_len = left;
    c->head_pos = 0;
    c->head_ns = time_mono_ns();
    c->taken = 0;
}

static void finish(struct s3_conn *c, struct s3_active *a)
{
    access_log(&a->req, c, a->body.wire, a->reply.sent);
    bool unread = !body_consumed(a) || c->head_len > c->taken;
    c->linger = c->close && unread && !a->reply.failed;
    if (!c->close)
        keep_rest(c, a);
    body_fini(a);
    reply_fini(a);
    http_head_fini(&a->http);
    uri_fini(&a->uri);
    for (size_t i = 0; i < a->n_snaps; i++)
        s3_snapshot_unref(a->snaps[i]);
    a->n_snaps = 0;
    memset(a->sig.key, 0, sizeof(a->sig.key));
    c->active = NULL;
}

void serve_request(struct s3_conn *c, struct s3_active *a, struct s3_site *site, size_t len)
{
    begin(c, a, site);
    c->taken = len;
    if (prepare(c, a, len))
        handle(c, a);
    finish(c, a);
}

void serve_bad_head(struct s3_conn *c, struct s3_active *a, struct s3_site *site, enum s3_error e,
                    const char *why)
{
    begin(c, a, site);
    a->http = (struct http_head){.content_length = -1, .minor = 1};
    c->close = true;
    c->taken = 0;
    struct s3_fail fail = {0};
    if (why != NULL)
        (void)s3_fail_set(&fail, e, "%s", why);
    (void)reply_fail(&a->req, e, &fail);
    finish(c, a);
}
