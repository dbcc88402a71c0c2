/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What firn-watch (the front, which owns the kernel's events) and firnd (which recalls) say to each
 * other: messages of one fixed size over a SOCK_SEQPACKET Unix socket, descriptors beside them by
 * SCM_RIGHTS. Both ends run on one machine from one build: numbers are in host order, and a peer of
 * another version is refused. Only root may connect (SO_PEERCRED). doc/design/watch.md tells why.
 *
 *   firnd                                front
 *     ── ATTACH (+ groups it still holds) ──>
 *     <── HELLO (+ the group) ───────────────   kernel's abilities
 *     <── FS, one for each file system ──────
 *     <── EVENT (+ event fd), those that no one has answered first
 *     ── ANSWER ─────────────────────────────>
 *     ── UNCOVER name ───────────────────────>  all its stubs carry marks of their own
 *     <── FS ────────────────────────────────
 *
 * The newest connection is firnd; an older one is closed. When a file system was mounted anew the
 * front hangs up: firnd comes again, walks again, and an UNCOVER for what it walked before is lost
 * with the connection. Nobody ever waits for an answer to a
 * message while holding up events.
 */
#ifndef WATCH_PROTO_H
#define WATCH_PROTO_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_VERSION    1
#define WATCH_NAME_MAX   64
#define WATCH_GROUPS_MAX 4 /* groups that a front serves at once: its own, and adopted ones */

enum watch_type {
    WATCH_ATTACH = 1, /* engine: here I am. 0 to 3 descriptors: groups of fronts that died */
    WATCH_HELLO,  /* front: abilities in flags (WATCH_CAN_*, WATCH_KEPT); count: how many FS follow;
                     descriptor: dup of the group in which new marks go */
    WATCH_FS,     /* front: name, path's device in dev, flags WATCH_FS_*; code 0 or why not */
    WATCH_EVENT,  /* front: seq, flags WATCH_OP_*, tid, offset, count; descriptor: the file,
                     O_RDONLY, never to be written */
    WATCH_ANSWER, /* engine: seq, code 0 let it go on, else the errno for it (positive) */
    WATCH_UNCOVER, /* engine: name; the mark of the whole file system may go */
    WATCH_COVER,   /* engine: name; put it back (stubs may be unmarked: a restore of a disk) */
    WATCH_RETIRE,  /* engine: adopted groups are needed no more (all stubs are in the new one) */
};

/* WATCH_HELLO */
#define WATCH_CAN_PRE_ACCESS 1U /* Linux 6.14: FAN_PRE_ACCESS; else FAN_OPEN_PERM alone */
#define WATCH_CAN_ERRNO      2U /* 6.14: an answer may name its errno; else all are EPERM */
#define WATCH_KEPT           4U /* the group outlived the front before this one */

/* WATCH_FS */
#define WATCH_FS_MOUNTED 1U /* it is there */
#define WATCH_FS_GATED   2U /* mounted by the front: no moment without a mark */
#define WATCH_FS_COVERED 4U /* the whole file system carries a mark */
#define WATCH_FS_OLDER   8U /* marks of an earlier front's group may be there besides */

/* WATCH_EVENT */
#define WATCH_OP_OPEN   1U /* FAN_OPEN_PERM */
#define WATCH_OP_ACCESS 2U /* FAN_PRE_ACCESS */
#define WATCH_OP_AGAIN  4U /* was sent to an engine before, which ended without answering */

struct watch_msg {
    uint32_t version; /* WATCH_VERSION */
    uint32_t type;    /* enum watch_type */
    uint64_t seq;     /* names an event for as long as the front lives; 0 none */
    uint32_t flags;
    int32_t code;
    int32_t tid; /* the thread that waits (of the initial pid namespace); 0 unknown */
    uint32_t reserved;
    uint64_t offset, count; /* bytes asked for, as the kernel says: never to be relied on */
    uint64_t dev;
    uint64_t value;
    char name[WATCH_NAME_MAX]; /* of a file system; ends with NUL */
};

/*
 * Sends m with nfds (0 to WATCH_GROUPS_MAX) descriptors, which stay the caller's; version is filled
 * in. Never waits: -EAGAIN when the socket is full. Returns 0 or a negative code (-EPIPE: the peer
 * is gone). Any thread; one message is one packet.
 */
int watch_send(int sock, const struct watch_msg *m, const int *fds, size_t nfds);

/*
 * Receives one message into *m and its descriptors (O_CLOEXEC, the caller's from now on) into
 * fds[WATCH_GROUPS_MAX], their number in *nfds. Returns 1, 0 at the end of the connection, -EAGAIN
 * when there is none and sock does not block, -EPROTO for a message of another size, version or
 * type, or without an end of its name, -EMFILE when a descriptor of it could not be taken (*m is
 * whole then, so that an event can be answered), or another negative code. With every negative code
 * *nfds is 0. One thread at a time for each sock.
 */
int watch_recv(int sock, struct watch_msg *m, int *fds, size_t *nfds);

/* "open", "access" or "open+access" for WATCH_OP_* bits; static. */
const char *watch_op_name(uint32_t flags);

#endif
