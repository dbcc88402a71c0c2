/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EXPECT_SIZE  (1024 * 1024) /* bodies from here on ask first */
#define SKEW_LEAST   (NS_PER_SEC * 300)
#define BASE_MS      100
#define NAME_BYTES   600 /* of the names in a text */

/* What becomes of a try. */
enum step { STEP_DONE, STEP_AGAIN, STEP_AT_ONCE, STEP_FAIL };

/* What the tries of one call remember of each other. */
struct progress {
    struct verdict verdict; /* of the last one */
    uint64_t generation;    /* of the credentials it used */
    bool skewed, renewed;   /* these are tried once */
    unsigned failed;        /* tries that count */
    int outcome;            /* positive, with STEP_DONE */
};

void call_field(struct call *c, const char *name, const char *value)
{
    if (c->nfields < SIGNER_FIELDS_MAX)
        c->fields[c->nfields] = (struct store_field){name, value};
    c->nfields++;
}

void call_sha256(const void *p, size_t n, char *out)
{
    uint8_t hash[DIGEST_MAX];
    (void)digest_of(DIGEST_SHA256, p, n, hash);
    encode_hex(hash, 32, out);
}

void call_name(const struct call *c, char *out, size_t cap)
{
    char key[300];
    text_printable(key, sizeof(key), c->key != NULL ? c->key : "");
    bool cut = c->key != NULL && strlen(c->key) >= sizeof(key);
    (void)snprintf(out, cap, "store %s: %s of %.100s%s%s%s", c->store->name, c->what,
                   c->bucket != NULL ? c->bucket : "all buckets", c->key != NULL ? "/" : "", key,
                   cut ? "..." : "");
}

/* Signs and sends c once. Returns 0, or a negative code when it could not be sent. */
static int send_once(struct call *c, struct transfer *t, struct progress *p, struct err *err)
{
    struct store *s = c->store;
    auto_creds_value struct creds_value who = {0};
    auto_target struct target target = {0};
    auto_lines struct signer_lines lines = {.n = 0};
    int rc = creds_get(s->creds, &who, err);
    if (rc == 0)
        rc = target_make(&s->endpoint, s->style, c->bucket, c->key, c->query, &target, err);
    if (rc < 0)
        return rc;
    p->generation = who.generation;
    bool expect = c->size >= EXPECT_SIZE && !atomic_load(&s->no_expect);
    struct signer_input in = {.method = c->method,
                              .path = target.path,
                              .query = c->query,
                              .host = target.host,
                              .payload = c->payload[0] != '\0' ? c->payload : EMPTY_SHA256,
                              .fields = c->fields,
                              .nfields = c->nfields,
                              .region = s->region,
                              .now_ns = time_now_ns() + atomic_load(&s->skew_ns),
                              .unsigned_line = expect ? "Expect: 100-continue" : "Expect:",
                              .day = &s->day};
    rc = signer_headers(&in, &who, &lines, NULL, err);
    if (rc < 0)
        return rc;
    transfer_reset(t);
    t->method = c->method;
    t->url = target.url;
    t->headers = lines.list;
    t->body = c->body;
    t->size = c->size;
    t->out = c->out;
    t->out_size = c->out_size;
    t->doc_max = c->doc_max;
    t->cancel = c->cancel;
    wire_run(s->wire, t);
    t->headers = NULL;
    t->url = NULL;
    /* A store that took a large body without a word before it would cost a second each time. */
    if (expect && t->result == CURLE_OK && t->sent == t->size && !t->head.saw_continue)
        atomic_store(&s->no_expect, true);
    return 0;
}

static void count(struct call *c, const struct transfer *t)
{
    struct store *s = c->store;
    c->tries++;
    (void)atomic_fetch_add(&s->requests, 1);
    (void)atomic_fetch_add(&s->bytes_out, t->up);
    (void)atomic_fetch_add(&s->bytes_in, t->down);
    (void)atomic_fetch_add(&s->connects, t->connected ? 1 : 0);
    if (c->tries > 1)
        (void)atomic_fetch_add(&s->retried, 1);
}

/* A transfer that came to no answer. */
static enum step judge_transfer(struct call *c, struct transfer *t, struct progress *p,
                                struct err *err)
{
    const struct head *h = &t->head;
    if (t->cancelled) {
        p->verdict = (struct verdict){VERDICT_FAIL, -ECANCELED, ""};
        (void)err_set(err, -ECANCELED, "cancelled");
        return STEP_FAIL;
    }
    if (t->stalled) {
        p->verdict = (struct verdict){VERDICT_RETRY, -ETIMEDOUT,
                                      "see whether the store runs, or raise stall_timeout"};
        (void)err_set(err, -ETIMEDOUT,
                      "nothing moved for stall_timeout (%" PRIu64
                      " of %zu bytes sent, %zu received)",
                      t->up, c->size, t->got + t->doc.len);
        return STEP_AGAIN;
    }
    if (t->overflow) {
        p->verdict = (struct verdict){VERDICT_FAIL, -EMSGSIZE, ""};
        (void)err_set(err, -EMSGSIZE,
                      "the answer has %" PRId64 " bytes where at most %zu were expected", h->length,
                      t->out != NULL ? t->out_size : t->doc_max);
        return STEP_FAIL;
    }
    p->verdict = verdict_of_curl(t->result);
    (void)err_set(err, p->verdict.code, "%s",
                  t->text[0] != '\0' ? t->text : curl_easy_strerror(t->result));
    return p->verdict.class == VERDICT_RETRY ? STEP_AGAIN : STEP_FAIL;
}

/* An answer of 2xx. */
static enum step judge_good(struct call *c, struct transfer *t, struct progress *p, struct err *err)
{
    struct store_reply *r = &t->head.reply;
    int rc = 1;
    if (t->head.bad != NULL)
        (void)err_set(err, -EPROTO, "the answer makes no sense: %s", t->head.bad);
    else
        rc = c->check != NULL ? c->check(c, t, err) : 0;
    if (rc == 0)
        return STEP_DONE;
    if (rc < 0) {
        p->verdict = (struct verdict){VERDICT_FAIL, rc, ""};
        return STEP_FAIL;
    }
    /* A 200 whose body turned out to be an error: by its code. */
    p->verdict = r->code[0] != '\0' ? verdict_of_code(r->code, 500)
                                    : (struct verdict){VERDICT_RETRY, err->code, ""};
    return p->verdict.class == VERDICT_RETRY ? STEP_AGAIN : STEP_FAIL;
}

static void refusal_text(const struct call *c, const struct transfer *t,
                         const struct error_doc *doc, const struct verdict *v, struct err *err)
{
    const struct head *h = &t->head;
    int status = h->reply.status;
    const char *region = doc->region[0] != '\0' ? doc->region : h->region;
    if (v->class == VERDICT_REGION && region[0] != '\0' && strcmp(region, c->store->region) != 0)
        (void)err_set(err, v->code, "%s (HTTP %d): the bucket is in region %s, not in %s",
                      doc->code[0] != '\0' ? doc->code : "redirect", status, region,
                      c->store->region);
    else if (v->class == VERDICT_REGION && status < 400)
        (void)err_set(
            err, v->code,
            "the store sends requests elsewhere (HTTP %d), to %.120s; this is not followed", status,
            doc->endpoint[0] != '\0' ? doc->endpoint : h->location);
    else if (doc->code[0] != '\0')
        (void)err_set(err, v->code, "%s (HTTP %d)%s%s", doc->code, status,
                      doc->message[0] != '\0' ? ": " : "", doc->message);
    else
        (void)err_set(err, v->code, "HTTP %d%s%s", status,
                      t->doc.len > 0 ? " with a body that is no S3 answer, of type " : "",
                      t->doc.len > 0 ? (h->type[0] != '\0' ? h->type : "unknown") : "");
}

/* Takes the store's clock for ours. Returns whether there is something to correct. */
static bool correct_clock(struct call *c, const struct transfer *t)
{
    if (t->head.date_ns == 0)
        return false;
    int64_t skew = t->head.date_ns - time_now_ns();
    int64_t change = skew - atomic_load(&c->store->skew_ns);
    if (change > -SKEW_LEAST && change < SKEW_LEAST)
        return false;
    atomic_store(&c->store->skew_ns, skew);
    return true;
}

/* Whether a refusal is worth one more try with another clock or other credentials. */
static bool mend(struct call *c, struct transfer *t, struct progress *p)
{
    bool bare = t->head.reply.status == 403 && t->head.reply.code[0] == '\0';
    if ((p->verdict.class == VERDICT_SKEW || bare) && !p->skewed && correct_clock(c, t)) {
        p->skewed = true;
        return true;
    }
    if ((p->verdict.class == VERDICT_CREDS || bare) && !p->renewed &&
        creds_renew(c->store->creds, p->generation)) {
        p->renewed = true;
        return true;
    }
    return false;
}

/* Any other answer. */
static enum step judge_refusal(struct call *c, struct transfer *t, struct progress *p,
                               struct err *err)
{
    struct store_reply *r = &t->head.reply;
    struct error_doc doc = {0};
    if (t->doc.len > 0)
        (void)error_doc_parse(t->doc.data, t->doc.len, &doc);
    (void)snprintf(r->code, sizeof(r->code), "%s", doc.code);
    p->verdict = verdict_of_code(doc.code, r->status);
    refusal_text(c, t, &doc, &p->verdict, err);
    if (c->adapt != NULL && c->adapt(c, t, doc.code))
        return STEP_AT_ONCE;
    if (mend(c, t, p))
        return STEP_AT_ONCE;
    switch (p->verdict.class) {
    case VERDICT_ABSENT:
        p->outcome = STORE_ABSENT;
        return STEP_DONE;
    case VERDICT_ARCHIVED:
        p->outcome = STORE_ARCHIVED;
        return STEP_DONE;
    case VERDICT_RETRY:
        return STEP_AGAIN;
    default:
        return STEP_FAIL;
    }
}

static enum step judge(struct call *c, struct transfer *t, struct progress *p, struct err *err)
{
    int status = t->head.reply.status;
    /* A store may refuse while the body is still on its way, and close: the refusal counts. */
    if (t->result == CURLE_SEND_ERROR && status >= 400)
        return judge_refusal(c, t, p, err);
    if (t->result != CURLE_OK)
        return judge_transfer(c, t, p, err);
    return status >= 200 && status < 300 ? judge_good(c, t, p, err) : judge_refusal(c, t, p, err);
}

/* Waits before the next try: full jitter, a time between nothing and base * 2^n (at most
 * retry_max_ms), but no less than the store asked for. Returns whether the call was cancelled. */
static bool back_off(struct call *c, const struct transfer *t, unsigned failed)
{
    struct store *s = c->store;
    uint64_t top = s->retry_base_ms;
    for (unsigned i = 1; i < failed && top < s->retry_max_ms; i++)
        top *= 2;
    top = top < s->retry_max_ms ? top : s->retry_max_ms;
    int64_t ms = arc4random_uniform((uint32_t)top + 1);
    if (t->head.retry_after_ns > 0 && t->head.retry_after_ns / 1000000 > ms)
        ms = t->head.retry_after_ns / 1000000 + arc4random_uniform(s->retry_base_ms + 1);
    return wire_pause(s->wire, c->cancel, ms);
}

static int give_up(struct call *c, const struct progress *p, int rc, struct err *err)
{
    char name[NAME_BYTES];
    char tries[40] = "";
    call_name(c, name, sizeof(name));
    (void)atomic_fetch_add(&c->store->failures, 1);
    if (p->failed > 1)
        (void)snprintf(tries, sizeof(tries), " %u times", p->failed);
    const char *advice = p->verdict.advice != NULL ? p->verdict.advice : "";
    struct err last = {0};
    if (err != NULL)
        last = *err;
    return err_set(err, rc, "%s failed%s: %s%s%s", name, tries, last.text,
                   advice[0] != '\0' ? "; " : "", advice);
}

int call_refused(const struct call *c, const struct transfer *t, struct err *err)
{
    char name[NAME_BYTES];
    const struct store_reply *r = &t->head.reply;
    struct verdict v = verdict_of_code(r->code, r->status);
    call_name(c, name, sizeof(name));
    (void)atomic_fetch_add(&c->store->failures, 1);
    return err_set(err, v.code, "%s failed: %s (HTTP %d)%s%s", name, r->code, r->status,
                   v.advice[0] != '\0' ? "; " : "", v.advice);
}

int call_run(struct call *c, struct transfer *t, struct err *err)
{
    struct err own = {0};
    struct progress p = {0};
    if (err == NULL)
        err = &own;
    for (;;) {
        p.verdict = (struct verdict){0};
        p.outcome = 0;
        if (store_halted(c->store) || (c->cancel != NULL && atomic_load(&c->cancel->set))) {
            (void)err_set(err, -ECANCELED, "cancelled");
            return give_up(c, &p, -ECANCELED, err);
        }
        int rc = send_once(c, t, &p, err);
        if (rc < 0)
            return give_up(c, &p, rc, err);
        count(c, t);
        enum step step = judge(c, t, &p, err);
        if (step == STEP_DONE)
            return p.outcome;
        p.failed += step != STEP_AT_ONCE;
        if (step == STEP_FAIL || p.failed > c->store->retries)
            return give_up(c, &p, p.verdict.code, err);
        log_debug("store %s: %s: try %u: %s; again", c->store->name, c->what, c->tries, err->text);
        if (step == STEP_AGAIN && back_off(c, t, p.failed)) {
            (void)err_set(err, -ECANCELED, "cancelled");
            return give_up(c, &p, -ECANCELED, err);
        }
    }
}

int call_document(struct transfer *t, const char *root, struct xml **out, struct err *err)
{
    struct xml *x = NULL;
    struct err why = {0};
    struct error_doc doc = {0};
    if (xml_parse(t->doc.data, t->doc.len, CALL_ELEMENTS, NULL, &x, &why) == 0 && xml_is(x, root)) {
        *out = x;
        return 0;
    }
    xml_free(x);
    if (error_doc_parse(t->doc.data, t->doc.len, &doc)) {
        (void)snprintf(t->head.reply.code, sizeof(t->head.reply.code), "%s", doc.code);
        (void)err_set(err, -EIO, "%s (in an answer of HTTP %d)%s%s", doc.code, t->head.reply.status,
                      doc.message[0] != '\0' ? ": " : "", doc.message);
        return 1;
    }
    (void)err_set(err, -EPROTO, "the answer is no %s document%s%s", root,
                  why.text[0] != '\0' ? ": " : "", why.text);
    return 1;
}

void call_reply(struct call *c, struct transfer *t, struct store_reply *reply)
{
    t->head.reply.tries = c->tries;
    if (reply == NULL)
        return;
    store_reply_fini(reply);
    *reply = t->head.reply;
    t->head.reply = (struct store_reply){0};
}
