/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fake library and the fake MDT say to each other: one datagram a call, one an answer, on
 * a SOCK_SEQPACKET Unix socket, at most one descriptor with each. Both ends come from one build, so
 * the structures need no versions and no byte order. Any thread, one call at a time a socket.
 */
#ifndef FAKE_LUSTRE_WIRE_H
#define FAKE_LUSTRE_WIRE_H

#include "abi.h"

#include <sys/types.h>

#define WIRE_SOCKET_ENV "FAKE_LUSTRE_SOCKET"
#define WIRE_CLIENT_ENV "FAKE_LUSTRE_CLIENT"
enum { WIRE_DATA_MAX = 64 * 1024 };

enum wire_op {
    WIRE_HELLO,      /* name = client; answer: features, data = fsname NUL mount NUL version NUL */
    WIRE_FAULT,      /* name = step of the library; rc = -errno on demand */
    WIRE_REPORT,     /* name = what the library caught */
    WIRE_REGISTER,   /* fd = write end; data = archive ids; num 1: pulls; answer num = agent */
    WIRE_UNREGISTER, /* num = agent's number */
    WIRE_PULL,       /* num = agent's number; answer when there is work: data = message */
    WIRE_COPY_START, /* action, cookie, fid; answer dv */
    WIRE_VOLATILE,   /* fid, num = open flags; answer fid = dfid, fd */
    WIRE_PROGRESS,   /* action, cookie, fid, ext, hp_flags, errval */
    WIRE_END,        /* the same, dv = of the start, fd = the volatile of a restore */
    WIRE_OPEN_FID,   /* fid, num = open flags; answer fd */
    WIRE_FID2PATH,   /* fid, num = link number; answer data = path, num = next link */
    WIRE_FD2FID,     /* fd; answer fid */
    WIRE_FID2PARENT, /* fid, num = link number; answer fid, data = name */
    WIRE_STATE_GET,  /* fd; answer state */
    WIRE_STATE_SET,  /* fd, cookie = set, dv = clear, num = archive id */
    WIRE_REQUEST,    /* data = struct hsm_user_request */
    WIRE_IMPORT,     /* data = path, ext.offset = size, num = archive; fd = stub already made */
    WIRE_DATA_VERSION, /* fd; answer dv */
    WIRE_OPS
};

/* Bits of wire_reply.num after WIRE_HELLO: how this version of the library behaves. */
enum {
    FEAT_REMOVE_OPEN = 1,  /* begin of a remove opens the file */
    FEAT_RESTORE_DFID = 2, /* begin of a restore opens dfid */
    FEAT_RECV_WHOLE = 4,   /* recv assembles short reads, EOF is -EPIPE */
};

struct wire_call {
    uint32_t op;
    int32_t pid;
    int32_t num;
    uint32_t action;
    uint64_t cookie;
    struct lu_fid fid;
    struct hsm_extent ext;
    uint64_t dv;
    uint32_t hp_flags;
    int32_t errval;
    uint32_t uid;
    uint32_t len; /* bytes of data behind */
    char name[32];
};

struct wire_reply {
    int32_t rc;
    int32_t num;
    struct lu_fid fid;
    uint64_t dv;
    struct hsm_user_state state;
    uint32_t armed; /* a fault waits for some step of the library */
    uint32_t len;
};

/* Sends n bytes of head and len of data as one datagram, with descriptor fd unless it is -1.
 * Returns 0 or -errno. */
int wire_send(int sock, const void *head, size_t n, const void *data, size_t len, int fd);

/* Receives one datagram: n bytes into head, the rest, at most cap bytes, into data; a descriptor
 * into *fd (the caller owns it; -1 for none). Returns the bytes of data, or -errno; -EPIPE when the
 * other end is gone. */
ssize_t wire_recv(int sock, void *head, size_t n, void *data, size_t cap, int *fd);

#endif
