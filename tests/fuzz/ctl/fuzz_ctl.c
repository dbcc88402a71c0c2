/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a control connection: cut into lines, parsed, dispatched to a table that looks at every
 * kind of member. */
#include "base/cleanup.h"
#include "base/io.h"
#include "ctl/proto.h"
#include "ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int op_look(struct ctl_request *rq, struct err *err)
{
    const char *name = NULL;
    const cJSON *path = NULL;
    int rc = json_need_str(rq->args, "name", &name, err);
    cJSON_ArrayForEach (path, cJSON_GetObjectItemCaseSensitive(rq->args, "paths")) {
        rc += cJSON_IsString(path) ? 0 : -1;
    }
    rq->result = cJSON_CreateObject();
    json_add_int(rq->result, "n", json_int(rq->args, "n", -1));
    json_add_str(rq->result, "name", name);
    (void)ctl_event(rq, cJSON_CreateObject());
    return rc == 0 || json_bool(rq->args, "force", false) ? 0 : err_set(err, -EINVAL, "no");
}

static int op_echo(struct ctl_request *rq, struct err *err)
{
    rq->details = cJSON_Duplicate(rq->args, 1);
    return err_set(err, -EEXIST, "%.100s", json_str(rq->args, "name", "none"));
}

static const struct ctl_op ops[] = {
    {"look", CTL_WHO_S3, op_look, "", "looks"},
    {"echo", CTL_WHO_ROOT, op_echo, "", "gives back"},
};

/* An answer always is an object with a result or an error, and small enough to be printed. */
static void check_answer(cJSON *answer)
{
    if (!cJSON_IsObject(answer) ||
        cJSON_HasObjectItem(answer, "result") == cJSON_HasObjectItem(answer, "error"))
        abort();
    cJSON_free(cJSON_PrintUnformatted(answer));
    cJSON_Delete(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = NULL;
    size_t len = 0;
    auto_close int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || io_pwrite_full(fd, data, size, 0) != 0)
        abort();
    struct ctl_reader r = {.fd = fd};
    while (ctl_read_line(&r, -1, &line, &len) == 0) {
        check_answer(ctl_dispatch(ops, 2, NULL, CTL_WHO_ROOT, NULL, line, len));
        check_answer(ctl_dispatch(ops, 2, NULL, CTL_WHO_S3, NULL, line, len));
    }
    ctl_reader_fini(&r);
    return 0;
}
