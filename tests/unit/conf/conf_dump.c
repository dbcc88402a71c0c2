/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the table of keys, one a line, for the test that holds firn.conf(5) against it. */
#include "conf/conf.h"

#include <stdio.h>

static void print_row(void *ctx, const char *section, const char *name, const char *dflt,
                      const char *allows, const char *help)
{
    (void)ctx;
    (void)printf("%s\t%s\t%s\t%s\t%s\n", section, name, dflt, allows, help);
}

int main(void)
{
    conf_describe(print_row, NULL);
    return 0;
}
