/* SPDX-License-Identifier: Apache-2.0
 *
 * A server that reads what an upload sends and throws it away, so that a benchmark measures the client.
 *
 *     sink CERT KEY [DELAY_US]
 *
 * HTTP/1.1 over TLS on a free port of 127.0.0.1, which it prints; one thread a connection; it ends when its standard
 * input does. DELAY_US microseconds pass before each answer, as they would on the way to a service.
 *
 * It answers what clients of S3 (multipart and single uploads), of the EBS direct APIs and of Azure's page blobs need to be
 * content. It keeps no bytes and checks no checksum: it remembers the size of the one object or page blob that is being
 * uploaded, the checksum that the client said it has, the ranges that were written, and whether the one snapshot is
 * complete. Tokens and signatures are not looked at.
 *
 * GET /stats answers {"requests", "puts", "put_bytes", "body_bytes", "connections", "cpu_seconds"} counted since the
 * last time that it was asked, and forgets the object and the snapshot. "put_bytes" are what blocks and parts bring,
 * "body_bytes" all that the bodies of requests take on the wire, framing of chunks by the client included.
 *
 * Here is the way of the bytes; the answers are in sink_answers.c and sink_azure.c.
 */
#define _GNU_SOURCE /* memmem */
#include "sink.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 128 * 1024 }; /* what is read at once; a request's head must fit */

static SSL_CTX *tls;
static unsigned delay_us;

typedef struct {
    int descriptor;
    SSL *ssl;
    char *buffer;
    size_t start, end; /* of what has been read and not used */
} Connection;

/* ---- bytes of a connection ---- */

static bool write_all(Connection *connection, const char *data, size_t length) {
    while (length > 0) {
        int written = SSL_write(connection->ssl, data, (int)length);
        if (written <= 0)
            return false;
        data += written;
        length -= (size_t)written;
    }
    return true;
}

/* Read more behind what is there; false at the end of the connection, or if the buffer is full. */
static bool read_more(Connection *connection) {
    if (connection->start > 0) {
        memmove(connection->buffer, connection->buffer + connection->start, connection->end - connection->start);
        connection->end -= connection->start;
        connection->start = 0;
    }
    if (connection->end == BUFFER)
        return false;
    int count = SSL_read(connection->ssl, connection->buffer + connection->end, (int)(BUFFER - connection->end));
    if (count <= 0)
        return false;
    connection->end += (size_t)count;
    return true;
}

/* Return the length up to and with the first MARK, reading until it is there; 0 if it does not come. */
static size_t read_until(Connection *connection, const char *mark) {
    for (;;) {
        char *begin = connection->buffer + connection->start;
        char *found = memmem(begin, connection->end - connection->start, mark, strlen(mark));
        if (found)
            return (size_t)(found - begin) + strlen(mark);
        if (!read_more(connection))
            return 0;
    }
}

/* Use up LENGTH bytes of the body, keeping the first of them. */
static bool discard(Connection *connection, Request *request, uint64_t length) {
    while (length > 0) {
        if (connection->start == connection->end) {
            connection->start = connection->end = 0;
            if (!read_more(connection))
                return false;
        }
        size_t there = connection->end - connection->start;
        size_t count = there < length ? there : (size_t)length;
        size_t room = KEPT - request->kept_length;
        size_t keep = count < room ? count : room;
        memcpy(request->kept + request->kept_length, connection->buffer + connection->start, keep);
        request->kept_length += keep;
        connection->start += count;
        length -= count;
    }
    return true;
}

/* ---- requests ---- */

/* Copy the value of the header NAME out of HEAD, "" if it is not there. */
static void header(const char *head, const char *name, char *value, size_t size) {
    value[0] = 0;
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        line += length + 1;
        line += strspn(line, " \t");
        snprintf(value, size, "%.*s", (int)strcspn(line, "\r\n"), line);
        return;
    }
}

/* Copy the lines of HEAD that begin with PREFIX, whole. */
static void lines(const char *head, const char *prefix, char *values, size_t size) {
    size_t used = 0;
    values[0] = 0;
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        size_t length = strcspn(line, "\r\n");
        if (strncasecmp(line, prefix, strlen(prefix)) == 0 && used + length + 3 < size)
            used += (size_t)snprintf(values + used, size - used, "%.*s\r\n", (int)length, line);
    }
}

static bool read_head(Connection *connection, Request *request) {
    size_t length = read_until(connection, "\r\n\r\n");
    if (length == 0)
        return false;
    char *head = connection->buffer + connection->start;
    connection->start += length;
    head[length - 2] = 0; /* the last line keeps its end: every header is found between two */

    char target[TARGET], value[FIELD];
    if (sscanf(head, "%15s %2047s", request->method, target) != 2)
        return false;
    size_t path = strcspn(target, "?");
    snprintf(request->path, sizeof request->path, "%.*s", (int)path, target);
    snprintf(request->query, sizeof request->query, "%s", target[path] ? target + path + 1 : "");

    header(head, "x-amz-checksum", request->checksum, sizeof request->checksum);
    header(head, "x-amz-checksum-crc32", request->crc32, sizeof request->crc32);
    header(head, "x-ms-version", value, sizeof value);
    request->of_azure = value[0];
    header(head, "x-ms-range", request->range, sizeof request->range);
    if (!request->range[0])
        header(head, "range", request->range, sizeof request->range);
    header(head, "content-md5", request->md5, sizeof request->md5);
    header(head, "x-ms-content-crc64", request->crc64, sizeof request->crc64);
    header(head, "x-ms-blob-content-length", value, sizeof value);
    request->blob_length = strtoull(value, NULL, 10);
    header(head, "x-ms-blob-sequence-number", value, sizeof value);
    request->sequence = strtoull(value, NULL, 10);
    lines(head, "x-ms-meta-", request->metadata, sizeof request->metadata);
    header(head, "content-length", value, sizeof value);
    request->length = strtoull(value, NULL, 10);
    header(head, "x-amz-decoded-content-length", value, sizeof value);
    request->decoded = strtoull(value, NULL, 10);
    header(head, "transfer-encoding", value, sizeof value);
    request->chunked = strcasecmp(value, "chunked") == 0;
    header(head, "expect", value, sizeof value);
    request->expects_continue = strncasecmp(value, "100", 3) == 0;
    return true;
}

/* A body in chunks: https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
static bool read_chunks(Connection *connection, Request *request) {
    for (;;) {
        size_t line = read_until(connection, "\r\n");
        if (line == 0)
            return false;
        uint64_t length = strtoull(connection->buffer + connection->start, NULL, 16);
        connection->start += line;
        if (length == 0)
            break;
        request->received += length;
        if (!discard(connection, request, length) || read_until(connection, "\r\n") != 2)
            return false;
        connection->start += 2;
    }
    for (;;) { /* trailers, up to an empty line */
        size_t line = read_until(connection, "\r\n");
        if (line == 0)
            return false;
        connection->start += line;
        if (line == 2)
            return true;
    }
}

static bool read_body(Connection *connection, Request *request) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (request->expects_continue && !write_all(connection, go_on, sizeof go_on - 1))
        return false;
    if (request->chunked) {
        if (!read_chunks(connection, request))
            return false;
    } else {
        request->received = request->length;
        if (!discard(connection, request, request->length))
            return false;
    }
    request->kept[request->kept_length] = 0;
    return true;
}

static bool send_answer(Connection *connection, const Answer *answer) {
    char text[8192];
    size_t body = strlen(answer->text ? answer->text : answer->body);
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 %s\r\nServer: sink\r\nx-amz-request-id: 1\r\nContent-Type: %s\r\n"
                          "Content-Length: %" PRIu64 "\r\n%s\r\n%s",
                          answer->status, answer->body[0] == '{' ? "application/json" : "application/xml",
                          answer->of_head ? answer->head_length : (uint64_t)body, answer->headers,
                          answer->of_head || answer->text ? "" : answer->body);
    return write_all(connection, text, (size_t)length) && (!answer->text || write_all(connection, answer->text, body));
}

/* ---- connections ---- */

static void serve(Connection *connection) {
    for (;;) {
        Request request = {0};
        Answer answer = {0};
        if (!read_head(connection, &request) || !read_body(connection, &request))
            return;
        answer_to(&request, delay_us, &answer);
        bool sent = send_answer(connection, &answer);
        free(answer.text);
        if (!sent)
            return;
    }
}

static void *connection_thread(void *argument) {
    Connection connection = {.descriptor = (int)(intptr_t)argument, .buffer = malloc(BUFFER)};
    int on = 1;
    setsockopt(connection.descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    count_connection();
    connection.ssl = SSL_new(tls);
    if (connection.buffer && connection.ssl) {
        SSL_set_fd(connection.ssl, connection.descriptor);
        if (SSL_accept(connection.ssl) == 1)
            serve(&connection);
        SSL_shutdown(connection.ssl);
    }
    SSL_free(connection.ssl);
    free(connection.buffer);
    close(connection.descriptor);
    return NULL;
}

/* End with whoever started us, however that ends. */
static void *standard_input_thread(void *argument) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    exit(0);
    return argument;
}

static bool open_tls(const char *certificate, const char *key) {
    tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return false;
    }
    SSL_CTX_set_read_ahead(tls, 1); /* fewer, larger reads of the socket */
    return true;
}

static int open_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 512) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        perror("sink");
        return -1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: sink CERT KEY [DELAY_US]\n");
        return 2;
    }
    delay_us = count > 3 ? (unsigned)strtoul(arguments[3], NULL, 10) : 0;
    signal(SIGPIPE, SIG_IGN);
    int listener;
    if (!open_tls(arguments[1], arguments[2]) || (listener = open_port()) < 0)
        return 1;

    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    pthread_create(&thread, &detached, standard_input_thread, NULL);
    for (;;) {
        int descriptor = accept(listener, NULL, NULL);
        if (descriptor >= 0 &&
            pthread_create(&thread, &detached, connection_thread, (void *)(intptr_t)descriptor) != 0)
            close(descriptor);
    }
}
