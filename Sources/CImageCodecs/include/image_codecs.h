/// JPEG and PNG through libjpeg(-turbo) and libpng, behind functions that return.
///
/// Both libraries leave by longjmp when a file is bad, and by exit() when nobody catches that; Swift can call neither setjmp nor survive
/// a longjmp over its frames. Here every call is caught and its message handed back. Files are in memory, pixels go to the caller's memory:
/// rows from top to bottom without padding, channels interleaved, 8 bits each.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { IC_MESSAGE_BYTES = 256 };

/// What a header says and how the pixels will come.
typedef struct {
    uint32_t width;
    uint32_t height;
    /// Channels of a decoded pixel: 1 grey, 3 RGB, 4 RGBA (PNG) or CMYK (JPEG).
    uint32_t channels;
    /// JPEG: nonzero when the four channels are ink, and the file stores them inverted (255 is no ink), as Adobe's programs do.
    uint32_t inverted_ink;
    /// PNG: bits of a pixel as stored, for an estimate of what the compressed data can hold.
    uint32_t stored_bits;
} ic_info;

/// Where the message of a failed call goes: always terminated.
typedef struct {
    char text[IC_MESSAGE_BYTES];
} ic_message;

/// Reads the header of a JPEG file. Returns 0, or -1 with a message.
int ic_jpeg_info(const uint8_t *bytes, size_t count, ic_info *info, ic_message *message);

/// Decodes a JPEG file into `pixels`, which has room for width × height × channels bytes as `ic_jpeg_info` gave them. Damaged data is
/// an error, and so are more than `maximum_scans` scans: each passes over the whole image. Returns 0, or -1 with a message.
int ic_jpeg_decode(
    const uint8_t *bytes, size_t count, const ic_info *info, int maximum_scans, uint8_t *pixels, ic_message *message);

/// Reads the header of a PNG file up to its pixels, among it whether it has transparency. Returns 0, or -1 with a message.
int ic_png_info(const uint8_t *bytes, size_t count, ic_info *info, ic_message *message);

/// Decodes a PNG file into `pixels`, which has room for width × height × channels bytes as `ic_png_info` gave them: palettes are looked up,
/// 1, 2 and 4 bits are spread to 8, of 16 bits the upper 8 are taken. Returns 0, or -1 with a message.
int ic_png_decode(const uint8_t *bytes, size_t count, const ic_info *info, uint8_t *pixels, ic_message *message);

/// Takes the next bytes of a file being encoded. Must return normally; nonzero stops the encoder.
typedef int (*ic_sink)(void *context, const uint8_t *bytes, size_t count);

/// Encodes 8-bit pixels of 1, 3 or 4 channels as a PNG file. Returns 0, or -1 with a message.
int ic_png_encode(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, ic_sink sink, void *context, ic_message *message);

#ifdef __cplusplus
}
#endif
