/// HTTP requests through libcurl, which is loaded with the first of them.
///
/// A program that is linked with libcurl (as FoundationNetworking is) starts with it and the thirty libraries behind it: 6 ms and 6 MB of each
/// process that never asks the network for anything. Loaded by name, it costs those alone that download. Declared here is what is used of its stable
/// interface (https://curl.se/libcurl/c/), so that its headers are not needed either.
#pragma once

#include <stdbool.h>
#include <stddef.h>

/// What a request sends, and who gets what comes back. The functions are called on the thread of `ccurl_get`.
typedef struct ccurl_request {
    const char *address;         ///< https, or http
    const char *const *headers;  ///< "Name: value"
    size_t header_count;
    void *context;
    /// A line of the answer's head with its end: the status line, a header, or the empty line behind them. False ends the transfer.
    bool (*head)(void *context, const char *line, size_t length);
    /// Bytes of the answer. False ends the transfer.
    bool (*body)(void *context, const void *bytes, size_t count);
    /// Asked several times a second; true ends the transfer.
    bool (*is_cancelled)(void *context);
} ccurl_request;

typedef enum ccurl_outcome {
    CCURL_DONE = 0,
    CCURL_FAILED,      ///< `message` says why
    CCURL_STOPPED,     ///< by one of the functions
    CCURL_NO_LIBRARY,  ///< `message` names what was looked for
} ccurl_outcome;

/// Room for what is to be said, the caller's: texts are cut to fit and end with a zero. Each has at least one byte.
typedef struct ccurl_texts {
    char *message;  ///< why a request failed
    size_t message_bytes;
    /// Where the answer sends the client, as a whole address; empty when it does not, or when it does not fit. Nothing is followed.
    char *redirect;
    size_t redirect_bytes;
} ccurl_texts;

/// One GET request, to its end. A connection that takes, or stands still for, a minute fails. Any number of threads may call it.
ccurl_outcome ccurl_get(const ccurl_request *request, ccurl_texts *texts);
