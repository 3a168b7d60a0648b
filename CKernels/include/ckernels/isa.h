/// CPU features as a bit set. Kernel rows name the bits they need; every look-up takes a mask, so any path a machine has can be forced.
#pragma once

#include <stdint.h>

/// Instruction-set bits. A kernel row with `isa == 0` is the scalar twin and runs anywhere.
enum {
    CK_ISA_AVX2 = 1u << 0,         ///< AVX2, FMA and F16C
    CK_ISA_AVX512 = 1u << 1,       ///< AVX-512 F, BW, DQ, VL
    CK_ISA_AVX512_VNNI = 1u << 2,  ///< AVX-512 VNNI (vpdpbusd on 512 bits)
    CK_ISA_AVX512_BF16 = 1u << 3,  ///< AVX-512 BF16 (vdpbf16ps)
    CK_ISA_AVX512_VBMI2 = 1u << 4, ///< AVX-512 VBMI and VBMI2 (byte permute, expand)
    CK_ISA_AVX_VNNI = 1u << 5,     ///< AVX-VNNI (vpdpbusd on 256 bits without AVX-512)
    CK_ISA_AMX_INT8 = 1u << 6,     ///< AMX tiles with int8 products, permission granted by the kernel
    CK_ISA_AMX_BF16 = 1u << 7,     ///< AMX tiles with bf16 products, permission granted by the kernel
    CK_ISA_NEON = 1u << 16,        ///< Armv8 Advanced SIMD
    CK_ISA_DOTPROD = 1u << 17,     ///< Arm SDOT/UDOT
    CK_ISA_I8MM = 1u << 18,        ///< Arm int8 matrix multiply
    CK_ISA_PORTABLE = 1u << 24,    ///< kernels in a compiler's generic vectors, outside these tables: never detected, allowed by whoever has them
};

/// The features of the CPU and the operating system this process runs on. Costs a few CPUID instructions: call once and keep the result.
uint32_t ck_isa_detect(void);

/// Asks for the cache line at `address` ahead of its use. Any address may be given: a wrong one costs nothing but the request.
static inline void ck_prefetch(const void *address) { __builtin_prefetch(address); }

enum { CK_PREFETCH_BYTES = 256 };  ///< what one `ck_prefetch_far` asks for

/// Asks for the `CK_PREFETCH_BYTES` from `address` on, to wait in the second-level cache until they are needed.
static inline void ck_prefetch_far(const void *address) {
    for (int offset = 0; offset < CK_PREFETCH_BYTES; offset += 64) __builtin_prefetch((const char *)address + offset, 0, 2);
}

/// Tells the core that this thread is polling: spares power and the other hyper-thread.
static inline void ck_cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
