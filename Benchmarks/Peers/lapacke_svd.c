// The peer of Benchmarks/Factorisations: LAPACKE_sgesdd on a square matrix, called directly.
//
//     clang -O2 Benchmarks/Peers/lapacke_svd.c -o lapacke_svd $(pkg-config --cflags --libs openblas) -llapacke
//     OPENBLAS_CORETYPE=SkylakeX ./lapacke_svd 4096
//
// OPENBLAS_CORETYPE: the core that `swiftlet doctor` prints, so that both run on the same kernels.
#include <lapacke.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

extern char *openblas_get_corename(void);

int main(int argc, char **argv) {
    lapack_int n = argc > 1 ? atoi(argv[1]) : 4096;
    if (n < 1 || n > 20000) return fprintf(stderr, "lapacke_svd: the size must be 1 to 20000\n"), 2;
    size_t count = (size_t)n * (size_t)n;
    float *a = malloc(count * sizeof *a), *u = malloc(count * sizeof *u), *vt = malloc(count * sizeof *vt), *s = malloc((size_t)n * sizeof *s);
    if (!a || !u || !vt || !s) return fprintf(stderr, "lapacke_svd: no memory for %d x %d\n", n, n), 1;
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        a[i] = (float)(int32_t)(state >> 33) / 1073741824.0f - 1.0f;
    }
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int status = LAPACKE_sgesdd(LAPACK_ROW_MAJOR, 'S', n, n, a, n, s, u, n, vt, n);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    printf("%s n=%d status %d largest %g: %.2f s\n", openblas_get_corename(), n, status, s[0], seconds);
    free(a), free(u), free(vt), free(s);
    return status != 0;
}
