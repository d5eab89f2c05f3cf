package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// The scenarios of section H on the level of DB: seeks, bounds, directions, versions over
// blocks, errors in the middle, borrowed slices, limits and filters.

// errDown is a store error that no retry is made for.
var errDown = objstore.Permanent(errors.New("the store is down"))

// viewAt reads as a snapshot at seq would.
func viewAt(db *DB, seq uint64) *view {
	return &view{h: db.handle, st: db.state.Load(), max: kv.Seq(seq)}
}

func viewRows(t testing.TB, v *view, r Range, o *ScanOptions) []Entry {
	t.Helper()
	if o == nil {
		o = &ScanOptions{}
	}
	rng, err := r.clone()
	require.NoError(t, err)
	it, err := v.scan(context.Background(), rng, o, nil)
	require.NoError(t, err)
	var out []Entry
	for it.Next() {
		out = append(out, it.Entry().Clone())
	}
	require.NoError(t, it.Close())
	return out
}

// versionedDB has the WAL off and one memtable flushed, which then keeps every version; in
// rounds, so that there are several tables. The newest memtable is not flushed.
func versionedDB(t testing.TB, o *Options, seed uint64, rounds, writes int, keys []string) (*DB, *model) {
	t.Helper()
	ctx := context.Background()
	o.DisableWAL, o.FlushInterval, o.ManifestPollInterval = true, -1, -1
	db := openTest(t, o)
	r := rand.New(rand.NewPCG(seed, 7))
	m := &model{}
	for round := range rounds {
		for range writes {
			k := keys[r.IntN(len(keys))]
			op := modelOp{key: k, value: fmt.Sprintf("%s.%d.%s", k, len(m.commits), strings.Repeat("v", r.IntN(60))), del: r.IntN(5) == 0}
			var b WriteBatch
			if op.del {
				op.value = ""
				b.Delete([]byte(k))
			} else {
				b.Put([]byte(k), []byte(op.value))
			}
			h, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
			require.NoError(t, err)
			m.commits = append(m.commits, modelCommit{h.Seq(), []modelOp{op}})
		}
		if round < rounds-1 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
	}
	return db, m
}

func storedRows(t testing.TB, s objstore.Store, tr BlockTransformer) (rows, blocks int) {
	t.Helper()
	for a, err := range s.List(context.Background(), "db/compacted/", "") {
		require.NoError(t, err)
		b, err := s.Get(context.Background(), a.Key)
		require.NoError(t, err)
		o, err := sst.OpenObject(a.Key, b.Body, tr)
		require.NoError(t, err)
		it := o.Rows()
		for it.Next() {
			rows++
		}
		require.NoError(t, it.Err())
		blocks += len(b.Body) / 1024
	}
	return rows, blocks
}

// One key with 1,000 versions spans many blocks, every one of which begins with it: every
// read finds the version of its own number, from either side.
func TestH1_HotKeyOverManyBlocks(t *testing.T) {
	ctx := context.Background()
	for _, size := range []int{1 << 10, 4 << 10, 64 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o := testOptions()
			o.BlockSize = size
			o.DisableWAL, o.FlushInterval = true, -1
			db := openTest(t, o)
			put := func(k, v string) uint64 {
				h, err := db.PutWithOptions(ctx, []byte(k), []byte(v), &PutOptions{NoWait: true})
				require.NoError(t, err)
				return h.Seq()
			}
			put("a", "first")
			const n = 1000
			seqs := make([]uint64, n)
			for i := range n {
				seqs[i] = put("hot", fmt.Sprintf("%040d", i))
			}
			put("z", "last")
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			rows, _ := storedRows(t, o.Store, nil)
			require.Equal(t, n+2, rows, "the table must hold every version for this test to mean something")

			for i := 0; i < n; i += 37 {
				want := fmt.Sprintf("%040d", i)
				v := viewAt(db, seqs[i])
				got, err := v.appendGet(ctx, nil, []byte("hot"), nil)
				require.NoError(t, err)
				require.Equal(t, want, string(got))
				for _, order := range []Order{Ascending, Descending} {
					rng, err := Range{Start: []byte("b")}.clone()
					require.NoError(t, err)
					it, err := v.scan(ctx, rng, &ScanOptions{Order: order}, nil)
					require.NoError(t, err)
					require.True(t, it.Seek([]byte("hot")))
					require.Equal(t, want, string(it.Value()))
					require.False(t, it.Next(), "z is newer than this view, a is outside the range")
					require.NoError(t, it.Close())
				}
			}
			_, err := viewAt(db, seqs[0]-1).appendGet(ctx, nil, []byte("hot"), nil)
			require.ErrorIs(t, err, ErrNotFound)
			require.Equal(t, []string{"a", "hot", "z"}, keysOf(scanRows(t, db, All, nil)))
			require.Equal(t, []string{"z", "hot", "a"}, keysOf(scanRows(t, db, All, &ScanOptions{Order: Descending})))
		})
	}
}

func keysOf(es []Entry) []string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = string(e.Key)
	}
	return out
}

// Random bounds, seeks and directions against the model, on tables that keep many versions,
// several L0 tables and a memtable, at every kind of view.
func TestH2H3H4_BoundsAndSeeksAgainstModel(t *testing.T) {
	ctx := context.Background()
	var keys []string
	for _, a := range []string{"", "a", "b", "\x00", "\xff"} {
		for _, b := range []string{"a", "b", "c", "\x00", "\xff"} {
			for _, c := range []string{"", "x", "\x00"} {
				keys = append(keys, a+b+c)
			}
		}
	}
	anyKey := func(r *rand.Rand) []byte {
		if r.IntN(8) == 0 {
			return []byte(keys[r.IntN(len(keys))] + string(rune('A'+r.IntN(60))))
		}
		return []byte(keys[r.IntN(len(keys))])
	}
	for seed := range uint64(6) {
		o := testOptions()
		o.BlockSize = 1 << 10
		o.MinFilterKeys = -1
		if seed%2 == 1 {
			o.BlockCacheBytes, o.MetaCacheBytes = -1, -1
		}
		db, m := versionedDB(t, o, seed, 4, 250, keys)
		r := rand.New(rand.NewPCG(seed, 99))
		last := m.last()
		for range 60 {
			seq := last
			if r.IntN(2) == 0 {
				seq = 1 + r.Uint64N(last)
			}
			rng := Range{StartExclusive: r.IntN(2) == 0, EndInclusive: r.IntN(2) == 0}
			if r.IntN(3) > 0 {
				rng.Start = anyKey(r)
			}
			if r.IntN(3) > 0 {
				rng.End = anyKey(r)
			}
			if r.IntN(20) == 0 {
				rng.Start, rng.End = []byte{}, []byte{}
			}
			order := Order(r.IntN(2))
			in, err := rng.clone()
			if rng.End != nil && bytes.Compare(rng.Start, rng.End) > 0 {
				require.ErrorIs(t, err, ErrInvalid)
				_, err = db.ScanWithOptions(ctx, rng, &ScanOptions{Order: order})
				require.ErrorIs(t, err, ErrInvalid)
				continue
			}
			require.NoError(t, err)
			want := make([]Entry, 0, 64)
			for _, e := range m.at(seq) {
				if inRange(rng, e.Key) {
					want = append(want, e)
				}
			}
			cmp := bytes.Compare
			if order == Descending {
				slices.Reverse(want)
				cmp = func(a, b []byte) int { return bytes.Compare(b, a) }
			}
			so := &ScanOptions{Order: order, ReadAheadBytes: []int{0, 1, 5000}[r.IntN(3)], MaxFetchTasks: r.IntN(3)}
			require.Equal(t, entryStrings(want), entryStrings(viewRows(t, viewAt(db, seq), rng, so)), "range %+v order %d seq %d", rng, order, seq)

			it, err := viewAt(db, seq).scan(ctx, in, so, nil)
			require.NoError(t, err)
			at := -1
			for range 2 * (len(want) + 2) {
				if r.IntN(3) > 0 {
					at = min(at+1, len(want))
					require.Equal(t, at < len(want), it.Next())
				} else {
					k := anyKey(r)
					if at >= 0 && at < len(want) && cmp(k, want[at].Key) < 0 {
						require.False(t, it.Seek(k), "backwards")
						require.ErrorIs(t, it.Err(), ErrInvalid)
						require.Equal(t, string(want[at].Key), string(it.Key()))
						continue
					}
					if at >= len(want) {
						break
					}
					at = max(at, 0)
					for at < len(want) && cmp(want[at].Key, k) < 0 {
						at++
					}
					require.Equal(t, at < len(want), it.Seek(k), "seek %q", k)
				}
				require.NoError(t, it.Err())
				if at < len(want) {
					require.Equal(t, entryStrings(want[at:at+1]), entryStrings([]Entry{it.Entry()}))
				} else {
					require.Nil(t, it.Key())
				}
			}
			require.NoError(t, it.Close())
			require.False(t, it.Next())
			require.False(t, it.Seek([]byte("zz")))
			require.NoError(t, it.Close())
		}
	}
}

// The limit counts entries, in both directions, with seeks in between.
func TestH2_Limit(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	for i := range 20 {
		_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%02d", i), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"00", "01", "02"}, keysOf(scanRows(t, db, All, &ScanOptions{Limit: 3})))
	require.Equal(t, []string{"19", "18"}, keysOf(scanRows(t, db, All, &ScanOptions{Limit: 2, Order: Descending})))
	it, err := db.ScanWithOptions(ctx, All, &ScanOptions{Limit: 2})
	require.NoError(t, err)
	require.True(t, it.Seek([]byte("05")))
	require.True(t, it.Seek([]byte("05")), "seeking the current entry moves nothing")
	require.True(t, it.Next())
	require.Equal(t, "06", string(it.Key()))
	require.False(t, it.Next())
	require.NoError(t, it.Close())
}

// An error in the middle of a scan, at every request and of every sort, comes out as a typed
// error, stays, and nothing was skipped before it. The next scan is whole: nothing of it has
// stuck to the caches.
func TestH5_ErrorAtEveryRequestIsStickyAndSkipsNothing(t *testing.T) {
	ctx := context.Background()
	inner := objstore.NewMemory()
	o := testOptions()
	o.Store, o.BlockSize = inner, 1<<10
	db := openTest(t, o)
	want := []string{}
	for round := range 3 {
		for i := range 60 {
			k, v := fmt.Sprintf("%03d", (i*7+round*11)%90), fmt.Sprintf("%d/%s", round, strings.Repeat("x", 90))
			_, err := db.PutWithOptions(ctx, []byte(k), []byte(v), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	}
	want = entryStrings(scanRows(t, db, All, nil))
	require.NoError(t, db.Close(ctx))

	flip := func(b []byte) []byte {
		for i := range b {
			b[i] ^= 0x10
		}
		return b
	}
	kinds := []struct {
		name string
		rule faulty.Rule
		err  error
	}{
		{"error", faulty.Rule{Kind: faulty.ErrorBefore, Err: errDown}, ErrUnavailable},
		{"lost answer", faulty.Rule{Kind: faulty.ErrorAfter, Err: errDown}, ErrUnavailable},
		{"damaged", faulty.Rule{Kind: faulty.Alter, Change: flip, Times: 1 << 20}, ErrCorrupt},
		{"gone", faulty.Rule{Kind: faulty.ErrorBefore, Err: objstore.ErrNotFound, Times: 1 << 20}, ErrCorrupt},
	}
	for _, cached := range []bool{false, true} {
		for _, k := range kinds {
			for _, so := range []*ScanOptions{
				{ReadAheadBytes: 1, MaxFetchTasks: 1}, {ReadAheadBytes: 1, MaxFetchTasks: 1, Order: Descending},
				{CacheBlocks: true}, {Order: Descending, CacheBlocks: true},
			} {
				t.Run(fmt.Sprintf("%s/cached=%v/%+v", k.name, cached, *so), func(t *testing.T) {
					want := slices.Clone(want)
					if so.Order == Descending {
						slices.Reverse(want)
					}
					failures := 0
					for n := 1; ; n++ {
						s := faulty.New(inner, nil)
						ro := &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: s, Logger: quiet, MaxRetries: 1, BlockCacheBytes: -1, MetaCacheBytes: -1}
						if cached {
							ro.BlockCacheBytes, ro.MetaCacheBytes = 1<<20, 1<<20
						}
						r, err := OpenReader(ctx, "db", ro)
						require.NoError(t, err)
						rule := k.rule
						rule.Method, rule.Nth = "read", n
						act := s.Script(rule)
						it, err := r.ScanWithOptions(ctx, All, so)
						require.NoError(t, err)
						var got []string
						for it.Next() {
							got = append(got, entryStrings([]Entry{it.Entry()})...)
						}
						err = it.Err()
						require.Equal(t, want[:len(got)], append([]string{}, got...), "request %d", n)
						if err == nil {
							require.Len(t, got, len(want), "request %d: the scan ended early without an error", n)
						} else {
							failures++
							require.ErrorIs(t, err, k.err)
							require.NotErrorIs(t, err, ErrNotFound)
							if k.err == ErrCorrupt {
								var c *CorruptionError
								require.ErrorAs(t, err, &c)
								require.Contains(t, c.Object, "db/compacted/")
							}
							s.Clear()
							for range 3 {
								require.False(t, it.Next(), "an error is sticky")
								require.Nil(t, it.Key())
								require.False(t, it.Seek([]byte("~")))
								require.False(t, it.Seek([]byte{0}))
								require.Equal(t, err, it.Err())
							}
						}
						require.Equal(t, err, it.Close())
						s.Clear()
						for cached { // what the closed scan asked for is still shared until it is there
							if st := r.ownCache.Stats(); st.Blocks.Loading+st.Meta.Loading == 0 {
								break
							}
							runtime.Gosched()
						}
						so2 := *so
						again := entryStrings(scanRows(t, r, All, &so2))
						require.Equal(t, want, again, "request %d: the next scan", n)
						require.NoError(t, r.Close(ctx))
						if act.Hits() == 0 {
							require.Positive(t, failures)
							return
						}
					}
				})
			}
		}
	}
}

// What an iterator shows stays until it moves, whatever happens beside it, and a caller that
// appends to a slice of it harms nobody: neither this iterator nor the cached block.
func TestH6_SlicesLiveUntilTheMoveAndAreClipped(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.BlockSize = 1 << 10
	db := openTest(t, o)
	put := func(round int) {
		for i := range 100 {
			_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "key-%03d", i), fmt.Appendf(nil, "%d-%03d", round, i), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
	}
	for name, flush := range map[string]bool{"table": true, "memtable": false} {
		put(1)
		if flush {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
		for _, order := range []Order{Ascending, Descending} {
			so := &ScanOptions{Order: order, CacheBlocks: true}
			want := entryStrings(scanRows(t, db, All, so))
			it, err := db.ScanWithOptions(ctx, All, so)
			require.NoError(t, err)
			other, err := db.ScanWithOptions(ctx, All, so)
			require.NoError(t, err)
			var got []string
			for i := 0; it.Next(); i++ {
				k, v, e := it.Key(), it.Value(), it.Entry()
				kc, vc := bytes.Clone(k), bytes.Clone(v)
				other.Next()
				if i%25 == 0 {
					_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "other-%d-%d", i, order), []byte("x"), &PutOptions{NoWait: true})
					require.NoError(t, err)
				}
				// Misuse that a caller would not see as such.
				_ = append(k, "\xee\xee\xee\xee\xee\xee\xee\xee"...)
				_ = append(v, "\xee\xee\xee\xee\xee\xee\xee\xee"...)
				_ = append(e.Key, "\xee\xee\xee\xee"...)
				_ = append(e.Value, "\xee\xee\xee\xee"...)
				require.Equal(t, string(kc), string(it.Key()), "%s", name)
				require.Equal(t, string(vc), string(it.Value()), "%s", name)
				require.Equal(t, string(kc), string(k))
				require.Equal(t, string(vc), string(v))
				got = append(got, entryStrings([]Entry{it.Entry()})...)
			}
			require.NoError(t, it.Close())
			require.NoError(t, other.Close())
			require.Equal(t, want, got, "%s order %d", name, order)
			after := scanRows(t, db, Prefix([]byte("key-")), so)
			require.Equal(t, want[:0:0], diff(onlyKeys(want), entryStrings(after)), "%s order %d: what others see", name, order)
		}
	}
	// A value of Get is the caller's own.
	v, err := db.Get(ctx, []byte("key-001"))
	require.NoError(t, err)
	for i := range v {
		v[i] = 0xee
	}
	v, err = db.Get(ctx, []byte("key-001"))
	require.NoError(t, err)
	require.Equal(t, "1-001", string(v))
	vs, err := db.MultiGet(ctx, [][]byte{[]byte("key-001"), []byte("key-002")}, nil)
	require.NoError(t, err)
	_ = append(vs[0], "\xee\xee\xee\xee\xee"...)
	require.Equal(t, "1-002", string(vs[1]), "values of a MultiGet are clipped")
}

func onlyKeys(es []string) (out []string) {
	for _, e := range es {
		if strings.HasPrefix(e, `"key-`) {
			out = append(out, e)
		}
	}
	return out
}

func diff(want, got []string) []string {
	out := []string{}
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			out = append(out, "+"+got[i])
		case i >= len(got):
			out = append(out, "-"+want[i])
		case want[i] != got[i]:
			out = append(out, want[i]+" is "+got[i])
		}
	}
	return out
}

// Key lengths at the limits: refused ones leave nothing behind, the longest work everywhere.
func TestH7_KeyLimits(t *testing.T) {
	ctx := context.Background()
	long := bytes.Repeat([]byte{'k'}, MaxKeyBytes)
	longer := bytes.Repeat([]byte{'k'}, MaxKeyBytes+1)
	for _, walOff := range []bool{false, true} {
		o := testOptions()
		o.DisableWAL = walOff
		o.SegmentExtractor = nil
		db := openTest(t, o)
		nowait := &PutOptions{NoWait: true}
		for _, k := range [][]byte{nil, {}, longer} {
			_, err := db.PutWithOptions(ctx, k, []byte("v"), nowait)
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorIs(t, db.Put(ctx, k, nil), ErrInvalid)
			require.ErrorIs(t, db.Delete(ctx, k), ErrInvalid)
			var b WriteBatch
			b.Put([]byte("good"), nil)
			b.Put(k, nil)
			require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid)
			b.Reset()
			b.Put([]byte("good"), nil)
			b.Delete(k)
			require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid)
		}
		require.Zero(t, db.Status().CommittedSeq, "a refused write takes no number and leaves no row")
		require.Empty(t, scanRows(t, db, All, nil))
		for _, k := range [][]byte{nil, {}} {
			_, err := db.Get(ctx, k)
			require.ErrorIs(t, err, ErrInvalid)
			_, err = db.Has(ctx, k)
			require.ErrorIs(t, err, ErrInvalid)
			_, err = db.GetEntry(ctx, k, nil)
			require.ErrorIs(t, err, ErrInvalid)
			_, err = db.MultiGet(ctx, [][]byte{[]byte("a"), k}, nil)
			require.ErrorIs(t, err, ErrInvalid)
		}
		_, err := db.Get(ctx, longer)
		require.ErrorIs(t, err, ErrNotFound, "a key that cannot exist is a key that is not there")

		for _, k := range [][]byte{{0}, {0xff}, long, long[:MaxKeyBytes-1]} {
			_, err := db.PutWithOptions(ctx, k, fmt.Appendf(nil, "%d", len(k)), nowait)
			require.NoError(t, err)
		}
		check := func(db *DB) {
			for _, k := range [][]byte{{0}, {0xff}, long, long[:MaxKeyBytes-1]} {
				v, err := db.Get(ctx, k)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(string(v), fmt.Sprint(len(k))) || len(k) == 1)
			}
			rows := scanRows(t, db, All, nil)
			require.Len(t, rows, 4)
			require.Equal(t, long, rows[2].Key)
			desc := scanRows(t, db, Range{Start: long[:MaxKeyBytes-1], End: long, EndInclusive: true}, &ScanOptions{Order: Descending})
			require.Len(t, desc, 2)
			it, err := db.Scan(ctx, nil, nil)
			require.NoError(t, err)
			require.True(t, it.Seek(long))
			require.True(t, it.Seek(longer))
			require.Equal(t, []byte{0xff}, it.Key())
			require.NoError(t, it.Close())
			_, err = db.Get(ctx, longer)
			require.ErrorIs(t, err, ErrNotFound)
		}
		check(db)
		require.NoError(t, db.Flush(ctx))
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
		db = openTest(t, o)
		check(db)
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		check(db)
		require.NoError(t, db.Close(ctx))
		check(openTest(t, o))
	}
}

// Hostile numbers of bits make slow or useless filters, never a panic or another answer.
func TestH8_HostileBloomParameters(t *testing.T) {
	ctx := context.Background()
	for _, bits := range []int{math.MinInt, -1, 0, 1, 2, 1000, math.MaxInt} {
		for _, bo := range []BloomOptions{{}, {NoWholeKeys: true}, {Extractor: fixed3{}}, {Extractor: fixed3{}, NoWholeKeys: true}} {
			o := testOptions()
			o.MinFilterKeys = -1
			o.FilterPolicies = []FilterPolicy{BloomFilter(bits, bo)}
			db, err := Open(ctx, "db", o)
			if err != nil {
				require.ErrorIs(t, err, ErrInvalid)
				continue
			}
			for _, k := range []string{"a", "aaab", "aaac", "bbbb"} {
				_, err := db.PutWithOptions(ctx, []byte(k), []byte(k), &PutOptions{NoWait: true})
				require.NoError(t, err)
			}
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}), "%d bits", bits)
			for _, k := range []string{"a", "aaab", "aaac", "bbbb"} {
				v, err := db.Get(ctx, []byte(k))
				require.NoError(t, err, "%d bits", bits)
				require.Equal(t, k, string(v))
			}
			_, err = db.Get(ctx, []byte("aaad"))
			require.ErrorIs(t, err, ErrNotFound)
			require.Len(t, scanRows(t, db, Prefix([]byte("aaa")), nil), 2)
			require.NoError(t, db.Close(ctx))
		}
	}
}

// Every codec with every block size, and each opened again with another codec, gives the same
// rows: an object says its own.
func TestH9_CodecsAndBlockSizes(t *testing.T) {
	ctx := context.Background()
	codecs := []Codec{NoCompression, Snappy, Zlib, LZ4, Zstd}
	var want []string
	for ci, c := range codecs {
		for kib := 1; kib <= 64; kib *= 2 {
			o := testOptions()
			o.Compression, o.BlockSize, o.FlushInterval = c, kib<<10, -1
			db := openTest(t, o)
			write := func(round int) {
				r := rand.New(rand.NewPCG(5, uint64(round)))
				for i := range 120 {
					v := bytes.Repeat([]byte{byte(i)}, r.IntN(200))
					if i%10 == 0 {
						v = make([]byte, r.IntN(5000))
						for j := range v {
							v[j] = byte(r.Uint32())
						}
					}
					_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%d/%d", r.IntN(100), i), v, &PutOptions{NoWait: true})
					require.NoError(t, err)
				}
			}
			write(1)
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			write(2)
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
			o.Compression = codecs[(ci+1)%len(codecs)]
			db = openTest(t, o)
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			got := entryStrings(scanRows(t, db, All, nil))
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "codec %d, blocks of %d KiB", c, kib)
			require.NoError(t, db.Close(ctx))
		}
	}
}

// Filters only save work: with none, with whole keys, with prefixes, with policies that the
// tables were not written with, every read gives the same answer, also outside the prefix.
func TestH10_FiltersChangeNoAnswer(t *testing.T) {
	ctx := context.Background()
	policies := map[string][]FilterPolicy{
		"none":        {},
		"whole":       {BloomFilter(10, BloomOptions{})},
		"prefix":      {BloomFilter(10, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true})},
		"both":        {BloomFilter(8, BloomOptions{Extractor: slash("slash")}), BloomFilter(10, BloomOptions{})},
		"length":      {BloomFilter(12, BloomOptions{Extractor: PrefixLength(2), NoWholeKeys: true})},
		"until":       {BloomFilter(12, BloomOptions{Extractor: PrefixUntil('/')})},
		"one bit":     {BloomFilter(1, BloomOptions{})},
		"prefix+file": {BloomFilter(10, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true}), BloomFilter(10, BloomOptions{Extractor: PrefixUntil('/'), NoWholeKeys: true})},
	}
	var probes []string
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, r.IntN(6))
		for i := range b {
			b[i] = "ab/\x00"[r.IntN(4)]
		}
		return string(b)
	}
	for range 300 {
		probes = append(probes, word())
	}
	answers := func(db ReadOps) []string {
		var out []string
		for _, p := range probes {
			if p != "" {
				v, err := db.Get(ctx, []byte(p))
				if err != nil {
					require.ErrorIs(t, err, ErrNotFound)
				}
				out = append(out, string(v))
			}
			for _, order := range []Order{Ascending, Descending} {
				out = append(out, strings.Join(entryStrings(scanRows(t, db, Prefix([]byte(p)), &ScanOptions{Order: order})), ","))
			}
			out = append(out, strings.Join(entryStrings(scanRows(t, db, Range{Start: []byte(p), End: []byte(p + "b"), EndInclusive: true}, nil)), ","))
			it, err := db.ScanPrefix(ctx, []byte(p[:len(p)/2]))
			require.NoError(t, err)
			if it.Seek([]byte(p)) {
				out = append(out, string(it.Key()))
			}
			require.NoError(t, it.Close())
		}
		return out
	}
	var want []string
	for written, wp := range policies {
		o := testOptions()
		o.FilterPolicies, o.MinFilterKeys, o.BlockSize = wp, -1, 1<<10
		db := openTest(t, o)
		w := rand.New(rand.NewPCG(3, 4))
		for round := range 3 {
			for range 60 {
				b := make([]byte, 1+w.IntN(5))
				for i := range b {
					b[i] = "ab/\x00"[w.IntN(4)]
				}
				var wb WriteBatch
				if w.IntN(4) == 0 {
					wb.Delete(b)
				} else {
					wb.Put(b, fmt.Appendf(nil, "%d", w.IntN(1000)))
				}
				_, err := db.WriteWithOptions(ctx, &wb, &WriteOptions{NoWait: true})
				require.NoError(t, err)
			}
			if round < 2 {
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			}
		}
		require.NoError(t, db.Flush(ctx))
		if want == nil {
			want = answers(db)
		} else {
			require.Equal(t, want, answers(db), "written with %q", written)
		}
		for asked, rp := range policies {
			if asked != "none" && asked != "both" && asked != "length" {
				continue
			}
			rd, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: o.Store, FilterPolicies: rp, Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
			require.NoError(t, err)
			require.Equal(t, want, answers(rd), "written with %q, asked with %q", written, asked)
			require.NoError(t, rd.Close(ctx))
		}
		require.NoError(t, db.Close(ctx))
	}
}

// An iterator that is open when its handle is closed goes on reading; its ctx ends it.
func TestH_IteratorOutlivesTheHandleNotItsContext(t *testing.T) {
	o := testOptions()
	o.BlockSize = 1 << 10
	db := openTest(t, o)
	bg := context.Background()
	for i := range 200 {
		_, err := db.PutWithOptions(bg, fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte{'v'}, 60), &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.NoError(t, db.FlushWithOptions(bg, &FlushOptions{Type: FlushMemtable}))
	_, err := db.PutWithOptions(bg, []byte("9999"), nil, &PutOptions{NoWait: true})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(bg)
	cut, err := db.ScanWithOptions(ctx, All, &ScanOptions{ReadAheadBytes: 1})
	require.NoError(t, err)
	it, err := db.ScanWithOptions(bg, All, &ScanOptions{ReadAheadBytes: 1})
	require.NoError(t, err)
	require.True(t, it.Next())
	require.True(t, cut.Next())
	require.NoError(t, db.Close(bg))
	n := 1
	for it.Next() {
		n++
	}
	require.NoError(t, it.Close())
	require.Equal(t, 201, n)
	cancel()
	for cut.Next() {
	}
	require.ErrorIs(t, cut.Err(), context.Canceled)
	require.False(t, cut.Next())
	require.ErrorIs(t, cut.Close(), context.Canceled)
	_, err = db.Scan(bg, nil, nil)
	require.ErrorIs(t, err, ErrClosed)
}
