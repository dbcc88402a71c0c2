/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

static int prepare_integer(struct compile *c, struct policy_node *n)
{
    (void)c;
    n->op = V_INT;
    return 0;
}

static int prepare_decimal(struct compile *c, struct policy_node *n)
{
    (void)c;
    n->op = V_DEC;
    return 0;
}

static int prepare_mod(struct compile *c, struct policy_node *n)
{
    (void)c;
    n->op = '%';
    return 0;
}

/* xorshift64*: shares of files need no better. */
static void ev_rand(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    (void)n;
    ev->random ^= ev->random >> 12;
    ev->random ^= ev->random << 25;
    ev->random ^= ev->random >> 27;
    policy_set_dec(out, (double)((ev->random * 0x2545f4914f6cdd1dULL) >> 11) / 9007199254740992.0);
}

static void ev_null(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    (void)ev;
    (void)n;
    policy_set_null(out);
}

static int prepare_null(struct compile *c, struct policy_node *n)
{
    const struct policy_func *f = n->aux;
    policy_warn(c, n->off, "%s is always NULL here", f->name);
    return 0;
}

const struct policy_func policy_funcs_number[] = {
    {"INT", V_INT, 1, 1, POLICY_STAGE_NAME, 0, "INT(number)", policy_ev_convert, prepare_integer},
    {"INTEGER", V_INT, 1, 1, POLICY_STAGE_NAME, 0, "INTEGER(number)", policy_ev_convert,
     prepare_integer},
    {"DECIMAL", V_DEC, 1, 3, POLICY_STAGE_NAME, 0, "DECIMAL(number)", policy_ev_convert,
     prepare_decimal},
    {"FLOAT", V_DEC, 1, 1, POLICY_STAGE_NAME, 0, "FLOAT(number)", policy_ev_convert,
     prepare_decimal},
    {"MOD", V_NULL, 2, 2, POLICY_STAGE_NAME, 0, "MOD(number, number)", policy_ev_arith,
     prepare_mod},
    {"RAND", V_DEC, 0, 0, POLICY_STAGE_NAME, FUNC_CHANCE, "RAND()", ev_rand, NULL},
    {"GETENV", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "GETENV('NAME')", ev_null, prepare_null},
    {"GETMMCONFIG", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "GETMMCONFIG('name')", ev_null,
     prepare_null},
    {"SNAP_NAME", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "SNAP_NAME(id)", ev_null, prepare_null},
    {NULL, V_NULL, 0, 0, POLICY_STAGE_NAME, 0, NULL, NULL, NULL},
};
