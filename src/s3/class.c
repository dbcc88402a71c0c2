/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/class.h"

#include <stddef.h>
#include <string.h>

bool class_known(const char *name)
{
    static const char *const known[] = {"STANDARD", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

const char *class_when_offline(const char *name)
{
    return strcmp(name, "DEEP_ARCHIVE") == 0 ? "DEEP_ARCHIVE" : "GLACIER";
}
