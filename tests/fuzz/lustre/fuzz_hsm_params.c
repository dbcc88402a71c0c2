/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a server's parameters: what comes out has bounds, whatever comes in. */
#include "lustre/hsm_params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size + 1);
    struct lu_fid fid;
    struct hsm_agent agent = {0};
    int kind = -1;
    int status = -1;
    assert(line != NULL);
    if (size > 0)
        memcpy(line, data, size);
    line[size] = '\0';
    if (hsm_action_parse(line, &fid, &kind, &status) == 0) {
        assert(kind >= 0 && kind < HSM_KINDS && status >= 0 && status < HSM_STATUSES);
        assert(hsm_kind_name(kind) != NULL && hsm_status_name(status) != NULL);
    }
    if (hsm_agent_parse(line, &agent) == 0) {
        assert(strlen(agent.uuid) < sizeof(agent.uuid));
        assert(strlen(agent.archives) < sizeof(agent.archives));
    }
    free(line);
    return 0;
}
