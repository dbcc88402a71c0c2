/* SPDX-License-Identifier: Apache-2.0 */
/* For library.py: loads the library as a copytool does and sends one logged message to the event
 * FIFO that is argument 1. Exit status 0 when every call was found and went well. */
#include "abi.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int (*register_fifo)(const char *);
static int (*unregister_fifo)(const char *);
static void (*log_error)(int, int, const char *, va_list);

/* Looks in the global scope, as is due before a scheduler's preload. */
static int find(const char *name, void *fn)
{
    void *sym = dlsym(RTLD_DEFAULT, name);
    memcpy(fn, &sym, sizeof sym);
    return sym == NULL;
}

__attribute__((format(printf, 3, 4))) static void say(int level, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_error(level, err, fmt, args);
    va_end(args);
}

int main(int argc, char **argv)
{
    if (argc != 2 || dlopen("liblustreapi.so.1", RTLD_NOW | RTLD_GLOBAL) == NULL ||
        find("llapi_hsm_register_event_fifo", &register_fifo) ||
        find("llapi_hsm_unregister_event_fifo", &unregister_fifo) ||
        find("llapi_hsm_log_error", &log_error)) {
        (void)fprintf(stderr, "logevent: %s\n", dlerror());
        return 1;
    }
    if (register_fifo(argv[1]) != 0)
        return 2;
    say(2, -EIO, "bad \"%s\"\n", "thing");
    say(4 | 0x10, 0, "fine");
    return unregister_fifo(argv[1]) == 0 ? 0 : 3;
}
