/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn: the command line.
 */
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
    return cmd_main(argc, argv);
}
