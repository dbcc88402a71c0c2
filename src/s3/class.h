/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage classes: which names a client may use, and what is said about an object whose data is
 * offline. The class is what the client asked for; whether data can be read is decided by residency
 * alone. Pure functions; any thread.
 */
#ifndef S3_CLASS_H
#define S3_CLASS_H

#include <stdbool.h>

/* Is name a storage class that objects may have here: STANDARD, GLACIER, DEEP_ARCHIVE, GLACIER_IR?
 */
bool class_known(const char *name);

/* The class that an InvalidObjectState answer names for an object of class name whose data is
 * offline: an archive class as it is, else GLACIER. */
const char *class_when_offline(const char *name);

#endif
