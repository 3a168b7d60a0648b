/// Peak loops: how fast this CPU multiplies and adds with each instruction set when nothing comes from memory, and how fast it reads memory.
/// Figures to hold kernels against, and what `doctor` prints.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// One peak loop: a chain-free run of multiply-add instructions on registers.
typedef struct {
    const char *name;                ///< for example "avx512-fma-f32"
    const char *unit;                ///< what is counted, for example "f32" or "int8"
    uint32_t isa;                    ///< CK_ISA_ bits the loop needs
    double operations_per_iteration; ///< a multiply and an add count as two
    /// Runs `iterations` rounds and returns a value that depends on all of them, so that none can be left out.
    double (*run)(uint64_t iterations);
} ck_peak_row;

/// All loops, scalar first. `*count` receives how many.
const ck_peak_row *ck_peak_rows(size_t *count);

/// One read loop.
typedef struct {
    const char *name;  ///< for example "avx512-ahead"
    uint32_t isa;      ///< CK_ISA_ bits the loop needs
    /// Reads `bytes` bytes at `data` (64-byte aligned, a multiple of 512) once and returns the exclusive or of their 64-bit words, so that no read can be
    /// left out. May prefetch past the end.
    uint64_t (*read)(const void *data, size_t bytes);
} ck_read_row;

/// All read loops, widest first, several of each width: which is fastest differs by machine. `*count` receives how many.
const ck_read_row *ck_read_rows(size_t *count);

/// Name and version of the compiler that built the kernels: a figure without it cannot be compared.
const char *ck_compiler(void);
