/* SPDX-License-Identifier: Apache-2.0
 *
 * A request, and the answer to it: what the two halves of the sink share.
 */
#ifndef SINK_H
#define SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KEPT = 8 * 1024, /* bytes of a body that are kept: enough for the JSON and the forms that are looked at */
    TARGET = 2048,
    FIELD = 256,
};

typedef struct {
    char method[16];
    char path[TARGET];
    char query[TARGET];
    char checksum[FIELD]; /* x-amz-Checksum: SHA-256 of a block */
    char crc32[FIELD];    /* x-amz-checksum-crc32: of a part, or of the whole object */
    uint64_t length;      /* Content-Length */
    uint64_t decoded;     /* x-amz-decoded-content-length: the bytes of the object in a body of aws-chunked */
    bool chunked;
    bool expects_continue;
    char kept[KEPT + 1]; /* the first bytes of the body */
    size_t kept_length;
    uint64_t received; /* bytes of the body */
} Request;

typedef struct {
    const char *status;
    char headers[1024];
    char body[4096];
    bool of_head;         /* headers only */
    uint64_t head_length; /* the Content-Length that a HEAD tells */
} Answer;

/* Count the connection that has just been made. */
void count_connection(void);

/* Fill ANSWER, which is all zeros, after DELAY_US microseconds. */
void answer_to(const Request *request, unsigned delay_us, Answer *answer);

#endif
