/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wire_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (512L * 1024) /* doc/design/store.md: less costs a fifth more CPU */
#define BUFFER_SMALL                                                                               \
    (64L * 1024)            /* when no body is longer: curl makes its buffers anew each time */
#define REFUSAL_MAX   65536 /* bytes of an error's document that are kept */
#define EXPECT_WAIT   1000L /* ms for a 100 before the body is sent anyway */
#define CA_TLS_OLDEST CURL_SSLVERSION_TLSv1_2

/* Acknowledges what has come at once. A store that sends the head of an answer and a short body in
 * two writes, with Nagle's algorithm on (radosgw as it is shipped), holds the body back until the
 * head is acknowledged, which the kernel does 40 ms later. */
static void acknowledge(const struct transfer *t)
{
    const int on = 1;
    if (t->fd >= 0)
        (void)setsockopt(t->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    head_line(&t->head, p, size * n);
    if (size * n <= 2) /* the empty line that ends the head */
        acknowledge(t);
    return size * n;
}

static bool good(const struct transfer *t)
{
    return t->head.reply.status >= 200 && t->head.reply.status < 300;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    n *= size;
    if (!good(t)) {
        size_t room = t->doc.len < REFUSAL_MAX ? REFUSAL_MAX - t->doc.len : 0;
        buf_add(&t->doc, p, n < room ? n : room);
        return n;
    }
    bool direct = t->out != NULL;
    size_t room = direct ? t->out_size - t->got : t->doc_max - t->doc.len;
    if (n > room) {
        t->overflow = true;
        return 0;
    }
    if (direct) {
        memcpy((char *)t->out + t->got, p, n);
        t->got += n;
    } else {
        buf_add(&t->doc, p, n);
    }
    return n;
}

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    n *= size;
    if (n > t->size - t->sent)
        n = t->size - t->sent;
    if (n > 0)
        memcpy(p, (const char *)t->body + t->sent, n);
    t->sent += n;
    return n;
}

/* curl begins a body anew by itself when a connection that it used again turns out dead. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct transfer *t = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->size)
        return CURL_SEEKFUNC_FAIL;
    t->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* The handle's data is the line: connections outlive transfers. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)purpose;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    wire_socket_opened(arg, fd);
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    wire_socket_closed(arg, fd);
    return close(fd);
}

static int on_connected(void *arg, char *peer_ip, char *ip, int peer_port, int port)
{
    (void)peer_ip;
    (void)peer_port;
    wire_watch_begin(arg, ip, port);
    return CURL_PREREQFUNC_OK;
}

static CURLcode set_functions(CURL *e, struct line *l)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    rc |= curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    rc |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, l);
    rc |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    rc |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, l);
    rc |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
    return rc;
}

static CURLcode set_transfer(CURL *e, struct transfer *t)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    rc |= curl_easy_setopt(e, CURLOPT_READDATA, t);
    rc |= curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    rc |= curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    rc |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->text);
    return rc;
}

static CURLcode set_wire(CURL *e, const struct wire_config *config)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    rc |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)config->connect_timeout_s);
    rc |= curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_WAIT);
    rc |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_USERAGENT, "firn/" FIRN_VERSION);
    rc |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CA_TLS_OLDEST);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, config->tls_verify ? 1L : 0L);
    rc |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, config->tls_verify ? 2L : 0L);
    if (config->ca_file != NULL) {
        rc |= curl_easy_setopt(e, CURLOPT_CAINFO, config->ca_file);
        rc |= curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    return rc;
}

static CURLcode set_request(CURL *e, struct transfer *t)
{
    size_t down = t->out != NULL ? t->out_size : t->doc_max;
    long size = t->size <= BUFFER_SMALL && down <= BUFFER_SMALL ? BUFFER_SMALL : BUFFER_SIZE;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, t->url);
    rc |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, size);
    rc |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, size);
    rc |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    rc |= curl_easy_setopt(e, CURLOPT_HTTPGET, 1L); /* ends UPLOAD and NOBODY of the last use */
    if (t->body != NULL) {
        rc |= curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        rc |= curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->size);
    } else if (strcmp(t->method, "HEAD") == 0) {
        rc |= curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        rc |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
        return rc;
    }
    rc |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->method);
    return rc;
}

CURL *wire_handle(struct line *l)
{
    CURL *e = curl_easy_init();
    if (e == NULL)
        return NULL;
    if ((set_wire(e, &l->wire->config) | set_functions(e, l)) == CURLE_OK)
        return e;
    curl_easy_cleanup(e);
    return NULL;
}

int wire_prepare(struct transfer *t)
{
    CURLcode rc = set_transfer(t->easy, t);
    rc |= set_request(t->easy, t);
    return rc == CURLE_OK ? 0 : -ENOMEM;
}
