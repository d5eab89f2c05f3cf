package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// Run uploads until ctx ends or the log fails. It returns nil when ctx has ended,
// kv.ErrFenced when the next id is taken, kv.ErrOutcomeUnknown when a PUT cannot be settled,
// kv.ErrUnavailable when the store refuses, what ConfirmBeforeAck said, or what Fail was
// called with. It returns after its current PUT has, and whatever the reason, those who
// wait for rows that are not durable have got an error by then: at the end of ctx its cause,
// or kv.ErrClosed when it has none (kv.ErrOutcomeUnknown, which is also ErrClosed, when ctx cut
// off a PUT). An owner that wants every row stored calls Flush first.
func (w *Writer) Run(ctx context.Context) error {
	var err error
	if p := seam.Guard("wal flusher", func() error { err = w.loop(ctx); return nil }); p != nil {
		err = fmt.Errorf("wal: %w: %w", kv.ErrInternal, p)
	}
	if err != nil {
		w.Fail(err)
		return err
	}
	w.Fail(stopReason(ctx, kv.ErrClosed))
	return nil
}

// stopReason is what waiters are told when ctx has ended: its cause when the owner gave one.
func stopReason(ctx context.Context, otherwise error) error {
	c := context.Cause(ctx)
	if c == nil || errors.Is(c, context.Canceled) || errors.Is(c, context.DeadlineExceeded) {
		return otherwise
	}
	return c
}

func (w *Writer) loop(ctx context.Context) error {
	for {
		due, err := w.awaitDue(ctx)
		if !due {
			return err
		}
		s, more := w.buf.take()
		if s == nil {
			continue // Fail came between
		}
		if !more {
			w.firstRow = time.Time{}
		}
		if err := w.upload(ctx, s); err != nil {
			if ctx.Err() != nil && !errors.Is(err, kv.ErrFenced) {
				// Nobody knows what became of a PUT that ctx cut off. ErrOutcomeUnknown is
				// also ErrClosed, so it is true of the rows behind it too.
				w.Fail(stopReason(ctx, fmt.Errorf("%w: stopped: %v", kv.ErrOutcomeUnknown, err)))
				return nil
			}
			return err
		}
	}
}

// awaitDue waits until an upload should begin. It returns false when the log ends.
func (w *Writer) awaitDue(ctx context.Context) (bool, error) {
	for {
		if ctx.Err() != nil {
			return false, nil
		}
		if err := w.Err(); err != nil {
			return false, err
		}
		now := w.env.Clock.Now()
		w.notAhead(now)
		d := w.demand()
		if !d.rows {
			w.buf.trim()
			w.body = nil
		} else if w.firstRow.IsZero() {
			// A row that came during an upload is taken to be as old as that. So the timer is
			// never late, and there is still only one upload per interval.
			w.firstRow = now
			if !w.lastStart.IsZero() && w.busy {
				w.firstRow = w.lastStart
			}
		}
		w.busy = false
		d.firstRow = w.firstRow
		at, ok := d.startAt(now, w.opt.FlushInterval, w.opt.MinFlushGap)
		if ok && !at.After(now) {
			w.setQuiet(math.MaxInt)
			return true, nil
		}
		if ok && d.gathering(now) {
			w.setQuiet(d.gather)
		}
		w.park(ctx, at.Sub(now), ok)
	}
}

// notAhead keeps a clock that was set back from holding up uploads until it is where it was.
func (w *Writer) notAhead(now time.Time) {
	if w.lastStart.After(now) {
		w.lastStart, w.until = now, now
	}
	if w.firstRow.After(now) {
		w.firstRow = now
	}
}

// demand looks at buffer and waiters. The waiters come first and quiet ends with that look:
// one that comes later kicks, so its rows are seen in the next round at the latest.
func (w *Writer) demand() demand {
	stored := w.durable.Load()
	w.want.Lock()
	w.want.quiet = false
	d := demand{waited: w.want.wait > stored, flush: w.want.flush > stored, back: w.want.back}
	w.want.Unlock()
	d.rows, d.full = w.buf.look()
	d.lastStart, d.gather, d.gatherUntil = w.lastStart, w.gather, w.until
	return d
}

func (w *Writer) setQuiet(to int) {
	w.want.Lock()
	defer w.want.Unlock()
	if w.want.back < to {
		w.want.quiet, w.want.quietTo = true, to
	}
}

func (w *Writer) park(ctx context.Context, d time.Duration, timed bool) {
	var fire <-chan time.Time
	if timed {
		t := w.env.Clock.NewTimer(d)
		defer t.Stop()
		fire = t.C()
	}
	select {
	case <-ctx.Done():
	case <-w.kick:
	case <-fire:
	}
}

// upload stores one segment and acknowledges it.
func (w *Writer) upload(ctx context.Context, s *segment) error {
	w.lastStart, w.busy = w.env.Clock.Now(), true
	defer func() {
		if s != nil {
			w.buf.recycle(s)
		}
	}()
	id := w.next
	name := sst.WALID(id).Object(w.opt.Root)
	body, err := w.seal(s)
	if err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	w.env.Point("wal.before-put")
	start := w.env.Clock.Now()
	_, err = w.store.Put(ctx, name, body, objstore.IfAbsent())
	if err != nil {
		return putError(name, err)
	}
	took := w.env.Clock.Now().Sub(start)
	w.env.Point("wal.after-put")
	if w.opt.ConfirmBeforeAck != nil {
		if err := w.opt.ConfirmBeforeAck(ctx); err != nil {
			return fmt.Errorf("confirm %s: %w", name, err)
		}
	}
	w.env.Point("wal.before-ack")
	w.next++
	w.puts.add(took)
	if w.opt.OnStored != nil {
		w.opt.OnStored(len(body))
	}
	last, size := s.last, len(body)
	w.buf.recycle(s) // before the release: who is acknowledged finds its memory given back
	s = nil
	w.acknowledge(id, last)
	if w.opt.OnUploaded != nil {
		w.opt.OnUploaded(Uploaded{ID: id, LastSeq: last, Bytes: size, Duration: took})
	}
	return nil
}

// acknowledge publishes the position, then the mark: whoever sees a row as durable finds a
// position that covers it.
func (w *Writer) acknowledge(id uint64, seq kv.Seq) {
	w.pos.Lock()
	w.pos.id, w.pos.seq = id, seq
	w.pos.Unlock()
	w.want.Lock()
	w.want.back = 0 // before the release, or the fastest to come back would not count
	w.want.Unlock()
	w.gather = w.durable.Advance(seq)
	// A lone waiter is not held up, for it is itself the one that is waited for. But when one
	// is released while others wait, they are two groups, if small ones: without gathering two
	// clients would take turns for ever.
	if w.noGather {
		w.gather = 0
	}
	w.until = w.env.Clock.Now().Add(min(w.puts.usual()/gatherShare, maxGather))
}

// seal makes the object. One chunk becomes the object in place; several are put together
// here, where no lock is held.
func (w *Writer) seal(s *segment) ([]byte, error) {
	body := s.buf
	if len(s.done) > 0 {
		if n := s.size(); cap(w.body) < n+n/1000+1024 {
			w.body = make([]byte, 0, n+n/500+4096) // index and footer fit too
		}
		body = w.body[:0]
		for _, c := range s.done {
			body = append(body, c...)
		}
		body = append(body, s.buf...)
	}
	var out []byte
	err := seam.Guard("block transformer", func() (err error) {
		out, err = sst.SealWAL(body, s.blocks, w.opt.Codec, w.opt.Transformer)
		return err
	})
	var p *seam.PanicError
	switch {
	case errors.As(err, &p):
		return nil, fmt.Errorf("%w: %w", kv.ErrInternal, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	return out, nil
}

// putError says what a PUT that may not be sent again means to the handle.
func putError(name string, err error) error {
	kind := kv.ErrUnavailable
	switch {
	case errors.Is(err, objstore.ErrPrecondition):
		kind = kv.ErrFenced
	case errors.Is(err, objstore.ErrOutcomeUnknown):
		kind = kv.ErrOutcomeUnknown
	}
	return fmt.Errorf("put %s: %w: %w", name, kind, err)
}
