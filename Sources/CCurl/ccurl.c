// libcurl's easy interface, called through the addresses that dlsym finds.
#include "ccurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// The numbers of libcurl's binary interface: what they are called there follows each.
enum {
    write_data = 10001,           // CURLOPT_WRITEDATA
    address_option = 10002,       // CURLOPT_URL
    error_buffer = 10010,         // CURLOPT_ERRORBUFFER
    low_speed_limit = 19,         // CURLOPT_LOW_SPEED_LIMIT
    low_speed_time = 20,          // CURLOPT_LOW_SPEED_TIME
    header_list = 10023,          // CURLOPT_HTTPHEADER
    header_data = 10029,          // CURLOPT_HEADERDATA
    no_progress = 43,             // CURLOPT_NOPROGRESS
    progress_data = 10057,        // CURLOPT_XFERINFODATA
    connect_timeout = 78,         // CURLOPT_CONNECTTIMEOUT
    no_signal = 99,               // CURLOPT_NOSIGNAL
    protocols = 181,              // CURLOPT_PROTOCOLS
    write_function = 20011,       // CURLOPT_WRITEFUNCTION
    header_function = 20079,      // CURLOPT_HEADERFUNCTION
    progress_function = 20219,    // CURLOPT_XFERINFOFUNCTION
    redirect_address = 0x10001f,  // CURLINFO_REDIRECT_URL
    http_and_https = 1 | 2,       // CURLPROTO_HTTP | CURLPROTO_HTTPS
    global_default = 3,           // CURL_GLOBAL_DEFAULT
    out_of_memory = 27,           // CURLE_OUT_OF_MEMORY
    error_bytes = 256,            // CURL_ERROR_SIZE
};

static const long patience_seconds = 60;

static const char *const library_names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"};

// Null without the library.
static struct {
    void *(*easy_init)(void);
    int (*easy_setopt)(void *, int, ...);
    int (*easy_perform)(void *);
    int (*easy_getinfo)(void *, int, ...);
    void (*easy_cleanup)(void *);
    const char *(*easy_strerror)(int);
    void *(*list_append)(void *, const char *);
    void (*list_free)(void *);
} curl;
static bool is_loaded;
static pthread_once_t loading = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = 0;
    for (size_t i = 0; i < sizeof library_names / sizeof *library_names && !library; i++) library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    int (*initialise)(long) = (int (*)(long))dlsym(library, "curl_global_init");
    *(void **)&curl.easy_init = dlsym(library, "curl_easy_init");
    *(void **)&curl.easy_setopt = dlsym(library, "curl_easy_setopt");
    *(void **)&curl.easy_perform = dlsym(library, "curl_easy_perform");
    *(void **)&curl.easy_getinfo = dlsym(library, "curl_easy_getinfo");
    *(void **)&curl.easy_cleanup = dlsym(library, "curl_easy_cleanup");
    *(void **)&curl.easy_strerror = dlsym(library, "curl_easy_strerror");
    *(void **)&curl.list_append = dlsym(library, "curl_slist_append");
    *(void **)&curl.list_free = dlsym(library, "curl_slist_free_all");
    is_loaded = initialise && curl.easy_init && curl.easy_setopt && curl.easy_perform && curl.easy_getinfo && curl.easy_cleanup && curl.easy_strerror &&
                curl.list_append && curl.list_free && initialise(global_default) == 0;
}

/// A request under way.
typedef struct transfer {
    const ccurl_request *request;
    bool is_stopped;
} transfer;

static size_t take_head(char *line, size_t size, size_t count, void *user) {
    transfer *t = user;
    if (t->request->head(t->request->context, line, size * count)) return size * count;
    t->is_stopped = true;
    return SIZE_MAX;  // any other number than was given ends the transfer
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user) {
    transfer *t = user;
    if (t->request->body(t->request->context, bytes, size * count)) return size * count;
    t->is_stopped = true;
    return SIZE_MAX;
}

static int look_up(void *user, int64_t download_total, int64_t downloaded, int64_t upload_total, int64_t uploaded) {
    (void)download_total, (void)downloaded, (void)upload_total, (void)uploaded;
    transfer *t = user;
    if (!t->request->is_cancelled(t->request->context)) return 0;
    t->is_stopped = true;
    return 1;
}

static ccurl_outcome fail(ccurl_texts *texts, ccurl_outcome outcome, const char *message) {
    snprintf(texts->message, texts->message_bytes, "%s", message);
    return outcome;
}

ccurl_outcome ccurl_get(const ccurl_request *request, ccurl_texts *texts) {
    texts->message[0] = texts->redirect[0] = 0;
    pthread_once(&loading, load);
    if (!is_loaded) return fail(texts, CCURL_NO_LIBRARY, library_names[0]);
    void *handle = curl.easy_init(), *headers = 0;
    if (!handle) return fail(texts, CCURL_FAILED, "libcurl cannot start a transfer");
    char reason[error_bytes] = "";
    bool has_headers = true;
    for (size_t i = 0; i < request->header_count && has_headers; i++) {
        void *longer = curl.list_append(headers, request->headers[i]);
        has_headers = longer != 0;
        if (longer) headers = longer;
    }
    transfer transfer = {request, false};
    // Without one of these a transfer would go elsewhere, or come to nobody.
    int code = has_headers ? curl.easy_setopt(handle, address_option, request->address) : out_of_memory;
    if (code == 0) code = curl.easy_setopt(handle, protocols, (long)http_and_https);
    if (code == 0) code = curl.easy_setopt(handle, header_list, headers);
    if (code == 0) code = curl.easy_setopt(handle, header_function, take_head);
    if (code == 0) code = curl.easy_setopt(handle, header_data, &transfer);
    if (code == 0) code = curl.easy_setopt(handle, write_function, take_body);
    if (code == 0) code = curl.easy_setopt(handle, write_data, &transfer);
    if (code == 0) code = curl.easy_setopt(handle, progress_function, look_up);
    if (code == 0) code = curl.easy_setopt(handle, progress_data, &transfer);
    if (code == 0) code = curl.easy_setopt(handle, no_progress, 0L);
    if (code == 0) {
        curl.easy_setopt(handle, error_buffer, reason);
        curl.easy_setopt(handle, no_signal, 1L);
        curl.easy_setopt(handle, connect_timeout, patience_seconds);
        curl.easy_setopt(handle, low_speed_limit, 1L);
        curl.easy_setopt(handle, low_speed_time, patience_seconds);
        code = curl.easy_perform(handle);
    }
    char *redirect = 0;
    if (curl.easy_getinfo(handle, redirect_address, &redirect) == 0 && redirect && strlen(redirect) < texts->redirect_bytes) strcpy(texts->redirect, redirect);
    ccurl_outcome outcome = CCURL_DONE;
    if (transfer.is_stopped) outcome = CCURL_STOPPED;
    else if (code != 0) outcome = fail(texts, CCURL_FAILED, reason[0] ? reason : curl.easy_strerror(code));
    curl.easy_cleanup(handle);
    curl.list_free(headers);
    return outcome;
}
