/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration files of other copytools, read as they are: config.cfg of lustre-s3-copytool
 * and the file that lhsmtool_posix takes with -C. Read once at start, by one thread.
 */
#ifndef CONF_COPYTOOL_H
#define CONF_COPYTOOL_H

#include "conf/conf.h"

#define CONF_COPYTOOL_FILE  "config.cfg" /* in the working directory, as its document says */
#define CONF_COPYTOOL_STORE "config.cfg" /* name of the store that it makes */

/* Whose file it is. */
enum conf_dialect {
    CONF_DIALECT_FIRN,     /* firn.conf */
    CONF_DIALECT_COPYTOOL, /* access_key, secret_key, host, ... at the top */
    CONF_DIALECT_POSIX,    /* archive_path: DIR */
};

/* Looks at file path. Returns an enum conf_dialect, or a negative code with err. */
int conf_dialect(const char *path, struct err *err);

/*
 * Reads config.cfg at path: its seven keys (access_key secret_key host bucket_prefix bucket_count
 * chunk_size ssl, all needed) become a store named CONF_COPYTOOL_STORE, which lustre.store names.
 * path NULL: no such store. All other settings come from base (a firn.conf) where that exists, else
 * they are the defaults. chunk_size 0 is the default, a smaller one than firn's least is that.
 * Returns 0 with *out (conf_free), or a negative code with err as of conf_load.
 */
int conf_load_copytool(const char *path, const char *base, struct conf **out, struct err *err);

/* Reads lhsmtool_posix' file: *root and *format (each NULL when not given) are the caller's.
 * Returns 0, or a negative code with err naming file and line. */
int conf_load_posix(const char *path, char **root, char **format, struct err *err);

#endif
