/* SPDX-License-Identifier: Apache-2.0 */
#include "teststore.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (1 << 20)

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "teststore: %s: %s\n", what, why);
    exit(99);
}

static const char *given(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        die(name, "not in the environment; run by tests/lib/withstore.py");
    return value;
}

const struct teststore *teststore_get(void)
{
    static struct teststore s;
    s = (struct teststore){
        .name = given("FIRN_TEST_S3_STORE"),
        .endpoint = given("FIRN_TEST_S3_ENDPOINT"),
        .direct = given("FIRN_TEST_S3_DIRECT"),
        .access_key = given("FIRN_TEST_S3_ACCESS_KEY"),
        .secret_key = given("FIRN_TEST_S3_SECRET_KEY"),
        .region = given("FIRN_TEST_S3_REGION"),
        .separator = given("FIRN_TEST_S3_SEPARATOR"),
        .seed = given("FIRN_TEST_S3_SEED"),
    };
    return &s;
}

static FILE *control(void)
{
    static FILE *f;
    if (f != NULL)
        return f;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)strtoul(given("FIRN_TEST_S3_CONTROL"), NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("the proxy's control port", "does not answer");
    f = fdopen(fd, "r");
    if (f == NULL)
        die("the proxy's control port", "no memory");
    return f;
}

const char *teststore_tell(const char *command)
{
    static char answer[ANSWER_MAX];
    FILE *f = control();
    char line[2048];
    int n = snprintf(line, sizeof(line), "%s\n", command);
    if (n < 0 || (size_t)n >= sizeof(line) || write(fileno(f), line, (size_t)n) != n)
        die(command, "was not sent");
    if (fgets(answer, sizeof(answer), f) == NULL)
        die(command, "no answer");
    answer[strcspn(answer, "\n")] = '\0';
    if (strncmp(answer, "ok", 2) != 0)
        die(command, answer);
    return answer[2] == ' ' ? answer + 3 : answer + 2;
}

int teststore_fault(const char *rule)
{
    char command[1024];
    (void)snprintf(command, sizeof(command), "add %s", rule);
    return (int)strtol(teststore_tell(command), NULL, 10);
}

int teststore_hits(int number)
{
    char command[32];
    (void)snprintf(command, sizeof(command), "hits %d", number);
    return (int)strtol(teststore_tell(command), NULL, 10);
}
