/// What others than kernels want from panels (ckernels/linear.h): rows as floats, and a version for bytes kept on disk.
#pragma once

#include "ckernels/linear.h"

#include <stdbool.h>

/// The version of the packed bytes, for caches of them: raised by whoever changes what `ck_pack_panel` writes. Caches also compare what packing
/// a sample gives (`ck_panel_fingerprint`), so one that was forgotten does no harm where the sample shows it.
enum { CK_PANEL_LAYOUT_VERSION = 1 };

/// A checksum of what this build packs a fixed sample of rows in `type` into: different whenever the layout of the type differs.
/// `scratch` is `ck_panel_fingerprint_bytes()` bytes, 64-byte aligned. 0 for a type without panels.
uint64_t ck_panel_fingerprint(ck_weight_type type, void *scratch);
size_t ck_panel_fingerprint_bytes(void);

/// Whether a panel row gives back exactly the floats that the file's row dequantises to: formats whose scales the panel keeps as they are.
bool ck_panel_is_exact(ck_weight_type type);

/// Writes row `row` (0..15) of a panel over `k` elements as floats: what `ck_panel_value` gives, element by element.
void ck_panel_read_row(ck_panel_format format, const void *panel, int64_t row, int64_t k, float *output);
