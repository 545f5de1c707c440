// SPDX-License-Identifier: Apache-2.0
//
// Reads parts of clips' files for workers that do not see the data, in a thread of its own, since a
// disk may take its time and the loop must not. What is read waits until the loop takes it, and no
// more than 4 MiB of it do: then the thread rests. The coordinator's loop alone.
#ifndef AUSCULT_COORDINATOR_SERVER_CLIP_READER_H
#define AUSCULT_COORDINATOR_SERVER_CLIP_READER_H

#include "common/base/buffer.h"
#include "common/base/digest.h"
#include "proto/channel.h"

typedef struct ClipPart {
    PeerId peer;         // who asked
    Digest clip;         // the name that it was asked for by
    uint64_t offset;     // of the first byte
    Buffer bytes;        // at most PROTO_PIECE_BYTES, fewer only at the file's end
    uint64_t size_bytes; // of the whole file
    uint64_t version;    // another one when the file has changed
    char reason[256];    // why it could not be read, without any folder; "" when it was
} ClipPart;

typedef struct ClipReader ClipReader;
ClipReader *clip_reader_new(void); // NULL when out of memory
void clip_reader_free(ClipReader *reader);
// Readable when clip_reader_take has something.
int clip_reader_fd(const ClipReader *reader);
// Whoever asks for no more than PROTO_PARTS at once is never refused. STATUS_MEMORY, STATUS_LIMIT,
// STATUS_IO.
Status clip_reader_ask(ClipReader *reader, PeerId peer, Digest clip, const char *path,
                       uint64_t offset);
// The next part, in the order they were asked for; its bytes are the caller's. False: none is
// ready.
bool clip_reader_take(ClipReader *reader, ClipPart *ret_part);

#endif
