/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the command line share: rows of the command tables, parsed options, the
 * connection to firnd, and output. One thread. A command's function returns 0, a positive enum
 * cmd_exit, or a negative code with ctx->err set; cmd_main prints that text once.
 */
#ifndef CMD_CMD_IMPL_H
#define CMD_CMD_IMPL_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "ctl/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- tables ------------------------------------------------------------------------------ */

enum cmd_opt_flag {
    CMD_OPT_SHORT_ONLY = 1, /* the name is only a key: there is no long form */
    CMD_OPT_REQUIRED = 2,   /* the command needs it */
    CMD_OPT_IGNORED = 4,    /* taken for compatibility, without effect */
};

/* One option. A table of them ends with a row without name. */
struct cmd_opt {
    const char *name; /* long form, and the key that cmd_value and cmd_has ask for */
    char letter;      /* short form, or 0 */
    const char *arg;  /* what its argument is called; NULL when it takes none */
    const char *help; /* one line */
    unsigned flags;   /* of enum cmd_opt_flag */
};

struct cmd_args;
struct cmd_ctx;

/* One command. A table of them ends with a row without run. */
struct cmd {
    const char *name; /* below its group: "migrate"; "" when the group itself is the command */
    const char *args; /* operands for the usage line; "" for none */
    const char *help; /* one line */
    int min_args;
    int max_args;               /* -1: any number */
    const struct cmd_opt *opts; /* NULL for none */
    int (*run)(struct cmd_ctx *ctx, const struct cmd_args *args);
};

/* A word of the command line with its commands. A table of them ends with a row without name. */
struct cmd_group {
    const char *name;
    const char *help;
    const struct cmd *cmds;
};

/* A program name with all it can do. */
struct cmd_program {
    const char *name;
    const char *page; /* its manual page */
    const struct cmd_group *groups;
    /* Says what to do about a word that is no command; returns an exit status. NULL: suggest. */
    int (*unknown)(struct cmd_ctx *ctx, int argc, char **argv);
};

extern const struct cmd_program cmd_program_firn;
extern const struct cmd_program cmd_program_eeadm;
extern const struct cmd_program cmd_program_mmapplypolicy;
extern const struct cmd_program cmd_program_mmlsattr;

/* The options that every command takes besides its own. */
extern const struct cmd_opt cmd_common_opts[];

/* Tables of one file each, by group. */
extern const struct cmd cmds_account[];
extern const struct cmd cmds_attr[];
extern const struct cmd cmds_bucket[];
extern const struct cmd cmds_cluster[];
extern const struct cmd cmds_compat[];
extern const struct cmd cmds_completion[];
extern const struct cmd cmds_drain[];
extern const struct cmd cmds_drive[];
extern const struct cmd cmds_file[];
extern const struct cmd cmds_help[];
extern const struct cmd cmds_library[];
extern const struct cmd cmds_lustre[];
extern const struct cmd cmds_mmapplypolicy[];
extern const struct cmd cmds_mmlsattr[];
extern const struct cmd cmds_policy[];
extern const struct cmd cmds_pool[];
extern const struct cmd cmds_rebuild[];
extern const struct cmd cmds_schedule[];
extern const struct cmd cmds_status[];
extern const struct cmd cmds_tape[];
extern const struct cmd cmds_task[];
extern const struct cmd cmds_tier[];

/* ---- the run ----------------------------------------------------------------------------- */

struct cmd_ctx {
    const struct cmd_program *program;
    const char *socket; /* --socket; NULL: from the environment or the configuration */
    const char *config; /* --config; NULL: from the environment or the default place */
    bool json;
    bool unreachable;          /* firnd did not answer: exit status 3 */
    char *command_line;        /* the words of the command line joined, for the tasks' history */
    char *socket_shown;        /* the socket that was tried; owned */
    struct ctl_client *client; /* NULL until the first call */
    struct err err;
};

/* Closes the connection and frees what ctx owns. */
void cmd_ctx_fini(struct cmd_ctx *ctx);

/* ---- options (opts.c) -------------------------------------------------------------------- */

struct cmd_given {
    const struct cmd_opt *opt;
    const char *value; /* NULL for an option without argument; borrowed from argv */
};

/* A parsed command line. */
struct cmd_args {
    const struct cmd_program *program;
    const struct cmd_group *group;
    const struct cmd *cmd;
    struct cmd_given *given;
    size_t ngiven;
    int argc; /* operands */
    char **argv;
    bool help; /* --help was given; nothing else was checked */
};

/*
 * Parses argv[1..argc-1] by cmd's options and the common ones into *args (freed with
 * cmd_args_fini; its strings are argv's, which is permuted). --json, --socket and --config go to
 * ctx. Returns 0, or CMD_EXIT_USAGE after saying on standard error what is wrong and what was
 * perhaps meant.
 */
int cmd_args_parse(struct cmd_ctx *ctx, const struct cmd_group *group, const struct cmd *cmd,
                   int argc, char **argv, struct cmd_args *args);

/* Frees what cmd_args_parse allocated. */
void cmd_args_fini(struct cmd_args *args);

/* The last value given for option name, or NULL. Borrowed. */
const char *cmd_value(const struct cmd_args *args, const char *name);

/* True when option name was given. */
bool cmd_has(const struct cmd_args *args, const char *name);

/* The value of option name as a whole number of min..max into *out (dflt when it was not given).
 * Returns 0, or CMD_EXIT_USAGE after saying what is wrong. */
int cmd_number(const struct cmd_args *args, const char *name, int64_t dflt, int64_t min,
               int64_t max, int64_t *out);

/* Text in printf form as "PROGRAM GROUP COMMAND: text" and a hint at --help, on standard error.
 * Returns CMD_EXIT_USAGE. */
int cmd_usage(const struct cmd_args *args, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The word of words (ended by NULL) that word was perhaps meant to be, or NULL. */
const char *cmd_suggest(const char *word, const char *const *words);

/* Parses a size with an optional binary unit: 100, 64K, 64KiB, 8GiB, 1.5T (powers of 1024). Returns
 * 0 with *bytes, or -EINVAL. */
int cmd_parse_size(const char *text, int64_t *bytes);

/* "firn file migrate": the words of group and cmd into out of size n. */
void cmd_full_name(const struct cmd_program *program, const struct cmd_group *group,
                   const struct cmd *cmd, char *out, size_t n);

/* ---- help (help.c) ----------------------------------------------------------------------- */

/* Prints usage, help and options of cmd. */
void cmd_help_command(FILE *out, const struct cmd_program *program, const struct cmd_group *group,
                      const struct cmd *cmd);

/* Prints the commands of a group. */
void cmd_help_group(FILE *out, const struct cmd_program *program, const struct cmd_group *group);

/* Prints all groups of a program. */
void cmd_help_program(FILE *out, const struct cmd_program *program);

/* The group of program that word names, or NULL. */
const struct cmd_group *cmd_find_group(const struct cmd_program *program, const char *word);

/* The command of group that word names (NULL or "": the group's own), or NULL. */
const struct cmd *cmd_find(const struct cmd_group *group, const char *word);

/* ---- firnd (link.c) ---------------------------------------------------------------------- */

/*
 * One request to firnd, connecting first when that was not done. args becomes this call's. result
 * may be NULL; else *result is the caller's. Returns 0, or a negative code with ctx->err set (and
 * ctx->unreachable).
 */
int cmd_call(struct cmd_ctx *ctx, const char *op, cJSON *args, cJSON **result);

/* As cmd_call with a function for events; see ctl/client.h. */
int cmd_call_events(struct cmd_ctx *ctx, const char *op, cJSON *args, ctl_event_fn on_event,
                    void *arg, cJSON **result);

/* As cmd_call_events for requests that may be asked twice: when firnd goes away, its return is
 * awaited for a while. */
int cmd_call_again(struct cmd_ctx *ctx, const char *op, cJSON *args, ctl_event_fn on_event,
                   void *arg, cJSON **result);

/* The details of firnd's last error answer, borrowed, or NULL. */
const cJSON *cmd_error_details(const struct cmd_ctx *ctx);

/* A new object with a string member for each of n / 2 pairs of name and value; pairs whose value is
 * NULL are left out. The caller owns it. */
cJSON *cmd_object_of(const char *const *pairs, size_t n);

/* cmd_object("name", value, ...): the same from arguments. */
#define cmd_object(...)                                                                            \
    cmd_object_of((const char *const[]){__VA_ARGS__},                                              \
                  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* A new array of n strings; the caller owns it. */
cJSON *cmd_strings(char *const *words, int n);

/* ---- output (out.c) ---------------------------------------------------------------------- */

#define CMD_COLUMNS_MAX 12

/* Rows of text in columns that fit; filled with cmd_table_row, printed with cmd_table_print. */
struct cmd_table {
    size_t ncols;
    size_t nrows;
    char **cells;  /* nrows x ncols, owned */
    int min_first; /* least width of the first column */
};

/* Begins a table with the heading of ncols strings (NULL stands for no heading line). */
void cmd_table_init(struct cmd_table *t, size_t ncols, const char *const *heading);

/* Adds a row of ncols strings, which are copied; NULL and "" are shown as "-". */
void cmd_table_row(struct cmd_table *t, const char *const *cells);

/* Prints the table: columns padded with blanks, two between them, no blank at the end of a line. */
void cmd_table_print(const struct cmd_table *t, FILE *out);

/* Frees the cells. */
void cmd_table_fini(struct cmd_table *t);

#define auto_cmd_table __attribute__((cleanup(cmd_table_fini)))

/* Prints {"payload":[...]} with list as the payload (an array; anything else is put into one) and
 * frees list. Returns 0. */
int cmd_print_payload(cJSON *list);

/* Prints "YYYY-MM-DD HH:MM:SS ID: text" on standard output (local time). */
void cmd_message(const char *id, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes text to out with control characters as \n, \t, \r or \xHH, so that a file name can
 * neither forge a line nor steer a terminal. */
void cmd_put_text(FILE *out, const char *text);

#define CMD_NUMBER_MAX 32

/* Bytes as a number of units of 2^shift (30: GiB): whole from 10 on, else with two decimals, below
 * 0.1 with four; into out[CMD_NUMBER_MAX]. Returns out. */
const char *cmd_units(int64_t bytes, unsigned shift, char *out);

/* Bytes for people, "1.5 GiB", into out[CMD_NUMBER_MAX]. Returns out. */
const char *cmd_human_bytes(int64_t bytes, char *out);

/* part of whole in percent, "12%", into out[CMD_NUMBER_MAX]; "0%" when whole is 0. Returns out. */
const char *cmd_percent(int64_t part, int64_t whole, char *out);

/* An ISO time (UTC) as local "YYYY-MM-DD HH:MM:SS" into out[TIMEFMT_MAX]; "-" when absent. Returns
 * out. */
const char *cmd_local_time(const char *iso, char *out);

/* The strings of array list joined by sep; the caller frees. "" when there are none. */
char *cmd_join(const cJSON *list, const char *sep);

/* ---- progress (progress.c) --------------------------------------------------------------- */

/* A line that is drawn over and over on a terminal. Zero-initialised with cmd_progress_init. */
struct cmd_progress {
    FILE *out; /* NULL: not a terminal, nothing is drawn */
    bool drawn;
    int64_t begin_ns;
};

/* Begins; draws only when standard error is a terminal. */
void cmd_progress_init(struct cmd_progress *p);

/* Draws the state of event: members stage, done, failed, total, bytes_done, bytes_total, in_work,
 * eta_s. */
void cmd_progress_draw(struct cmd_progress *p, const cJSON *event);

/* Removes the line, before other output and at the end. */
void cmd_progress_clear(struct cmd_progress *p);

/* The text of the line for event after elapsed_ns, at most width columns, into b. */
void cmd_progress_text(struct buf *b, const cJSON *event, int64_t elapsed_ns, int width);

/* ---- names of files (paths.c) ------------------------------------------------------------ */

/* Bytes of names in one request: escaped in JSON they may grow sixfold, and a line holds 4 MiB. */
#define CMD_BATCH_BYTES (512u << 10)

/* Called with each absolute path; a value other than 0 ends the walk. */
typedef int cmd_path_fn(void *arg, const char *path);

/* What names files on a command line. */
struct cmd_path_source {
    char *const *paths; /* operands */
    int npaths;
    const char *list; /* list file, "-" for standard input, or NULL */
    bool nul;         /* names in the list end with NUL bytes and are taken as they are */
};

/* Calls fn for every path of src: operands first, then the list. Lines of the list are policy
 * records or plain paths; blank lines are skipped. Returns 0, what fn returned, or a negative code
 * with err set. */
int cmd_paths_each(const struct cmd_path_source *src, cmd_path_fn *fn, void *arg, struct err *err);

/* path as firnd needs it: absolute; a path that is absolute already stays as it is. The caller
 * frees it. */
char *cmd_path_absolute(const char *path);

/*
 * The path of one line of a list, without its newline: behind " -- " of a policy record (INODE
 * GENERATION SNAPID SHOW -- PATH; \n and \\ are undone there), else the line itself. Returns a new
 * string, which the caller frees, or NULL for a blank line.
 */
char *cmd_path_of_line(const char *line);

/* ---- tasks (taskrun.c) ------------------------------------------------------------------- */

/* A migrate, premigrate or recall of many files. */
struct cmd_taskrun {
    const char *type;  /* "migrate", "premigrate", "recall" */
    const char *pools; /* "pool1@lib1,pool2@lib1" or NULL */
    bool resident;
    bool async; /* print the task's number and do not wait */
    bool plan;  /* of a recall: print what it will take, and do nothing */
    struct cmd_path_source source;
};

/* Creates the task and waits for its end, printing the messages of eeadm. Returns 0 when every
 * file was done, CMD_EXIT_FAILED when some were not, or a negative code with ctx->err set. */
int cmd_taskrun(struct cmd_ctx *ctx, const struct cmd_taskrun *run);

/* Waits for task id until timeout_ms (< 0: for ever) with progress; *task (the caller's) is the
 * task as task.show gives it. Returns 0 or a negative code with ctx->err set. */
int cmd_task_wait_for(struct cmd_ctx *ctx, int64_t id, int64_t timeout_ms, cJSON **task);

/* Prints the result lines of an ended task. Returns 0 or CMD_EXIT_FAILED, or a negative code. */
int cmd_task_report(struct cmd_ctx *ctx, const cJSON *task);

/* ---- functions that eeadm's rows share with firn's ------------------------------------- */

/* Each is a cmd.run: reads the operands and options of args, prints, and returns 0, an enum
 * cmd_exit, or a negative code with ctx->err set. */
int cmd_cluster_show(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_cluster_set(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_drive_list(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_drive_show(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_drive_assign(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_drive_unassign(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_file_state(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_library_list(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_library_rescan(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_library_create(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_pool_list(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_pool_show(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_pool_create(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_pool_delete(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_tape_list(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_tape_show(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_tape_assign(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_tape_unassign(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_tape_verify(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_task_list(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_task_show(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_task_cancel(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_task_clear(struct cmd_ctx *ctx, const struct cmd_args *args);

/* Prints the state of every file of src, as eeadm file state does. Returns 0, CMD_EXIT_FAILED when
 * some could not be read, or a negative code with ctx->err set. */
int cmd_print_states(struct cmd_ctx *ctx, const struct cmd_path_source *src);

/* Prints one file's attributes as mmlsattr -L does; xattrs too when xattrs is set. lsattr: result
 * of file.lsattr. */
void cmd_print_attributes(FILE *out, const cJSON *lsattr, bool xattrs);

/* A policy run with the options of mmapplypolicy or firn policy run. */
struct cmd_policyrun {
    const char *target;
    const char *file; /* policy file */
    const char *mode; /* "yes", "test", "defer", "prepare" */
    const char *prefix;
    const char *inputs; /* file with paths, or NULL */
    const char *as_of;
    int64_t level;
    int64_t batch_files; /* files in one list for a script; 0: firnd's default */
    int64_t parallel;    /* scripts at once; 0: firnd's default */
    bool single_instance;
    const struct cmd_args *args; /* for the values of option macro */
};

/* Runs it: prints what firnd says, a progress line on a terminal. Returns an exit status or a
 * negative code with ctx->err set. */
int cmd_policyrun(struct cmd_ctx *ctx, const struct cmd_policyrun *run);

/* The object {name: value} of all values "name=value" of option macro; NULL after saying what is
 * wrong with one (a usage error). */
cJSON *cmd_policy_macros(const struct cmd_args *args);

/* Reads policy file `file` into *text, a new string. Returns 0 or a negative code with ctx->err. */
int cmd_policy_text(struct cmd_ctx *ctx, const char *file, char **text);

/* 0 when mode is one of mmapplypolicy's -I words, else CMD_EXIT_USAGE after saying so. */
int cmd_policy_check_mode(const struct cmd_args *args, const char *mode);

/* After a failed policy operation: prints the source line with its caret when firnd gave one, and
 * returns CMD_EXIT_FAILED; else returns rc. */
int cmd_policy_failed(struct cmd_ctx *ctx, int rc);

/* ---- shapes of --json (payload.c) -------------------------------------------------------- */

/* One element of a list of firnd in the members that eeadm --json has. New objects. */
cJSON *cmd_payload_tape(const cJSON *tape);
cJSON *cmd_payload_drive(const cJSON *drive);
cJSON *cmd_payload_pool(const cJSON *pool);
cJSON *cmd_payload_task(const cJSON *task);

/* The type of a drive as eeadm names it, "LTO8" for product ULT3580-TD8; another name as it is.
 * Into out[CMD_NUMBER_MAX]. Returns out. */
const char *cmd_drive_type(const cJSON *drive, char *out);

/* As cmd_payload_task, with files, done, failed, bytes and counts: what task show gives. */
cJSON *cmd_payload_task_result(const cJSON *task);

/* An array of what shape makes of every element of list. */
cJSON *cmd_payload_list(const cJSON *list, cJSON *(*shape)(const cJSON *));

/* Prints a list: --json in the shape given, else as a table with heading (left out with
 * --no-header) whose rows fill makes. Returns 0. */
int cmd_print_list(struct cmd_ctx *ctx, const struct cmd_args *args, const cJSON *list,
                   cJSON *(*shape)(const cJSON *), size_t ncols, const char *const *heading,
                   void (*fill)(struct cmd_table *t, const cJSON *item));

/* Prints "label: value" lines of obj's members. names: pairs of label and member, ended by NULL. */
void cmd_print_members(const cJSON *obj, const char *const *names);

/* Splits "pool@library" given with option pool into new strings (freed by the caller); the library
 * is option library's when pool has none, or NULL. */
void cmd_pool_and_library(const struct cmd_args *args, char **pool, char **library);

#endif
