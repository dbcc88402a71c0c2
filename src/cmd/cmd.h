/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: everything that firn(1) does, also under the names eeadm, mmapplypolicy and
 * mmlsattr. One file a command, tables of commands and options; main() only calls cmd_main. One
 * thread.
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

/* Exit statuses, as firn(1) documents them. */
enum cmd_exit {
    CMD_EXIT_DONE = 0,        /* everything was done */
    CMD_EXIT_FAILED = 1,      /* the command failed, or failed for some of the files */
    CMD_EXIT_USAGE = 2,       /* the command line is wrong; nothing was begun */
    CMD_EXIT_UNREACHABLE = 3, /* firnd does not answer */
};

/*
 * Runs the command of argc words argv, argv[0] included: its last component chooses the
 * personality (eeadm, mmapplypolicy, mmlsattr; any other name is firn). Writes results to standard
 * output and messages to standard error. Returns the exit status. May be called once a process.
 */
int cmd_main(int argc, char **argv);

#endif
