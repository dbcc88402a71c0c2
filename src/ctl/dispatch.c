/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "ctl/proto.h"
#include "ctl/server_impl.h"

#include <errno.h>
#include <string.h>

static cJSON *answer_error(const cJSON *id, int code, const char *text, cJSON *details)
{
    cJSON *answer = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(answer, "id",
                                id != NULL ? cJSON_Duplicate(id, 1) : cJSON_CreateNull());
    cJSON *error = cJSON_AddObjectToObject(answer, "error");
    const char *name = ctl_errno_name(code);
    (void)cJSON_AddStringToObject(error, "code", name);
    (void)cJSON_AddStringToObject(error, "message", text[0] != '\0' ? text : strerror(-code));
    if (details != NULL)
        (void)cJSON_AddItemToObject(error, "details", details);
    return answer;
}

static cJSON *answer_result(const cJSON *id, cJSON *result)
{
    cJSON *answer = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(id, 1));
    (void)cJSON_AddItemToObject(answer, "result", result != NULL ? result : cJSON_CreateObject());
    return answer;
}

static const struct ctl_op *find_op(const struct ctl_op *ops, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}

static int call_handler(const struct ctl_op *op, struct ctl_request *rq, struct err *err)
{
    if (rq->who == CTL_WHO_S3 && op->who != CTL_WHO_S3)
        return err_set(err, -EPERM, "%s is for root only", op->name);
    return op->handler(rq, err);
}

/* The members that every request has. args may be absent: then an empty object is added. */
static int check_request(cJSON *req, const char **op, cJSON **args, struct err *err)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(req, "id");
    if (!cJSON_IsNumber(id) && !cJSON_IsString(id))
        return err_set(err, -EPROTO, "member \"id\" (a number or string) is missing");
    int rc = json_need_str(req, "op", op, err);
    if (rc != 0)
        return rc;
    *args = cJSON_GetObjectItemCaseSensitive(req, "args");
    if (*args == NULL)
        *args = cJSON_AddObjectToObject(req, "args");
    if (!cJSON_IsObject(*args))
        return err_set(err, -EINVAL, "member \"args\" is no object");
    return 0;
}

cJSON *ctl_dispatch(const struct ctl_op *ops, size_t n_ops, void *app, enum ctl_who who,
                    struct ctl_session *session, const char *line, size_t len)
{
    struct err e = {0};
    auto_json cJSON *req = NULL;
    const char *name = NULL;
    cJSON *args = NULL;
    int rc = ctl_parse(line, len, &req, &e);
    if (rc != 0)
        return answer_error(NULL, rc, e.text, NULL);
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(req, "id");
    rc = check_request(req, &name, &args, &e);
    if (rc != 0)
        return answer_error(id, rc, e.text, NULL);
    const struct ctl_op *op = find_op(ops, n_ops, name);
    if (op == NULL) {
        (void)err_set(&e, -ENOSYS, "there is no operation \"%.64s\"", name);
        return answer_error(id, -ENOSYS, e.text, NULL);
    }
    struct ctl_request rq = {.app = app, .args = args, .who = who, .session = session};
    ctl_session_begin(session, id);
    rc = call_handler(op, &rq, &e);
    if (rc >= 0) {
        cJSON_Delete(rq.details);
        return answer_result(id, rq.result);
    }
    cJSON_Delete(rq.result);
    log_debug("%s: %s", op->name, e.text);
    return answer_error(id, rc, e.text, rq.details);
}

cJSON *ctl_refusal(int code, const char *text)
{
    return answer_error(NULL, code, text, NULL);
}

cJSON *ctl_too_long(const cJSON *answer)
{
    return answer_error(cJSON_GetObjectItemCaseSensitive(answer, "id"), -EMSGSIZE,
                        "the answer is longer than a line may be; ask for less at a time", NULL);
}
