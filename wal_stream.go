package slatedb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// A WALGroup is what one commit wrote: all rows of one sequence number. The slice Rows lives
// until the next step of the stream; its keys and values stay valid, but hold the whole object
// they came in.
type WALGroup struct {
	Seq  uint64
	Rows []RawRow
	// File is the id of the object that the rows are from.
	File uint64
	// Consumed is the last object of which everything is in this group or in earlier ones. A
	// consumer that stores it when it has dealt with the group, and begins with Consumed+1
	// after a restart, misses nothing. It sees again what it had from objects behind Consumed:
	// none when it stopped at the last group of an object, where Consumed = File.
	Consumed uint64
}

// Iterate streams the commits of the objects with from <= id < to in commit order. from 0
// begins with the oldest object that is there. to 0 is an open end: the stream waits for new
// objects until ctx ends; with a to it waits for those below it. It polls, one request at a
// time (WALReaderOptions.PollInterval), and fetches ahead while there is something.
//
// An error is the last pair: ErrTruncated when the next object has been collected (begin again
// with a copy of the data, then with FirstID), ErrCorrupt when one is damaged or was cut short,
// ErrNoDatabase, ErrClosed after Close, or ctx's. Everything before it was complete. Leaving the
// loop ends all that the stream had under way.
func (r *WALReader) Iterate(ctx context.Context, from, to uint64) iter.Seq2[WALGroup, error] {
	return func(yield func(WALGroup, error) bool) {
		if to != 0 && from > to {
			yield(WALGroup{}, invalidf("from %d is above to %d", from, to))
			return
		}
		sctx, end, err := r.begin(ctx)
		if err != nil {
			yield(WALGroup{}, err)
			return
		}
		defer end()
		s := walStream{r: r, yield: yield, next: from, to: to}
		if err := s.run(sctx); err != nil && !s.left {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = ctx.Err()
			}
			yield(WALGroup{}, r.done("stream the log", err))
		}
	}
}

// Subscribe is Iterate without an end for the rows whose keys lie in rng. Of a group it yields
// the rows that do. Where nothing is left of an object, it yields one group without rows for
// it, so that Consumed moves on.
func (r *WALReader) Subscribe(ctx context.Context, from uint64, rng Range) iter.Seq2[WALGroup, error] {
	return func(yield func(WALGroup, error) bool) {
		keys, err := rng.clone()
		if err != nil {
			yield(WALGroup{}, err)
			return
		}
		for g, err := range r.Iterate(ctx, from, 0) {
			if err != nil {
				yield(g, err)
				return
			}
			kept := g.Rows[:0]
			for _, row := range g.Rows {
				if keys.Contains(row.Key) {
					kept = append(kept, row)
				}
			}
			g.Rows = kept
			if len(kept) == 0 && g.Consumed != g.File {
				continue
			}
			if !yield(g, nil) {
				return
			}
		}
	}
}

// walStream is one run of Iterate.
type walStream struct {
	r     *WALReader
	yield func(WALGroup, error) bool
	left  bool // the consumer left the loop

	next, to uint64
	last     kv.Seq // of the last group
	rows     []RawRow
}

// holeCheck is how long a missing object counts as not written yet before the manifest is asked
// again: the time in which one could be written and collected unseen, and the most by which a
// stream that has caught up is late to say so.
const holeCheck = time.Minute

func (s *walStream) run(ctx context.Context) error {
	env := s.r.h.conf.env
	if s.next == 0 {
		first, err := s.r.firstID(ctx)
		if err != nil {
			return err
		}
		s.next = first
	}
	news := env.Clock.Now()
	var asked time.Time // when the manifest said that nothing is missing
	for s.to == 0 || s.next < s.to {
		before := s.next
		err := s.read(ctx)
		if s.left || err == nil {
			return err
		}
		if !errors.Is(err, wal.ErrTruncated) {
			return err
		}
		now := env.Clock.Now()
		if s.next > before {
			news = now
		}
		if asked.IsZero() || now.Sub(asked) >= holeCheck {
			gone, cerr := s.r.collected(ctx, s.next)
			if cerr != nil {
				return cerr
			}
			if gone {
				return err
			}
			asked = now
		}
		if err := env.Sleep(ctx, s.pause(now.Sub(news))); err != nil {
			return err
		}
	}
	return nil
}

const (
	walPollLeast = 100 * time.Millisecond
	walPollMost  = 5 * time.Second
)

// pause is how long to wait when nothing came for a time.
func (s *walStream) pause(idle time.Duration) time.Duration {
	if s.r.poll > 0 {
		return s.r.poll
	}
	return min(max(idle/4, walPollLeast), walPollMost)
}

// read yields what is there from next on and moves next. It returns nil at the stream's end
// and wal.ErrTruncated at a missing object.
func (s *walStream) read(ctx context.Context) error {
	r := s.r
	o := wal.ReplayOptions{
		Root: r.h.path, From: s.next, To: s.to - 1, // to 0: the largest id there is
		Transformer: r.h.conf.BlockTransformer, Env: r.h.conf.env,
		Ahead: r.fetches, MaxBytes: r.buffer, Tail: true,
	}
	rp := wal.NewReplayer(ctx, r.store, o)
	defer rp.Close()
	for rp.Next() {
		batch := rp.Batch()
		seq := batch[0].Seq
		if seq <= s.last {
			name := sst.WALID(rp.WALID()).Object(r.h.path)
			return sst.Corrupt(name, -1, fmt.Errorf("%w: seq %d after seq %d", ErrCorrupt, seq, s.last))
		}
		s.last = seq
		s.rows = s.rows[:0]
		for i := range batch {
			s.rows = append(s.rows, rawRow(&batch[i]))
		}
		g := WALGroup{Seq: uint64(seq), Rows: s.rows, File: rp.WALID(), Consumed: rp.Consumed()}
		if rp.Last() {
			g.Consumed = g.File
		}
		if !s.yield(g, nil) {
			s.left = true
			return nil
		}
	}
	s.next = rp.Consumed() + 1
	return rp.Err()
}
