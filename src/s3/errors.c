/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/req.h"

#include <strings.h>

static const struct {
    int status;
    const char *code, *message;
} errors[S3_ERR_COUNT] = {
    [S3_ERR_NONE] = {500, "InternalError", ""},
#define S3_ERROR(id, status, code, message) [S3_ERR_##id] = {status, code, message},
#include "s3/errors.def"
#undef S3_ERROR
};

static const struct {
    const char *name, *suffix;
} sums[] = {
    [S3_SUM_NONE] = {"", ""},
    [S3_SUM_CRC32] = {"CRC32", "crc32"},
    [S3_SUM_CRC32C] = {"CRC32C", "crc32c"},
    [S3_SUM_CRC64NVME] = {"CRC64NVME", "crc64nvme"},
    [S3_SUM_SHA1] = {"SHA1", "sha1"},
    [S3_SUM_SHA256] = {"SHA256", "sha256"},
};

const char *s3_error_code(enum s3_error e)
{
    return errors[e].code;
}

int s3_error_status(enum s3_error e)
{
    return errors[e].status;
}

const char *s3_error_message(enum s3_error e)
{
    return errors[e].message;
}

const char *s3_sum_name(enum s3_sum alg)
{
    return sums[alg].name;
}

const char *s3_sum_suffix(enum s3_sum alg)
{
    return sums[alg].suffix;
}

enum s3_sum s3_sum_parse(const char *name)
{
    for (int i = S3_SUM_CRC32; i <= S3_SUM_SHA256; i++) {
        if (strcasecmp(name, sums[i].name) == 0)
            return (enum s3_sum)i;
    }
    return S3_SUM_NONE;
}
