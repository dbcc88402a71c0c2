/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside conf: single values. value.c knows types and bounds, conf.c knows sections and files.
 */
#ifndef CONF_VALUE_IMPL_H
#define CONF_VALUE_IMPL_H

#include "conf/conf_impl.h"

#include <libconfig.h>

/* Frees the strings of l; l is empty afterwards. */
void conf_list_fini(struct conf_list *l);

/* Parses "123", "64KiB", "1 GiB" into bytes. Returns 0 or -EINVAL. */
int conf_parse_size(const char *s, int64_t *out);

/* Puts the default of k into its field (zeroed before). Returns 0, or -EINVAL with err set. */
int conf_put_default(const struct conf_key *k, void *field, struct err *err);

/* Puts setting s into the field of k (zeroed before). Returns 0, or -EINVAL with err set. */
int conf_put_setting(const struct conf_key *k, void *field, const config_setting_t *s,
                     struct err *err);

#endif
