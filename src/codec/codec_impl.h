/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside codec: the one XXH3 step that has a faster form on x86 (run-time choice of AVX2/AVX-512 in
 * libxxhash). xxh_dispatch.c or xxh_plain.c, chosen by meson.
 */
#ifndef CODEC_IMPL_H
#define CODEC_IMPL_H

#include <stddef.h>
#include <xxhash.h>

/* XXH3_128bits_update on state with n bytes of p. Returns XXH_OK or XXH_ERROR. */
XXH_errorcode codec_xxh3_update(XXH3_state_t *state, const void *p, size_t n);

#endif
