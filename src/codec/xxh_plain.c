/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/codec_impl.h"

XXH_errorcode codec_xxh3_update(XXH3_state_t *state, const void *p, size_t n)
{
    return XXH3_128bits_update(state, p, n);
}
