package slatedb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/memtable"
)

func newMemTable() *memTable {
	return &memTable{Table: memtable.New(), maxCreate: kv.NoTS}
}

// eachPrefix calls f with the segment prefixes of the memtable's rows. The active table's
// set changes under commitMu, so status reads it from a copy.
func (m *memTable) eachPrefix(f func(string)) {
	if p := m.prefixList.Load(); p != nil {
		for _, s := range *p {
			f(s)
		}
	}
}

// notePrefixes adds prefixes to the memtable. commitMu is held.
func (m *memTable) notePrefixes(add map[string]struct{}) {
	grown := false
	for p := range add {
		if _, ok := m.prefixes[p]; ok {
			continue
		}
		if m.prefixes == nil {
			m.prefixes = make(map[string]struct{})
		}
		m.prefixes[p] = struct{}{}
		grown = true
	}
	if grown {
		list := make([]string, 0, len(m.prefixes))
		for p := range m.prefixes {
			list = append(list, p)
		}
		slices.Sort(list)
		m.prefixList.Store(&list)
	}
}

func sortedKeys(set map[string]struct{}) [][]byte {
	out := make([][]byte, 0, len(set))
	for p := range set {
		out = append(out, []byte(p))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

// prefixOf asks the extractor for a key's segment prefix, outside every lock.
func prefixOf(x PrefixExtractor, key []byte) (p []byte, err error) {
	err = seam.Guard("segment extractor", func() error {
		n, ok := x.PrefixLen(key, false)
		if !ok || n <= 0 || n > len(key) {
			return invalidf("empty segment prefix: extractor %q gives none for key %q", x.Name(), key)
		}
		p = key[:n]
		return nil
	})
	var panicked *seam.PanicError
	if errors.As(err, &panicked) {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, err
}

// segmentPrefixes returns the segments that the rows touch, nil without an extractor.
func (db *DB) segmentPrefixes(s *rowSet) (map[string]struct{}, error) {
	x := db.conf.SegmentExtractor
	if x == nil {
		return nil, nil
	}
	out := make(map[string]struct{}, 1)
	for i := range s.rows {
		p, err := prefixOf(x, s.rows[i].Key)
		if err != nil {
			return nil, err
		}
		if _, ok := out[string(p)]; !ok {
			out[string(p)] = struct{}{}
		}
	}
	return out, nil
}

// antichainLocked checks that the batch's prefixes, those of the memtables and those of the
// manifest form an antichain: none is a prefix of another. commitMu is held.
func (db *DB) antichainLocked(add map[string]struct{}) error {
	st := db.state.Load()
	fresh := false
	for p := range add {
		fresh = fresh || !st.hasSegment(p)
	}
	if !fresh {
		return nil // what is there was checked when it came
	}
	known := make(map[string]struct{}, len(add)+len(st.segs))
	for p := range add {
		known[p] = struct{}{}
	}
	for i := range st.segs {
		if len(st.segs[i].l0)+len(st.segs[i].runs) > 0 {
			known[string(st.segs[i].prefix)] = struct{}{}
		}
	}
	for _, m := range append([]*memTable{st.mem}, st.imm...) {
		for p := range m.prefixes {
			known[p] = struct{}{}
		}
	}
	return checkAntichain(known)
}

// hasSegment reports whether there are rows of a segment, in memory or in tables. commitMu is
// held. It allocates nothing: every commit asks.
func (st *state) hasSegment(prefix string) bool {
	if _, ok := st.mem.prefixes[prefix]; ok {
		return true
	}
	for _, m := range st.imm {
		if _, ok := m.prefixes[prefix]; ok {
			return true
		}
	}
	i := sort.Search(len(st.segs), func(i int) bool { return string(st.segs[i].prefix) >= prefix })
	return i < len(st.segs) && string(st.segs[i].prefix) == prefix && len(st.segs[i].l0)+len(st.segs[i].runs) > 0
}

// A SegmentClashError refuses a batch because the prefix of a segment would be the beginning of
// another one's: then it could not be told which of them a key belongs to. It is ErrInvalid.
type SegmentClashError struct{ Shorter, Longer []byte }

func (e *SegmentClashError) Error() string {
	return fmt.Sprintf("%v: segment prefix %q is a prefix of segment prefix %q", ErrInvalid, e.Shorter, e.Longer)
}

// Is makes it ErrInvalid.
func (e *SegmentClashError) Is(target error) bool { return target == ErrInvalid }

func checkAntichain(set map[string]struct{}) error {
	list := make([]string, 0, len(set))
	for p := range set {
		list = append(list, p)
	}
	sort.Strings(list)
	for i := 1; i < len(list); i++ {
		// Sorted, a prefix stands directly before its extensions.
		if strings.HasPrefix(list[i], list[i-1]) {
			return &SegmentClashError{[]byte(list[i-1]), []byte(list[i])}
		}
	}
	return nil
}

// checkExtractor compares the configured extractor with what the manifest stores. Adding,
// removing or renaming one is refused, and so is one that does not recognise a stored prefix.
func checkExtractor(x PrefixExtractor, m *manifest.Manifest, write bool) error {
	switch {
	case x == nil && m.ExtractorName == "":
		return nil
	case x == nil && !write:
		return nil // reads need no extractor: the manifest has the prefixes
	case x == nil:
		return invalidf("the database has segments by extractor %q; set Options.SegmentExtractor", m.ExtractorName)
	case m.ExtractorName == "":
		return invalidf("the database has no segments; Options.SegmentExtractor %q cannot be added to it", x.Name())
	case m.ExtractorName != x.Name():
		return invalidf("the database has segments by extractor %q, Options.SegmentExtractor is %q", m.ExtractorName, x.Name())
	}
	for i := range m.Segments {
		p, err := prefixOf(x, m.Segments[i].Prefix)
		if err != nil || !bytes.Equal(p, m.Segments[i].Prefix) {
			return invalidf("Options.SegmentExtractor %q does not recognise the stored segment prefix %q", x.Name(), m.Segments[i].Prefix)
		}
	}
	return nil
}

// A prefixLength extracts a fixed number of bytes.
type prefixLength int

// PrefixLength returns an extractor of the first n bytes; shorter keys have no prefix.
func PrefixLength(n int) PrefixExtractor { return prefixLength(n) }

func (n prefixLength) Name() string { return "fixed" + strconv.Itoa(int(n)) }

func (n prefixLength) PrefixLen(b []byte, _ bool) (int, bool) {
	return int(n), n > 0 && len(b) >= int(n)
}

type prefixUntil byte

// PrefixUntil returns an extractor of everything up to and including the first sep; keys
// without one have no prefix.
func PrefixUntil(sep byte) PrefixExtractor { return prefixUntil(sep) }

func (s prefixUntil) Name() string { return "until-" + strconv.Itoa(int(s)) }

func (s prefixUntil) PrefixLen(b []byte, _ bool) (int, bool) {
	i := bytes.IndexByte(b, byte(s))
	return i + 1, i >= 0
}
