package slatedb

import (
	"context"
	"math"
	"sync"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// view is one consistent sight of the database: a state and the newest number to be seen.
// Every read of every handle is written once, on it.
type view struct {
	h   *handle
	st  *state
	max kv.Seq
	own *ownWrites // of a transaction, over everything else; nil elsewhere
}

// view returns what a read with these options sees now.
func (h *handle) view(d Durability, dirty bool) (view, error) {
	if err := h.latched(); err != nil {
		return view{}, err
	}
	v := view{h: h, st: h.state.Load(), max: kv.MaxSeq} // the state first, see type state
	if !dirty {
		v.max = kv.Seq(h.committed.Load())
	}
	if d == DurabilityRemote {
		v.max = min(v.max, h.durable.Load())
	}
	return v, nil
}

// nowMaybe is a time that is asked for only when a row with an expiry is met.
type nowMaybe struct {
	h   *handle
	ms  int64
	set bool
}

func (n *nowMaybe) get() int64 {
	if !n.set {
		n.ms, n.set = n.h.now(), true
	}
	return n.ms
}

// outcome of a point lookup in one source.
type outcome uint8

const (
	absent  outcome = iota // this source does not decide
	decided                // the entry is the newest visible version
)

// lookups are pooled: one is the whole state of a point read that goes to tables.
type lookup struct {
	sst.Lookup
	e kv.Entry
}

var lookups = sync.Pool{New: func() any { return new(lookup) }}

// maxWave is the most tables that one key asks for at once, newest first. Filters let about
// one table in a hundred through wrongly, so most reads send one request.
const maxWave = 4

// get finds the newest visible version of key; ok is false when there is none, it is a
// tombstone or it has expired. e's slices alias memory that stays valid as long as they are
// held. A merge operand is left for the caller (kind Merge).
func (v *view) get(ctx context.Context, key []byte, o *ReadOptions, l *lookup, now *nowMaybe) (ok bool, err error) {
	if v.memGet(key, &l.e) {
		return v.alive(&l.e, now), nil
	}
	l.Reset(key, o.FilterContext)
	for {
		res, missing, err := v.tablesGet(key, l)
		if err != nil {
			return false, err
		}
		if res == decided {
			return v.alive(&l.e, now), nil
		}
		if !missing {
			return false, nil
		}
		if err := v.h.ssts.Fetch(ctx, sst.FetchOptions{Fill: !o.NoCacheFill}, &l.Lookup); err != nil {
			return false, err
		}
	}
}

// memGet asks the memtables, newest first.
func (v *view) memGet(key []byte, e *kv.Entry) bool {
	if v.st.mem.Get(key, v.max, e) {
		return true
	}
	for _, m := range v.st.imm {
		if m.Get(key, v.max, e) {
			return true
		}
	}
	return false
}

func (v *view) alive(e *kv.Entry, now *nowMaybe) bool {
	switch {
	case e.Kind == kv.Tombstone:
		return false
	case e.Kind == kv.Merge: // the fold decides about expiry
		return true
	}
	return e.ExpireTS == kv.NoTS || e.ExpireTS > now.get()
}

// tablesGet asks the tables that can hold key, newest first. When one needs what is not in
// memory it is noted in l, and the older ones are still asked, so that one wave brings all;
// what an older table says then decides nothing yet.
func (v *view) tablesGet(key []byte, l *lookup) (res outcome, missing bool, err error) {
	if len(v.st.root.l0)+len(v.st.root.runs) > 0 {
		if res, missing, err = v.treeGet(&v.st.root, key, l, false); err != nil || res == decided {
			return res, missing, err
		}
	}
	if t := v.st.segment(key); t != nil {
		res, missing, err = v.treeGet(t, key, l, missing)
	}
	return res, missing, err
}

func (v *view) treeGet(t *tree, key []byte, l *lookup, missing bool) (outcome, bool, error) {
	wave := 0
	for _, r := range t.l0 {
		if !r.Covers(key) {
			continue
		}
		verdict, err := r.Get(&l.Lookup, v.max, &l.e)
		if err != nil {
			return absent, false, err
		}
		switch verdict {
		case sst.Found:
			if !missing {
				return decided, false, nil
			}
			return absent, true, nil // a newer table must answer first
		case sst.Missing:
			missing = true
			if wave++; wave == maxWave {
				return absent, true, nil
			}
		}
	}
	for _, r := range t.runs {
		for _, t := range sst.FindInRun(r, key) {
			verdict, err := t.Get(&l.Lookup, v.max, &l.e)
			if err != nil {
				return absent, false, err
			}
			switch verdict {
			case sst.Found:
				if !missing {
					return decided, false, nil
				}
				return absent, true, nil
			case sst.Missing:
				missing = true
				if wave++; wave == maxWave {
					return absent, true, nil
				}
			}
		}
	}
	return absent, missing, nil
}

// appendGet is the point read: it appends the value to dst.
func (v *view) appendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	if o == nil {
		o = &defaultRead
	}
	l := lookups.Get().(*lookup)
	now := nowMaybe{h: v.h}
	ok, err := v.get(ctx, key, o, l, &now)
	switch {
	case err != nil:
	case !ok:
		err = ErrNotFound
	case l.e.Kind == kv.Merge:
		var e Entry
		if e, err = v.fold(ctx, key, o); err == nil {
			dst = append(nonNilDst(dst), e.Value...)
		}
	case dst == nil:
		dst = append(make([]byte, 0, len(l.e.Value)), l.e.Value...)
	default:
		dst = append(dst, l.e.Value...)
	}
	l.e = kv.Entry{}
	l.Done()
	lookups.Put(l)
	if err != nil {
		return nil, err
	}
	return dst, nil
}

func nonNilDst(dst []byte) []byte {
	if dst == nil {
		return empty[:0:0]
	}
	return dst
}

// getEntry is the point read with metadata.
func (v *view) getEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	if o == nil {
		o = &defaultRead
	}
	l := lookups.Get().(*lookup)
	defer func() { l.e = kv.Entry{}; l.Done(); lookups.Put(l) }()
	now := nowMaybe{h: v.h}
	ok, err := v.get(ctx, key, o, l, &now)
	switch {
	case err != nil:
		return Entry{}, err
	case !ok:
		return Entry{}, ErrNotFound
	case l.e.Kind == kv.Merge:
		return v.fold(ctx, key, o)
	}
	e := publicEntry(&l.e).Clone()
	e.Key, e.Value = append(empty[:0:0], key...), nonNil(e.Value)
	return e, nil
}

// fold reads a key whose newest version is a merge operand: a scan of that one key, which
// gathers the operands down to a base.
func (v *view) fold(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	it, err := v.scan(ctx, kv.Range{Start: key, End: key, EndInclusive: true},
		&ScanOptions{Limit: 1, CacheBlocks: !o.NoCacheFill, FilterContext: o.FilterContext}, &sst.Query{Kind: sst.QueryPoint, Key: key, Context: o.FilterContext})
	if err != nil {
		return Entry{}, err
	}
	defer it.Close()
	if !it.Next() {
		if err := it.Err(); err != nil {
			return Entry{}, err
		}
		return Entry{}, ErrNotFound
	}
	return it.Entry().Clone(), it.Close()
}

// multiGet reads many keys from one view; all that is missing goes out in common waves. The
// values share one backing array where they can.
func (v *view) multiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	if o == nil {
		o = &defaultRead
	}
	out := make([][]byte, len(keys))
	now := nowMaybe{h: v.h}
	type open struct {
		at int
		l  *lookup
	}
	var pending []open
	defer func() {
		for _, p := range pending {
			p.l.e = kv.Entry{}
			p.l.Done()
			lookups.Put(p.l)
		}
	}()
	var slab []byte
	take := func(i int, e *kv.Entry) error {
		if !v.alive(e, &now) {
			return nil
		}
		if e.Kind == kv.Merge {
			f, err := v.fold(ctx, keys[i], o)
			if err == nil {
				out[i] = nonNil(f.Value)
			}
			if err == ErrNotFound {
				err = nil
			}
			return err
		}
		if cap(slab)-len(slab) < len(e.Value) {
			slab = make([]byte, 0, max(len(e.Value), 64*min(len(keys), 1024)))
		}
		n := len(slab)
		slab = append(slab, e.Value...)
		out[i] = nonNil(slab[n:])
		return nil
	}
	for i, key := range keys {
		if err := checkReadKey(key); err != nil {
			return nil, err
		}
		l := lookups.Get().(*lookup)
		if v.memGet(key, &l.e) {
			err := take(i, &l.e)
			l.e = kv.Entry{}
			lookups.Put(l)
			if err != nil {
				return nil, err
			}
			continue
		}
		l.Reset(key, o.FilterContext)
		pending = append(pending, open{i, l})
	}
	todo := append([]open(nil), pending...)
	for len(todo) > 0 {
		var wave []*sst.Lookup
		rest := todo[:0]
		for _, p := range todo {
			res, missing, err := v.tablesGet(keys[p.at], p.l)
			if err != nil {
				return nil, err
			}
			switch {
			case res == decided:
				if err := take(p.at, &p.l.e); err != nil {
					return nil, err
				}
			case missing:
				rest = append(rest, p)
				wave = append(wave, &p.l.Lookup)
			}
		}
		if todo = rest; len(todo) == 0 {
			break
		}
		if err := v.h.ssts.Fetch(ctx, sst.FetchOptions{Fill: !o.NoCacheFill}, wave...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func checkReadKey(key []byte) error {
	if len(key) == 0 {
		return invalidf("empty key")
	}
	if uint64(len(key)) > math.MaxUint32 {
		return invalidf("key of %d bytes", len(key))
	}
	return nil
}

// defaultRead stands for nil options; nobody writes to it.
var defaultRead ReadOptions
