/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on extended attributes. */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

int policy_xattr_slot(struct compile *c, const char *name)
{
    struct policy *p = c->p;
    for (size_t i = 0; i < p->n_xattrs; i++)
        if (strcmp(p->xattrs[i], name) == 0)
            return (int)i;
    p->xattrs = xrealloc_array(p->xattrs, p->n_xattrs + 1, sizeof(*p->xattrs));
    p->xattrs[p->n_xattrs] = policy_arena_dup(&p->arena, name, strlen(name));
    return (int)p->n_xattrs++;
}

/* A constant name gets a slot, so that it is read once per object. */
static int prepare_xattr(struct compile *c, struct policy_node *n)
{
    const struct policy_node *name = n->kid[0];
    n->op = -1;
    if (name->eval != policy_ev_const || name->k.type != V_STR)
        return 0;
    if (strchr(name->k.s.p, '.') == NULL)
        policy_warn(c, name->off,
                    "attribute name '%.60s' has no namespace, so no file has it; did you mean "
                    "'user.%.60s'?",
                    name->k.s.p, name->k.s.p);
    if (strncmp(name->k.s.p, "dmapi.", 6) == 0)
        n->stage = POLICY_STAGE_ENGINE;
    n->op = policy_xattr_slot(c, name->k.s.p);
    return 0;
}

/* The attribute that node n names, whole, V_STR or V_NULL. */
static void whole(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    if (n->op >= 0) {
        struct policy_xattr_cache *slot = &ev->xattrs[n->op];
        if (slot->object != ev->serial) {
            policy_fact_xattr(ev, ev->p->xattrs[n->op], &slot->v);
            slot->object = ev->serial;
        }
        *out = slot->v;
        return;
    }
    struct policy_value name;
    policy_ev(ev, n->kid[0], &name);
    policy_to_string(&name, &ev->scratch);
    if (name.type == V_NULL) {
        policy_set_null(out);
        return;
    }
    policy_fact_xattr(ev, policy_arena_dup(&ev->scratch, name.s.p, name.s.n), out);
}

static void ev_xattr(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    whole(ev, n, out);
    if (out->type == V_STR && !policy_slice_args(ev, n, out))
        policy_set_null(out);
}

/* ---- bytes as numbers ---- */

enum conv { CONV_NONE, CONV_DECIMAL, CONV_BIG, CONV_LITTLE };

struct conv_row {
    const char *name;
    enum conv conv;
    bool is_signed;
    uint8_t width; /* of a float; 0: as long as the value */
};

static const struct conv_row convs[] = {
    {"DECIMAL", CONV_DECIMAL, true, 0},
    {"BIG_ENDIAN", CONV_BIG, true, 0},
    {"BIG_ENDIAN_SIGNED", CONV_BIG, true, 0},
    {"BIG_ENDIAN_UNSIGNED", CONV_BIG, false, 0},
    {"BIG_ENDIAN_SINGLE", CONV_BIG, true, 4},
    {"BIG_ENDIAN_DOUBLE", CONV_BIG, true, 8},
    {"LITTLE_ENDIAN", CONV_LITTLE, true, 0},
    {"LITTLE_ENDIAN_SIGNED", CONV_LITTLE, true, 0},
    {"LITTLE_ENDIAN_UNSIGNED", CONV_LITTLE, false, 0},
    {"LITTLE_ENDIAN_SINGLE", CONV_LITTLE, true, 4},
    {"LITTLE_ENDIAN_DOUBLE", CONV_LITTLE, true, 8},
};
#define N_CONVS (sizeof(convs) / sizeof(convs[0]))

static const struct conv_row *conv_find(const char *name)
{
    for (size_t i = 0; i < N_CONVS; i++)
        if (strcasecmp(convs[i].name, name) == 0)
            return &convs[i];
    return NULL;
}

static int prepare_xattr_number(struct compile *c, struct policy_node *n)
{
    if (n->n > 3) {
        const struct policy_node *k = n->kid[3];
        if (k->eval != policy_ev_const || k->k.type != V_STR || conv_find(k->k.s.p) == NULL)
            return policy_fail(c, k->off,
                               "'DECIMAL', 'BIG_ENDIAN[_SIGNED|_UNSIGNED|_SINGLE|_DOUBLE]' or "
                               "'LITTLE_ENDIAN...'",
                               "unknown conversion");
    }
    return prepare_xattr(c, n);
}

/* Up to 8 bytes as an unsigned number, by conv's order. */
static bool bytes_to_u64(const struct policy_value *v, const struct conv_row *conv, uint64_t *out)
{
    if (v->s.n == 0 || v->s.n > 8)
        return false;
    *out = 0;
    for (size_t i = 0; i < v->s.n; i++) {
        size_t at = conv->conv == CONV_BIG ? i : v->s.n - 1 - i;
        *out = *out << 8 | (unsigned char)v->s.p[at];
    }
    if (conv->is_signed && v->s.n < 8 && (*out >> (v->s.n * 8 - 1) & 1) != 0)
        *out |= UINT64_MAX << (v->s.n * 8);
    return true;
}

/* The conversion asked for; without one: decimal text if it is that, else little endian. */
static const struct conv_row *choose_conv(const struct policy_node *n, const struct policy_value *v)
{
    if (n->n > 3)
        return conv_find(n->kid[3]->k.s.p);
    struct policy_value t = *v;
    return policy_to_number(&t) ? conv_find("DECIMAL") : conv_find("LITTLE_ENDIAN");
}

static void number_of(struct policy_eval *ev, const struct policy_node *n, bool is_float,
                      struct policy_value *out)
{
    struct policy_value v;
    ev_xattr(ev, n, &v);
    policy_set_null(out);
    if (v.type == V_NULL)
        return;
    const struct conv_row *conv = choose_conv(n, &v);
    uint64_t u = 0;
    if (conv->conv == CONV_DECIMAL) {
        if (policy_to_number(&v) && v.type != V_NULL)
            *out = v;
        if (out->type == V_DEC && !is_float)
            policy_set_int(out, out->d > -9e18 && out->d < 9e18 ? (int64_t)out->d : 0);
        return;
    }
    if (!bytes_to_u64(&v, conv, &u))
        return;
    if (!is_float) {
        policy_set_int(out, (int64_t)u);
        return;
    }
    double d = 0;
    if (v.s.n == 4) {
        float f = 0;
        uint32_t w = (uint32_t)u;
        memcpy(&f, &w, 4);
        d = (double)f;
    } else if (v.s.n == 8) {
        memcpy(&d, &u, 8);
    } else {
        return;
    }
    if (d == d)
        policy_set_dec(out, d);
}

static void ev_xattr_integer(struct policy_eval *ev, const struct policy_node *n,
                             struct policy_value *out)
{
    number_of(ev, n, false, out);
}

static void ev_xattr_float(struct policy_eval *ev, const struct policy_node *n,
                           struct policy_value *out)
{
    number_of(ev, n, true, out);
}

/* ---- GETXATTRS ---- */

#define GETXATTRS_MAX (256 * 1024) /* longest text made */

/* Appends n bytes of p as hex, or with esc (0: none) before esc itself, line ends and delim. */
static void add_field(struct buf *b, const char *p, size_t n, bool hex, char esc, char delim)
{
    for (size_t i = 0; i < n && b->len < GETXATTRS_MAX; i++) {
        if (hex) {
            buf_addf(b, "%02X", (unsigned char)p[i]);
            continue;
        }
        bool nl = p[i] == '\n';
        if (esc != 0 && (nl || p[i] == esc || p[i] == delim))
            buf_addc(b, esc);
        buf_addc(b, nl && esc != 0 ? 'n' : p[i]);
    }
}

struct placeholder {
    const char *word;
    bool value, hex;
};

/* One attribute through the prototype: key, value, hexkey, hexvalue (k, v), each with an optional
 * escape "^n", "~n" or "\n" behind it; all else is copied. */
static void add_pair(struct buf *b, const struct policy_value *proto, const char *key,
                     const struct policy_value *value)
{
    static const struct placeholder words[] = {{"hexvalue", true, true}, {"hexkey", false, true},
                                               {"value", true, false},   {"key", false, false},
                                               {"v", true, false},       {"k", false, false}};
    const char *p = proto->s.p, *end = p + proto->s.n;
    while (p < end && b->len < GETXATTRS_MAX) {
        const struct placeholder *w = NULL;
        for (size_t i = 0; w == NULL && i < sizeof(words) / sizeof(words[0]); i++) {
            size_t n = strlen(words[i].word);
            if ((size_t)(end - p) >= n && strncasecmp(p, words[i].word, n) == 0)
                w = &words[i];
        }
        if (w == NULL) {
            buf_addc(b, *p++);
            continue;
        }
        p += strlen(w->word);
        char esc = 0;
        if (end - p >= 2 && strchr("^~\\", *p) != NULL && p[1] == 'n') {
            esc = *p;
            p += 2;
        }
        add_field(b, w->value ? value->s.p : key, w->value ? value->s.n : strlen(key), w->hex, esc,
                  p < end ? *p : '\0');
    }
}

static bool arg_text(struct policy_eval *ev, const struct policy_node *n, unsigned i,
                     const char *otherwise, struct policy_value *v)
{
    policy_set_str(v, otherwise, strlen(otherwise));
    if (n->n > i) {
        policy_ev(ev, n->kid[i], v);
        policy_to_string(v, &ev->scratch);
    }
    return v->type == V_STR;
}

static void ev_getxattrs(struct policy_eval *ev, const struct policy_node *n,
                         struct policy_value *out)
{
    struct policy_value pattern, proto, value;
    policy_set_null(out);
    if (!arg_text(ev, n, 0, "*", &pattern) || !arg_text(ev, n, 1, "key^n=hexvalue,", &proto))
        return;
    const struct policy_facts_ops *ops = ev->obj->ops;
    char *names = policy_arena_alloc(&ev->scratch, POLICY_XATTR_MAX + 1);
    ssize_t len =
        ops->xattr_list != NULL ? ops->xattr_list(ev->obj->ctx, names, POLICY_XATTR_MAX) : 0;
    if (len < 0 && ev->fail == 0)
        ev->fail = (int)len;
    auto_buf struct buf b = {0};
    buf_add(&b, "", 0);
    const char *glob = policy_arena_dup(&ev->scratch, pattern.s.p, pattern.s.n);
    for (const char *p = names; len > 0 && p < names + len; p += strlen(p) + 1) {
        if (fnmatch(glob, p, 0) != 0)
            continue;
        policy_fact_xattr(ev, p, &value);
        if (value.type == V_STR)
            add_pair(&b, &proto, p, &value);
    }
    policy_set_str(out, policy_arena_dup(&ev->scratch, b.data, b.len), b.len);
}

/* ---- SETXATTR ---- */

static void ev_setxattr(struct policy_eval *ev, const struct policy_node *n,
                        struct policy_value *out)
{
    struct policy_value name, value;
    policy_set_null(out);
    if (!arg_text(ev, n, 0, "", &name) || !arg_text(ev, n, 1, "", &value))
        return;
    if (ev->obj->ops->set_xattr == NULL)
        return;
    int rc = ev->obj->ops->set_xattr(
        ev->obj->ctx, policy_arena_dup(&ev->scratch, name.s.p, name.s.n), value.s.p, value.s.n);
    if (rc < 0 && ev->fail == 0)
        ev->fail = rc;
    policy_set_bool(out, rc >= 0);
}

const struct policy_func policy_funcs_xattr[] = {
    {"XATTR", V_STR, 1, 3, POLICY_STAGE_XATTR, FUNC_XATTR, "XATTR('name'[, start[, length]])",
     ev_xattr, prepare_xattr},
    {"XATTR_INTEGER", V_INT, 1, 4, POLICY_STAGE_XATTR, FUNC_XATTR,
     "XATTR_INTEGER('name'[, start, length[, 'conversion']])", ev_xattr_integer,
     prepare_xattr_number},
    {"XATTR_FLOAT", V_DEC, 1, 4, POLICY_STAGE_XATTR, FUNC_XATTR,
     "XATTR_FLOAT('name'[, start, length[, 'conversion']])", ev_xattr_float, prepare_xattr_number},
    {"GETXATTRS", V_STR, 0, 2, POLICY_STAGE_XATTR, FUNC_XATTR,
     "GETXATTRS(['pattern'[, 'prototype']])", ev_getxattrs, NULL},
    {"SETXATTR", V_NULL, 2, 2, POLICY_STAGE_XATTR, FUNC_ACTION, "SETXATTR('name', value)",
     ev_setxattr, NULL},
    {NULL, V_NULL, 0, 0, POLICY_STAGE_NAME, 0, NULL, NULL, NULL},
};
