/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers around changer_ops: they check addresses and places, charge the clock and trace. */
#include "tape/changer_impl.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void changer_close(struct changer *c)
{
    if (c != NULL)
        c->ops->close(c);
}

void changer_set_clock(struct changer *c, struct clock *clock, double secs)
{
    c->clock = clock;
    c->move_seconds = secs;
}

int changer_inventory(struct changer *c, struct changer_inventory *inv, struct err *err)
{
    *inv = (struct changer_inventory){0};
    int rc = c->ops->inventory(c, inv, err);
    if (rc < 0)
        changer_inventory_fini(inv);
    return rc;
}

void changer_inventory_fini(struct changer_inventory *inv)
{
    free(inv->elements);
    *inv = (struct changer_inventory){0};
}

const struct changer_element *changer_find(const struct changer_inventory *inv, const char *barcode)
{
    for (size_t i = 0; i < inv->count; i++) {
        if (barcode[0] != '\0' && strcmp(inv->elements[i].barcode, barcode) == 0)
            return &inv->elements[i];
    }
    return NULL;
}

static const struct changer_element *element_at(const struct changer_inventory *inv,
                                                unsigned address)
{
    for (size_t i = 0; i < inv->count; i++) {
        if (inv->elements[i].address == address)
            return &inv->elements[i];
    }
    return NULL;
}

/* Both ends of a move exist and may be used; 0 or an outcome. */
static int check_move(const struct changer_element *from, const struct changer_element *to)
{
    if (from->barcode[0] == '\0')
        return CHANGER_SOURCE_EMPTY;
    if (from == to)
        return 0;
    if (to->barcode[0] != '\0')
        return CHANGER_TARGET_FULL;
    if (to->reserved[0] != '\0' && strcmp(to->reserved, from->barcode) != 0)
        return CHANGER_TARGET_FULL;
    return 0;
}

int changer_move(struct changer *c, unsigned from, unsigned to, struct err *err)
{
    auto_inventory struct changer_inventory inv = {0};

    int rc = changer_inventory(c, &inv, err);
    if (rc < 0)
        return rc;
    const struct changer_element *src = element_at(&inv, from);
    if (src == NULL)
        return err_set(err, -ENXIO, "the library has no element %u", from);
    const struct changer_element *dst = element_at(&inv, to != 0 ? to : src->home);
    if (dst == NULL && src->barcode[0] != '\0')
        return err_set(err, -ENXIO, "the library has no element %u", to != 0 ? to : src->home);
    rc = dst == NULL ? CHANGER_SOURCE_EMPTY : check_move(src, dst);
    if (rc == 0 && src != dst)
        rc = c->ops->move(c, &inv, src, dst, err);
    if (rc == 0 && src != dst && c->clock != NULL)
        clock_sleep_ns(c->clock, (int64_t)(c->move_seconds * 1e9));
    log_debug("changer: move %s from %u to %u -> %d", src->barcode, from, to, rc);
    return rc;
}

int changer_open_drive(struct changer *c, unsigned address, struct drive **out, struct err *err)
{
    auto_inventory struct changer_inventory inv = {0};

    int rc = changer_inventory(c, &inv, err);
    if (rc < 0)
        return rc;
    const struct changer_element *e = element_at(&inv, address);
    if (e == NULL || e->kind != CHANGER_DRIVE)
        return err_set(err, -ENXIO, "the library has no drive at element %u", address);
    return c->ops->open_drive(c, e, out, err);
}
