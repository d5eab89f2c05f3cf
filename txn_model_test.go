package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// txnModel is what a transaction must show: a map, and copies of it for savepoints.
type txnModel struct {
	rows  map[string]Entry
	saves []map[string]Entry
	marks []Savepoint
}

func (m *txnModel) put(k string, v []byte) {
	m.rows[k] = Entry{Key: []byte(k), Value: slices.Clone(v), Seq: math.MaxUint64}
}

func (m *txnModel) merge(k string, v []byte) {
	if old, ok := m.rows[k]; ok {
		v = append(append(slices.Clone(old.Value), ','), v...)
	}
	m.put(k, v)
}

func (m *txnModel) sorted() []Entry {
	out := slices.Collect(maps.Values(m.rows))
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// TestTxnModel drives a transaction and a map side by side, while others write and flush.
func TestTxnModel(t *testing.T) {
	ctx := context.Background()
	empty := emptyStores(t)
	rapid.Check(t, func(t *rapid.T) {
		o := mergeOptions()
		o.Store = empty()
		o.L0SSTSizeBytes = rapid.SampledFrom([]int{600, 1 << 20}).Draw(t, "l0")
		o.FlushInterval, o.ManifestPollInterval = -1, -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
		nowait := &WriteOptions{NoWait: true}
		disturb := func(t *rapid.T) {
			var b WriteBatch
			for range rapid.IntRange(1, 5).Draw(t, "rows") {
				k := drawKey(t)
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					b.Delete(k)
				case 1:
					b.Merge(k, []byte("m"))
				default:
					b.Put(k, drawValue(t))
				}
			}
			_, err := db.WriteWithOptions(ctx, &b, nowait)
			require.NoError(t, err)
		}
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			disturb(t)
		}
		var m txnModel
		var tx *Txn
		level := rapid.SampledFrom([]IsolationLevel{SnapshotIsolation, SerializableSnapshot}).Draw(t, "level")
		begin := func() {
			if tx, err = db.Begin(level); err != nil {
				t.Fatal(err)
			}
			m = txnModel{rows: map[string]Entry{}}
			for _, e := range scanRows(t, db, All, nil) {
				e.CreateTime = e.ExpireTime
				m.rows[string(e.Key)] = e
			}
		}
		begin()
		defer func() { tx.Rollback() }()
		show := func(es []Entry) []string { return entryStrings(es) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := drawKey(t), drawValue(t)
				require.NoError(t, tx.Put(k, v))
				m.put(string(k), v)
				clear(v) // the caller's again
			},
			"delete": func(t *rapid.T) {
				k := drawKey(t)
				require.NoError(t, tx.Delete(k))
				delete(m.rows, string(k))
			},
			"merge": func(t *rapid.T) {
				k, v := drawKey(t), drawValue(t)
				require.NoError(t, tx.Merge(k, v))
				m.merge(string(k), v)
			},
			"savepoint": func(t *rapid.T) {
				m.marks = append(m.marks, tx.Savepoint())
				m.saves = append(m.saves, maps.Clone(m.rows))
			},
			"rollbackTo": func(t *rapid.T) {
				if len(m.marks) == 0 {
					return
				}
				i := rapid.IntRange(0, len(m.marks)-1).Draw(t, "which")
				dead := m.marks[i+1:]
				require.NoError(t, tx.RollbackTo(m.marks[i]))
				for _, s := range dead {
					require.ErrorIs(t, tx.RollbackTo(s), ErrInvalid)
				}
				m.rows = maps.Clone(m.saves[i])
				m.saves, m.marks = m.saves[:i+1], m.marks[:i+1]
			},
			"others": disturb,
			"flush": func(t *rapid.T) {
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			},
			"get": func(t *rapid.T) {
				k := drawKey(t)
				want, ok := m.rows[string(k)]
				e, err := tx.GetEntry(ctx, k, nil)
				v, err2 := tx.Get(ctx, k)
				has, err3 := tx.Has(ctx, k)
				require.NoError(t, err3)
				require.Equal(t, ok, has)
				if !ok {
					require.ErrorIs(t, err, ErrNotFound)
					require.ErrorIs(t, err2, ErrNotFound)
					return
				}
				require.NoError(t, errors.Join(err, err2))
				require.Equal(t, show([]Entry{want}), show([]Entry{e}))
				require.True(t, bytes.Equal(want.Value, v))
			},
			"multi": func(t *rapid.T) {
				keys := rapid.SliceOfN(rapid.Custom(drawKey), 0, 6).Draw(t, "keys")
				vs, err := tx.MultiGet(ctx, keys, nil)
				require.NoError(t, err)
				for i, k := range keys {
					want, ok := m.rows[string(k)]
					require.Equal(t, ok, vs[i] != nil, "%q", k)
					require.True(t, bytes.Equal(want.Value, vs[i]), "%q", k)
				}
			},
			"scan": func(t *rapid.T) {
				r := drawRange(t)
				o := &ScanOptions{Order: Order(rapid.IntRange(0, 1).Draw(t, "order"))}
				it, err := tx.ScanWithOptions(ctx, r, o)
				if rr, e := r.clone(); e != nil || rr.Inverted() {
					require.ErrorIs(t, err, ErrInvalid)
					return
				}
				require.NoError(t, err)
				defer it.Close()
				var want []Entry
				for _, e := range m.sorted() {
					if inRange(r, e.Key) {
						want = append(want, e)
					}
				}
				if o.Order == Descending {
					slices.Reverse(want)
				}
				if rapid.Bool().Draw(t, "write under it") { // fixed when it was made
					require.NoError(t, tx.Put([]byte("a"), []byte("under")))
					m.put("a", []byte("under"))
				}
				if len(m.marks) > 0 && rapid.IntRange(0, 3).Draw(t, "cut under it") == 0 {
					i := len(m.marks) - 1
					require.NoError(t, tx.RollbackTo(m.marks[i]))
					m.rows = maps.Clone(m.saves[i])
					require.NoError(t, tx.Put([]byte("ab"), []byte("after cut")))
					m.put("ab", []byte("after cut"))
				}
				pos := -1
				for {
					ok := false
					if rapid.IntRange(0, 4).Draw(t, "seek") == 0 {
						k := drawKey(t)
						if pos >= 0 && pos < len(want) && before(k, want[pos].Key, o.Order == Descending) {
							continue // going back is the iterator's own test
						}
						ok = it.Seek(k)
						for pos = max(pos, 0); pos < len(want) && before(want[pos].Key, k, o.Order == Descending); pos++ {
						}
					} else {
						ok = it.Next()
						pos++
					}
					require.NoError(t, it.Err())
					require.Equal(t, pos < len(want), ok, "at %d of %v", pos, show(want))
					if !ok {
						return
					}
					require.Equal(t, show(want[pos:pos+1]), show([]Entry{it.Entry()}))
				}
			},
			"commit": func(t *rapid.T) {
				start := tx.Seq()
				moved := db.Status().CommittedSeq != start
				h, err := tx.CommitWithOptions(ctx, nowait)
				switch {
				case errors.Is(err, ErrConflict):
					require.True(t, moved, "nobody else has committed")
				case err != nil:
					t.Fatal(err)
				case !moved:
					for k, e := range m.rows {
						if e.Seq == math.MaxUint64 {
							e.Seq = h.Seq()
							m.rows[k] = e
						}
					}
					require.Equal(t, show(m.sorted()), show(scanRows(t, db, All, nil)))
				}
				begin()
			},
		})
	})
}

// TestTxnManyWrites: scans between writes stay correct when the sorted index is built piecemeal.
func TestTxnManyWrites(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	for i := range 2000 {
		require.NoError(t, tx.Put(fmt.Appendf(nil, "%04d", (i*7919)%2000), nil))
		if i%97 == 0 {
			require.Len(t, scanRows(t, tx, All, nil), i+1)
		}
	}
	h, err := tx.CommitWithOptions(ctx, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, h.Seq())
	require.Len(t, scanRows(t, db, All, &ScanOptions{Order: Descending}), 2000)
}
