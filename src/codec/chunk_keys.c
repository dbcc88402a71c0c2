/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "codec/chunk_impl.h"
#include "codec/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1UL << 20)

struct key {
    char id[CHUNK_KEY_ID_MAX];
    uint8_t bytes[CHUNK_KEY_BYTES];
};

struct chunk_keys {
    struct key *list;
    size_t n;
};

void chunk_keys_free(struct chunk_keys *k)
{
    if (k == NULL)
        return;
    if (k->list != NULL)
        OPENSSL_cleanse(k->list, k->n * sizeof(k->list[0]));
    free(k->list);
    free(k);
}

DEFINE_CLEANUP(struct chunk_keys *, chunk_keys_free)

static const struct key *find(const struct chunk_keys *k, const char *id)
{
    for (size_t i = 0; k != NULL && i < k->n; i++) {
        if (strcmp(k->list[i].id, id) == 0)
            return &k->list[i];
    }
    return NULL;
}

const uint8_t *chunk_keys_find(const struct chunk_keys *k, const char *id)
{
    const struct key *key = find(k, id);
    return key != NULL ? key->bytes : NULL;
}

const char *chunk_keys_newest(const struct chunk_keys *k)
{
    return k->list[k->n - 1].id;
}

bool chunk_keys_has(const struct chunk_keys *k, const char *id)
{
    return find(k, id) != NULL;
}

static bool id_holds(const char *id)
{
    size_t n = strlen(id);
    return n > 0 && n < CHUNK_KEY_ID_MAX &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* Appends a key. The list is copied by hand: realloc would leave keys behind in freed memory. */
static void append(struct chunk_keys *k, const struct key *key)
{
    struct key *list = xzalloc((k->n + 1) * sizeof(*list));
    if (k->n > 0) {
        memcpy(list, k->list, k->n * sizeof(*list));
        OPENSSL_cleanse(k->list, k->n * sizeof(*list));
    }
    list[k->n++] = *key;
    free(k->list);
    k->list = list;
}

/* One line, without its end; blank lines and comments are passed over. */
static int take_line(struct chunk_keys *k, char *line, struct err *err)
{
    struct key key = {0};
    char *rest = line;
    char *id = NULL;
    char *hex = NULL;
    line[strcspn(line, "#\r")] = '\0';
    while (id == NULL || *id == '\0') {
        id = strsep(&rest, " \t");
        if (id == NULL)
            return 0;
    }
    while (rest != NULL && (hex == NULL || *hex == '\0'))
        hex = strsep(&rest, " \t");
    if (!id_holds(id))
        return err_set(err, -EINVAL, "a key's id has 1 to %d characters of A-Z a-z 0-9 . _ -",
                       CHUNK_KEY_ID_MAX - 1);
    if (find(k, id) != NULL)
        return err_set(err, -EINVAL, "the id \"%s\" stands here for the second time", id);
    if (hex == NULL || encode_hex_decode(hex, key.bytes, sizeof(key.bytes)) != 0 ||
        (rest != NULL && rest[strspn(rest, " \t")] != '\0'))
        return err_set(err, -EINVAL, "the key \"%s\" is not 64 hexadecimal digits", id);
    memcpy(key.id, id, strlen(id) + 1);
    append(k, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    return 0;
}

static int take_lines(struct chunk_keys *k, const char *path, char *text, struct err *err)
{
    char *rest = text;
    unsigned number = 0;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        number++;
        int rc = take_line(k, line, err);
        if (rc < 0)
            return err_wrap(err, rc, "key file %s, line %u", path, number);
    }
    if (k->n == 0)
        return err_set(err, -EINVAL, "key file %s holds no key; a line is \"ID HEX\"", path);
    return 0;
}

int chunk_keys_load(const char *path, struct chunk_keys **out, struct err *err)
{
    struct stat st;
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, errno, "key file %s", path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return err_set(err, -EACCES,
                       "key file %s: others than its owner may use it (mode %03o); chmod 600", path,
                       (unsigned)st.st_mode & 0777U);
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX)
        return err_set(err, -EINVAL, "key file %s: no file of keys", path);
    size_t size = (size_t)st.st_size;
    auto_free char *text = xzalloc(size + 1);
    ssize_t got = io_read_full(fd, text, size);
    if (got < 0)
        return err_sys(err, (int)-got, "key file %s", path);
    __attribute__((cleanup(cleanup_chunk_keys_free))) struct chunk_keys *k = xzalloc(sizeof(*k));
    int rc = take_lines(k, path, text, err);
    OPENSSL_cleanse(text, size);
    if (rc == 0)
        *out = take_ptr(k);
    return rc;
}
