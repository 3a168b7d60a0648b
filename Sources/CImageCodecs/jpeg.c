// JPEG through libjpeg. Source: libjpeg.txt and example.txt of libjpeg-turbo ("Error handling", "Compressed data handling").
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "image_codecs.h"

// libjpeg's error manager with a place to return to.
typedef struct {
    struct jpeg_error_mgr manager;
    jmp_buf escape;
    ic_message *message;
} jpeg_catch;

static void fail(j_common_ptr info) {
    jpeg_catch *catch = (jpeg_catch *)info->err;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    snprintf(catch->message->text, IC_MESSAGE_BYTES, "%s", text);
    longjmp(catch->escape, 1);
}

// libjpeg only warns of damaged data and paints grey over it; a caller who asks what is in a picture must not get grey for an answer.
static void note(j_common_ptr info, int level) {
    if (level >= 0) return;  // a trace, not a warning
    switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_TOO_MUCH_DATA: fail(info);
    default: info->err->num_warnings++;
    }
}

static void no_output(j_common_ptr info) { (void)info; }

// Counts scans: a small file can hold thousands, each as much work as the whole image.
typedef struct {
    struct jpeg_progress_mgr manager;
    int maximum_scans;
} scan_limit;

static void count_scans(j_common_ptr info) {
    const scan_limit *limit = (const scan_limit *)info->progress;
    if (!info->is_decompressor || ((j_decompress_ptr)info)->input_scan_number <= limit->maximum_scans) return;
    jpeg_catch *catch = (jpeg_catch *)info->err;
    snprintf(catch->message->text, IC_MESSAGE_BYTES, "More than %d scans", limit->maximum_scans);
    longjmp(catch->escape, 1);
}

static void catch_errors(struct jpeg_decompress_struct *jpeg, jpeg_catch *catch, ic_message *message) {
    memset(jpeg, 0, sizeof *jpeg);  // so that destroying it is harmless whatever failed
    jpeg->err = jpeg_std_error(&catch->manager);
    catch->manager.error_exit = fail;
    catch->manager.emit_message = note;
    catch->manager.output_message = no_output;
    catch->message = message;
    message->text[0] = 0;
}

// Reads the header and says how pixels shall come.
static void start(struct jpeg_decompress_struct *jpeg, const uint8_t *bytes, size_t count, ic_info *info) {
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, bytes, count);
    jpeg_read_header(jpeg, TRUE);
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case JCS_CMYK:
    case JCS_YCCK: jpeg->out_color_space = JCS_CMYK; break;
    default: jpeg->out_color_space = JCS_RGB; break;
    }
    memset(info, 0, sizeof *info);
    info->width = jpeg->image_width;
    info->height = jpeg->image_height;
    info->channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : jpeg->out_color_space == JCS_CMYK ? 4 : 3;
    info->inverted_ink = info->channels == 4 && jpeg->saw_Adobe_marker;
}

int ic_jpeg_info(const uint8_t *bytes, size_t count, ic_info *info, ic_message *message) {
    struct jpeg_decompress_struct jpeg;
    jpeg_catch catch;
    catch_errors(&jpeg, &catch, message);
    if (setjmp(catch.escape)) {
        jpeg_destroy_decompress(&jpeg);
        return -1;
    }
    start(&jpeg, bytes, count, info);
    jpeg_destroy_decompress(&jpeg);
    return 0;
}

int ic_jpeg_decode(
    const uint8_t *bytes, size_t count, const ic_info *info, int maximum_scans, uint8_t *pixels, ic_message *message) {
    struct jpeg_decompress_struct jpeg;
    jpeg_catch catch;
    ic_info found;
    scan_limit limit = {.maximum_scans = maximum_scans};
    limit.manager.progress_monitor = count_scans;
    catch_errors(&jpeg, &catch, message);
    if (setjmp(catch.escape)) {
        jpeg_destroy_decompress(&jpeg);
        return -1;
    }
    start(&jpeg, bytes, count, &found);
    jpeg.progress = &limit.manager;
    jpeg_start_decompress(&jpeg);
    if (jpeg.output_width != info->width || jpeg.output_height != info->height || (uint32_t)jpeg.output_components != info->channels) {
        snprintf(message->text, IC_MESSAGE_BYTES, "The image is not the one its header was read of");
        longjmp(catch.escape, 1);
    }
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = pixels + (size_t)jpeg.output_scanline * info->width * info->channels;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return 0;
}
