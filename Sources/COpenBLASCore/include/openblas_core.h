/// Which of OpenBLAS's kernel sets ("cores") this process runs on.
///
/// OpenBLAS picks a core in its library constructor, from CPU models it knew when it was released: version 0.3.21 takes a Sapphire Rapids for a
/// `Prescott` and multiplies matrices with SSE, five times slower than it can. It offers one remedy, the environment variable OPENBLAS_CORETYPE, which
/// must be set before the process starts. A constructor in this module runs after OpenBLAS's own and before `main`, so before any thread or
/// BLAS call of the program exists, and repeats the choice where it was wrong.
#pragma once

#include <stdint.h>

/// Instruction sets that decide which core fits. Set only when the operating system saves the registers too.
enum {
    OPENBLAS_CORE_AVX2 = 1u << 0,   ///< AVX2 and FMA
    OPENBLAS_CORE_AVX512 = 1u << 1, ///< AVX-512 F, BW, DQ, VL
    OPENBLAS_CORE_AMD = 1u << 2,    ///< the vendor is AMD: takes the core `Zen` where another vendor takes `Haswell`
};

/// Who chose the core in use.
enum {
    OPENBLAS_CORE_BY_LIBRARY = 0, ///< OpenBLAS, and its choice fits this CPU
    OPENBLAS_CORE_BY_ENGINE = 1,  ///< this module, because OpenBLAS's choice did not fit
    OPENBLAS_CORE_BY_USER = 2,    ///< the environment variable OPENBLAS_CORETYPE
    OPENBLAS_CORE_UNFIT = 3,      ///< OpenBLAS, its choice does not fit, and this build of it cannot be switched
};

/// One of the four constants above.
int openblas_core_chosen_by(void);

/// The core OpenBLAS had chosen before this module looked, for example "Prescott". Lives as long as the process.
const char *openblas_core_at_load(void);

/// The instruction sets of this CPU, as the bits above.
uint32_t openblas_core_features(void);

/// The core to use instead of `current` on a CPU with `features`, or null when `current` fits.
const char *openblas_core_replacement(uint32_t features, const char *current);

/// Switches OpenBLAS to the core named `name`. Returns 1 when it runs on that core afterwards.
/// No other thread may be inside or enter BLAS, or read the environment, meanwhile.
int openblas_core_select(const char *name);
