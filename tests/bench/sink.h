/* SPDX-License-Identifier: Apache-2.0
 *
 * A request, and the answer to it: what the parts of the sink share.
 */
#ifndef SINK_H
#define SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    KEPT = 8 * 1024, /* bytes of a body that are kept: enough for the JSON and the forms that are looked at */
    TARGET = 2048,
    FIELD = 256,
    METADATA = 1024,
};

typedef struct {
    char method[16];
    char path[TARGET];
    char query[TARGET];
    char checksum[FIELD]; /* x-amz-Checksum: SHA-256 of a block */
    char crc32[FIELD];    /* x-amz-checksum-crc32: of a part, or of the whole object */
    bool of_azure;        /* it has an x-ms-version */
    char range[FIELD];    /* x-ms-range or Range: of a Put Page */
    char md5[FIELD];      /* Content-MD5 */
    char crc64[FIELD];    /* x-ms-content-crc64 */
    uint64_t sequence;    /* x-ms-blob-sequence-number: of a page blob that is made */
    uint64_t blob_length; /* x-ms-blob-content-length: of a page blob that is made */
    char metadata[METADATA]; /* the lines of its head that begin with x-ms-meta- */
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
    char headers[2048];
    char body[4096];
    char *text;           /* a longer body, if it is not NULL; freed when it is sent */
    bool of_head;         /* headers only */
    uint64_t head_length; /* the Content-Length that a HEAD tells */
} Answer;

static inline bool is(const Request *request, const char *method) { return strcmp(request->method, method) == 0; }

/* Tell whether the query has PARAMETER, as `name` or `name=value`. */
bool has(const Request *request, const char *parameter);

/* Fill ANSWER to a REQUEST for Azure's blob service, and forget what it has been told; both under one lock. */
void azure(const Request *request, Answer *answer);
void azure_forget(void);

/* Count the connection that has just been made. */
void count_connection(void);

/* Fill ANSWER, which is all zeros, after DELAY_US microseconds. */
void answer_to(const Request *request, unsigned delay_us, Answer *answer);

#endif
