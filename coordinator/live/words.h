// SPDX-License-Identifier: Apache-2.0
//
// Numbers as people read them: times and rates. Any thread.
#ifndef AUSCULT_COORDINATOR_LIVE_WORDS_H
#define AUSCULT_COORDINATOR_LIVE_WORDS_H

enum { WORDS_BYTES = 32 };

// "12 s", "3 min 05 s", "2 h 07 min", "3 d 04 h"; "" for what is not a time.
void words_time(char out[WORDS_BYTES], double seconds);
// The same with a tenth below ten seconds: "0.2 s".
void words_short_time(char out[WORDS_BYTES], double seconds);
// "0.42/s", "3.1/s", "870/s"; below one in ten seconds "5.2/min" or "1.4/h"; "" for 0 and NaN.
void words_rate(char out[WORDS_BYTES], double per_second);

#endif
