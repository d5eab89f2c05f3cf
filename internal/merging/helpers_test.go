package merging

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

var errInjected = errors.New("injected")

// list is a source over rows in its direction. Its Entry is overwritten and poisoned at each
// move, as a table's is, so that whoever keeps a slice too long reads rubbish.
type list struct {
	rows   []kv.Entry
	desc   bool
	at     int // 1-based; 0 before the first
	e      kv.Entry
	failAt int // the move (Next or Seek) that fails, 1-based; 0 never
	moves  int
	err    error
	closed int
}

func (l *list) move() bool {
	for i := range l.e.Key {
		l.e.Key[i] = '#'
	}
	for i := range l.e.Value {
		l.e.Value[i] = '#'
	}
	l.moves++
	if l.moves == l.failAt {
		l.err = errInjected
	}
	return l.err == nil
}

func (l *list) show() bool {
	if l.at > len(l.rows) {
		return false
	}
	l.e = l.rows[l.at-1].Clone()
	return true
}

func (l *list) Next() bool {
	if !l.move() {
		return false
	}
	l.at = min(l.at+1, len(l.rows)+1)
	return l.show()
}

func (l *list) Seek(key []byte) bool {
	if !l.move() {
		return false
	}
	for l.at = max(l.at, 1); l.at <= len(l.rows); l.at++ {
		c := bytes.Compare(l.rows[l.at-1].Key, key)
		if l.desc {
			c = -c
		}
		if c >= 0 {
			break
		}
	}
	return l.show()
}

func (l *list) Entry() *kv.Entry { return &l.e }
func (l *list) Err() error       { return l.err }
func (l *list) Close() error     { l.closed++; return l.err }

func newList(rows []kv.Entry, desc bool) *list {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b kv.Entry) int { return compare(&a, &b, desc) })
	return &list{rows: rows, desc: desc}
}

func compare(a, b *kv.Entry, desc bool) int {
	if c := bytes.Compare(a.Key, b.Key); c != 0 {
		if desc {
			return -c
		}
		return c
	}
	return kv.Compare(a, b)
}

func show(e *kv.Entry) string {
	s := fmt.Sprintf("%s@%d %s %q", e.Key, e.Seq, e.Kind, e.Value)
	if e.CreateTS != kv.NoTS {
		s += fmt.Sprintf(" c%d", e.CreateTS)
	}
	if e.ExpireTS != kv.NoTS {
		s += fmt.Sprintf(" x%d", e.ExpireTS)
	}
	return s
}

func drain(it kv.Iterator) []string {
	out := []string{}
	for it.Next() {
		out = append(out, show(it.Entry()))
	}
	return out
}

// rows parses a small language, one row a word: key@seq=value (a put), key@seq+value (an
// operand), key@seq- (a tombstone), each with an optional ~expire and ^create.
func rows(text string) []kv.Entry {
	var out []kv.Entry
	for w := range strings.FieldsSeq(text) {
		e := kv.Entry{CreateTS: kv.NoTS, ExpireTS: kv.NoTS, Value: []byte{}}
		if i := strings.IndexByte(w, '^'); i >= 0 {
			fmt.Sscan(w[i+1:], &e.CreateTS)
			w = w[:i]
		}
		if i := strings.IndexByte(w, '~'); i >= 0 {
			fmt.Sscan(w[i+1:], &e.ExpireTS)
			w = w[:i]
		}
		key, rest, _ := strings.Cut(w, "@")
		i := strings.IndexAny(rest, "=+-")
		fmt.Sscan(rest[:i], &e.Seq)
		e.Key, e.Value = []byte(key), []byte(rest[i+1:])
		e.Kind = map[byte]kv.Kind{'=': kv.Put, '+': kv.Merge, '-': kv.Tombstone}[rest[i]]
		out = append(out, e)
	}
	return out
}

func texts(es []kv.Entry) []string {
	out := []string{}
	for i := range es {
		out = append(out, show(&es[i]))
	}
	return out
}

// genRows draws versions of few keys with unique seqs per key.
func genRows(t *rapid.T, label string) []kv.Entry {
	n := rapid.IntRange(0, 24).Draw(t, label+" rows")
	var out []kv.Entry
	seen := map[string]bool{}
	for i := range n {
		e := kv.Entry{
			Key:      []byte(rapid.SampledFrom([]string{"", "a", "aa", "b", "samePrefix1", "samePrefix2", "samePrefix"}).Draw(t, "key")),
			Seq:      kv.Seq(rapid.IntRange(1, 20).Draw(t, "seq")),
			Kind:     kv.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			CreateTS: int64(rapid.IntRange(0, 50).Draw(t, "create")),
			ExpireTS: kv.NoTS,
		}
		if id := fmt.Sprint(string(e.Key), "@", e.Seq); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		if e.Kind != kv.Tombstone {
			e.Value = fmt.Appendf(nil, "%c", 'A'+i)
			if rapid.IntRange(0, 2).Draw(t, "ttl") == 0 {
				e.ExpireTS = int64(rapid.SampledFrom([]int{5, 10, 15}).Draw(t, "expire"))
			}
		}
		out = append(out, e)
	}
	return out
}

// appending is an operator that appends; each call is counted.
type appending struct{ calls int }

func (a *appending) Merge(_, existing, operand []byte) ([]byte, error) {
	a.calls++
	return append(existing, operand...), nil
}

// batching is the same by batches.
type batching struct {
	appending
	sizes []int
}

func (b *batching) MergeBatch(_, existing []byte, operands [][]byte) ([]byte, error) {
	b.sizes = append(b.sizes, len(operands))
	for _, o := range operands {
		existing = append(existing, o...)
	}
	return existing, nil
}

type operatorFunc func(key, existing, operand []byte) ([]byte, error)

func (f operatorFunc) Merge(key, existing, operand []byte) ([]byte, error) {
	return f(key, existing, operand)
}
