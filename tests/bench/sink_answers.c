/* SPDX-License-Identifier: Apache-2.0
 *
 * What the sink answers: the least of S3, of the EBS direct APIs and of EC2 that makes their clients content; Azure's
 * is in sink_azure.c.
 *
 * S3:  https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
 * EBS: https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations.html
 * EC2: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html
 */
#include "sink.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SNAPSHOT "snap-0123456789abcdef0"
#define S3_XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
#define S3_NS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define ETAG "ETag: \"00000000000000000000000000000000\"\r\n"

static atomic_ullong requests, puts_seen, put_bytes, body_bytes, connections;

/* The one object and the one snapshot. */
static struct {
    pthread_mutex_t lock;
    char target[TARGET]; /* path of the object, without the query */
    uint64_t size;
    char crc32[FIELD]; /* base64, as the client said it */
    bool whole;        /* the object has been completed */
    long volume_gib;
    bool snapshot_complete;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

__attribute__((format(printf, 2, 3))) static void say(Answer *answer, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(answer->body, sizeof answer->body, format, values);
    va_end(values);
}

bool has(const Request *request, const char *parameter) {
    size_t length = strlen(parameter);
    for (const char *at = request->query; (at = strstr(at, parameter)); at += length)
        if ((at == request->query || at[-1] == '&') && strchr("=&", at[length])) /* strchr finds the end, too */
            return true;
    return false;
}

static bool starts(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static void stats(Answer *answer) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    static double cpu_before; /* only the benchmark asks, one request at a time */
    say(answer,
        "{\"requests\": %llu, \"puts\": %llu, \"put_bytes\": %llu, \"body_bytes\": %llu, \"connections\": %llu, "
        "\"cpu_seconds\": %.3f}",
        atomic_exchange(&requests, 0), atomic_exchange(&puts_seen, 0), atomic_exchange(&put_bytes, 0),
        atomic_exchange(&body_bytes, 0), atomic_exchange(&connections, 0), cpu - cpu_before);
    cpu_before = cpu;
    state.target[0] = state.crc32[0] = 0;
    state.size = 0;
    state.whole = state.snapshot_complete = false;
    azure_forget();
}

/* EC2, of which one action is needed: how is the snapshot? Searches by tag find none, so that it is always made. */
static void ec2(const Request *request, Answer *answer) {
    if (!strstr(request->kept, "Action=DescribeSnapshots&") && !strstr(request->kept, "&Action=DescribeSnapshots")) {
        answer->status = "400 Bad Request";
        say(answer, "<Response><Errors><Error><Code>InvalidAction</Code><Message>the sink knows DescribeSnapshots only"
                    "</Message></Error></Errors><RequestID>1</RequestID></Response>");
        return;
    }
    char item[1024] = "";
    if (strstr(request->kept, "SnapshotId.1=")) {
        char began[32];
        time_t now = time(NULL);
        struct tm utc;
        strftime(began, sizeof began, "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&now, &utc));
        snprintf(item, sizeof item,
                 "<item><snapshotId>" SNAPSHOT "</snapshotId><status>%s</status><startTime>%s</startTime>"
                 "<volumeSize>%ld</volumeSize><progress>%s</progress><encrypted>false</encrypted>"
                 "<ownerId>000000000000</ownerId><volumeId>vol-ffffffff</volumeId></item>",
                 state.snapshot_complete ? "completed" : "pending", began, state.volume_gib,
                 state.snapshot_complete ? "100%" : "0%");
    }
    say(answer, "<DescribeSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>1</requestId>"
                "<snapshotSet>%s</snapshotSet></DescribeSnapshotsResponse>", item);
}

static void ebs(const Request *request, Answer *answer) {
    if (is(request, "PUT")) {
        answer->status = "201 Created";
        snprintf(answer->headers, sizeof answer->headers,
                 "x-amz-Checksum: %s\r\nx-amz-Checksum-Algorithm: SHA256\r\n", request->checksum);
        say(answer, "{}");
    } else if (starts(request->path, "/snapshots/completion/")) {
        state.snapshot_complete = true;
        answer->status = "202 Accepted";
        say(answer, "{\"Status\": \"completed\"}");
    } else {
        const char *size = strstr(request->kept, "\"VolumeSize\":");
        state.volume_gib = size ? strtol(size + strlen("\"VolumeSize\":"), NULL, 10) : 0;
        state.snapshot_complete = false;
        answer->status = "201 Created";
        say(answer, "{\"SnapshotId\": \"" SNAPSHOT "\", \"OwnerId\": \"000000000000\", \"Status\": \"pending\", "
                    "\"StartTime\": %lld, \"VolumeSize\": %ld, \"BlockSize\": 524288}",
            (long long)time(NULL), state.volume_gib);
    }
}

static void s3_put(const Request *request, Answer *answer) {
    uint64_t size = request->decoded ? request->decoded : request->received;
    if (has(request, "partNumber")) {
        state.size += size;
    } else {
        snprintf(state.target, sizeof state.target, "%s", request->path);
        snprintf(state.crc32, sizeof state.crc32, "%s", request->crc32);
        state.size = size;
        state.whole = true;
    }
    int length = snprintf(answer->headers, sizeof answer->headers, ETAG);
    if (request->crc32[0])
        snprintf(answer->headers + length, sizeof answer->headers - (size_t)length, "x-amz-checksum-crc32: %s\r\n",
                 request->crc32);
}

static void s3_post(const Request *request, Answer *answer) {
    if (has(request, "uploads")) {
        snprintf(state.target, sizeof state.target, "%s", request->path);
        state.size = 0;
        state.whole = false;
        say(answer, S3_XML "<InitiateMultipartUploadResult " S3_NS "><Bucket>b</Bucket><Key>k</Key>"
                           "<UploadId>upload-1</UploadId></InitiateMultipartUploadResult>");
        return;
    }
    snprintf(state.crc32, sizeof state.crc32, "%s", request->crc32);
    state.whole = true;
    say(answer, S3_XML "<CompleteMultipartUploadResult " S3_NS "><Location>l</Location><Bucket>b</Bucket><Key>k</Key>"
                       "<ETag>&quot;00000000000000000000000000000000-1&quot;</ETag></CompleteMultipartUploadResult>");
}

static void s3_head(const Request *request, Answer *answer) {
    const char *key = strchr(request->path + 1, '/');
    if (!key || !key[1]) { /* of a bucket: all are there */
        snprintf(answer->headers, sizeof answer->headers, "x-amz-bucket-region: us-east-1\r\n");
        return;
    }
    if (!state.whole || strcmp(request->path, state.target) != 0) {
        answer->status = "404 Not Found";
        return;
    }
    answer->head_length = state.size;
    int length = snprintf(answer->headers, sizeof answer->headers,
                          ETAG "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
    if (state.crc32[0])
        snprintf(answer->headers + length, sizeof answer->headers - (size_t)length,
                 "x-amz-checksum-crc32: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", state.crc32);
}

static void s3_get(const Request *request, Answer *answer) {
    if (has(request, "uploads")) {
        say(answer, S3_XML "<ListMultipartUploadsResult " S3_NS "><Bucket>b</Bucket><IsTruncated>false</IsTruncated>"
                           "</ListMultipartUploadsResult>");
    } else if (has(request, "uploadId")) {
        say(answer, S3_XML "<ListPartsResult " S3_NS "><Bucket>b</Bucket><Key>k</Key><UploadId>upload-1</UploadId>"
                           "<IsTruncated>false</IsTruncated></ListPartsResult>");
    } else if (has(request, "location")) {
        say(answer, S3_XML "<LocationConstraint " S3_NS "/>");
    } else {
        answer->status = "404 Not Found";
    }
}

static void s3(const Request *request, Answer *answer) {
    if (is(request, "PUT"))
        s3_put(request, answer);
    else if (is(request, "POST"))
        s3_post(request, answer);
    else if (is(request, "HEAD"))
        s3_head(request, answer);
    else if (is(request, "GET"))
        s3_get(request, answer);
    else if (is(request, "DELETE"))
        answer->status = "204 No Content";
    else
        answer->status = "405 Method Not Allowed";
}

static void count(const Request *request) {
    atomic_fetch_add(&requests, 1);
    atomic_fetch_add(&body_bytes, request->received);
    if (is(request, "PUT")) {
        atomic_fetch_add(&puts_seen, 1);
        atomic_fetch_add(&put_bytes, request->decoded ? request->decoded : request->received);
    }
}

void count_connection(void) { atomic_fetch_add(&connections, 1); }

void answer_to(const Request *request, unsigned delay_us, Answer *answer) {
    answer->status = "200 OK";
    answer->of_head = is(request, "HEAD");
    bool asked_for_stats = strcmp(request->path, "/stats") == 0;
    if (!asked_for_stats) {
        count(request);
        if (delay_us)
            usleep(delay_us);
    }
    pthread_mutex_lock(&state.lock);
    if (asked_for_stats)
        stats(answer);
    else if (request->of_azure)
        azure(request, answer);
    else if (starts(request->path, "/snapshots"))
        ebs(request, answer);
    else if (strcmp(request->path, "/") == 0 && is(request, "POST"))
        ec2(request, answer);
    else
        s3(request, answer);
    pthread_mutex_unlock(&state.lock);
}
