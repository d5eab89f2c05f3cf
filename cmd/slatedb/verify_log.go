package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// logFacts are what the rows of a log object say.
type logFacts struct {
	rows           int
	minSeq, maxSeq kv.Seq
	gone           bool // collected since it was listed
}

// checkLog reads every log object, and checks that those are there from which a manifest is
// to be replayed.
func (v *verifier) checkLog(ctx context.Context, p *plan) error {
	facts := make([]logFacts, len(p.logs))
	err := v.each(ctx, len(p.logs), func(ctx context.Context, i int) error {
		l := &p.logs[i]
		body, err := v.get(ctx, l.key, l.size)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			facts[i].gone = true
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", l.key, err)
		}
		v.count(func(r *verifyReport) { r.Checked.WAL++ })
		switch {
		case len(body) == 0: // a fence
		case v.opaque:
			v.checkSections(l.key, body, nil)
		default:
			facts[i] = v.checkLogObject(l.key, body)
		}
		return nil
	})
	if err != nil || p.latest == nil {
		return err
	}
	var have []uint64
	newest := kv.Seq(0)
	for i, l := range p.logs {
		f := &facts[i]
		if !f.gone {
			have = append(have, l.id)
		}
		if f.rows == 0 {
			continue
		}
		// Below the replay point nobody replays, and a writer without log leaves holes in it.
		if l.id > p.latest.ReplayAfterWAL && f.minSeq <= newest {
			v.damage(l.key, -1, "begins with seq %d, the log before it goes up to %d", f.minSeq, newest)
		}
		if l.id <= p.latest.ReplayAfterWAL && f.maxSeq > p.latest.LastL0Seq {
			v.damage(l.key, -1, "goes up to seq %d, but replay begins behind it and tables end at %d", f.maxSeq, p.latest.LastL0Seq)
		}
		newest = max(newest, f.maxSeq)
	}
	gaps := p.gaps(have)
	if len(gaps) > 0 {
		// A collector may have been at work. The next plan has another listing too.
		if now := v.planAgain(ctx, p); now != nil {
			have = have[:0]
			for _, l := range now.logs {
				have = append(have, l.id)
			}
			gaps = now.gaps(have)
		}
	}
	for _, g := range gaps {
		text := ""
		if g.to > g.from {
			text = fmt.Sprintf(", and so are the objects up to %d", g.to)
		}
		v.damage(sst.WALID(g.from).Object(v.root), -1, "missing%s, but needed by %s", text, g.by)
	}
	v.countUnneeded(p)
	return nil
}

// A gap is a range of missing log objects.
type gap struct {
	from, to uint64
	by       string
}

// gaps returns what is missing of what the manifests replay. ids are those that are there,
// ascending. A damaged manifest may name any number, so this counts gaps and not numbers.
func (p *plan) gaps(ids []uint64) (out []gap) {
	for _, m := range p.needed {
		end, by := m.WALLastSeen, fmt.Sprintf("a checkpoint on manifest %d (replay behind %d, up to %d)", m.ID, m.ReplayAfterWAL, m.WALLastSeen)
		if m == p.latest {
			if len(ids) > 0 {
				end = max(end, ids[len(ids)-1])
			}
			by = fmt.Sprintf("the replay (behind %d, up to %d)", m.ReplayAfterWAL, end)
		}
		at := m.ReplayAfterWAL // all up to here are accounted for
		for _, id := range ids {
			if id <= at || id > end {
				continue
			}
			if id > at+1 {
				out = append(out, gap{at + 1, id - 1, by})
			}
			at = id
		}
		if at < end {
			out = append(out, gap{at + 1, end, by})
		}
	}
	return out
}

// countUnneeded counts the objects that a collector may take.
func (v *verifier) countUnneeded(p *plan) {
	for _, l := range p.logs {
		needed := l.id >= p.latest.ReplayAfterWAL
		for _, m := range p.needed {
			needed = needed || l.id > m.ReplayAfterWAL && l.id <= m.WALLastSeen
		}
		if !needed && l.size > 0 {
			v.report.UnneededWAL++
		}
	}
}

// checkLogObject walks the rows of a log object. They stand in commit order; releases up to
// 0.10 sorted them by key.
func (v *verifier) checkLogObject(key string, body []byte) (f logFacts) {
	o, err := sst.OpenObject(key, body, nil)
	if err != nil {
		v.damaged(key, err)
		return f
	}
	it := o.Rows()
	bySeq, byKey := true, true
	var prev kv.Entry
	for it.Next() {
		e := it.Entry()
		if f.rows == 0 {
			f.minSeq = e.Seq
		} else {
			c := bytes.Compare(prev.Key, e.Key)
			bySeq = bySeq && e.Seq >= prev.Seq
			byKey = byKey && (c < 0 || c == 0 && prev.Seq > e.Seq)
		}
		if e.Seq == 0 {
			v.damage(key, -1, "key %s has seq 0", showKey(e.Key))
		}
		f.rows++
		f.minSeq, f.maxSeq = min(f.minSeq, e.Seq), max(f.maxSeq, e.Seq)
		prev.Key, prev.Seq = e.Key, e.Seq
	}
	blocks := o.Index().Len()
	v.count(func(r *verifyReport) { r.Checked.Rows += f.rows; r.Checked.Blocks += blocks })
	if it.Err() != nil {
		v.damaged(key, it.Err())
		v.allBlocks(key, o)
		return logFacts{}
	}
	if !bySeq && !byKey {
		v.damage(key, -1, "rows are neither in the order of commits nor in that of keys")
	}
	return f
}
