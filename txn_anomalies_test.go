package slatedb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// joinOp joins with a comma; merging x with nothing gives x.
var joinOp = MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
	if existing == nil {
		return operand, nil
	}
	return append(append(existing, ','), operand...), nil
})

func mergeOptions() *Options {
	o := testOptions()
	o.MergeOperator = joinOp
	return o
}

// story runs lines such as "1 begin si", "2 get k = v", "put k v" (a plain write) against one
// database, each with the transaction of its number. "!conflict" at the end means that the
// line must fail so; any other line must succeed.
func story(t *testing.T, db *DB, script string) {
	t.Helper()
	ctx := context.Background()
	txs := map[string]*Txn{}
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "//") {
			continue
		}
		want := map[string]error{"!conflict": ErrConflict, "!notfound": ErrNotFound, "!invalid": ErrInvalid}[f[len(f)-1]]
		if want != nil {
			f = f[:len(f)-1]
		}
		var tx *Txn
		var r ReadOps = db
		id := ""
		if f[0][0] >= '0' && f[0][0] <= '9' {
			id, f = f[0], f[1:]
			if tx = txs[id]; tx != nil {
				r = tx
			}
		}
		var err error
		arg := func(i int) []byte {
			if i < len(f) && f[i] != "->" && (i < 2 || f[i-1] != "->") {
				return []byte(f[i])
			}
			return nil
		}
		scan := func(rng Range, o *ScanOptions) {
			var got []string
			for e, serr := range r.Entries(ctx, rng, o) {
				if serr != nil {
					err = serr
					return
				}
				got = append(got, string(e.Key)+"="+string(e.Value))
			}
			_, wantRows, _ := strings.Cut(line, "->")
			require.Equal(t, strings.TrimSpace(wantRows), strings.Join(got, " "), "line %d: %s", n+1, line)
		}
		switch f[0] {
		case "begin":
			level, perr := ParseIsolation(f[1])
			require.NoError(t, perr)
			txs[id], err = db.Begin(level)
		case "put":
			if tx == nil {
				err = db.Put(ctx, arg(1), arg(2))
			} else {
				err = tx.Put(arg(1), arg(2))
			}
		case "delete":
			if tx == nil {
				err = db.Delete(ctx, arg(1))
			} else {
				err = tx.Delete(arg(1))
			}
		case "merge":
			if tx == nil {
				err = db.Merge(ctx, arg(1), arg(2))
			} else {
				err = tx.Merge(arg(1), arg(2))
			}
		case "get":
			var v []byte
			if v, err = r.Get(ctx, arg(1)); err == nil {
				require.Equal(t, f[3], string(v), "line %d: %s", n+1, line)
			}
		case "has":
			_, err = r.Has(ctx, arg(1))
		case "entry":
			_, err = r.GetEntry(ctx, arg(1), nil)
		case "multi":
			_, err = r.MultiGet(ctx, [][]byte{arg(1)}, nil)
		case "scan":
			scan(Range{Start: arg(1), End: arg(2)}, nil)
		case "reverse":
			scan(Range{Start: arg(1), End: arg(2)}, &ScanOptions{Order: Descending})
		case "prefix":
			scan(Prefix(arg(1)), nil)
		case "open": // a scan of which nothing is read
			var it *Iterator
			if it, err = r.Scan(ctx, arg(1), arg(2)); err == nil {
				err = it.Close()
			}
		case "first": // a scan of which one row is read
			var it *Iterator
			if it, err = r.Scan(ctx, arg(1), arg(2)); err == nil {
				it.Next()
				err = it.Close()
			}
		case "last":
			var it *Iterator
			if it, err = r.ScanWithOptions(ctx, Range{Start: arg(1), End: arg(2)}, &ScanOptions{Order: Descending}); err == nil {
				it.Next()
				err = it.Close()
			}
		case "mark":
			err = tx.MarkRead(arg(1))
		case "unmark":
			err = tx.UnmarkWrite(arg(1))
		case "commit":
			err = tx.Commit(ctx)
		case "rollback":
			tx.Rollback()
		case "flush":
			err = db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable})
		default:
			t.Fatalf("line %d: %s", n+1, line)
		}
		if want != nil {
			require.ErrorIs(t, err, want, "line %d: %s", n+1, line)
		} else {
			require.NoError(t, err, "line %d: %s", n+1, line)
		}
	}
	for _, tx := range txs {
		tx.Rollback()
	}
}

// TestAnomalies is the table of what each level lets through and what it refuses.
func TestAnomalies(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"dirty read: buffered writes are nobody else's", `
			put k 0
			1 begin si
			2 begin ssi
			1 put k 1
			get k = 0
			2 get k = 0
			1 get k = 1
			1 rollback
			get k = 0`},
		{"dirty write: two writers of two keys end as one of them", `
			1 begin si
			2 begin si
			1 put a 1
			2 put a 2
			1 put b 1
			2 put b 2
			2 commit
			1 commit !conflict
			scan -> a=2 b=2`},
		{"lost update, si", `
			put k 10
			1 begin si
			2 begin si
			1 get k = 10
			2 get k = 10
			1 put k 11
			2 put k 11
			1 commit
			2 commit !conflict
			get k = 11`},
		{"lost update by a plain write", `
			put k 10
			1 begin si
			1 get k = 10
			put k 20
			1 put k 11
			1 commit !conflict
			get k = 20`},
		{"a delete and a merge are writes", `
			put k 1
			put m 1
			1 begin si
			2 begin si
			delete k
			merge m 2
			1 put k 2
			2 merge m 3
			1 commit !conflict
			2 commit !conflict
			get m = 1,2`},
		{"read skew: both reads are of one moment", `
			put x 1
			put y 1
			1 begin si
			1 get x = 1
			put x 2
			put y 2
			1 get y = 1
			1 scan -> x=1 y=1
			1 commit`},
		{"write skew is found under si", `
			put x 1
			put y 1
			1 begin si
			2 begin si
			1 get x = 1
			1 get y = 1
			2 get x = 1
			2 get y = 1
			1 put x 0
			2 put y 0
			1 commit
			2 commit
			scan -> x=0 y=0`},
		{"write skew is refused under ssi", `
			put x 1
			put y 1
			1 begin ssi
			2 begin ssi
			1 get x = 1
			1 get y = 1
			2 get x = 1
			2 get y = 1
			1 put x 0
			2 put y 0
			1 commit
			2 commit !conflict
			scan -> x=0 y=1`},
		{"write skew is refused under si when the reads are marked", `
			put x 1
			put y 1
			1 begin si
			2 begin si
			1 put x 0
			2 put y 0
			2 mark x
			1 commit
			2 commit !conflict`},
		{"read-only anomaly", `
			// Batch processing (Fekete, O'Neil, O'Neil): 3 only reads, and must not see an order
			// in which 1 cannot be.
			put x 0
			put y 0
			1 begin ssi
			1 get x = 0
			1 get y = 0
			2 begin ssi
			2 get y = 0
			2 put y 20
			2 commit
			3 begin ssi
			3 get x = 0
			3 get y = 20
			3 commit
			1 put x -11
			1 commit !conflict`},
		{"a read-only transaction is checked for what it read", `
			put x 0
			1 begin ssi
			1 get x = 0
			put x 1
			1 commit !conflict
			2 begin si
			2 get x = 1
			put x 2
			2 commit
			3 begin si
			3 mark x
			put x 3
			3 commit !conflict`},
		{"reads that find nothing count", `
			1 begin ssi
			1 get k !notfound
			put k 1
			1 commit !conflict
			2 begin ssi
			2 has none
			put none 1
			2 commit !conflict
			3 begin ssi
			3 entry three !notfound
			put three 1
			3 commit !conflict
			4 begin ssi
			4 multi four
			put four 1
			4 commit !conflict`},
		{"a key next to the read one does not conflict", `
			1 begin ssi
			1 get k !notfound
			1 scan m n ->
			put j 1
			put kk 1
			put n 1
			put lz 1
			1 put w 1
			1 commit`},
		{"a deleted row is a phantom too", `
			put a1 1
			1 begin ssi
			1 prefix a -> a1=1
			delete a1
			1 put w 1
			1 commit !conflict`},
		{"unmarked writes conflict with nobody", `
			1 begin si
			2 begin si
			1 unmark k
			1 put k 1
			2 put k 2
			1 commit
			2 commit
			3 begin si
			4 begin ssi
			4 get k = 2
			3 put k 3
			3 unmark k
			3 commit
			4 put w 1
			4 commit
			5 begin si
			5 put k 5
			5 unmark k
			put k 6
			5 commit
			get k = 5`},
		{"what was committed before the begin does not conflict", `
			1 begin ssi
			put k 1
			2 begin ssi
			2 get k = 1
			2 put k 2
			2 commit
			1 rollback
			3 begin ssi
			3 get k = 2
			3 put k 3
			3 commit`},
		{"own writes are no conflict", `
			1 begin ssi
			1 put k 1
			1 get k = 1
			1 scan -> k=1
			1 commit
			get k = 1`},
	} {
		t.Run(tt.name, func(t *testing.T) { story(t, openTest(t, mergeOptions()), tt.script) })
		t.Run(tt.name+", flushed", func(t *testing.T) {
			// The same with a memtable flush after each plain write: history is in the tracker
			// only, and reads go to tables.
			var b strings.Builder
			for line := range strings.Lines(strings.TrimSpace(tt.script)) {
				b.WriteString(strings.TrimSpace(line) + "\n")
				if f := strings.Fields(line); f[0] == "put" || f[0] == "delete" || f[0] == "merge" || f[len(f)-1] == "commit" {
					b.WriteString("flush\n")
				}
			}
			story(t, openTest(t, mergeOptions()), b.String())
		})
	}
}

// TestG1_RangesAreTrackedAsRequested: a scan counts by what it asked for, not by what it
// yielded.
func TestG1_RangesAreTrackedAsRequested(t *testing.T) {
	for _, read := range []string{
		"scan b d ->", "reverse b d ->", "prefix c ->", "open b d", "first b d", "last b d", "open b", "scan ->",
	} {
		for _, between := range []struct{ name, before, write string }{
			{"empty", "", "put c1 1"},
			{"rows on both sides", "put a 0\nput d 0\nput e 0", "put c1 1"},
			{"many rows before", "put c0 0\nput c00 0\nput c01 0", "put c1 1"},
			{"delete", "put c1 0", "delete c1"},
			{"merge", "put c0 0", "merge c1 x"},
		} {
			t.Run(read+"/"+between.name, func(t *testing.T) {
				db := openTest(t, mergeOptions())
				ctx := context.Background()
				story(t, db, between.before)
				for _, level := range []IsolationLevel{SerializableSnapshot, SnapshotIsolation} {
					tx, err := db.Begin(level)
					require.NoError(t, err)
					f := strings.Fields(read)
					o := &ScanOptions{}
					if f[0] == "reverse" || f[0] == "last" {
						o.Order = Descending
					}
					r := Range{}
					switch {
					case f[0] == "prefix":
						r = Prefix([]byte(f[1]))
					case len(f) > 1 && f[1] != "->":
						r.Start = []byte(f[1])
						if len(f) > 2 && f[2] != "->" {
							r.End = []byte(f[2])
						}
					}
					it, err := tx.ScanWithOptions(ctx, r, o)
					require.NoError(t, err)
					switch f[0] {
					case "open":
					case "first", "last":
						it.Next()
					default:
						for it.Next() {
						}
					}
					require.NoError(t, it.Close())
					story(t, db, between.write)
					require.NoError(t, tx.Put([]byte("w"), nil))
					if level == SerializableSnapshot {
						require.ErrorIs(t, tx.Commit(ctx), ErrConflict)
					} else {
						require.NoError(t, tx.Commit(ctx), "si tracks no reads")
					}
				}
			})
		}
	}
	t.Run("the bounds of a range are exact", func(t *testing.T) {
		ctx := context.Background()
		db := openTest(t, testOptions())
		for _, tt := range []struct {
			r    Range
			key  string
			want bool
		}{
			{Range{Start: []byte("b"), End: []byte("d")}, "b", true},
			{Range{Start: []byte("b"), End: []byte("d"), StartExclusive: true}, "b", false},
			{Range{Start: []byte("b"), End: []byte("d"), StartExclusive: true}, "b\x00", true},
			{Range{Start: []byte("b"), End: []byte("d")}, "d", false},
			{Range{Start: []byte("b"), End: []byte("d"), EndInclusive: true}, "d", true},
			{Range{Start: []byte("b"), End: []byte("b"), EndInclusive: true}, "b", true},
			{Range{Start: []byte("b"), End: []byte("b")}, "b", false},
			{Prefix([]byte("b")), "b", true},
			{Prefix([]byte("b")), "b\xff\xff", true},
			{Prefix([]byte("b")), "c", false},
			{All, "\x00", true},
		} {
			tx, err := db.Begin(SerializableSnapshot)
			require.NoError(t, err)
			it, err := tx.ScanWithOptions(ctx, tt.r, nil)
			require.NoError(t, err)
			require.NoError(t, it.Close())
			require.NoError(t, db.Put(ctx, []byte(tt.key), nil))
			assert.Equal(t, tt.want, errors.Is(tx.Commit(ctx), ErrConflict), "%+v and %q", tt.r, tt.key)
		}
	})
}

// TestG2_CommitAndItsContext: a ctx that ends before the section leaves nothing, one that ends
// later leaves a whole commit that others see and conflict with. There is no third outcome.
func TestG2_CommitAndItsContext(t *testing.T) {
	for _, gate := range []string{"before the call", "txn.before-commit", "while it waits"} {
		t.Run(gate, func(t *testing.T) {
			var cancel atomic.Pointer[context.CancelFunc]
			o := testOptions()
			o.onPoint = func(p string) {
				if p != gate && (gate != "while it waits" || p != "wal.before-put") {
					return
				}
				if c := cancel.Load(); c != nil {
					(*c)()
				}
			}
			bg := context.Background()
			db := openTest(t, o)
			loser, err := db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			require.NoError(t, loser.Put([]byte("k"), []byte("loser")))

			tx, err := db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			require.NoError(t, tx.Put([]byte("k"), []byte("v")))
			require.NoError(t, tx.Put([]byte("l"), []byte("v")))
			ctx, c := context.WithCancel(bg)
			if gate == "before the call" {
				c()
			}
			cancel.Store(&c)
			err = tx.Commit(ctx)
			cancel.Store(nil)
			c()
			rows := entryStrings(scanRows(t, db, All, nil))
			if gate == "while it waits" {
				if err != nil { // the upload may have been quicker than the cancelled wait
					require.ErrorIs(t, err, context.Canceled)
				}
				require.Equal(t, []string{`"k"="v"@1`, `"l"="v"@1`}, rows)
				require.ErrorIs(t, loser.Commit(bg), ErrConflict, "the commit is seen by later ones")
			} else {
				require.ErrorIs(t, err, context.Canceled)
				require.Empty(t, rows)
				require.NoError(t, loser.Commit(bg), "a commit that did not happen hinders nobody")
			}
			require.ErrorIs(t, tx.Put([]byte("k"), nil), ErrInvalid, "the transaction is finished")
			require.Zero(t, db.conflicts.windows.n)
		})
	}
}

// TestG4_ReadsRepeatOverFlushes: two reads of one transaction agree whatever is flushed or
// compacted between them.
func TestG4_ReadsRepeatOverFlushes(t *testing.T) {
	ctx := context.Background()
	o := mergeOptions()
	o.L0SSTSizeBytes, o.DisableCompactor = 8<<10, false
	db := openTest(t, o)
	fill := func(round int) {
		var b WriteBatch
		for i := range 50 {
			k := fmt.Appendf(nil, "k%02d", i)
			switch (i + round) % 4 {
			case 0:
				b.Delete(k)
			case 1:
				b.Merge(k, fmt.Appendf(nil, "m%d", round))
			default:
				b.Put(k, fmt.Appendf(nil, "v%d", round))
			}
		}
		require.NoError(t, db.Write(ctx, &b))
	}
	for r := range 3 {
		fill(r)
	}
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	snap, err := db.Snapshot()
	require.NoError(t, err)
	require.NoError(t, tx.Put([]byte("k00x"), []byte("own")))
	read := func() (out []string) {
		for _, o := range []*ScanOptions{nil, {Order: Descending}} {
			out = append(out, entryStrings(scanRows(t, tx, All, o))...)
			out = append(out, entryStrings(scanRows(t, snap, All, o))...)
		}
		for i := range 50 {
			v, err := snap.Get(ctx, fmt.Appendf(nil, "k%02d", i))
			out = append(out, fmt.Sprint(string(v), err))
		}
		return out
	}
	first := read()
	for r := range 8 {
		fill(3 + r)
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		if r%3 == 2 {
			require.NoError(t, db.Compact(ctx))
		}
		require.Equal(t, first, read(), "after round %d", r)
	}
	tx.Rollback()
	require.NoError(t, snap.Close())
	require.Equal(t, kv.MaxSeq, db.oldestSnapshot(), "nothing is pinned")
}

// TestG5_NoHistoryWithoutTransactions: plain writes leave nothing in the tracker.
func TestG5_NoHistoryWithoutTransactions(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	}
	ctx := context.Background()
	db := openTest(t, testOptions())
	o := &PutOptions{NoWait: true}
	key := make([]byte, 0, 16)
	for i := range n {
		key = fmt.Appendf(key[:0], "k%07d", i)
		_, err := db.PutWithOptions(ctx, key, nil, o)
		require.NoError(t, err)
	}
	require.Zero(t, db.conflicts.count)
	require.Zero(t, len(db.conflicts.chunks))
	v, ok := db.Metrics().Value("slatedb.db.transaction_tracked_keys")
	require.True(t, ok)
	require.Zero(t, v)
}

// TestTrackedHistoryIsBounded: a forgotten transaction costs memory up to a bound, and then
// its own commit, nothing else.
func TestTrackedHistoryIsBounded(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	db.conflicts.limit = 100 << 10
	old, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	require.NoError(t, old.Put([]byte("mine alone"), nil))
	for i := range 5_000 {
		_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "k%07d", i), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.LessOrEqual(t, db.conflicts.bytes, 100<<10)
	require.ErrorIs(t, old.Commit(ctx), ErrConflict)
	require.NoError(t, db.Update(ctx, SerializableSnapshot, func(tx *Txn) error { return tx.Put([]byte("k"), nil) }))
}
