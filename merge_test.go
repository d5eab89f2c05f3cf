package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/sst"
)

// TestMergeReads looks at operands in the active memtable, in a frozen one and in L0, with every
// read there is.
func TestMergeReads(t *testing.T) {
	ctx := context.Background()
	for _, place := range []string{"memtable", "imm", "l0", "one operand each"} {
		t.Run(place, func(t *testing.T) {
			o := mergeOptions()
			gate := make(chan struct{})
			if place == "imm" {
				o.onPoint = func(p string) {
					if p == "flush.before-put" {
						<-gate
					}
				}
				o.L0FlushParallelism = 1
			}
			db := openTest(t, o)
			if place == "imm" {
				defer close(gate)
			}
			step := func() {
				switch place {
				case "imm":
					db.commitMu.Lock()
					db.freezeLocked()
					db.commitMu.Unlock()
				case "l0":
					flushMem(t, db)
				}
			}
			story(t, db, `
				put base v
				put gone v
				put other 1`)
			step()
			story(t, db, `
				merge base 1
				merge none 1
				delete gone`)
			step()
			story(t, db, `
				merge base 2
				merge none 2
				merge gone 1`)
			if place == "one operand each" {
				flushMem(t, db)
				story(t, db, `merge none 3`)
				db.commitMu.Lock()
				db.freezeLocked()
				db.commitMu.Unlock()
				story(t, db, `merge none 4`)
			} else {
				step()
				story(t, db, `
					merge none 3
					merge none 4`)
			}
			want := []string{"base=v,1,2", "gone=1", "none=1,2,3,4", "other=1"}
			for _, o := range []*ScanOptions{nil, {Order: Descending}, {ReadAheadBytes: 1}} {
				var got []string
				for _, e := range scanRows(t, db, All, o) {
					got = append(got, string(e.Key)+"="+string(e.Value))
				}
				if o != nil && o.Order == Descending {
					for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
						got[i], got[j] = got[j], got[i]
					}
				}
				require.Equal(t, want, got)
			}
			var keys [][]byte
			for _, w := range want {
				k, v, _ := strings.Cut(w, "=")
				keys = append(keys, []byte(k))
				got, err := db.Get(ctx, []byte(k))
				require.NoError(t, err)
				require.Equal(t, v, string(got))
				ok, err := db.Has(ctx, []byte(k))
				require.NoError(t, err)
				require.True(t, ok)
				e, err := db.GetEntry(ctx, []byte(k), nil)
				require.NoError(t, err)
				require.Equal(t, v, string(e.Value))
			}
			vs, err := db.MultiGet(ctx, append(keys, []byte("missing")), nil)
			require.NoError(t, err)
			for i, w := range want {
				_, v, _ := strings.Cut(w, "=")
				require.Equal(t, v, string(vs[i]))
			}
			require.Nil(t, vs[len(want)])
			it, err := db.Scan(ctx, nil, nil)
			require.NoError(t, err)
			require.True(t, it.Seek([]byte("c")))
			require.Equal(t, "gone", string(it.Key()))
			require.True(t, it.Seek([]byte("none")))
			require.Equal(t, "1,2,3,4", string(it.Value()))
			require.NoError(t, it.Close())
		})
	}
}

func TestMergeBatchRules(t *testing.T) {
	ctx := context.Background()
	hour := &PutOptions{TTL: time.Hour}
	at := time.UnixMilli(1 << 42)
	never := &PutOptions{TTL: -1}
	for _, tt := range []struct {
		name  string
		deflt time.Duration
		fill  func(b *WriteBatch, k []byte)
		want  string // "" = ErrInvalid
		ops   int
	}{
		{"put, merge, merge", 0, func(b *WriteBatch, k []byte) { b.Put(k, []byte("p")); b.Merge(k, []byte("1")); b.Merge(k, []byte("2")) }, "p,1,2", 3},
		{"merge, put", 0, func(b *WriteBatch, k []byte) { b.Merge(k, []byte("1")); b.Put(k, []byte("p")) }, "p", 1},
		{"merge, delete, merge", 0, func(b *WriteBatch, k []byte) { b.Merge(k, []byte("1")); b.Delete(k); b.Merge(k, []byte("2")) }, "2", 2},
		{"merges only", 0, func(b *WriteBatch, k []byte) { b.Merge(k, []byte("1")); b.Merge(k, []byte("2")) }, "old,1,2", 2},
		{"one merge", 0, func(b *WriteBatch, k []byte) { b.Merge(k, []byte("1")) }, "old,1", 1},
		{"empty put below", 0, func(b *WriteBatch, k []byte) { b.Put(k, nil); b.Merge(k, []byte("1")) }, ",1", 2},
		{"two TTLs", 0, func(b *WriteBatch, k []byte) { b.Merge(k, []byte("1")); b.MergeWithOptions(k, []byte("2"), hour) }, "", 0},
		{"a put with another TTL", 0, func(b *WriteBatch, k []byte) { b.PutWithOptions(k, nil, hour); b.Merge(k, []byte("1")) }, "", 0},
		{"a delete never expires", 0, func(b *WriteBatch, k []byte) { b.Delete(k); b.MergeWithOptions(k, []byte("1"), hour) }, "", 0},
		{"a replaced put does not count", 0, func(b *WriteBatch, k []byte) {
			b.PutWithOptions(k, nil, hour)
			b.Put(k, []byte("p"))
			b.Merge(k, []byte("1"))
		}, "p,1", 2},
		{"equal TTLs", 0, func(b *WriteBatch, k []byte) {
			b.MergeWithOptions(k, []byte("1"), hour)
			b.MergeWithOptions(k, []byte("2"), hour)
		}, "old,1,2", 2},
		{"the default counts", time.Hour, func(b *WriteBatch, k []byte) {
			b.Merge(k, []byte("1"))
			b.MergeWithOptions(k, []byte("2"), hour)
		}, "old,1,2", 2},
		{"the default against a delete", time.Hour, func(b *WriteBatch, k []byte) { b.Delete(k); b.Merge(k, []byte("1")) }, "", 0},
		{"never against a delete", time.Hour, func(b *WriteBatch, k []byte) { b.Delete(k); b.MergeWithOptions(k, []byte("1"), never) }, "1", 2},
		{"a time against a duration", 0, func(b *WriteBatch, k []byte) {
			b.MergeWithOptions(k, []byte("1"), hour)
			b.MergeWithOptions(k, []byte("2"), &PutOptions{ExpireAt: at})
		}, "", 0},
		{"equal times", 0, func(b *WriteBatch, k []byte) {
			b.MergeWithOptions(k, []byte("1"), &PutOptions{ExpireAt: at})
			b.MergeWithOptions(k, []byte("2"), &PutOptions{ExpireAt: at})
		}, "old,1,2", 2},
		{"NoWait in a batch", 0, func(b *WriteBatch, k []byte) { b.MergeWithOptions(k, nil, &PutOptions{NoWait: true}) }, "", 0},
	} {
		for _, inTxn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/txn=%v", tt.name, inTxn), func(t *testing.T) {
				if inTxn && strings.HasPrefix(tt.name, "NoWait") {
					t.Skip("refused at the call")
				}
				o := mergeOptions()
				o.DefaultTTL = tt.deflt
				db := openTest(t, o)
				k := []byte("k")
				_, err := db.PutWithOptions(ctx, k, []byte("old"), never)
				require.NoError(t, err)
				before, _ := db.Metrics().Value("slatedb.db.write_ops")
				var b WriteBatch
				b.Put([]byte("j"), []byte("j"))
				tt.fill(&b, k)
				b.Put([]byte("l"), []byte("l"))
				var h WriteHandle
				if inTxn {
					tx, err := db.Begin(SnapshotIsolation)
					require.NoError(t, err)
					tx.w = b
					h, err = tx.CommitWithOptions(ctx, nil)
					if tt.want == "" {
						require.ErrorIs(t, err, ErrInvalid)
						return
					}
					require.NoError(t, err)
				} else {
					h, err = db.WriteWithOptions(ctx, &b, nil)
				}
				if tt.want == "" {
					require.ErrorIs(t, err, ErrInvalid)
					require.EqualValues(t, 1, db.Status().CommittedSeq, "no number is taken")
					require.Len(t, scanRows(t, db, All, nil), 1)
					return
				}
				require.NoError(t, err)
				require.EqualValues(t, 2, h.Seq())
				after, _ := db.Metrics().Value("slatedb.db.write_ops")
				require.EqualValues(t, tt.ops+2, after-before)
				for range 2 {
					v, err := db.Get(ctx, k)
					require.NoError(t, err)
					require.Equal(t, tt.want, string(v))
					require.Len(t, scanRows(t, db, All, nil), 3)
					flushMem(t, db)
				}
				if !inTxn {
					require.NoError(t, db.Write(ctx, &b), "the batch is unchanged")
				}
			})
		}
	}
}

func TestMergeWithoutOperator(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	require.ErrorIs(t, db.Merge(ctx, []byte("k"), nil), ErrInvalid)
	var b WriteBatch
	b.Merge([]byte("k"), nil)
	require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid)
	b.Put([]byte("k"), nil)
	require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid, "replaced, but it was there")
	b.Reset()
	b.Put([]byte("k"), nil)
	require.NoError(t, db.Write(ctx, &b))
	require.NoError(t, db.Close(ctx))
	o.MergeOperator = joinOp
	db = openTest(t, o)
	require.NoError(t, db.Merge(ctx, []byte("m"), nil))
	require.NoError(t, db.Close(ctx))
	o.MergeOperator = nil
	db = openTest(t, o)
	_, err := db.Get(ctx, []byte("m"))
	require.ErrorIs(t, err, ErrInvalid)
	_, err = db.Get(ctx, []byte("k"))
	require.NoError(t, err)
}

// TestMergeExpiry: the earliest time of operands and base is that of the result, and an expired
// operand is as if it were not there.
func TestMergeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, err := Open(ctx, "db", mergeOptions())
		require.NoError(t, err)
		defer db.Close(ctx)
		k := []byte("k")
		start := time.Now()
		_, err = db.PutWithOptions(ctx, k, []byte("base"), &PutOptions{TTL: 3 * time.Hour})
		require.NoError(t, err)
		_, err = db.MergeWithOptions(ctx, k, []byte("1h"), &PutOptions{TTL: time.Hour})
		require.NoError(t, err)
		require.NoError(t, db.Merge(ctx, k, []byte("never")))
		look := func(want string, expire time.Time) {
			t.Helper()
			e, err := db.GetEntry(ctx, k, nil)
			require.NoError(t, err)
			require.Equal(t, want, string(e.Value))
			require.Equal(t, expire.UnixMilli(), e.ExpireTime.UnixMilli())
		}
		look("base,1h,never", start.Add(time.Hour))
		flushMem(t, db)
		look("base,1h,never", start.Add(time.Hour))
		time.Sleep(time.Hour)
		look("base,never", start.Add(3*time.Hour))
		time.Sleep(2 * time.Hour)
		e, err := db.GetEntry(ctx, k, nil)
		require.NoError(t, err)
		require.Equal(t, "never", string(e.Value))
		require.True(t, e.ExpireTime.IsZero())
	})
}

// TestMergeFlushBarrier: a flush folds operands that nobody needs apart, and no others.
func TestMergeFlushBarrier(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, mergeOptions())
	k := []byte("k")
	rows := func() (out []string) {
		st := db.state.Load()
		for _, v := range st.root.l0 {
			out = append(out, tableRows(t, db, v.Reader().Handle().ID)...)
		}
		return out
	}
	for i := range 3 {
		require.NoError(t, db.Merge(ctx, k, fmt.Appendf(nil, "%d", i)))
	}
	s, err := db.Snapshot()
	require.NoError(t, err)
	for i := range 2 {
		require.NoError(t, db.Merge(ctx, k, fmt.Appendf(nil, "%d", 3+i)))
	}
	flushMem(t, db)
	require.Equal(t, []string{"merge 4@5", "merge 3@4", "merge 0,1,2@3"}, rows())
	v, err := s.Get(ctx, k)
	require.NoError(t, err)
	require.Equal(t, "0,1,2", string(v))
	require.NoError(t, s.Close())
	v, err = db.Get(ctx, k)
	require.NoError(t, err)
	require.Equal(t, "0,1,2,3,4", string(v))

	db = openTest(t, mergeOptions())
	require.NoError(t, db.Delete(ctx, k))
	require.NoError(t, db.Merge(ctx, k, []byte("a")))
	require.NoError(t, db.Merge(ctx, k, []byte("b")))
	flushMem(t, db)
	require.Equal(t, []string{"put a,b@3"}, rows(), "on a tombstone they make a value")
}

// tableRows returns the rows of a stored table, as they lie there.
func tableRows(t *testing.T, db *DB, id sst.ID) (out []string) {
	name := id.Object(db.path)
	obj, err := db.raw.Get(context.Background(), name)
	require.NoError(t, err)
	table, err := sst.OpenObject(name, obj.Body, nil)
	require.NoError(t, err)
	rows := table.Rows()
	for rows.Next() {
		e := rows.Entry()
		out = append(out, fmt.Sprintf("%v %s@%d", e.Kind, e.Value, e.Seq))
	}
	require.NoError(t, rows.Err())
	return out
}

// failingOp fails, panics or blocks at its n-th call.
type failingOp struct {
	at, calls int
	how       func() error
}

func (f *failingOp) Merge(key, existing, operand []byte) ([]byte, error) {
	if f.calls++; f.calls == f.at {
		if err := f.how(); err != nil {
			return nil, err
		}
	}
	return joinOp(key, existing, operand)
}

// TestL3_OperatorErrorReachesTheCaller: a failure at any call is the error of that write or
// read, not overwritten by what comes after, and nothing is written.
func TestL3_OperatorErrorReachesTheCaller(t *testing.T) {
	ctx := context.Background()
	mine := errors.New("mine")
	for _, how := range []struct {
		name string
		f    func() error
	}{{"error", func() error { return mine }}, {"panic", func() error { panic("mine") }}} {
		t.Run(how.name, func(t *testing.T) {
			op := &failingOp{how: how.f}
			o := mergeOptions()
			o.MergeOperator = op
			db := openTest(t, o)
			fails := func(err error) bool {
				if err == nil {
					return false
				}
				require.ErrorIs(t, err, ErrInvalid)
				var p *seam.PanicError
				require.True(t, errors.Is(err, mine) || errors.As(err, &p), "%v", err)
				return true
			}
			var b WriteBatch
			for _, k := range []string{"a", "b", "c"} {
				b.Put([]byte(k), []byte("0"))
				b.Merge([]byte(k), []byte("1"))
				b.Merge([]byte(k), []byte("2"))
			}
			tries := 0
			for op.at = 1; ; op.at++ {
				op.calls = 0
				if !fails(db.Write(ctx, &b)) {
					break
				}
				tries++
				require.Empty(t, scanRows(t, db, All, nil))
				require.Zero(t, db.Status().CommittedSeq)
				op.calls = 0
				tx, err := db.Begin(SnapshotIsolation)
				require.NoError(t, err)
				tx.w = b
				require.True(t, fails(tx.Commit(ctx)))
				require.Zero(t, db.Status().CommittedSeq)
			}
			require.Equal(t, 6, tries)
			for _, k := range []string{"a", "b", "c"} {
				require.NoError(t, db.Merge(ctx, []byte(k), []byte("3")))
				require.NoError(t, db.Merge(ctx, []byte(k), []byte("4")))
			}
			reads := 0
			for op.at = 1; ; op.at++ {
				op.calls = 0
				it, err := db.Scan(ctx, nil, nil)
				require.NoError(t, err)
				n := 0
				for it.Next() {
					n++
				}
				require.False(t, it.Next())
				if !fails(it.Err()) {
					require.Equal(t, 3, n)
					require.NoError(t, it.Close())
					break
				}
				require.True(t, fails(it.Close()))
				require.Equal(t, (op.at-1)/2, n, "rows before the failure, none after")
				reads++
				op.calls = 0
				_, err = db.MultiGet(ctx, [][]byte{[]byte("a"), []byte("b"), []byte("c")}, nil)
				require.True(t, fails(err))
			}
			require.Equal(t, 6, reads)
			tx, err := db.Begin(SerializableSnapshot)
			require.NoError(t, err)
			defer tx.Rollback()
			require.NoError(t, tx.Merge([]byte("a"), []byte("5")))
			require.NoError(t, tx.Merge([]byte("a"), []byte("6")))
			for op.at = 1; op.at <= 3; op.at++ {
				op.calls = 0
				_, err = tx.Get(ctx, []byte("a"))
				require.True(t, fails(err), "call %d", op.at)
				op.calls = 0
				_, err = tx.Has(ctx, []byte("a"))
				require.True(t, fails(err))
				op.calls = 0
				for _, err = range tx.Entries(ctx, All, nil) {
				}
				require.True(t, fails(err))
			}
			op.at = 0
			v, err := tx.Get(ctx, []byte("a"))
			require.NoError(t, err)
			require.Equal(t, "0,1,2,3,4,5,6", string(v))
		})
	}
}

// TestOperatorMayReenter: no lock is held around the operator.
func TestOperatorMayReenter(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	var db *DB
	o.MergeOperator = MergeFunc(func(key, existing, operand []byte) ([]byte, error) {
		if _, err := db.PutWithOptions(ctx, append([]byte("log"), key...), operand, &PutOptions{NoWait: true}); err != nil {
			return nil, err
		}
		if err := db.Update(ctx, SnapshotIsolation, func(tx *Txn) error { return nil }); err != nil {
			return nil, err
		}
		return joinOp(key, existing, operand)
	})
	db = openTest(t, o)
	var b WriteBatch
	b.Merge([]byte("k"), []byte("1"))
	b.Merge([]byte("k"), []byte("2"))
	require.NoError(t, db.Write(ctx, &b))
	v, err := db.Get(ctx, []byte("k"))
	require.NoError(t, err)
	require.Equal(t, "1,2", string(v))
	ok, err := db.Has(ctx, []byte("logk"))
	require.NoError(t, err)
	require.True(t, ok)
}

// TestMergeModel compares a database under merges with a map of lists, whatever is flushed or
// compacted between.
func TestMergeModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		o := mergeOptions()
		o.FlushInterval, o.ManifestPollInterval = -1, -1
		o.DisableCompactor = rapid.IntRange(0, 3).Draw(t, "compactor") > 0
		o.L0SSTSizeBytes = rapid.SampledFrom([]int{400, 1 << 20}).Draw(t, "l0")
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
		model := map[string][]byte{}
		n := 0
		apply := func(k string, kind int, v []byte) {
			switch old, ok := model[k]; {
			case kind == 0:
				delete(model, k)
			case kind == 1 || !ok:
				model[k] = v
			default:
				model[k] = append(append(bytes.Clone(old), ','), v...)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"batch": func(t *rapid.T) {
				var b WriteBatch
				for range rapid.IntRange(1, 6).Draw(t, "ops") {
					k, kind := drawKey(t), rapid.IntRange(0, 4).Draw(t, "kind")
					n++
					v := fmt.Appendf(nil, "%d", n)
					switch kind {
					case 0:
						b.Delete(k)
					case 1:
						b.Put(k, v)
					default:
						b.Merge(k, v)
					}
					apply(string(k), kind, v)
				}
				_, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
				require.NoError(t, err)
			},
			"merge": func(t *rapid.T) {
				k := drawKey(t)
				n++
				v := fmt.Appendf(nil, "%d", n)
				_, err := db.MergeWithOptions(ctx, k, v, &PutOptions{NoWait: true})
				require.NoError(t, err)
				apply(string(k), 2, v)
			},
			"flush": func(t *rapid.T) { flushMem(t, db) },
			"compact": func(t *rapid.T) {
				if !o.DisableCompactor && rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					require.NoError(t, db.Compact(ctx))
				}
			},
			"": func(t *rapid.T) {
				rows := scanRows(t, db, All, nil)
				require.Len(t, rows, len(model))
				for _, e := range rows {
					require.Equal(t, string(model[string(e.Key)]), string(e.Value), "%q", e.Key)
				}
			},
		})
	})
}
