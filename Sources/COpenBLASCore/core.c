// Core selection: see the header. Works with builds of OpenBLAS that carry all cores (DYNAMIC_ARCH); others have one and keep it.
#define _GNU_SOURCE
#include "openblas_core.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Exported by every DYNAMIC_ARCH build. Weak: where they are missing they are null, and the library's choice stands.
// `quit` forgets the chosen core and frees nothing; `init` returns at once unless `quit` came before.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

static const char environment_name[] = "OPENBLAS_CORETYPE";

// Written once by the constructor, before `main`; read-only afterwards.
static int chosen_by = OPENBLAS_CORE_BY_LIBRARY;
static char name_at_load[32] = "unknown";

int openblas_core_chosen_by(void) { return chosen_by; }

const char *openblas_core_at_load(void) { return name_at_load; }

uint32_t openblas_core_features(void) {
#if defined(__x86_64__)
    uint32_t features = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= OPENBLAS_CORE_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        features |= OPENBLAS_CORE_AVX512;
    if (__builtin_cpu_is("amd")) features |= OPENBLAS_CORE_AMD;
    return features;
#else
    return 0;
#endif
}

// 2: the core uses AVX-512; 1: AVX2 and FMA; 0: less.
static int vector_class(const char *name) {
    static const char *const avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    static const char *const avx2[] = {"Haswell", "Zen", "Excavator"};
    for (size_t i = 0; i < sizeof avx512 / sizeof *avx512; i++)
        if (strcasecmp(name, avx512[i]) == 0) return 2;
    for (size_t i = 0; i < sizeof avx2 / sizeof *avx2; i++)
        if (strcasecmp(name, avx2[i]) == 0) return 1;
    return 0;
}

// AMD CPUs with AVX-512 take SkylakeX like Intel's. Measured on a Zen 4 (OpenBLAS 0.3.21, one thread, medians of 9, cores alternated): sgemm
// 1024³ 96 GFLOP/s on SkylakeX, 82 on Zen, 87 on Haswell; 512×576×1536 99, 102, 91; 1×576×1536 36, 6, 6.
const char *openblas_core_replacement(uint32_t features, const char *current) {
    const int have = vector_class(current);
    if ((features & OPENBLAS_CORE_AVX512) && have < 2) return "SkylakeX";
    if ((features & OPENBLAS_CORE_AVX2) && have < 1) return features & OPENBLAS_CORE_AMD ? "Zen" : "Haswell";
    return 0;
}

int openblas_core_select(const char *name) {
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || !openblas_get_corename) return 0;
    const char *before = getenv(environment_name);
    char *saved = before ? strdup(before) : 0;
    if (before && !saved) return 0;
    if (setenv(environment_name, name, 1) != 0) {
        free(saved);
        return 0;
    }
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    // The variable goes back to what it was: a child process shall make its own choice.
    if (saved) setenv(environment_name, saved, 1);
    else unsetenv(environment_name);
    free(saved);
    return strcasecmp(openblas_get_corename(), name) == 0;
}

__attribute__((constructor)) static void correct_core(void) {
    if (!openblas_get_corename) return;
    strncpy(name_at_load, openblas_get_corename(), sizeof name_at_load - 1);
    const char *user = getenv(environment_name);
    if (user && *user) {
        chosen_by = OPENBLAS_CORE_BY_USER;
        return;
    }
    const char *better = openblas_core_replacement(openblas_core_features(), name_at_load);
    if (better) chosen_by = openblas_core_select(better) ? OPENBLAS_CORE_BY_ENGINE : OPENBLAS_CORE_UNFIT;
}
