package merging

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/slatedb/slatedb-go/internal/invariants"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// New merges sources of one direction: by key in that direction, then seq descending, then
// the earlier source first. Equal versions all appear. It owns the sources. One source is
// returned as it is.
func New(desc bool, sources ...kv.Iterator) kv.Iterator {
	if len(sources) == 1 {
		return check(sources[0], desc)
	}
	m := &merge{heads: make([]head, 0, len(sources)), sources: make([]source, len(sources))}
	m.init(desc, sources)
	return m
}

// init begins with m.heads empty and m.sources of the right length.
func (m *merge) init(desc bool, sources []kv.Iterator) {
	if desc {
		m.flip = ^uint64(0)
	}
	for i, s := range sources {
		m.sources[i].Iterator = check(s, desc)
	}
}

// check puts checks around a source in builds with the tag "invariants".
func check(s kv.Iterator, desc bool) kv.Iterator {
	if invariants.Enabled {
		return &checked{src: s, desc: desc}
	}
	return s
}

// merge keeps the heads of its sources sorted. A step moves the first one and lets it sink to its
// place: one comparison when the same source goes on, about half of k for few sources, a binary
// search for many. That beats a heap up to some dozens of sources, and then what is
// moved are 16-byte pairs without pointers.
type merge struct {
	heads   []head // sources that have a row, in order
	sources []source
	flip    uint64 // all ones when descending
	started bool
	err     error
	closed  bool
}

// A head is a source by number with the first 8 bytes of its key, as a number that orders like
// the direction.
type head struct {
	pfx uint64
	src uint32
}

type source struct {
	kv.Iterator
	e *kv.Entry
}

// linearHeads is up to how many heads the place is searched from the front.
const linearHeads = 12

func (m *merge) Entry() *kv.Entry {
	if len(m.heads) == 0 {
		return nil
	}
	return m.sources[m.heads[0].src].e
}

func (m *merge) Err() error { return m.err }

func (m *merge) Next() bool {
	if !m.started {
		return m.start(nil)
	}
	if len(m.heads) == 0 {
		return false
	}
	h := m.heads[0]
	s := &m.sources[h.src]
	if !s.Next() {
		return m.drop(s)
	}
	s.e = s.Entry()
	h.pfx = m.prefix(s.e.Key)
	hs := m.heads
	if len(hs) == 1 || m.before(&h, &hs[1]) {
		hs[0].pfx = h.pfx
		return true
	}
	// hs[1] comes first. Find the last head that does.
	at := 1
	if len(hs) <= linearHeads {
		for at+1 < len(hs) && !m.before(&h, &hs[at+1]) {
			at++
		}
	} else {
		end := len(hs)
		for at+1 < end {
			mid := int(uint(at+end) >> 1)
			if m.before(&h, &hs[mid]) {
				end = mid
			} else {
				at = mid
			}
		}
	}
	if at <= linearHeads {
		for i := range at {
			hs[i] = hs[i+1]
		}
	} else {
		copy(hs[:at], hs[1:at+1])
	}
	hs[at] = h
	return true
}

// drop removes the first head, whose source s has no row any more.
func (m *merge) drop(s *source) bool {
	if err := s.Err(); err != nil {
		return m.fail(err)
	}
	m.heads = append(m.heads[:0], m.heads[1:]...)
	return len(m.heads) > 0
}

func (m *merge) fail(err error) bool {
	m.err = err
	m.heads = m.heads[:0]
	return false
}

// start places all sources on their first row, or on that for seek.
func (m *merge) start(seek []byte) bool {
	m.started = true
	for i := range m.sources {
		s := &m.sources[i]
		var ok bool
		if seek == nil {
			ok = s.Next()
		} else {
			ok = s.Seek(seek)
		}
		if !ok {
			if err := s.Err(); err != nil {
				return m.fail(err)
			}
			continue
		}
		s.e = s.Entry()
		m.heads = append(m.heads, head{m.prefix(s.e.Key), uint32(i)})
	}
	m.sort()
	return len(m.heads) > 0
}

func (m *merge) sort() {
	slices.SortFunc(m.heads, func(a, b head) int {
		if m.before(&a, &b) {
			return -1
		}
		return 1
	})
}

// Seek moves those sources that are before key.
func (m *merge) Seek(key []byte) bool {
	if m.err != nil || m.closed {
		return false
	}
	if key == nil {
		key = []byte{}
	}
	if !m.started {
		return m.start(key)
	}
	p := m.prefix(key)
	behind := 0
	for behind < len(m.heads) {
		h := &m.heads[behind]
		if h.pfx > p || (h.pfx == p && m.compare(m.sources[h.src].e.Key, key) >= 0) {
			break
		}
		behind++
	}
	if behind == 0 {
		return len(m.heads) > 0
	}
	keep := m.heads[:0]
	for i, h := range m.heads {
		if i < behind {
			s := &m.sources[h.src]
			if !s.Seek(key) {
				if err := s.Err(); err != nil {
					return m.fail(err)
				}
				continue
			}
			s.e = s.Entry()
			h.pfx = m.prefix(s.e.Key)
		}
		keep = append(keep, h)
	}
	m.heads = keep
	m.sort()
	return len(m.heads) > 0
}

func (m *merge) Close() error {
	if m.closed {
		return m.err
	}
	m.closed, m.started = true, true
	m.heads = m.heads[:0]
	for i := range m.sources {
		if err := m.sources[i].Close(); err != nil && m.err == nil {
			m.err = err
		}
	}
	return m.err
}

// before reports whether a's row comes before b's.
func (m *merge) before(a, b *head) bool {
	if a.pfx != b.pfx {
		return a.pfx < b.pfx
	}
	return m.tieBefore(a, b)
}

func (m *merge) tieBefore(a, b *head) bool {
	x, y := m.sources[a.src].e, m.sources[b.src].e
	if c := m.compare(x.Key, y.Key); c != 0 {
		return c < 0
	}
	if x.Seq != y.Seq {
		return x.Seq > y.Seq
	}
	return a.src < b.src
}

func (m *merge) compare(a, b []byte) int {
	c := bytes.Compare(a, b)
	if m.flip != 0 {
		return -c
	}
	return c
}

func (m *merge) prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key) ^ m.flip
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:]) ^ m.flip
}
