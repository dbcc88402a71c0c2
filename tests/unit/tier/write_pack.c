/* SPDX-License-Identifier: Apache-2.0 */
/* write_pack OUT DIR ID...: a pack of DIR/ID as data and DIR/ID.text as metadata of each member,
 * for read_packs.py. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "tier/s3_zip.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (16UL << 20)

static char *contents(const char *dir, const char *id, const char *suffix, size_t *n)
{
    struct err err = {0};
    char *data = NULL;
    auto_free char *path = xasprintf("%s/%s%s", dir, id, suffix);
    if (io_read_file(AT_FDCWD, path, FILE_MAX, &data, n, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return data;
}

int main(int argc, char **argv)
{
    auto_buf struct buf pack = {0};
    size_t directory = S3_ZIP_END;
    if (argc < 3)
        return 2;
    for (int i = 3; i < argc; i++) {
        struct s3_zip_member m = {.offset = (uint32_t)pack.len};
        size_t size = 0;
        auto_free char *data = contents(argv[2], argv[i], "", &size);
        auto_free char *text = contents(argv[2], argv[i], ".text", &m.ntext);
        m.data = data;
        m.size = (uint32_t)size;
        m.text = text;
        if (uuid_parse(argv[i], &m.id) < 0 || m.ntext > S3_ZIP_TEXT_MAX)
            return 2;
        buf_reserve(&pack, s3_zip_header_size(m.ntext) + size);
        s3_zip_write(&m, (uint8_t *)pack.data + pack.len);
        pack.len += m.length;
        directory += s3_zip_entry_size(m.ntext);
    }
    buf_reserve(&pack, directory);
    pack.len = s3_zip_finish((uint8_t *)pack.data, pack.len);
    auto_close int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 || io_write_full(fd, pack.data, pack.len) < 0 ? 1 : 0;
}
