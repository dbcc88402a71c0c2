/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include <assert.h>
#include <string.h>

/* One step of a pattern: a run of literal bytes, one character, or any run. */
enum step_kind { STEP_BYTES, STEP_ONE, STEP_ANY };

struct step {
    enum step_kind kind;
    const char *p;
    size_t n;
};

/* Shapes that need no general match. */
enum shape { SHAPE_EXACT, SHAPE_PREFIX, SHAPE_SUFFIX, SHAPE_INSIDE, SHAPE_GENERAL };

struct policy_like {
    enum shape shape;
    const char *p; /* the literal of a simple shape */
    size_t n;
    struct step *steps;
    size_t n_steps;
};

static void add_step(struct policy_like *l, enum step_kind kind, const char *p, size_t n)
{
    struct step *last = l->n_steps > 0 ? &l->steps[l->n_steps - 1] : NULL;
    if (last != NULL && last->kind == kind && kind == STEP_ANY)
        return;
    if (last != NULL && last->kind == kind && kind == STEP_BYTES && last->p + last->n == p) {
        last->n += n;
        return;
    }
    assert(l->steps != NULL);
    l->steps[l->n_steps++] = (struct step){kind, p, n};
}

static void find_shape(struct policy_like *l)
{
    const struct step *s = l->steps;
    size_t lit = l->n_steps > 1 && s[0].kind == STEP_ANY ? 1 : 0;
    bool simple = l->n_steps == 0 || s[lit].kind == STEP_BYTES;
    l->shape = SHAPE_GENERAL;
    if (!simple)
        return;
    l->p = l->n_steps > 0 ? s[lit].p : "";
    l->n = l->n_steps > 0 ? s[lit].n : 0;
    if (l->n_steps <= 1)
        l->shape = SHAPE_EXACT;
    else if (l->n_steps == 2 && lit == 1)
        l->shape = SHAPE_SUFFIX;
    else if (l->n_steps == 2 && s[1].kind == STEP_ANY)
        l->shape = SHAPE_PREFIX;
    else if (l->n_steps == 3 && lit == 1 && s[2].kind == STEP_ANY)
        l->shape = SHAPE_INSIDE;
}

struct policy_like *policy_like_compile(struct policy_arena *a, const char *pat, size_t n,
                                        int escape, const char **why)
{
    struct policy_like *l = policy_arena_zalloc(a, sizeof(*l));
    l->steps = policy_arena_alloc(a, (n + 1) * sizeof(*l->steps));
    char *copy = policy_arena_alloc(a, n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)pat[i];
        if (escape >= 0 && ch == escape) {
            i++;
            if (i == n || (pat[i] != '%' && pat[i] != '_' && (unsigned char)pat[i] != escape)) {
                *why = "the escape character is not followed by '%', '_' or itself";
                return NULL;
            }
        } else if (ch == '%' || ch == '_') {
            add_step(l, ch == '%' ? STEP_ANY : STEP_ONE, NULL, 0);
            continue;
        }
        copy[len] = pat[i];
        add_step(l, STEP_BYTES, copy + len, 1);
        len++;
    }
    find_shape(l);
    return l;
}

/* Bytes of the character at p (n > 0 bytes left); 1 when it is no valid UTF-8. */
static size_t char_len(const char *p, size_t n)
{
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
    if (len > n)
        return 1;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 1;
    return len;
}

/* Takes step s off the front of p; the bytes taken, or -1. */
static ssize_t take(const struct step *s, const char *p, size_t n)
{
    if (s->kind == STEP_ONE)
        return n > 0 ? (ssize_t)char_len(p, n) : -1;
    return n >= s->n && memcmp(p, s->p, s->n) == 0 ? (ssize_t)s->n : -1;
}

static bool match_general(const struct policy_like *l, const char *s, size_t n)
{
    size_t i = 0, pos = 0;
    size_t star = SIZE_MAX, from = 0; /* the last "%", and where it began to match */
    for (;;) {
        if (i < l->n_steps && l->steps[i].kind == STEP_ANY) {
            star = i++;
            from = pos;
            continue;
        }
        if (i == l->n_steps && (pos == n || (star != SIZE_MAX && star + 1 == i)))
            return true;
        ssize_t took = i < l->n_steps ? take(&l->steps[i], s + pos, n - pos) : -1;
        if (took >= 0) {
            pos += (size_t)took;
            i++;
            continue;
        }
        if (star == SIZE_MAX || from == n)
            return false;
        from += char_len(s + from, n - from);
        pos = from;
        i = star + 1;
    }
}

bool policy_like_match(const struct policy_like *l, const char *s, size_t n)
{
    switch (l->shape) {
    case SHAPE_EXACT:
        return n == l->n && memcmp(s, l->p, n) == 0;
    case SHAPE_PREFIX:
        return n >= l->n && memcmp(s, l->p, l->n) == 0;
    case SHAPE_SUFFIX:
        return n >= l->n && memcmp(s + n - l->n, l->p, l->n) == 0;
    case SHAPE_INSIDE:
        return memmem(s, n, l->p, l->n) != NULL;
    case SHAPE_GENERAL:
        return match_general(l, s, n);
    }
    return false;
}
