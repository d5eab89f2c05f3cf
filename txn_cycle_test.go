package slatedb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Histories of list-append transactions and what they prove. Every key holds the list of the
// transactions that appended to it, so a value tells its whole history, and a scan tells which
// keys did not exist yet. From that follow the dependencies: ww (i appended right before j), wr
// (j read i's append last), rw (i read a list that j appended to next; an absent key is the
// empty list). A cycle of them is an anomaly.

// observed is one committed transaction.
type observed struct {
	id     int
	reads  map[string][]string // key: the list that was seen, nil = absent
	writes map[string]struct{}
	// predicate: the transaction scanned everything, so every key not in reads was absent.
	scanned bool
}

type history struct {
	mu   sync.Mutex
	txns []*observed
}

type edge struct {
	to   int
	kind string // ww, wr, rw
}

// graph makes the dependency graph from the observations and the final lists.
func (h *history) graph(final map[string][]string) map[int][]edge {
	g := map[int][]edge{}
	add := func(from, to int, kind string) {
		if from != to && from != 0 && to != 0 {
			g[from] = append(g[from], edge{to, kind})
		}
	}
	num := func(s string) (n int) { fmt.Sscan(s, &n); return n }
	for _, list := range final {
		for i := 1; i < len(list); i++ {
			add(num(list[i-1]), num(list[i]), "ww")
		}
	}
	for _, t := range h.txns {
		for key, list := range final {
			seen, ok := t.reads[key]
			if !ok && !t.scanned {
				continue
			}
			if n := len(seen); n > 0 {
				add(num(seen[n-1]), t.id, "wr")
			}
			if len(seen) < len(list) {
				add(t.id, num(list[len(seen)]), "rw")
			}
		}
	}
	return g
}

// withoutAdjacentRW keeps the paths on which an rw edge is always followed by another kind: a
// cycle of those is what snapshot isolation rules out (lost update, read skew, ...).
func withoutAdjacentRW(g map[int][]edge) map[int][]edge {
	out := map[int][]edge{}
	for n, es := range g {
		for _, e := range es {
			if e.kind != "rw" {
				out[n] = append(out[n], e)
				continue
			}
			for _, f := range g[e.to] {
				if f.kind != "rw" {
					out[n] = append(out[n], edge{f.to, "rw " + f.kind})
				}
			}
		}
	}
	return out
}

// cycle returns one cycle of the graph, or nil.
func cycle(g map[int][]edge) []string {
	state := map[int]int{}
	var stack []string
	var found []string
	var visit func(n int) bool
	visit = func(n int) bool {
		state[n] = 1
		for _, e := range g[n] {
			stack = append(stack, fmt.Sprintf("%d -%s-> %d", n, e.kind, e.to))
			if state[e.to] == 1 {
				found = append([]string(nil), stack...)
				return true
			}
			if state[e.to] == 0 && visit(e.to) {
				return true
			}
			stack = stack[:len(stack)-1]
		}
		state[n] = 2
		return false
	}
	for n := range g {
		if state[n] == 0 && visit(n) {
			return found
		}
	}
	return nil
}

// run lets clients append concurrently and returns the observations.
func (h *history) run(t *testing.T, db *DB, level IsolationLevel, clients, rounds int, seed uint64) {
	ctx := context.Background()
	var wg sync.WaitGroup
	for c := range clients {
		rnd := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			for r := range rounds {
				id := c*1_000_000 + r + 1
				o := &observed{id: id, reads: map[string][]string{}, writes: map[string]struct{}{}}
				err := appendTxn(ctx, db, level, rnd, o)
				if errors.Is(err, ErrConflict) {
					continue
				}
				if !assert.NoError(t, err) {
					return
				}
				h.mu.Lock()
				h.txns = append(h.txns, o)
				h.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func list(v []byte) []string {
	if len(v) == 0 {
		return nil
	}
	return strings.Split(string(v), ",")
}

// appendTxn reads some keys, by point, multi-get or scan, and appends to others.
func appendTxn(ctx context.Context, db *DB, level IsolationLevel, rnd *rand.Rand, o *observed) error {
	tx, err := db.Begin(level)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	key := func() []byte { return fmt.Appendf(nil, "k%d", rnd.IntN(6)) }
	see := func(k, v []byte) {
		if _, own := o.writes[string(k)]; !own {
			o.reads[string(k)] = list(v)
		}
	}
	for range 1 + rnd.IntN(4) {
		switch k := key(); rnd.IntN(5) {
		case 0:
			v, err := tx.Get(ctx, k)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			see(k, v)
		case 1:
			ks := [][]byte{k, key()}
			vs, err := tx.MultiGet(ctx, ks, nil)
			if err != nil {
				return err
			}
			for i := range ks {
				see(ks[i], vs[i])
			}
		case 2:
			if len(o.writes) > 0 {
				continue
			}
			order := Order(rnd.IntN(2))
			for e, err := range tx.Entries(ctx, All, &ScanOptions{Order: order}) {
				if err != nil {
					return err
				}
				see(e.Key, e.Value)
			}
			o.scanned = true
		default:
			// Appended through a read, so that lost updates would show, or blindly.
			if rnd.IntN(2) == 0 {
				v, err := tx.Get(ctx, k)
				if err != nil && !errors.Is(err, ErrNotFound) {
					return err
				}
				see(k, v)
			}
			if _, again := o.writes[string(k)]; again {
				continue
			}
			if err := tx.Merge(k, fmt.Appendf(nil, "%d", o.id)); err != nil {
				return err
			}
			o.writes[string(k)] = struct{}{}
		}
	}
	_, err = tx.CommitWithOptions(ctx, &WriteOptions{NoWait: true})
	return err
}

func finalLists(t *testing.T, db *DB) map[string][]string {
	out := map[string][]string{}
	for _, e := range scanRows(t, db, All, nil) {
		out[string(e.Key)] = list(e.Value)
	}
	return out
}

// TestCycles: at the serializable level a concurrent history has no cycle at all. At the
// snapshot level only cycles with two rw edges in a row are allowed.
func TestCycles(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	for _, level := range []IsolationLevel{SerializableSnapshot, SnapshotIsolation} {
		for _, tiny := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, tiny tracker %v", level, tiny), func(t *testing.T) {
				for seed := range uint64(4) {
					o := mergeOptions()
					if seed%2 == 1 {
						o.L0SSTSizeBytes = 2 << 10
					}
					db := openTest(t, o)
					if tiny {
						db.conflicts.limit = 400
					}
					var h history
					h.run(t, db, level, 4, rounds, seed)
					g := h.graph(finalLists(t, db))
					require.Greater(t, len(h.txns), rounds/2, "most of it must commit, else nothing is tested")
					if level == SnapshotIsolation {
						g = withoutAdjacentRW(g)
					}
					require.Empty(t, cycle(g), "seed %d", seed)
				}
			})
		}
	}
}

// TestCyclesControl: the checker finds write skew, and write skew over a predicate, where the
// level allows it. If it did not, TestCycles would prove nothing.
func TestCyclesControl(t *testing.T) {
	ctx := context.Background()
	for _, predicate := range []bool{false, true} {
		db := openTest(t, mergeOptions())
		var h history
		txs, obs := [2]*Txn{}, [2]*observed{}
		for i := range 2 {
			tx, err := db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			txs[i], obs[i] = tx, &observed{id: i + 1, reads: map[string][]string{}, scanned: predicate}
			if predicate {
				require.Empty(t, scanRows(t, tx, All, nil))
			} else {
				for _, k := range []string{"k0", "k1"} {
					_, err := tx.Get(ctx, []byte(k))
					require.ErrorIs(t, err, ErrNotFound)
					obs[i].reads[k] = nil
				}
			}
			require.NoError(t, tx.Merge(fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "%d", i+1)))
		}
		for i := range 2 {
			require.NoError(t, txs[i].Commit(ctx))
			h.txns = append(h.txns, obs[i])
		}
		got := cycle(h.graph(finalLists(t, db)))
		require.NotEmpty(t, got, "predicate %v", predicate)
		require.Contains(t, strings.Join(got, " "), "rw")
	}
	t.Run("read skew", func(t *testing.T) {
		// 2 read one key before 1 wrote both, and the other one after.
		h := history{txns: []*observed{
			{id: 1, reads: map[string][]string{}},
			{id: 2, reads: map[string][]string{"a": nil, "b": {"1"}}},
		}}
		g := h.graph(map[string][]string{"a": {"1"}, "b": {"1"}})
		require.NotEmpty(t, cycle(withoutAdjacentRW(g)))
	})
	t.Run("lost update", func(t *testing.T) {
		h := history{txns: []*observed{
			{id: 1, reads: map[string][]string{"a": nil}},
			{id: 2, reads: map[string][]string{"a": nil}},
		}}
		g := h.graph(map[string][]string{"a": {"1", "2"}})
		require.NotEmpty(t, cycle(withoutAdjacentRW(g)))
	})
	t.Run("at random", func(t *testing.T) {
		// What the random histories of TestCycles refuse at one level they let through at the
		// other.
		for seed := range uint64(20) {
			db := openTest(t, mergeOptions())
			var h history
			h.run(t, db, SnapshotIsolation, 4, 150, seed)
			if cycle(h.graph(finalLists(t, db))) != nil {
				return
			}
		}
		t.Fatal("no write skew in 20 histories at snapshot level: the checker is blind")
	})
}

// TestG3_BankUnderTinyWindows: the sum never changes and every snapshot of it agrees, while
// windows open and close all the time and the tracker forgets.
func TestG3_BankUnderTinyWindows(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	db.conflicts.limit = 1000
	const accounts, start = 8, 100
	acc := func(i int) []byte { return fmt.Appendf(nil, "acc%d", i) }
	var b WriteBatch
	for i := range accounts {
		b.Put(acc(i), fmt.Appendf(nil, "%d", start))
	}
	require.NoError(t, db.Write(ctx, &b))
	total := func(r ReadOps) (sum int, err error) {
		for e, err := range r.Entries(ctx, Prefix([]byte("acc")), nil) {
			if err != nil {
				return 0, err
			}
			var n int
			fmt.Sscan(string(e.Value), &n)
			sum += n
		}
		return sum, nil
	}
	var wg sync.WaitGroup
	for c := range 4 {
		rnd := rand.New(rand.NewPCG(3, uint64(c)))
		wg.Go(func() {
			for range 60 {
				from, to, n := rnd.IntN(accounts), rnd.IntN(accounts), rnd.IntN(10)
				assert.NoError(t, db.Update(ctx, SnapshotIsolation, func(tx *Txn) error {
					if from == to {
						return nil
					}
					vs, err := tx.MultiGet(ctx, [][]byte{acc(from), acc(to)}, nil)
					if err != nil {
						return err
					}
					var x, y int
					fmt.Sscan(string(vs[0]), &x)
					fmt.Sscan(string(vs[1]), &y)
					if err := tx.Put(acc(from), fmt.Appendf(nil, "%d", x-n)); err != nil {
						return err
					}
					return tx.Put(acc(to), fmt.Appendf(nil, "%d", y+n))
				}))
			}
		})
		wg.Go(func() {
			for range 60 {
				s, err := db.Snapshot()
				assert.NoError(t, err)
				n, err := total(s)
				assert.NoError(t, err)
				assert.Equal(t, accounts*start, n)
				assert.NoError(t, s.Close())
				n, err = total(db)
				assert.NoError(t, err)
				assert.Equal(t, accounts*start, n)
			}
		})
	}
	wg.Wait()
}
