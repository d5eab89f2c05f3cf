package sst

// A Lookup is the state of one point read over many tables: the key with its hashes, what
// tables miss, and what was fetched for them. It belongs to one goroutine and is meant to be
// kept and used again; the zero value needs Reset.
//
//	l.Reset(key, nil)
//	for {
//		ask the tables, newest first; each may answer Missing
//		if no answer and l.NeedsFetch() { store.Fetch(ctx, o, &l) and ask again }
//	}
//	l.Done()
type Lookup struct {
	q     Query
	needs []need
	pins  []pin
	tally tally
}

// A need is a part of a table that was not cached.
type need struct {
	r *Reader
	m *Meta // nil for i = MetaBlock
	i int
}

// A pin holds what was fetched for this lookup, whatever the cache does with it.
type pin struct {
	cells *Cells
	i     int
	v     Loaded
}

// Reset begins a read of key, which the lookup keeps until the next Reset or Done.
// filterContext is handed to filter policies.
func (l *Lookup) Reset(key, filterContext []byte) {
	l.Done()
	l.q.Key, l.q.Context = key, filterContext
}

// Done lets go of everything that the read held. Reset does so too.
func (l *Lookup) Done() {
	l.tally.flush()
	l.q = Query{Kind: QueryPoint}
	if len(l.needs) > 0 {
		clear(l.needs)
		l.needs = l.needs[:0]
	}
	if len(l.pins) > 0 {
		clear(l.pins)
		l.pins = l.pins[:0]
	}
}

// Key returns the key of the read.
func (l *Lookup) Key() []byte { return l.q.Key }

// NeedsFetch reports whether a table answered Missing since the last Fetch.
func (l *Lookup) NeedsFetch() bool { return len(l.needs) > 0 }

func (l *Lookup) need(r *Reader, m *Meta, i int) { l.needs = append(l.needs, need{r, m, i}) }

// noteMeta counts metadata that had to be fetched.
func (l *Lookup) noteMeta(r *Reader, verdict filterVerdict) {
	if l.pinned(r, MetaBlock).Meta == nil {
		return
	}
	l.tally.more[metaMissed]++
	if verdict != filterNone {
		l.tally.more[filterMissed]++
	}
}

// noteBlock counts a block that had to be fetched.
func (l *Lookup) noteBlock(r *Reader, i int) {
	if l.pinned(r, i).Block != nil {
		l.tally.more[blockMissed]++
	}
}

func (l *Lookup) pinned(r *Reader, i int) Loaded {
	for k := range l.pins {
		if p := &l.pins[k]; p.i == i && p.cells == r.cells {
			return p.v
		}
	}
	return Loaded{}
}
