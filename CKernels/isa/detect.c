// CPU feature detection. A bit is set only when the CPU has the instructions and the operating system saves their registers.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "ckernels/isa.h"

#if defined(__x86_64__)

#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// XCR0: which register files the operating system saves on a context switch.
static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

// Linux hands out the 8 KiB of tile registers only to processes that ask (arch_prctl ARCH_REQ_XCOMP_PERM, feature 18).
static int amx_permitted(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { request_permission = 0x1023, tile_data = 18 };
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return 0;
#endif
}

uint32_t ck_isa_detect(void) {
    uint32_t a, b, c, d, isa = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const int fma = c >> 12 & 1, osxsave = c >> 27 & 1, avx = c >> 28 & 1, f16c = c >> 29 & 1;
    if (!osxsave || !avx) return 0;
    const uint64_t state = enabled_state();
    const int ymm_saved = (state & 0x6) == 0x6, zmm_saved = (state & 0xe6) == 0xe6, tiles_saved = (state >> 17 & 3) == 3;
    if (!ymm_saved || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((b >> 5 & 1) && fma && f16c) isa |= CK_ISA_AVX2;
    const int f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1;
    const uint32_t leaf7_c = c, leaf7_d = d;
    uint32_t a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    if (a1 >> 4 & 1) isa |= CK_ISA_AVX_VNNI;
    if (zmm_saved && f && dq && bw && vl) {
        isa |= CK_ISA_AVX512;
        if (leaf7_c >> 11 & 1) isa |= CK_ISA_AVX512_VNNI;
        if ((leaf7_c >> 1 & 1) && (leaf7_c >> 6 & 1)) isa |= CK_ISA_AVX512_VBMI2;
        if (a1 >> 5 & 1) isa |= CK_ISA_AVX512_BF16;
        if (tiles_saved && (leaf7_d >> 24 & 1) && amx_permitted()) {
            if (leaf7_d >> 25 & 1) isa |= CK_ISA_AMX_INT8;
            if (leaf7_d >> 22 & 1) isa |= CK_ISA_AMX_BF16;
        }
    }
    return isa;
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
uint32_t ck_isa_detect(void) {
    enum { hwcap_dotprod = 1 << 20, hwcap2_i8mm = 1 << 13 };
    uint32_t isa = CK_ISA_NEON;
    if (getauxval(AT_HWCAP) & hwcap_dotprod) isa |= CK_ISA_DOTPROD;
    if (getauxval(AT_HWCAP2) & hwcap2_i8mm) isa |= CK_ISA_I8MM;
    return isa;
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>
static int feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, 0, 0) == 0 && value;
}
uint32_t ck_isa_detect(void) {
    uint32_t isa = CK_ISA_NEON;
    if (feature("hw.optional.arm.FEAT_DotProd")) isa |= CK_ISA_DOTPROD;
    if (feature("hw.optional.arm.FEAT_I8MM")) isa |= CK_ISA_I8MM;
    return isa;
}
#else
uint32_t ck_isa_detect(void) { return CK_ISA_NEON; }
#endif

#else

uint32_t ck_isa_detect(void) { return 0; }

#endif
