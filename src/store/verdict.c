/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_ELEMENTS 200

#define ADVICE_RIGHTS  "check the rights of the user and the bucket's policy"
#define ADVICE_KEYS    "check access_key and secret_key (or credentials_file and profile)"
#define ADVICE_EXPIRED "renew the credentials"
#define ADVICE_BUCKET  "create the bucket, or correct bucket_prefix and bucket_count"
#define ADVICE_CLOCK   "set this machine's clock, or the store's"
#define ADVICE_REGION  "set region (and endpoint) to the bucket's"
#define ADVICE_QUOTA   "raise the quota, or remove objects"
#define ADVICE_VERSION "the store does not know this request"
#define ADVICE_BUG     "a proxy between here and the store may change requests"

/* Codes of the S3 API Reference ("Error responses"), of Ceph's gateway and of common servers. What
 * is not here goes by its status. */
static const struct {
    const char *code;
    struct verdict verdict;
} codes[] = {
    {"AccessDenied", {VERDICT_FAIL, -EACCES, ADVICE_RIGHTS}},
    {"AccountProblem", {VERDICT_FAIL, -EACCES, "ask the store's operator"}},
    {"AllAccessDisabled", {VERDICT_FAIL, -EACCES, "ask the store's operator"}},
    {"AuthorizationHeaderMalformed", {VERDICT_REGION, -EINVAL, ADVICE_REGION}},
    {"BadDigest", {VERDICT_RETRY, -EBADMSG, ADVICE_BUG}},
    {"BucketAlreadyExists", {VERDICT_FAIL, -EEXIST, "choose another bucket_prefix"}},
    {"BucketAlreadyOwnedByYou", {VERDICT_FAIL, -EEXIST, ""}},
    {"ConditionalRequestConflict", {VERDICT_RETRY, -EAGAIN, ""}},
    {"EntityTooLarge", {VERDICT_FAIL, -EFBIG, "choose a smaller chunk_size or pack_size"}},
    {"ExpiredToken", {VERDICT_CREDS, -EACCES, ADVICE_EXPIRED}},
    {"IllegalLocationConstraintException", {VERDICT_REGION, -EINVAL, ADVICE_REGION}},
    {"IncompleteBody", {VERDICT_RETRY, -EIO, ADVICE_BUG}},
    {"InternalError", {VERDICT_RETRY, -EIO, "see the store's log"}},
    {"InvalidAccessKeyId", {VERDICT_CREDS, -EACCES, ADVICE_KEYS}},
    {"InvalidBucketName", {VERDICT_FAIL, -EINVAL, "choose another bucket_prefix or separator"}},
    {"InvalidObjectState", {VERDICT_ARCHIVED, -EBUSY, "restore the object first"}},
    {"InvalidRange", {VERDICT_FAIL, -EMSGSIZE, "the object is shorter than recorded"}},
    {"InvalidSecurity", {VERDICT_FAIL, -EACCES, ADVICE_KEYS}},
    {"InvalidToken", {VERDICT_CREDS, -EACCES, ADVICE_EXPIRED}},
    {"KeyTooLongError", {VERDICT_FAIL, -ENAMETOOLONG, "choose a shorter key_prefix"}},
    {"MetadataTooLarge", {VERDICT_FAIL, -E2BIG, ""}},
    {"MethodNotAllowed", {VERDICT_FAIL, -ENOTSUP, ADVICE_VERSION}},
    {"NoSuchBucket", {VERDICT_ABSENT, -ENOENT, ADVICE_BUCKET}},
    {"NoSuchKey", {VERDICT_ABSENT, -ENOENT, ""}},
    {"NoSuchVersion", {VERDICT_ABSENT, -ENOENT, ""}},
    {"NotImplemented", {VERDICT_FAIL, -ENOTSUP, ADVICE_VERSION}},
    {"NotSignedUp", {VERDICT_FAIL, -EACCES, "ask the store's operator"}},
    {"OperationAborted", {VERDICT_RETRY, -EAGAIN, ""}},
    {"PermanentRedirect", {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {"PreconditionFailed", {VERDICT_FAIL, -EEXIST, ""}},
    {"QuotaExceeded", {VERDICT_FAIL, -ENOSPC, ADVICE_QUOTA}},
    {"RequestExpired", {VERDICT_SKEW, -ETIME, ADVICE_CLOCK}},
    {"RequestTimeTooSkewed", {VERDICT_SKEW, -ETIME, ADVICE_CLOCK}},
    {"RequestTimeout", {VERDICT_RETRY, -ETIMEDOUT, ""}},
    {"ServiceUnavailable", {VERDICT_RETRY, -EAGAIN, "see the store's log"}},
    {"SignatureDoesNotMatch", {VERDICT_CREDS, -EACCES, ADVICE_KEYS}},
    {"SlowDown", {VERDICT_RETRY, -EAGAIN, "lower connections"}},
    {"TemporaryRedirect", {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {"ThrottlingException", {VERDICT_RETRY, -EAGAIN, "lower connections"}},
    {"TokenRefreshRequired", {VERDICT_CREDS, -EACCES, ADVICE_EXPIRED}},
    {"TooManyBuckets", {VERDICT_FAIL, -EDQUOT, "raise max_buckets of the user"}},
    {"TooManyRequests", {VERDICT_RETRY, -EAGAIN, "lower connections"}},
    {"UserSuspended", {VERDICT_FAIL, -EACCES, "ask the store's operator"}},
    {"XAmzContentChecksumMismatch", {VERDICT_RETRY, -EBADMSG, ADVICE_BUG}},
    {"XAmzContentSHA256Mismatch", {VERDICT_RETRY, -EBADMSG, ADVICE_BUG}},
    {"XMinioStorageFull", {VERDICT_FAIL, -ENOSPC, ADVICE_QUOTA}},
};

static const struct {
    int status;
    struct verdict verdict;
} statuses[] = {
    {301, {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {302, {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {303, {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {307, {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {308, {VERDICT_REGION, -EREMOTE, ADVICE_REGION}},
    {401, {VERDICT_CREDS, -EACCES, ADVICE_KEYS}},
    {403, {VERDICT_FAIL, -EACCES, ADVICE_RIGHTS}},
    {404, {VERDICT_FAIL, -EPROTO, "no S3 store answered: check endpoint, and proxies"}},
    {405, {VERDICT_FAIL, -ENOTSUP, ADVICE_VERSION}},
    {407, {VERDICT_FAIL, -EACCES, "a proxy wants a password"}},
    {408, {VERDICT_RETRY, -ETIMEDOUT, ""}},
    {409, {VERDICT_FAIL, -EBUSY, ""}},
    {411, {VERDICT_FAIL, -EPROTO, ADVICE_BUG}},
    {412, {VERDICT_FAIL, -EEXIST, ""}},
    {413,
     {VERDICT_FAIL, -EFBIG,
      "choose a smaller chunk_size or pack_size, or raise the proxy's limit"}},
    {416, {VERDICT_FAIL, -EMSGSIZE, "the object is shorter than recorded"}},
    {417, {VERDICT_RETRY, -EPROTO, ""}},
    {425, {VERDICT_RETRY, -EAGAIN, ""}},
    {429, {VERDICT_RETRY, -EAGAIN, "lower connections"}},
    {500, {VERDICT_RETRY, -EIO, "see the store's log"}},
    {501, {VERDICT_FAIL, -ENOTSUP, ADVICE_VERSION}},
    {502, {VERDICT_RETRY, -EIO, "see the log of the proxy before the store"}},
    {503, {VERDICT_RETRY, -EAGAIN, "see the store's log"}},
    {504, {VERDICT_RETRY, -ETIMEDOUT, "see the log of the proxy before the store"}},
    {507, {VERDICT_FAIL, -ENOSPC, ADVICE_QUOTA}},
    {509, {VERDICT_RETRY, -EAGAIN, "lower connections"}},
};

struct verdict verdict_of_code(const char *code, int status)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].verdict;
    }
    /* An S3 error that is not in the table says more than its 404. */
    if (status == 404 && code[0] != '\0')
        return (struct verdict){VERDICT_FAIL, -ENOENT, ""};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status)
            return statuses[i].verdict;
    }
    if (status >= 500)
        return (struct verdict){VERDICT_RETRY, -EIO, "see the store's log"};
    if (status >= 300 && status < 400)
        return (struct verdict){VERDICT_REGION, -EREMOTE, ADVICE_REGION};
    return (struct verdict){VERDICT_FAIL, -EINVAL, ""};
}

static const struct {
    CURLcode rc;
    struct verdict verdict;
} transfers[] = {
    {CURLE_URL_MALFORMAT, {VERDICT_FAIL, -EINVAL, "check endpoint"}},
    {CURLE_COULDNT_RESOLVE_PROXY, {VERDICT_RETRY, -EHOSTUNREACH, "check http_proxy"}},
    {CURLE_COULDNT_RESOLVE_HOST,
     {VERDICT_RETRY, -EHOSTUNREACH, "check endpoint, style, and the name server"}},
    {CURLE_COULDNT_CONNECT,
     {VERDICT_RETRY, -ECONNREFUSED, "see whether the store runs, and check endpoint"}},
    {CURLE_OPERATION_TIMEDOUT,
     {VERDICT_RETRY, -ETIMEDOUT, "see whether the store runs, and check endpoint"}},
    {CURLE_PARTIAL_FILE, {VERDICT_RETRY, -EIO, "the answer ended early"}},
    {CURLE_GOT_NOTHING, {VERDICT_RETRY, -EIO, "the connection ended before an answer"}},
    {CURLE_SEND_ERROR, {VERDICT_RETRY, -EIO, "the connection ended early"}},
    {CURLE_RECV_ERROR, {VERDICT_RETRY, -EIO, "the connection ended early"}},
    {CURLE_SSL_CONNECT_ERROR,
     {VERDICT_RETRY, -EPROTO, "see whether the port speaks TLS, and check endpoint"}},
    {CURLE_PEER_FAILED_VERIFICATION,
     {VERDICT_FAIL, -EPROTO,
      "set ca_file to the certificate of the store's authority, and see that endpoint and style "
      "give a name that the store's certificate holds for"}},
    {CURLE_SSL_CACERT_BADFILE, {VERDICT_FAIL, -EINVAL, "check ca_file"}},
    {CURLE_SSL_CIPHER, {VERDICT_FAIL, -EPROTO, "the store offers no TLS 1.2 or later"}},
    {CURLE_UNSUPPORTED_PROTOCOL, {VERDICT_RETRY, -EPROTO, "no HTTP server answered"}},
    {CURLE_WEIRD_SERVER_REPLY, {VERDICT_RETRY, -EPROTO, "no HTTP server answered"}},
    {CURLE_OUT_OF_MEMORY, {VERDICT_FAIL, -ENOMEM, ""}},
};

struct verdict verdict_of_curl(CURLcode rc)
{
    for (size_t i = 0; i < sizeof(transfers) / sizeof(transfers[0]); i++) {
        if (transfers[i].rc == rc)
            return transfers[i].verdict;
    }
    return (struct verdict){VERDICT_RETRY, -EIO, ""};
}

void text_printable(char *out, size_t cap, const char *s)
{
    size_t n = strnlen(s, cap - 1);
    while (s[n] != '\0' && n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--; /* never half a character */
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i]);
    out[n] = '\0';
}

static void take(char *out, size_t cap, const struct xml *root, const char *name)
{
    const char *s = xml_text(root, name);
    text_printable(out, cap, s != NULL ? s : "");
}

bool error_doc_parse(const void *data, size_t len, struct error_doc *out)
{
    *out = (struct error_doc){0};
    auto_xml struct xml *root = NULL;
    if (len == 0 || xml_parse(data, len, ERROR_ELEMENTS, NULL, &root, NULL) < 0)
        return false;
    /* Some gateways wrap it, as AWS's other services do. */
    const struct xml *e = xml_is(root, "ErrorResponse") ? xml_child(root, "Error") : root;
    if (e == NULL || !xml_is(e, "Error"))
        return false;
    take(out->code, sizeof(out->code), e, "Code");
    take(out->message, sizeof(out->message), e, "Message");
    take(out->region, sizeof(out->region), e, "Region");
    take(out->endpoint, sizeof(out->endpoint), e, "Endpoint");
    return out->code[0] != '\0';
}
