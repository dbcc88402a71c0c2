/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

const char *json_str(const cJSON *obj, const char *name, const char *dflt)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(obj, name));
    return s != NULL ? s : dflt;
}

static bool parse_decimal(const char *s, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0')
        return false;
    *out = v;
    return true;
}

int64_t json_int(const cJSON *obj, const char *name, int64_t dflt)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(obj, name);
    int64_t v = 0;
    if (cJSON_IsString(j) && parse_decimal(j->valuestring, &v))
        return v;
    if (!cJSON_IsNumber(j) || !(fabs(j->valuedouble) <= EXACT_MAX) ||
        j->valuedouble != floor(j->valuedouble))
        return dflt;
    return (int64_t)j->valuedouble;
}

bool json_bool(const cJSON *obj, const char *name, bool dflt)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(obj, name);
    return cJSON_IsBool(j) ? cJSON_IsTrue(j) != 0 : dflt;
}

int json_need_str(const cJSON *obj, const char *name, const char **out, struct err *err)
{
    const char *s = json_str(obj, name, NULL);
    if (s == NULL)
        return err_set(err, -EINVAL, "member \"%s\" (a string) is missing", name);
    *out = s;
    return 0;
}

void json_add_int(cJSON *obj, const char *name, int64_t v)
{
    if (v >= -(int64_t)EXACT_MAX && v <= (int64_t)EXACT_MAX) {
        (void)cJSON_AddNumberToObject(obj, name, (double)v);
        return;
    }
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64, v);
    (void)cJSON_AddStringToObject(obj, name, text);
}

void json_add_str(cJSON *obj, const char *name, const char *v)
{
    if (v == NULL)
        (void)cJSON_AddNullToObject(obj, name);
    else
        (void)cJSON_AddStringToObject(obj, name, v);
}
