package wal

import "github.com/slatedb/slatedb-go/internal/kv"

// Cut ends the object that is being filled, so that rows appended from now on go into later
// ones, and asks for its upload. It returns the newest row appended so far, which is then the
// last one of its object. Calls come one at a time with those of Append.
func (w *Writer) Cut() kv.Seq {
	last, cut := w.buf.cut()
	if cut {
		w.wake()
	}
	return last
}

// cut queues the open segment as if it were full.
func (b *buffer) cut() (last kv.Seq, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.mu.open; s != nil {
		s.closeBlock()
		b.mu.queue = append(b.mu.queue, s)
		b.mu.open, cut = nil, true
	}
	return b.mu.last, cut
}
