/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/options.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct row;
typedef int take_fn(const struct row *r, const char *arg, struct copytool_options *o,
                    struct err *err);

/* One option. */
struct row {
    const char *name;
    char letter;     /* or 0 */
    const char *arg; /* its name in the help; NULL: none */
    take_fn *take;
    size_t offset; /* of the member that take fills */
    int value;     /* of a mode or a count */
    const char *help;
};

static void *member(const struct row *r, struct copytool_options *o)
{
    return (char *)o + r->offset;
}

static int take_flag(const struct row *r, const char *arg, struct copytool_options *o,
                     struct err *err)
{
    (void)arg, (void)err;
    *(bool *)member(r, o) = true;
    return 0;
}

static int take_string(const struct row *r, const char *arg, struct copytool_options *o,
                       struct err *err)
{
    (void)err;
    *(const char **)member(r, o) = arg;
    return 0;
}

static int take_level(const struct row *r, const char *arg, struct copytool_options *o,
                      struct err *err)
{
    (void)arg, (void)err;
    o->verbosity += r->value;
    return 0;
}

static int take_mode(const struct row *r, const char *arg, struct copytool_options *o,
                     struct err *err)
{
    if (o->mode != COPYTOOL_SERVE && (int)o->mode != r->value)
        return err_set(err, -EINVAL, "--%s does not go with another task", r->name);
    o->mode = (enum copytool_mode)r->value;
    if (arg != NULL)
        o->args[0] = arg;
    return 0;
}

static int take_archive(const struct row *r, const char *arg, struct copytool_options *o,
                        struct err *err)
{
    char *end = NULL;
    (void)r;
    errno = 0;
    long v = strtol(arg, &end, 10);
    if (errno != 0 || end == arg || *end != '\0' || v < 0 || v > INT_MAX)
        return err_set(err, -EINVAL, "--archive %s: an archive id, 0 (any) or more, is expected",
                       arg);
    if (o->narchive_ids == COPYTOOL_ARCHIVES_MAX)
        return err_set(err, -EINVAL, "--archive: at most %d are possible", COPYTOOL_ARCHIVES_MAX);
    o->archive_ids[o->narchive_ids++] = (int)v;
    return 0;
}

static int take_seconds(const struct row *r, const char *arg, struct copytool_options *o,
                        struct err *err)
{
    char *end = NULL;
    errno = 0;
    long v = strtol(arg, &end, 10);
    if (errno != 0 || end == arg || *end != '\0' || v < 0 || v > 86400)
        return err_set(err, -EINVAL, "--%s %s: seconds, 0 to 86400, are expected", r->name, arg);
    *(int64_t *)member(r, o) = v;
    return 0;
}

int copytool_parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || v == 0)
        return -EINVAL;
    const char *u = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
    unsigned shift = u != NULL ? 10 * (unsigned)(u - units + 1) : 20;
    end += u != NULL;
    if (u != NULL && (strcasecmp(end, "iB") == 0 || strcasecmp(end, "B") == 0))
        end = strchr(end, '\0');
    if (*end != '\0' || v > UINT64_MAX >> shift)
        return -EINVAL;
    *out = (uint64_t)v << shift;
    return 0;
}

/* -b and -c: a size for lhsmtool_posix, a file for lustre-s3-copytool. */
static int take_size_or_file(const struct row *r, const char *arg, struct copytool_options *o,
                             struct err *err)
{
    if (copytool_parse_size(arg, member(r, o)) == 0)
        return 0;
    if (isdigit((unsigned char)arg[0]) && strpbrk(arg, "./") == NULL)
        return err_set(err, -EINVAL, "--%s %s: a size such as 10 (MiB), 512K or 1G is expected",
                       r->name, arg);
    o->config = arg;
    return 0;
}

static int take_format(const struct row *r, const char *arg, struct copytool_options *o,
                       struct err *err)
{
    if (strcmp(arg, "v1") != 0 && strcmp(arg, "v2") != 0)
        return err_set(err, -EINVAL, "--%s %s: v1 or v2 is expected", r->name, arg);
    return take_string(r, arg, o, err);
}

static int take_tier(const struct row *r, const char *arg, struct copytool_options *o,
                     struct err *err)
{
    static const char *const kinds[] = {"s3", "posix", "dir", "null"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(arg, kinds[i]) == 0)
            return take_string(r, arg, o, err);
    }
    return err_set(err, -EINVAL, "--tier %s: s3, posix, dir or null is expected", arg);
}

#define AT(field) offsetof(struct copytool_options, field)
/* clang-format off */
static const struct row rows[] = {
    {"archive", 'A', "N", take_archive, 0, 0, "serve archive id N; may be repeated; 0 or none: all"},
    {"daemon", 0, NULL, take_flag, AT(daemon), 0, "go to the background"},
    {"config", 'C', "FILE", take_string, AT(config), 0, "read FILE: firn.conf, config.cfg, or lhsmtool_posix' file"},
    {"bandwidth", 'b', "SIZE", take_size_or_file, AT(bandwidth), 0, "copy at most SIZE a second (a bare number: MiB)"},
    {"chunk-size", 'c', "SIZE", take_size_or_file, AT(chunk_size), 0, "bytes of a file in one object; a file's name: as -C"},
    {"update-interval", 'u', "SECONDS", take_seconds, AT(update_s), 0, "report bytes each SECONDS (30)"},
    {"event-fifo", 'f', "PATH", take_string, AT(event_fifo), 0, "write events as JSON lines to FIFO PATH"},
    {"pid-file", 'P', "PATH", take_string, AT(pid_file), 0, "write the process id to PATH and lock it"},
    {"hsm-root", 'p', "DIR", take_string, AT(hsm_root), 0, "archive to directory DIR as lhsmtool_posix does"},
    {"archive-format", 'F', "FORMAT", take_format, AT(format), 0, "form of DIR: v1 or v2"},
    {"archive-upgrade", 'U', "FORMAT", take_format, AT(upgrade), 0, "write to DIR in this form from now on"},
    {"tier", 0, "KIND", take_tier, AT(tier), 0, "archive to s3, posix, dir (both with --hsm-root) or null"},
    {"no-attr", 0, NULL, take_flag, AT(no_attr), 0, "accepted; owner, mode and times are always kept"},
    {"no-xattr", 0, NULL, take_flag, AT(no_xattr), 0, "leave extended attributes alone"},
    {"no-shadow", 0, NULL, take_flag, AT(no_shadow), 0, "accepted; there is no shadow tree"},
    {"dry-run", 0, NULL, take_flag, AT(dry_run), 0, "move no data, change nothing"},
    {"abort-on-error", 0, NULL, take_flag, AT(abort_on_error), 0, "end at the first action that fails"},
    {"verbose", 'v', NULL, take_level, 0, 1, "log more"},
    {"quiet", 'q', NULL, take_level, 0, -1, "log less"},
    {"import", 'i', NULL, take_mode, 0, COPYTOOL_IMPORT, "make released files of what the archive has: SOURCE DESTINATION"},
    {"rebind", 'r', NULL, take_mode, 0, COPYTOOL_REBIND, "give copies to other FIDs: OLD NEW, or a LIST of pairs"},
    {"max-sequence", 'M', NULL, take_mode, 0, COPYTOOL_MAX_SEQUENCE, "print the highest sequence of an archived FID"},
    {"verify", 0, NULL, take_mode, 0, COPYTOOL_VERIFY, "compare index, archive and files"},
    {"scrub", 0, NULL, take_mode, 0, COPYTOOL_SCRUB, "the same, and read all archived data"},
    {"repair", 0, NULL, take_flag, AT(repair), 0, "with --verify or --scrub: mark and mend what is wrong"},
    {"rebuild", 0, "DIR", take_mode, 0, COPYTOOL_REBUILD, "make the name space again below DIR from the archive alone"},
    {"check-config", 0, NULL, take_mode, 0, COPYTOOL_CHECK_CONFIG, "read and check the configuration, start nothing"},
    {"list-crash-points", 0, NULL, take_mode, 0, COPYTOOL_CRASH_POINTS, "name the points at which tests may end the program"},
    {"version", 0, NULL, take_mode, 0, COPYTOOL_VERSION, "print the version"},
    {"help", 'h', NULL, take_mode, 0, COPYTOOL_HELP, "print this"},
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))

const char *copytool_help(void)
{
    static struct buf b;
    if (b.len > 0)
        return b.data;
    buf_adds(&b,
             "usage: lhsmtool_firn [OPTIONS] MOUNT\n"
             "       lhsmtool_firn [OPTIONS] --import SOURCE DESTINATION MOUNT\n"
             "       lhsmtool_firn [OPTIONS] --rebind {OLD NEW | LIST} MOUNT\n"
             "       lhsmtool_firn [OPTIONS] --max-sequence | --verify | --scrub | --rebuild DIR "
             "MOUNT\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        auto_buf struct buf left = {0};
        const struct row *r = &rows[i];
        if (r->letter != 0)
            buf_addf(&left, "-%c, ", r->letter);
        else
            buf_adds(&left, "    ");
        buf_addf(&left, "--%s%s%s", r->name, r->arg != NULL ? " " : "",
                 r->arg != NULL ? r->arg : "");
        buf_addf(&b, "  %-30s %s\n", left.data, r->help);
    }
    return b.data;
}

/* --event_fifo is --event-fifo. */
static void mend_underscores(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        if (argv[i][2] == '\0')
            return;
        for (char *p = argv[i]; *p != '\0' && *p != '='; p++)
            *p = *p == '_' ? '-' : *p;
    }
}

static void make_getopt(struct option *longs, char *letters)
{
    size_t n = 0;
    letters[n++] = ':';
    for (size_t i = 0; i < ROWS; i++) {
        longs[i] = (struct option){rows[i].name, rows[i].arg != NULL ? required_argument : 0, NULL,
                                   256 + (int)i};
        if (rows[i].letter == 0)
            continue;
        letters[n++] = rows[i].letter;
        if (rows[i].arg != NULL)
            letters[n++] = ':';
    }
    longs[ROWS] = (struct option){0};
    letters[n] = '\0';
}

static const struct row *row_of(int c)
{
    if (c >= 256)
        return &rows[c - 256];
    for (size_t i = 0; i < ROWS; i++) {
        if (c == rows[i].letter)
            return &rows[i];
    }
    return NULL;
}

static int take_all(int argc, char **argv, struct copytool_options *o, struct err *err)
{
    struct option longs[ROWS + 1];
    char letters[2 * ROWS + 2];
    int c = 0;
    make_getopt(longs, letters);
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (c == ':')
            return err_set(err, -EINVAL, "option %s needs an argument", word);
        const struct row *r = c != '?' ? row_of(c) : NULL;
        if (r == NULL)
            return err_set(err, -EINVAL, "unknown option %s; --help lists them", word);
        int rc = r->take(r, optarg, o, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* How many words a mode takes before the mount. */
static int words_of(const struct copytool_options *o, int given, struct err *err)
{
    static const struct {
        int least, most;
        const char *text;
    } words[] = {
        [COPYTOOL_SERVE] = {1, 1, "MOUNT"},
        [COPYTOOL_IMPORT] = {3, 3, "--import SOURCE DESTINATION MOUNT"},
        [COPYTOOL_REBIND] = {2, 3, "--rebind OLD NEW MOUNT, or --rebind LIST MOUNT"},
        [COPYTOOL_MAX_SEQUENCE] = {1, 1, "--max-sequence MOUNT"},
        [COPYTOOL_VERIFY] = {1, 1, "--verify MOUNT"},
        [COPYTOOL_SCRUB] = {1, 1, "--scrub MOUNT"},
        [COPYTOOL_REBUILD] = {1, 1, "--rebuild DIR MOUNT"},
        [COPYTOOL_CHECK_CONFIG] = {0, 1, "--check-config"},
        [COPYTOOL_CRASH_POINTS] = {0, 0, "--list-crash-points"},
        [COPYTOOL_VERSION] = {0, 0, "--version"},
        [COPYTOOL_HELP] = {0, 1, "--help"},
    };
    if (given < words[o->mode].least || given > words[o->mode].most)
        return err_set(err, -EINVAL, "%s is expected; --help tells more", words[o->mode].text);
    return 0;
}

static int check(const struct copytool_options *o, struct err *err)
{
    bool directory =
        o->tier != NULL && (strcmp(o->tier, "posix") == 0 || strcmp(o->tier, "dir") == 0);
    if (directory && o->hsm_root == NULL && o->config == NULL)
        return err_set(err, -EINVAL, "--tier %s needs --hsm-root", o->tier);
    if (o->repair && o->mode != COPYTOOL_VERIFY && o->mode != COPYTOOL_SCRUB)
        return err_set(err, -EINVAL, "--repair goes with --verify or --scrub");
    return 0;
}

int copytool_options(int argc, char **argv, struct copytool_options *out, struct err *err)
{
    struct copytool_options o = {.update_s = 30};
    mend_underscores(argc, argv);
    int rc = take_all(argc, argv, &o, err);
    if (rc == 0)
        rc = words_of(&o, argc - optind, err);
    if (rc == 0)
        rc = check(&o, err);
    if (rc != 0)
        return rc;
    if (optind < argc)
        o.mount = argv[argc - 1];
    for (int i = 0; optind + i < argc - 1 && i < 2; i++)
        o.args[i] = argv[optind + i];
    *out = o;
    return 0;
}
