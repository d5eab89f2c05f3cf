package wal

import (
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

const (
	// rowOverhead bounds what a row takes beside its key and value: three lengths of at most
	// 5 bytes, seq 8, flags 1, two times of 8.
	rowOverhead = 15 + 8 + 1 + 16
	// restartBytes bounds a row's share of the restart array.
	restartBytes = 2
	// crcBytes stay free behind each block for its checksum.
	crcBytes = 4
	// chunkBytes is the size of a full chunk: a multiple of blocks, and small enough that
	// taking a new one (the allocator clears it) stays far below a millisecond in the
	// commit section.
	chunkBytes = 1 << 20
	// firstChunk is what an idle database pays at its first row.
	firstChunk = 4 << 10
	// idleBytes of free chunks are kept while nothing is to be uploaded.
	idleBytes = 256 << 10
)

// A segment becomes one object. Its blocks are encoded in place and fill one chunk after
// another, so that a large segment grows without copying; a block never spans two chunks.
type segment struct {
	done   [][]byte       // full chunks, finished blocks only
	buf    []byte         // the chunk being filled
	base   int            // bytes in done
	blocks []sst.WALBlock // finished blocks; Off counts from the start of the segment

	builder sst.BlockBuilder
	open    bool   // builder holds a block that begins at start
	start   int    // in buf
	first   kv.Seq // of the open block
	last    kv.Seq // of the segment
	charged int    // what buffer.bytes holds for it
}

func (s *segment) size() int { return s.base + len(s.buf) }

// rowBytes bounds the encoded size of one row.
func rowBytes(e *kv.Entry) int { return len(e.Key) + len(e.Value) + rowOverhead + restartBytes }

func (s *segment) closeBlock() {
	if !s.open {
		return
	}
	s.buf = s.builder.Finish(s.buf)
	s.blocks = append(s.blocks, sst.WALBlock{Off: s.base + s.start, Len: len(s.buf) - s.start, FirstSeq: s.first})
	s.buf = append(s.buf, 0, 0, 0, 0)
	s.open = false
}

// A buffer is the queue of segments between Append and the flusher. Only the last one
// grows.
type buffer struct {
	limit int          // of a segment with more than one batch
	bytes atomic.Int64 // appended and not yet stored, an upload in flight included
	mu    struct {
		sync.Mutex
		queue []*segment // full ones, oldest first
		open  *segment   // nil: no rows since the last take
		last  kv.Seq     // of all rows ever appended
		dead  bool       // the writer failed: rows can no longer become durable

		idle      []*segment // for reuse
		chunks    [][]byte   // for reuse
		freeBytes int        // in chunks
		hint      int        // size of recent objects
	}
}

// append encodes one batch. It reports whether the flusher must look: a segment was begun,
// because there was none or because the one before is full.
func (b *buffer) append(rows []kv.Entry) (look bool) {
	need := 0
	for i := range rows {
		need += rowBytes(&rows[i])
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.last = rows[len(rows)-1].Seq
	if b.mu.dead {
		return false
	}
	s := b.mu.open
	if s != nil && s.size()+need > b.limit {
		s.closeBlock()
		b.mu.queue = append(b.mu.queue, s)
		s = nil // and a new one is a reason to look
	}
	if s == nil {
		s = b.newSegmentLocked()
		b.mu.open = s
		look = true
	}
	before := s.size()
	for i := range rows {
		e := &rows[i]
		n := rowBytes(e)
		// The first comparison spares most rows the exact one, which compares keys.
		if s.open && s.builder.Len(s.buf)+n > sst.WALBlockTarget && !s.builder.Fits(e) {
			s.closeBlock()
		}
		if !s.open {
			b.openBlockLocked(s, n, e.Seq)
		}
		s.buf = s.builder.Append(s.buf, e)
	}
	s.last = b.mu.last
	s.charged += s.size() - before
	b.bytes.Add(int64(s.size() - before))
	return look
}

func (b *buffer) openBlockLocked(s *segment, row int, seq kv.Seq) {
	if need := max(sst.WALBlockTarget, row) + crcBytes; len(s.buf) > 0 && len(s.buf)+need > chunkBytes {
		s.base += len(s.buf)
		s.done = append(s.done, s.buf)
		s.buf = b.chunkLocked(need)
	}
	s.buf = s.builder.Reset(s.buf, sst.WALBlockTarget)
	s.open, s.start, s.first = true, len(s.buf), seq
}

func (b *buffer) newSegmentLocked() *segment {
	var s *segment
	if n := len(b.mu.idle); n > 0 {
		s = b.mu.idle[n-1]
		b.mu.idle = b.mu.idle[:n-1]
	} else {
		s = new(segment)
	}
	s.buf = b.chunkLocked(firstChunk)
	return s
}

// chunkLocked returns an empty chunk. A new one is as large as recent objects were, so that
// it need not grow.
func (b *buffer) chunkLocked(need int) []byte {
	if n := len(b.mu.chunks); n > 0 {
		c := b.mu.chunks[n-1]
		b.mu.chunks[n-1] = nil
		b.mu.chunks = b.mu.chunks[:n-1]
		b.mu.freeBytes -= cap(c)
		return c
	}
	return make([]byte, 0, max(need, min(b.mu.hint+b.mu.hint/8, chunkBytes)))
}

// look tells what waits for the flusher.
func (b *buffer) look() (rows, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	full = len(b.mu.queue) > 0 || (b.mu.open != nil && b.mu.open.size() >= b.limit)
	return full || b.mu.open != nil, full
}

// last is the newest row ever appended.
func (b *buffer) last() kv.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.last
}

// take hands the oldest segment to the flusher, nil when there are no rows. more reports
// whether rows stay behind.
func (b *buffer) take() (s *segment, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.mu.queue); n > 0 {
		s = b.mu.queue[0]
		copy(b.mu.queue, b.mu.queue[1:])
		b.mu.queue[n-1] = nil
		b.mu.queue = b.mu.queue[:n-1]
		return s, n > 1 || b.mu.open != nil // nothing is behind one that was cut
	}
	s, b.mu.open = b.mu.open, nil
	if s != nil {
		s.closeBlock()
	}
	return s, false
}

// recycle takes back a segment after its upload.
func (b *buffer) recycle(s *segment) {
	b.bytes.Add(-int64(s.charged))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.hint = max(s.size(), b.mu.hint-b.mu.hint/8)
	for i, c := range s.done {
		b.freeLocked(c)
		s.done[i] = nil
	}
	b.freeLocked(s.buf)
	s.done, s.blocks, s.buf, s.base, s.charged = s.done[:0], s.blocks[:0], nil, 0, 0
	if len(b.mu.idle) < 2 {
		b.mu.idle = append(b.mu.idle, s)
	}
}

func (b *buffer) freeLocked(c []byte) {
	// A chunk that one oversized row blew up would hold its memory for small rows.
	if b.mu.dead || cap(c) > 2*chunkBytes {
		return
	}
	b.mu.chunks = append(b.mu.chunks, c[:0])
	b.mu.freeBytes += cap(c)
}

// trim lets go of what a busy time needed.
func (b *buffer) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := len(b.mu.chunks); n > 0 && b.mu.freeBytes > idleBytes; n-- {
		b.mu.freeBytes -= cap(b.mu.chunks[n-1])
		b.mu.chunks[n-1] = nil
		b.mu.chunks = b.mu.chunks[:n-1]
	}
}

// kill drops all rows; later ones are dropped as they come.
func (b *buffer) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.dead = true
	for _, s := range b.mu.queue {
		b.bytes.Add(-int64(s.charged))
	}
	if b.mu.open != nil {
		b.bytes.Add(-int64(b.mu.open.charged))
	}
	b.mu.queue, b.mu.open, b.mu.idle, b.mu.chunks, b.mu.freeBytes = nil, nil, nil, nil, 0
}
