/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multipart upload on disk: directory UPLOADS_DIR/<id> in the bucket with file "upload" (JSON:
 * key, time, checksum, what the object will say about itself) and one file a part, "p00001". One
 * request's thread per struct; requests for the same upload meet only in the file system.
 */
#ifndef S3_UPLOAD_H
#define S3_UPLOAD_H

#include "s3/ops_impl.h"

struct upload {
    char id[KEY_UPLOAD_ID_LEN + 1];
    int dir; /* of the upload; owned */
    char *key;
    int64_t created_ns;
    enum s3_sum alg; /* S3_SUM_NONE: the client chose none */
    bool composite;
    struct meta meta;
};

/* What a part's file says about it. */
struct part {
    int number;
    int64_t size;
    int64_t mtime_ns;
    char etag[S3_ETAG_MAX];
    char md5[33];    /* "" unless the account has MD5 ETags */
    enum s3_sum alg; /* of the checksum that the client declared, else CRC64NVME */
    char sum[S3_SUM_B64_MAX];
    char crc64[S3_SUM_B64_MAX]; /* CRC64NVME, always */
};

#define UPLOAD_PART_NAME_MAX 16

/* Makes u empty, for upload_fini. */
void upload_init(struct upload *u);

/* Closes and frees what u holds. */
void upload_fini(struct upload *u);
#define auto_upload __attribute__((cleanup(upload_fini)))

/* Makes the upload on disk, durably: u's key, alg, composite and meta are given; id, dir and time
 * are set. Returns 0 or a negative code with err set. */
int upload_create(int bucket_dir, struct upload *u, struct err *err);

/* Opens upload id of bucket directory bucket_dir (the id's form is checked here, before any path).
 * Returns 0, -ENOENT when there is none, or another negative code with err set. */
int upload_open(int bucket_dir, const char *id, struct upload *u, struct err *err);

/* Opens the upload that the request names, and checks that it is for the request's key. Returns
 * true, or false having answered (NoSuchUpload). */
bool upload_of_request(struct s3_call *c, struct upload *u);

/* Removes the upload and its parts. Returns 0 or a negative code with err set. */
int upload_remove(int bucket_dir, const char *id, struct err *err);

/* The file name of part number into out[UPLOAD_PART_NAME_MAX]. */
void upload_part_name(int number, char *out);

/* The ETag of a part into p->etag: the MD5 when it is kept, else of its CRC64NVME and size, so that
 * the same data sent again has the same one. */
void upload_part_etag(struct part *p);

/* Writes the attributes of a new part to its file fd. Returns 0 or a negative code with err set. */
int upload_part_seal(int fd, const struct part *p, struct err *err);

/* Opens part number of u for reading into *fd (the caller closes; may be NULL) and reads what it
 * says about itself. Returns 0, -ENOENT, or another negative code with err set. */
int upload_part_open(const struct upload *u, int number, int *fd, struct part *p, struct err *err);

#endif
