// PNG through libpng. Source: the libpng manual, chapters III ("Reading") and IV ("Writing").
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "image_codecs.h"

// The rest of a file in memory.
typedef struct {
    const uint8_t *next;
    size_t left;
} png_source;

typedef struct {
    ic_sink sink;
    void *context;
} png_target;

static void fail(png_structp png, png_const_charp text) {
    ic_message *message = png_get_error_ptr(png);
    snprintf(message->text, IC_MESSAGE_BYTES, "%s", text);
    png_longjmp(png, 1);
}

static void no_output(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep bytes, size_t count) {
    png_source *source = png_get_io_ptr(png);
    if (count > source->left) png_error(png, "The file ends too early");
    memcpy(bytes, source->next, count);
    source->next += count;
    source->left -= count;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
    const png_target *target = png_get_io_ptr(png);
    if (target->sink(target->context, bytes, count)) png_error(png, "The file cannot be written");
}

static void flush(png_structp png) { (void)png; }

// Reads the header and says how pixels shall come.
static void start(png_structp png, png_infop header, ic_info *info) {
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller has limits of its own
    // Texts and profiles are not read, whatever size they claim.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    static const png_byte ignored[] = "iCCP\0iTXt\0tEXt\0zTXt\0sPLT\0eXIf";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, ignored, sizeof ignored / 5);
    png_read_info(png, header);
    const png_byte color = png_get_color_type(png, header);
    const int transparent = (color & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, header, PNG_INFO_tRNS);
    memset(info, 0, sizeof *info);
    info->width = png_get_image_width(png, header);
    info->height = png_get_image_height(png, header);
    info->channels = transparent ? 4 : (color & PNG_COLOR_MASK_COLOR) ? 3 : 1;
    info->stored_bits = (uint32_t)png_get_bit_depth(png, header) * png_get_channels(png, header);
    png_set_strip_16(png);
    png_set_expand(png);
    if (transparent) png_set_gray_to_rgb(png);
}

// Calls `body` on a file in memory. 0 when it comes back, -1 with a message when the library jumps out of it.
static int read_png(
    const uint8_t *bytes, size_t count, void (*body)(png_structp png, png_infop header, void *context), void *context, ic_message *message) {
    png_source source = {bytes, count};
    message->text[0] = 0;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, fail, no_output);
    png_infop header = png ? png_create_info_struct(png) : NULL;
    if (!header) {
        png_destroy_read_struct(&png, &header, NULL);
        return -1;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &header, NULL);
        return -1;
    }
    png_set_read_fn(png, &source, read_bytes);
    body(png, header, context);
    png_destroy_read_struct(&png, &header, NULL);
    return 0;
}

// `context` is the ic_info to fill in.
static void read_info(png_structp png, png_infop header, void *context) { start(png, header, context); }

int ic_png_info(const uint8_t *bytes, size_t count, ic_info *info, ic_message *message) {
    return read_png(bytes, count, read_info, info, message);
}

typedef struct {
    const ic_info *info;
    uint8_t *pixels;
} image_pixels;

static void read_image(png_structp png, png_infop header, void *context) {
    const image_pixels *image = context;
    const ic_info *info = image->info;
    ic_info found;
    start(png, header, &found);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, header);
    const size_t row_bytes = (size_t)info->width * info->channels;
    if (found.width != info->width || found.height != info->height || png_get_rowbytes(png, header) != row_bytes)
        png_error(png, "The image is not the one its header was read of");
    // An interlaced image comes in seven passes, each of which fills in the rows the ones before have left.
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < info->height; y++) png_read_row(png, image->pixels + y * row_bytes, NULL);
    png_read_end(png, NULL);
}

int ic_png_decode(const uint8_t *bytes, size_t count, const ic_info *info, uint8_t *pixels, ic_message *message) {
    image_pixels image = {info, pixels};
    return read_png(bytes, count, read_image, &image, message);
}

int ic_png_encode(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, ic_sink sink, void *context, ic_message *message) {
    png_target target = {sink, context};
    message->text[0] = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, fail, no_output);
    png_infop header = png ? png_create_info_struct(png) : NULL;
    if (!header) {
        png_destroy_write_struct(&png, &header);
        return -1;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &header);
        return -1;
    }
    png_set_write_fn(png, &target, write_bytes, flush);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    const int color = channels == 1 ? PNG_COLOR_TYPE_GRAY : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
    png_set_IHDR(
        png, header, width, height, 8, color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, header);
    for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * width * channels);
    png_write_end(png, header);
    png_destroy_write_struct(&png, &header);
    return 0;
}
