//go:build interop

package interop

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hexBytes are bytes that travel as hex in JSON.
type hexBytes []byte

func (h hexBytes) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(h)) }

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hex.DecodeString(s)
	*h = d
	return err
}

// op is one operation in the form that peer.py reads.
type op struct {
	Op    string   `json:"op"`
	K     hexBytes `json:"k,omitempty"`
	V     hexBytes `json:"v"`
	TTLms int64    `json:"ttl_ms,omitempty"`
	Ops   []op     `json:"ops,omitempty"`
	Type  string   `json:"type,omitempty"`
	MS    int64    `json:"ms,omitempty"`
}

// seed returns the seed of a test; SLATEDB_SEED sets it.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if env := os.Getenv("SLATEDB_SEED"); env != "" {
		n, err := strconv.ParseUint(env, 10, 64)
		require.NoError(t, err)
		s = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SLATEDB_SEED=%d -run '%s'", s, t.Name())
		}
	})
	return rand.New(rand.NewPCG(s, 1))
}

// gen makes histories.
type gen struct {
	r      *rand.Rand
	keys   int  // how many different keys
	merges bool // write merge operands too
	txns   bool // and transactions
	long   bool // values larger than a block
	flush  int  // one in flush operations is a flush; 0 = none
}

// key picks a key; neighbours share long prefixes, and some are awkward.
func (g *gen) key() hexBytes {
	i := g.r.IntN(g.keys)
	switch i % 11 {
	case 0:
		return fmt.Appendf(nil, "\x00%d", i)
	case 1:
		return fmt.Appendf(nil, "\xff\xff%d", i)
	case 2:
		return append(bytes.Repeat([]byte("p"), 40+i%300), byte(i), byte(i>>8))
	default:
		return fmt.Appendf(nil, "user/%04d/name", i)
	}
}

func (g *gen) value() hexBytes {
	n := g.r.IntN(40)
	switch k := g.r.IntN(20); {
	case k == 0:
		n = 0
	case k < 3:
		n = g.r.IntN(1500)
	case k == 3 && g.long:
		n = 3000 + g.r.IntN(20000)
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte('a' + g.r.IntN(3)) // compresses
	}
	return v
}

func (g *gen) one() op {
	switch k := g.r.IntN(10); {
	case k < 2:
		return op{Op: "delete", K: g.key()}
	case k < 5 && g.merges:
		return op{Op: "merge", K: g.key(), V: g.value()}
	}
	return op{Op: "put", K: g.key(), V: g.value()}
}

// history returns n operations.
func (g *gen) history(n int) (ops []op) {
	for range n {
		switch k := g.r.IntN(12); {
		case g.flush > 0 && g.r.IntN(g.flush) == 0:
			t := "wal"
			if g.r.IntN(2) == 0 {
				t = "memtable"
			}
			ops = append(ops, op{Op: "flush", Type: t})
		case k < 3:
			b := op{Op: "batch"}
			for range 1 + g.r.IntN(8) {
				b.Ops = append(b.Ops, g.one())
			}
			if g.txns && g.r.IntN(2) == 0 {
				// With a TTL that no other operation on the key contradicts.
				k := fmt.Appendf(nil, "ttl/%02d", g.r.IntN(20))
				b.Op, b.Ops = "txn", append(b.Ops, op{Op: "put", K: k, V: g.value(), TTLms: 3_600_000 + g.r.Int64N(1000)})
			}
			ops = append(ops, b)
		case k == 3:
			o := op{Op: "put", K: g.key(), V: g.value(), TTLms: 3_600_000 + g.r.Int64N(1000)}
			if g.merges && g.r.IntN(4) == 0 {
				o.Op = "merge"
			}
			ops = append(ops, o)
		default:
			ops = append(ops, g.one())
		}
	}
	return ops
}

// model is what a correct engine holds.
type model map[string]modelRow

type modelRow struct {
	value []byte
	ttl   int64 // of a put with a TTL that nothing was merged onto; else 0
}

func (m model) apply(ops []op) {
	for _, o := range ops {
		k := string(o.K)
		switch o.Op {
		case "batch", "txn":
			m.apply(o.Ops)
		case "put":
			m[k] = modelRow{bytes.Clone(o.V), o.TTLms}
		case "merge":
			old, there := m[k]
			row := modelRow{value: append(bytes.Clone(old.value), o.V...)}
			if there && old.ttl != 0 || o.TTLms != 0 {
				row.ttl = -1 // how operands inherit is for the engines to agree on
			}
			m[k] = row
		case "delete":
			delete(m, k)
		}
	}
}

// clone returns a copy that later operations do not change.
func (m model) clone() model { return maps.Clone(m) }

func (m model) keys() []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// row is an entry as both engines report it.
type row struct {
	K      hexBytes `json:"k"`
	V      hexBytes `json:"v"`
	Seq    uint64   `json:"seq"`
	Create int64    `json:"create_ts"`
	Expire *int64   `json:"expire_ts"`
}

func (r row) String() string {
	v := fmt.Sprintf("%q", []byte(r.V))
	if len(r.V) > 60 {
		v = fmt.Sprintf("%q... (%d bytes)", []byte(r.V[:60]), len(r.V))
	}
	e := "never"
	if r.Expire != nil {
		e = strconv.FormatInt(*r.Expire, 10)
	}
	return fmt.Sprintf("%q = %s, seq %d, created %d, expires %s", []byte(r.K), v, r.Seq, r.Create, e)
}

// requireModel checks that rows are exactly what the model holds, in order.
func requireModel(t *testing.T, m model, rows []row, who string) {
	t.Helper()
	keys := m.keys()
	for i, k := range keys {
		if i >= len(rows) {
			t.Fatalf("%s: got %d rows, want %d; first missing: %q", who, len(rows), len(keys), k)
		}
		got, want := rows[i], m[k]
		if string(got.K) != k {
			t.Fatalf("%s: row %d: got %v, want key %q", who, i, got, k)
		}
		if !bytes.Equal(got.V, want.value) {
			t.Fatalf("%s: row %d: got %v, want value %q", who, i, got, want.value)
		}
		switch {
		case want.ttl > 0 && (got.Expire == nil || *got.Expire-got.Create != want.ttl):
			t.Fatalf("%s: row %d: got %v, want a TTL of %d ms", who, i, got, want.ttl)
		case want.ttl == 0 && got.Expire != nil:
			t.Fatalf("%s: row %d: got %v, want no expiry", who, i, got)
		}
	}
	require.Len(t, rows, len(keys), "%s: more rows than the model has", who)
}

// requireSame checks that two dumps agree in everything, times and numbers included.
func requireSame(t *testing.T, a, b []row, whoA, whoB string) {
	t.Helper()
	for i := range min(len(a), len(b)) {
		if a[i].String() != b[i].String() || !bytes.Equal(a[i].V, b[i].V) {
			t.Fatalf("row %d:\n%s: %v\n%s: %v", i, whoA, a[i], whoB, b[i])
		}
	}
	require.Equal(t, len(a), len(b), "rows of %s and of %s", whoA, whoB)
}

func reversed(rows []row) []row {
	out := make([]row, 0, len(rows))
	for i := len(rows) - 1; i >= 0; i-- {
		out = append(out, rows[i])
	}
	return out
}
