// SPDX-License-Identifier: Apache-2.0
//
// CPU_CLONES before a function compiles it once for each generation of processors and picks at
// program start. Without contraction and without -ffast-math all clones give the same bits, so this
// changes time only. Off under the sanitizers, which run before the picking is done, with clang,
// whose clones other files do not find under their name, and where CPU_CLONES_OFF is defined (the
// test that holds clones against plain code).
#ifndef AUSCULT_BASE_CLONES_H
#define AUSCULT_BASE_CLONES_H

#if !defined(CPU_CLONES_OFF) && defined(__x86_64__) && defined(__gnu_linux__) &&                   \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CPU_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CPU_CLONES
#endif

#endif
