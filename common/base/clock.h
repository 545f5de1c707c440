// SPDX-License-Identifier: Apache-2.0
//
// The only place that reads a clock. Cores take the time as an argument. Any thread.
#ifndef AUSCULT_BASE_CLOCK_H
#define AUSCULT_BASE_CLOCK_H

#include <stdint.h>

// Monotonic, from an arbitrary start: for deadlines and durations, never stored.
int64_t clock_ms(void);
int64_t clock_ns(void);
// CPU time of the calling thread.
int64_t clock_thread_ns(void);
// Milliseconds since 1970, UTC: for the log and for people, never for deadlines or results.
int64_t clock_wall_ms(void);

#endif
