/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 store and the fault proxy before it, as tests/lib/withstore.py hands them to a test program
 * by its environment. Every failure ends the test program with a text, since nothing can be tested
 * then. One thread.
 */
#ifndef TESTS_TESTSTORE_H
#define TESTS_TESTSTORE_H

/* All borrowed from the environment. */
struct teststore {
    const char *name;     /* "radosgw", "s3rver", "firn" */
    const char *endpoint; /* "http://127.0.0.1:port" of the proxy */
    const char *direct;   /* of the store itself */
    const char *access_key, *secret_key, *region;
    const char *separator; /* "_" or "-": what the store bears in names of buckets */
    const char *seed;
};

/* The store that this program was given. */
const struct teststore *teststore_get(void);

/* One command of the proxy's control port ("add slow_down method=PUT count=2", "clear", "hits 1";
 * tests/lib/faultproxy.py says all). Returns the answer without its "ok": borrowed until the next
 * call. An answer that is an error ends the program. */
const char *teststore_tell(const char *command);

/* Adds a fault; returns its number. rule as after "add". */
int teststore_fault(const char *rule);

/* How often the fault of that number has hit. */
int teststore_hits(int number);

#endif
