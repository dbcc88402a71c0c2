/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of lhsmtool_firn: the options of lhsmtool_posix and of lustre-s3-copytool, and
 * firn's own. One table makes parser and help. Once, in the main thread.
 */
#ifndef LUSTRE_OPTIONS_H
#define LUSTRE_OPTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum copytool_mode {
    COPYTOOL_SERVE,
    COPYTOOL_IMPORT,       /* args: source, destination */
    COPYTOOL_REBIND,       /* args: old and new FID, or a file of such pairs */
    COPYTOOL_MAX_SEQUENCE, /* no args */
    COPYTOOL_VERIFY,       /* the same */
    COPYTOOL_SCRUB,
    COPYTOOL_REBUILD, /* args: destination */
    COPYTOOL_CHECK_CONFIG,
    COPYTOOL_CRASH_POINTS,
    COPYTOOL_VERSION,
    COPYTOOL_HELP,
};

#define COPYTOOL_ARCHIVES_MAX 1024

/* What was asked for; strings are borrowed from argv. */
struct copytool_options {
    enum copytool_mode mode;
    int archive_ids[COPYTOOL_ARCHIVES_MAX];
    int narchive_ids; /* 0: any */
    bool daemon, dry_run, abort_on_error, repair;
    bool no_attr, no_xattr, no_shadow;
    int verbosity; /* 0: as configured; + and - one level each */
    const char *hsm_root, *format, *upgrade;
    const char *tier;
    const char *config;
    const char *event_fifo, *pid_file;
    uint64_t bandwidth;  /* bytes/s, 0: no bound */
    uint64_t chunk_size; /* 0: as configured */
    int64_t update_s;
    const char *args[2]; /* NULL when not given */
    const char *mount;   /* NULL when the mode needs none */
};

/* Takes argv; argv's own strings may be changed (underscores of long options become dashes).
 * Returns 0, or -EINVAL with err naming the option. */
int copytool_options(int argc, char **argv, struct copytool_options *out, struct err *err);

/* The text of --help, static after the first call. */
const char *copytool_help(void);

/* "10", "10M", "512K", "1GiB" into bytes; a bare number is in MiB, as in lhsmtool_posix. Returns 0,
 * or -EINVAL when text is no size above 0. */
int copytool_parse_size(const char *text, uint64_t *out);

#endif
