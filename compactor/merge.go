package compactor

import (
	"bytes"
	"context"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/merging"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// compactRange merges range i of the job, from behind what is recorded of it. share is about
// how large its input is.
func (t *task) compactRange(ctx context.Context, g *seam.Group, ssts *sst.Store, i int, share uint64) (err error) {
	sub, minSeq := t.rangeAt(i)
	if sub.Done {
		return nil
	}
	conf := &t.w.conf
	rng := sub.Range
	var seen mark
	if n := len(sub.Outputs); n > 0 {
		if seen, err = lastRow(ctx, ssts, sub.Outputs[n-1]); err != nil {
			return err
		}
		rng.Start, rng.StartExclusive = seen.key, false
	}
	up := t.newUploads(ctx, g, i)
	var filter *rowFilter
	defer func() {
		if cerr := up.close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = filter.end()
		}
		if err == nil {
			t.finishRange(i)
		}
	}()

	group := sst.NewGroup(ctx, ssts, sst.GroupOptions{ReadAhead: t.readAhead(), MaxTasks: t.w.o.FetchTasks * max(1, len(t.sources))})
	var its []kv.Iterator
	for _, in := range t.sources {
		if len(in.views) == 1 {
			its = append(its, group.Iter(in.views[0], rng, false))
		} else if len(in.views) > 1 {
			its = append(its, group.RunIter(in.views, rng, false))
		}
	}
	if len(its) == 0 {
		return nil // runs without views
	}
	if filter, err = t.newFilter(seen.key != nil); err != nil {
		return err
	}
	var expired [3]uint64
	var folded uint64
	src := merging.Retain(merging.New(false, its...), merging.RetainOptions{
		MinSeq: minSeq, Now: t.now, Bottom: t.bottom, Operator: conf.MergeOperator, RequireOperator: true,
		OnExpired: func(k kv.Kind) { expired[k]++ },
		OnFold:    func(n int) { folded += uint64(n) },
	})
	defer func() {
		_ = src.Close()
		conf.count("expired_entries_purged", expired[kv.Put], "entry_type", "value")
		conf.count("expired_entries_purged", expired[kv.Merge], "entry_type", "merge")
		if conf.Count != nil && folded > 0 {
			conf.Count("slatedb.merge_operator_operands", folded, "path", "compact")
		}
		if filter != nil {
			conf.count("filtered_rows", filter.dropped, "decision", "drop")
			conf.count("filtered_rows", filter.changed, "decision", "modify")
		}
	}()
	if err := t.write(ctx, src, seen, filter, up, share); err != nil {
		return err
	}
	if err := src.Err(); err != nil {
		return fmt.Errorf("compaction %s: %w", t.job.ID, err)
	}
	return nil
}

// write fills tables with the rows of src and hands full ones over.
func (t *task) write(ctx context.Context, src kv.Iterator, seen mark, filter *rowFilter, up *uploads, share uint64) error {
	limit := t.tableBytes()
	var w *sst.Writer
	var full []byte // key of the last row, once the table is full
	isFull := false
	merged := 0
	defer func() { t.merged.Add(uint64(merged)) }()
	for src.Next() {
		e := src.Entry()
		if merged += len(e.Key) + len(e.Value); merged >= mergedStep {
			t.merged.Add(uint64(merged))
			merged = 0
		}
		if seen.key != nil {
			if seen.covers(e) {
				continue
			}
			seen.key = nil
		}
		e, err := filter.apply(e)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		// Versions of one key stay together, unless they are very many: readers then need
		// one table for the key, and nobody has to go on in the middle.
		if isFull && (!bytes.Equal(e.Key, full) || w.EstimatedBytes() > 2*limit) {
			share -= min(share, uint64(w.EstimatedBytes()))
			if err := up.add(ctx, w); err != nil {
				return err
			}
			w, isFull = nil, false
		}
		if w == nil {
			w = t.newWriter(share, limit)
		}
		if err := w.Add(e); err != nil {
			return fmt.Errorf("compaction %s: %w", t.job.ID, err)
		}
		if w.EstimatedBytes() > limit && !isFull {
			isFull = true
			full = append(full[:0], e.Key...)
		}
	}
	if w == nil || src.Err() != nil {
		return nil
	}
	return up.add(ctx, w)
}

// mergedStep is how many bytes are merged before the throughput learns of them (arbitrary).
const mergedStep = 1 << 20

// outputBuffer is what the tables that a job is building and storing may take, where the size
// of tables was not set (arbitrary).
const outputBuffer = 256 << 20

// tableBytes is the size at which the next table is begun.
func (t *task) tableBytes() int {
	if n := t.w.o.MaxSSTBytes; n > 0 {
		return int(n)
	}
	t.mu.Lock()
	ranges := len(t.mu.ranges)
	t.mu.Unlock()
	return outputBuffer / 2 / max(1, min(ranges, cap(t.w.extra)+1))
}

func (t *task) newWriter(share uint64, limit int) *sst.Writer {
	conf := &t.w.conf
	// Room for rows, filters and index; what the output will lack of the input is not
	// known, so a little is left to growth instead of taking too much.
	hint := min(share+share/32, uint64(limit)+uint64(limit)/32)
	return sst.NewWriter(sst.WriterOptions{
		BlockSize: conf.BlockSize, Codec: conf.Codec, Transformer: conf.Transformer,
		Policies: conf.Policies, MinFilterKeys: conf.MinFilterKeys, SizeHint: int(hint),
	})
}

// inputBuffer bounds what the inputs of as many ranges as a job can have at work read ahead
// together (arbitrary).
const inputBuffer = 64 << 20

// readAhead is how much one input reads ahead.
func (t *task) readAhead() int {
	want := t.w.o.FetchTasks * t.w.o.BytesToFetch
	return min(want, max(256<<10, inputBuffer/((cap(t.w.extra)+1)*max(1, len(t.sources)))))
}

// A mark is the last row that an earlier worker has written.
type mark struct {
	key []byte // nil: none
	seq kv.Seq
}

// covers reports whether e was written by then.
func (m *mark) covers(e *kv.Entry) bool {
	c := bytes.Compare(e.Key, m.key)
	return c < 0 || c == 0 && e.Seq >= m.seq
}

// lastRow returns the last row of a table: the oldest version of its largest key.
func lastRow(ctx context.Context, ssts *sst.Store, h *sst.Handle) (mark, error) {
	v := sst.NewViewReader(ssts.Open(h), &sst.View{ID: h.ID.ULID(), Table: h})
	it := sst.NewGroup(ctx, ssts, sst.GroupOptions{ReadAhead: -1}).Iter(v, kv.Range{}, true)
	defer it.Close()
	var m mark
	for it.Next() {
		e := it.Entry()
		if m.key == nil {
			m.key = bytes.Clone(e.Key)
		} else if !bytes.Equal(e.Key, m.key) {
			break
		}
		m.seq = e.Seq
	}
	if err := it.Err(); err != nil {
		return m, fmt.Errorf("read the end of %s: %w", v.Reader().Object(), err)
	}
	if m.key == nil {
		return m, sst.Corrupt(v.Reader().Object(), -1, fmt.Errorf("a recorded output has no rows: %w", kv.ErrCorrupt))
	}
	return m, nil
}

// uploads stores the tables of one range in order, one at a time, while the next is built.
type uploads struct {
	t    *task
	next chan *sst.Writer
	done chan error
	shut bool
}

func (t *task) newUploads(ctx context.Context, g *seam.Group, i int) *uploads {
	u := &uploads{t: t, next: make(chan *sst.Writer), done: make(chan error, 1)}
	g.Go("compaction-upload", func() error {
		var err error
		for w := range u.next {
			if err == nil {
				err = u.store(ctx, i, w)
			}
		}
		u.done <- err
		return err
	})
	return u
}

// add hands a full table over; it waits for the one before.
func (u *uploads) add(ctx context.Context, w *sst.Writer) error {
	select {
	case u.next <- w:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close waits until all tables are stored.
func (u *uploads) close() error {
	if u.shut {
		return nil
	}
	u.shut = true
	close(u.next)
	return <-u.done
}

// store writes one table and records it.
func (u *uploads) store(ctx context.Context, i int, w *sst.Writer) error {
	t, conf := u.t, &u.t.w.conf
	body, info, err := w.Finish()
	if err != nil {
		return fmt.Errorf("compaction %s: %w", t.job.ID, err)
	}
	id := sst.TableID(conf.Env.ULID(t.nextTableTime()))
	conf.Env.Point("compaction.before-put")
	if p := conf.Objects.Properties(); p.MaxPut > 0 && int64(len(body)) > p.MaxPut {
		_, err = conf.Objects.Upload(ctx, id.Object(conf.Root), bytes.NewReader(body), objstore.Always)
	} else {
		_, err = conf.Objects.Put(ctx, id.Object(conf.Root), body, objstore.Always)
	}
	if err != nil {
		return fmt.Errorf("store table %s: %w", id, unavailable(err))
	}
	conf.Env.Point("compaction.after-put")
	t.record(i, &sst.Handle{ID: id, Format: sst.FormatV2, Info: info})
	conf.count("bytes_compacted", uint64(len(body)), "worker_id", t.w.id)
	conf.count("ssts_written", 1, "worker_id", t.w.id)
	return nil
}
