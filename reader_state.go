package slatedb

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// How a reader comes to its next state: prepare builds it from a manifest and the log behind
// that, show swaps it in. In between a managed reader writes its checkpoint.

// news is a state that is ready to be shown.
type news struct {
	st       *state
	consumed uint64 // WAL objects up to this one are in it or below
	last     kv.Seq // newest row
	create   int64  // newest create time
}

// prepare builds the state of manifest m and the WAL behind it, up to object end for a pinned
// reader and as far as it goes for others. Nothing changes yet.
func (r *Reader) prepare(ctx context.Context, m *manifest.Manifest, end uint64) (*news, error) {
	old := r.state.Load()
	p := &news{st: &state{man: m, mem: newMemTable()}, last: m.LastL0Seq, create: m.LastL0Tick}
	from := m.ReplayAfterWAL + 1
	if old != nil && sameTables(old.man, m) {
		// Only the log went on: the rows replayed so far stay, new ones go into a table of
		// their own, so that running reads never see a table grow by half a batch.
		p.st.root, p.st.segs, p.st.imm = old.root, old.segs, append([]*memTable{old.mem}, old.imm...)
		from = max(from, r.consumed+1)
		p.last, p.create = max(p.last, r.durable.Load()), max(p.create, r.newestCreate.Load())
	} else {
		r.tables(p.st)
	}
	if err := r.mirrorTables(ctx, m); err != nil {
		return nil, err
	}
	p.consumed = from - 1
	if !r.skipWAL {
		if err := r.replay(ctx, p, from, end); err != nil {
			return nil, err
		}
	}
	p.st.fold()
	return p, nil
}

// replay reads WAL objects into p, one after another until one is missing.
func (r *Reader) replay(ctx context.Context, p *news, from, end uint64) error {
	if r.mode != PinnedCheckpoint {
		after := from - 1
		if r.state.Load() != nil {
			// A poll mostly finds nothing: one request says so, where a search sends eight.
			news, err := wal.Exists(ctx, r.walStore, r.path, from)
			if err != nil {
				return err
			}
			if !news {
				return nil // p.consumed is from-1
			}
			after = from
		}
		tail, err := wal.FindTail(ctx, r.walStore, r.conf.env, r.path, after)
		if err != nil {
			return err
		}
		end = tail
	}
	if end < from {
		return nil
	}
	rp := wal.NewReplayer(ctx, r.walStore, wal.ReplayOptions{Root: r.path, From: from, To: end, Transformer: r.conf.BlockTransformer, Env: r.conf.env})
	defer rp.Close()
	for rp.Next() {
		rows := rp.Batch()
		if rows[0].Seq <= p.last {
			continue
		}
		for i := range rows {
			if rows[i].CreateTS != kv.NoTS {
				p.create = max(p.create, rows[i].CreateTS)
			}
			p.st.mem.Add(&rows[i])
		}
		p.last = rows[0].Seq
	}
	var gone *wal.TruncatedError
	if err := rp.Err(); errors.As(err, &gone) && r.mode != PinnedCheckpoint {
		end = gone.ID - 1 // collected meanwhile: the next manifest has its rows
	} else if err != nil {
		return err
	}
	p.consumed = end
	return nil
}

// show swaps the state in, unless that would go back in time; then it reports false.
func (r *Reader) show(p *news) bool {
	if r.state.Load() != nil && p.last < r.durable.Load() {
		return false
	}
	r.consumed = p.consumed
	r.newestCreate.Store(max(p.create, r.newestCreate.Load()))
	r.state.Store(p.st)
	r.committed.Store(uint64(p.last))
	r.durable.Advance(p.last)
	r.changed.signal()
	r.disk.retain(r.path, p.st.man)
	return true
}

// maxReplayTables is how many tables of replayed rows a reader keeps side by side.
const maxReplayTables = 8

// fold keeps the number of memtables small: a reader makes one at each poll that brings rows.
func (st *state) fold() {
	if len(st.imm) > 0 && st.mem.Len() == 0 {
		st.mem, st.imm = st.imm[0], st.imm[1:]
	}
	if len(st.imm) < maxReplayTables {
		return
	}
	all := newMemTable()
	for _, t := range append([]*memTable{st.mem}, st.imm...) {
		for it := t.Iter(kv.Range{}, kv.MaxSeq, false); it.Next(); {
			all.Add(it.Entry())
		}
	}
	st.mem, st.imm = all, nil
}

// sameTables reports whether two manifests of one database consist of the same tables.
func sameTables(a, b *manifest.Manifest) bool {
	if a.ID == b.ID {
		return true
	}
	return a.LastL0Seq == b.LastL0Seq && a.ReplayAfterWAL == b.ReplayAfterWAL && sameTree(&a.Root, &b.Root) &&
		slices.EqualFunc(a.Segments, b.Segments, func(x, y manifest.Segment) bool {
			return bytes.Equal(x.Prefix, y.Prefix) && sameTree(&x.Tree, &y.Tree)
		})
}

func sameTree(a, b *manifest.Tree) bool {
	sameView := func(x, y sst.View) bool { return x.ID == y.ID && x.Table.ID == y.Table.ID }
	return a.LastCompactedL0 == b.LastCompactedL0 && slices.EqualFunc(a.L0, b.L0, sameView) &&
		slices.EqualFunc(a.Runs, b.Runs, func(x, y sst.SortedRun) bool {
			return x.ID == y.ID && slices.EqualFunc(x.Views, y.Views, sameView)
		})
}
