/* SPDX-License-Identifier: Apache-2.0
 *
 * What the sink answers for Azure: the one page blob that is being written, in whatever account and container. It keeps
 * the ranges that were written, so that a client can ask for them, and the metadata.
 *
 * https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
 */
#include "sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATES "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"0x8DE000000000000\"\r\n"
#define ENCRYPTED "x-ms-request-server-encrypted: true\r\n"
#define XML "<?xml version=\"1.0\" encoding=\"utf-8\"?>"

typedef struct {
    uint64_t start, end; /* the last byte is before END */
} Range;

static struct {
    char path[TARGET]; /* of the blob; "" if there is none */
    char metadata[METADATA];
    uint64_t size, sequence;
    Range *ranges; /* as they came */
    size_t count, room;
} blob;

void azure_forget(void) {
    blob.path[0] = blob.metadata[0] = 0;
    blob.size = blob.count = 0;
}

static void refuse(Answer *answer, const char *status, const char *code) {
    answer->status = status;
    snprintf(answer->headers, sizeof answer->headers, "x-ms-error-code: %s\r\n", code);
    snprintf(answer->body, sizeof answer->body, XML "<Error><Code>%s</Code><Message>by the sink</Message></Error>",
             code);
}

static void create(const Request *request, Answer *answer) {
    azure_forget();
    snprintf(blob.path, sizeof blob.path, "%s", request->path);
    snprintf(blob.metadata, sizeof blob.metadata, "%s", request->metadata);
    blob.size = request->blob_length;
    blob.sequence = request->sequence;
    answer->status = "201 Created";
    snprintf(answer->headers, sizeof answer->headers, DATES ENCRYPTED);
}

static void put_page(const Request *request, Answer *answer) {
    uint64_t first, last;
    if (sscanf(request->range, "bytes=%" SCNu64 "-%" SCNu64, &first, &last) != 2 || last < first || last >= blob.size) {
        refuse(answer, "416 Requested Range Not Satisfiable", "InvalidPageRange");
        return;
    }
    if (blob.count == blob.room) {
        size_t room = blob.room ? 2 * blob.room : 1024;
        Range *larger = realloc(blob.ranges, room * sizeof *larger);
        if (!larger) {
            refuse(answer, "500 Internal Server Error", "InternalError");
            return;
        }
        blob.ranges = larger;
        blob.room = room;
    }
    blob.ranges[blob.count++] = (Range){first, last + 1};
    answer->status = "201 Created";
    int length = snprintf(answer->headers, sizeof answer->headers,
                          DATES ENCRYPTED "x-ms-blob-sequence-number: %" PRIu64 "\r\n", blob.sequence);
    if (request->md5[0])
        snprintf(answer->headers + length, sizeof answer->headers - (size_t)length, "Content-MD5: %s\r\n",
                 request->md5);
    else if (request->crc64[0])
        snprintf(answer->headers + length, sizeof answer->headers - (size_t)length, "x-ms-content-crc64: %s\r\n",
                 request->crc64);
}

static int by_start(const void *left, const void *right) {
    uint64_t a = ((const Range *)left)->start, b = ((const Range *)right)->start;
    return (a > b) - (a < b);
}

/* All ranges in one answer, merged: https://learn.microsoft.com/rest/api/storageservices/get-page-ranges */
static void list_pages(Answer *answer) {
    if (blob.count)
        qsort(blob.ranges, blob.count, sizeof *blob.ranges, by_start);
    enum { LINE = 96 }; /* two numbers of 20 digits and their tags */
    size_t room = (blob.count + 4) * LINE;
    answer->text = malloc(room);
    if (!answer->text)
        return;
    size_t length = (size_t)snprintf(answer->text, room, XML "<PageList>");
    for (size_t index = 0; index < blob.count;) {
        Range range = blob.ranges[index++];
        for (; index < blob.count && blob.ranges[index].start <= range.end; index++)
            if (blob.ranges[index].end > range.end)
                range.end = blob.ranges[index].end;
        length += (size_t)snprintf(answer->text + length, room - length,
                                   "<PageRange><Start>%" PRIu64 "</Start><End>%" PRIu64 "</End></PageRange>",
                                   range.start, range.end - 1);
    }
    snprintf(answer->text + length, room - length, "<NextMarker/></PageList>");
    snprintf(answer->headers, sizeof answer->headers, DATES "x-ms-blob-content-length: %" PRIu64 "\r\n", blob.size);
}

static void properties(Answer *answer) {
    answer->head_length = blob.size;
    snprintf(answer->headers, sizeof answer->headers,
             DATES "x-ms-blob-type: PageBlob\r\nx-ms-blob-sequence-number: %" PRIu64 "\r\n"
                   "x-ms-lease-status: unlocked\r\nx-ms-lease-state: available\r\nx-ms-server-encrypted: true\r\n"
                   "Accept-Ranges: bytes\r\nx-ms-creation-time: Thu, 01 Jan 2026 00:00:00 GMT\r\n%s",
             blob.sequence, blob.metadata);
}

static void of_container(const Request *request, Answer *answer) {
    answer->status = is(request, "PUT") ? "201 Created" : "200 OK";
    snprintf(answer->headers, sizeof answer->headers,
             DATES "x-ms-lease-status: unlocked\r\nx-ms-lease-state: available\r\n");
}

void azure(const Request *request, Answer *answer) {
    bool there = blob.path[0] && strcmp(request->path, blob.path) == 0;
    if (has(request, "restype=container")) {
        of_container(request, answer);
    } else if (is(request, "PUT") && !has(request, "comp")) {
        create(request, answer);
    } else if (!there) {
        refuse(answer, "404 Not Found", "BlobNotFound");
    } else if (is(request, "HEAD")) {
        properties(answer);
    } else if (has(request, "comp=page")) {
        put_page(request, answer);
    } else if (has(request, "comp=pagelist")) {
        list_pages(answer);
    } else if (has(request, "comp=metadata")) {
        snprintf(blob.metadata, sizeof blob.metadata, "%s", request->metadata);
        snprintf(answer->headers, sizeof answer->headers, DATES ENCRYPTED);
    } else if (has(request, "comp=properties")) { /* azcopy's last word: the MD5 of the file */
        snprintf(answer->headers, sizeof answer->headers, DATES "x-ms-blob-sequence-number: %" PRIu64 "\r\n",
                 blob.sequence);
    } else if (is(request, "DELETE")) {
        azure_forget();
        answer->status = "202 Accepted";
    } else {
        refuse(answer, "400 Bad Request", "UnsupportedHeader");
    }
}
