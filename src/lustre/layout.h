/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout blobs: the value of xattr lustre.lov (struct lov_user_md V1 and V3, lov_comp_md_v1), as a
 * stub or a copy's metadata gives them, made ready to be set on a new file. The bytes come from
 * outside: every length is checked. Pure; any thread.
 */
#ifndef LUSTRE_LAYOUT_H
#define LUSTRE_LAYOUT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define LAYOUT_XATTR "lustre.lov"
#define LAYOUT_MAX   (1U << 20) /* no larger blob is looked at */

/* Outcome: a layout that cannot be given to another file (foreign, or unknown magic). */
#define LAYOUT_NONE 1

/*
 * A copy of the n bytes of blob that may be set on a new file: stripe offsets become "any" (-1),
 * the mark of a released file goes, and a plain blob that lacks its objects (a stub's) is padded to
 * the length that its header tells. Returns 0 with *out (the caller frees) and *out_n, LAYOUT_NONE,
 * or -EINVAL with err when the bytes contradict themselves.
 */
int layout_prepare(const void *blob, size_t n, void **out, size_t *out_n, struct err *err);

#endif
