/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Left-overs of a crash: names in a bucket's TEMP_DIR that no request will finish. They are removed
 * when the process first uses the bucket, if they have rested for SWEEP_AGE_S. Any thread.
 */
#ifndef S3_SWEEP_H
#define S3_SWEEP_H

#define SWEEP_AGE_S 600

struct s3_call;
struct s3_ops;

/* Removes the left-overs in c's bucket, the first time that the process meets it. Failures are
 * dropped: the next start tries again. */
void sweep_once(struct s3_call *c);

/* Frees the memory of which buckets were swept. */
void sweep_fini(struct s3_ops *ops);

#endif
