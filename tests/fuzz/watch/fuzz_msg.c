/* SPDX-License-Identifier: Apache-2.0 */
/* One packet of the connection between firnd and the front: refused, or a message whose name ends.
 */
#include "base/cleanup.h"
#include "watch/proto.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct watch_msg m;
    int p[2], fds[WATCH_GROUPS_MAX];
    size_t nfds = 9;
    if (size == 0 || size > 4096) /* an empty packet looks like the end */
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p) != 0)
        abort();
    auto_close int a = p[0], b = p[1];
    if (send(a, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        abort();
    int rc = watch_recv(b, &m, fds, &nfds);
    if (nfds != 0 || rc == 0 || rc > 1)
        abort();
    if (rc == 1 && (size != sizeof(m) || m.version != WATCH_VERSION ||
                    strnlen(m.name, sizeof(m.name)) == sizeof(m.name)))
        abort();
    return 0;
}
