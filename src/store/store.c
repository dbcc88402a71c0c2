/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE_MS 100

static const char *or_default(const char *s, const char *dflt)
{
    return s != NULL && s[0] != '\0' ? s : dflt;
}

static int take_config(struct store *s, const struct store_config *config, struct err *err)
{
    s->endpoint_text = xstrdup(or_default(config->endpoint, ""));
    s->region = xstrdup(or_default(config->region, "us-east-1"));
    s->style = config->style;
    s->sign_payload = config->sign_payload;
    s->retries = config->retries;
    s->retry_base_ms = config->retry_base_ms > 0 ? config->retry_base_ms : BASE_MS;
    s->retry_max_ms =
        config->retry_max_ms > s->retry_base_ms ? config->retry_max_ms : s->retry_base_ms;
    s->check_md5 = config->check_md5;
    if (s->endpoint_text[0] == '\0')
        return err_set(err, -EINVAL, "endpoint is missing");
    int rc = endpoint_parse(s->endpoint_text, &s->endpoint, err);
    if (rc < 0)
        return rc;
    if (config->ca_file != NULL && config->ca_file[0] != '\0') {
        if (access(config->ca_file, R_OK) < 0)
            return err_sys(err, errno, "ca_file %s", config->ca_file);
        s->ca_file = xstrdup(config->ca_file);
    }
    return creds_open(config, &s->creds, err);
}

int store_open(const struct store_config *config, struct store **out, struct err *err)
{
    auto_store struct store *s = xzalloc(sizeof(*s));
    signer_day_init(&s->day);
    s->name = xstrdup(or_default(config->name, "s3"));
    int rc = take_config(s, config, err);
    if (rc < 0)
        return err_wrap(err, rc, "store %s", s->name);
    struct wire_config w = {
        .connections = config->connections > 0 ? config->connections : 1,
        .connect_timeout_s = config->connect_timeout_s > 0 ? config->connect_timeout_s : 10,
        .stall_timeout_s = config->stall_timeout_s > 0 ? config->stall_timeout_s : 60,
        .min_speed = config->min_speed,
        .tls_verify = config->tls_verify,
        .ca_file = s->ca_file,
        .halt_ns = config->halt_ns};
    rc = wire_open(&w, &s->wire, err);
    if (rc < 0)
        return err_wrap(err, rc, "store %s", s->name);
    *out = take_ptr(s);
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    wire_close(s->wire);
    signer_day_fini(&s->day);
    creds_close(s->creds);
    endpoint_fini(&s->endpoint);
    free(s->name);
    free(s->endpoint_text);
    free(s->region);
    free(s->ca_file);
    free(s);
}

const char *store_name(const struct store *s)
{
    return s->name;
}

const char *store_endpoint(const struct store *s)
{
    return s->endpoint_text;
}

void store_counts(struct store *s, struct store_counts *out)
{
    out->requests += atomic_load(&s->requests);
    out->retries += atomic_load(&s->retried);
    out->failures += atomic_load(&s->failures);
    out->bytes_out += atomic_load(&s->bytes_out);
    out->bytes_in += atomic_load(&s->bytes_in);
    out->connects += atomic_load(&s->connects);
}

void store_cancel(struct store *s, struct store_cancel *c)
{
    atomic_store(&c->set, true);
    wire_wake(s->wire);
}

void store_halt(struct store *s)
{
    wire_halt(s->wire);
}

bool store_halted(const struct store *s)
{
    return wire_halted(s->wire);
}
