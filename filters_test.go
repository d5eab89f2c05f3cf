package slatedb

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// ftMinMax is a policy that keeps the smallest and the largest key. It answers points and
// ranges, no prefixes.
type ftMinMax struct{}

func (ftMinMax) Name() string              { return "min-max" }
func (ftMinMax) SupportsRange() bool       { return true }
func (ftMinMax) SupportsPrefix() bool      { return false }
func (ftMinMax) NewBuilder() FilterBuilder { return &ftMinMaxBuilder{} }

type ftMinMaxBuilder struct{ first, last []byte }

func (b *ftMinMaxBuilder) Add(r *Row) {
	if b.first == nil {
		b.first = bytes.Clone(r.Key)
	}
	b.last = append(b.last[:0], r.Key...)
}

func (b *ftMinMaxBuilder) Build() []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(b.first))), b.first...), b.last...)
}

func (ftMinMax) MayContain(data []byte, q *FilterQuery) (bool, error) {
	n := binary.BigEndian.Uint32(data)
	have := kv.Range{Start: data[4 : 4+n], End: data[4+n:], EndInclusive: true}
	switch q.Kind {
	case QueryPoint:
		return have.Contains(q.Key), nil
	case QueryRange:
		x := have.Intersect(q.Range)
		return !x.Empty(), nil
	}
	return false, fmt.Errorf("asked a query of kind %d", q.Kind)
}

// ftWords is a policy that keeps every key as it is, and answers everything but ranges.
type ftWords struct{}

func (ftWords) Name() string              { return "wörds" }
func (ftWords) NewBuilder() FilterBuilder { return &ftWordsBuilder{} }

type ftWordsBuilder struct{ out []byte }

func (b *ftWordsBuilder) Add(r *Row) {
	b.out = append(append(binary.BigEndian.AppendUint16(b.out, uint16(len(r.Key))), r.Key...), 0)
}
func (b *ftWordsBuilder) Build() []byte { return append([]byte{}, b.out...) }

func (ftWords) MayContain(data []byte, q *FilterQuery) (bool, error) {
	for len(data) > 0 {
		n := binary.BigEndian.Uint16(data)
		word := data[2 : 2+n]
		data = data[3+n:]
		if bytes.Equal(word, q.Key) || q.Kind == QueryPrefix && bytes.HasPrefix(word, q.Key) {
			return true, nil
		}
	}
	return false, nil
}

// ftNone makes no filters, in one way or another.
type ftNone struct {
	ftWords
	early bool
}

func (ftNone) Name() string { return "none" }

func (p ftNone) NewBuilder() FilterBuilder {
	if p.early {
		return nil
	}
	return ftNoneBuilder{}
}

type ftNoneBuilder struct{}

func (ftNoneBuilder) Add(*Row)      {}
func (ftNoneBuilder) Build() []byte { return nil }

func ftPolicies() map[string]FilterPolicy {
	return map[string]FilterPolicy{
		"whole":    BloomFilter(10, BloomOptions{}),
		"coarse":   BloomFilter(1, BloomOptions{}),
		"length1":  BloomFilter(12, BloomOptions{Extractor: PrefixLength(1), NoWholeKeys: true}),
		"length2":  BloomFilter(12, BloomOptions{Extractor: PrefixLength(2)}),
		"until":    BloomFilter(12, BloomOptions{Extractor: PrefixUntil('/'), NoWholeKeys: true}),
		"nothing":  BloomFilter(12, BloomOptions{NoWholeKeys: true}),
		"min-max":  ftMinMax{},
		"words":    ftWords{},
		"none":     ftNone{},
		"no maker": ftNone{early: true},
	}
}

// ftAnswers reads everything there is about some keys and prefixes.
func ftAnswers(t failer, r ReadOps, probes []string) (out []string) {
	ctx := context.Background()
	var keys [][]byte
	for _, p := range probes {
		if p != "" {
			v, err := r.Get(ctx, []byte(p))
			if err != nil {
				require.ErrorIs(t, err, ErrNotFound)
			}
			ok, err := r.Has(ctx, []byte(p))
			require.NoError(t, err)
			out = append(out, fmt.Sprintf("%q=%q %v", p, v, ok))
			keys = append(keys, []byte(p))
		}
		ranges := []Range{Prefix([]byte(p)), {Start: []byte(p), End: append([]byte(p), "/b"...)}, {Start: append([]byte(p), 'a'), End: append([]byte(p), 'b'), EndInclusive: true, StartExclusive: true}}
		for _, rng := range ranges {
			for _, order := range []Order{Ascending, Descending} {
				out = append(out, strings.Join(entryStrings(scanRows(t, r, rng, &ScanOptions{Order: order})), ","))
			}
		}
		it, err := r.ScanPrefix(ctx, []byte(p))
		require.NoError(t, err)
		for ok := it.Seek(append([]byte(p), 'a')); ok; ok = it.Next() {
			out = append(out, string(it.Key()))
		}
		require.NoError(t, it.Close())
	}
	vs, err := r.MultiGet(ctx, keys, nil)
	require.NoError(t, err)
	return append(out, fmt.Sprintf("%q", vs))
}

// Filters never lie: with any policies, on any tables, every read of every handle gives what it
// gives without filters.
func TestFiltersNeverLie(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		all := ftPolicies()
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"whole", "length1", "length2", "until", "nothing", "min-max", "words", "none"}), 0, 4, rapid.ID[string])
		pick := func(label string) []FilterPolicy {
			out := []FilterPolicy{}
			for _, n := range names.Draw(rt, label) {
				out = append(out, all[n])
			}
			return out
		}
		word := rapid.StringMatching(`[ab/]{1,4}`)
		o := testOptions()
		o.MergeOperator = concatOp
		o.BlockSize, o.ManifestPollInterval, o.FlushInterval = 1<<10, -1, -1
		o.MinFilterKeys = rapid.SampledFrom([]int{-1, 3}).Draw(rt, "min")
		o.Compression = rapid.SampledFrom([]Codec{NoCompression, Snappy}).Draw(rt, "codec")
		if rapid.Bool().Draw(rt, "segments") {
			o.SegmentExtractor = PrefixLength(1)
		}
		var snap *Snapshot
		for generation := range rapid.IntRange(1, 3).Draw(rt, "openings") {
			o.FilterPolicies = pick(fmt.Sprint("written", generation))
			db, err := Open(ctx, "db", o)
			require.NoError(rt, err)
			for range rapid.IntRange(1, 3).Draw(rt, "tables") {
				var b WriteBatch
				for range rapid.IntRange(1, 12).Draw(rt, "rows") {
					k := []byte(word.Draw(rt, "key"))
					switch rapid.IntRange(0, 5).Draw(rt, "op") {
					case 0:
						b.Delete(k)
					case 1:
						b.Merge(k, []byte("+"))
					default:
						b.Put(k, bytes.Repeat(k, rapid.SampledFrom([]int{1, 200}).Draw(rt, "size")))
					}
				}
				_, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
				require.NoError(rt, err)
				if rapid.Bool().Draw(rt, "flush") {
					flushMem(rt, db)
				}
			}
			require.NoError(rt, db.Close(ctx))
		}
		probes := rapid.SliceOfN(rapid.StringMatching(`[ab/]{0,4}`), 1, 5).Draw(rt, "probes")
		var want []string
		for _, asked := range [][]FilterPolicy{{}, pick("asked"), o.FilterPolicies, {all["length2"], all["min-max"], all["words"], all["until"], all["whole"]}} {
			o.FilterPolicies = asked
			db, err := Open(ctx, "db", o)
			require.NoError(rt, err)
			got := ftAnswers(rt, db, probes)
			if want == nil {
				want = got
			}
			require.Equal(rt, want, got, "database")
			snap, err = db.Snapshot()
			require.NoError(rt, err)
			require.Equal(rt, want, ftAnswers(rt, snap, probes), "snapshot")
			require.NoError(rt, snap.Close())
			tx, err := db.Begin(SerializableSnapshot)
			require.NoError(rt, err)
			require.Equal(rt, want, ftAnswers(rt, tx, probes), "transaction")
			tx.Rollback()
			require.NoError(rt, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
			rd, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: o.Store, FilterPolicies: asked, SegmentExtractor: o.SegmentExtractor,
				MergeOperator: concatOp, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: -1})
			require.NoError(rt, err)
			require.Equal(rt, want, ftAnswers(rt, rd, probes), "reader")
			require.NoError(rt, rd.Close(ctx))
		}
	})
}

// ftReads counts the requests for tables since the last call.
func ftReads(s *faulty.Store) (n int) {
	for _, r := range s.Log() {
		if strings.Contains(r.Key, "/compacted/") {
			n++
		}
	}
	s.Record(true)
	return n
}

// ftTables writes n tables, each with rows of its own prefix, "t0/…" and so on.
func ftTables(t *testing.T, o *Options, n int) (*DB, *faulty.Store) {
	t.Helper()
	s := faulty.New(o.Store, nil)
	o.Store = s
	o.BlockSize, o.MinFilterKeys, o.FlushInterval, o.ManifestPollInterval = 1<<10, -1, -1, -1
	o.BlockCacheBytes, o.MetaCacheBytes = -1, 1<<20 // metadata stays, blocks do not
	db := openTest(t, o)
	for i := range n {
		var b WriteBatch
		b.Put([]byte("a"), []byte("in every table")) // so that key ranges do not tell them apart
		b.Put([]byte("z"), []byte("in every table"))
		for j := range 50 {
			b.Put(fmt.Appendf(nil, "t%d/%02d", i, j), bytes.Repeat([]byte{'v'}, 100))
		}
		_, err := db.WriteWithOptions(context.Background(), &b, &WriteOptions{NoWait: true})
		require.NoError(t, err)
		flushMem(t, db)
	}
	_, err := db.Get(context.Background(), []byte("t0/x")) // metadata of all is there
	require.ErrorIs(t, err, ErrNotFound)
	s.Record(true)
	return db, s
}

// With a prefix filter a scan of an absent prefix fetches no block, and one of a present prefix
// only those of the table that has it; without one every table is read.
func TestPrefixFilterSavesRequests(t *testing.T) {
	slashes := BloomFilter(20, BloomOptions{Extractor: PrefixUntil('/')})
	for name, c := range map[string]struct {
		policies        []FilterPolicy
		absent, present bool // whether filters help
	}{
		"none":       {[]FilterPolicy{}, false, false},
		"whole keys": {nil, false, false},
		"prefixes":   {[]FilterPolicy{slashes}, true, true},
		"both":       {[]FilterPolicy{BloomFilter(10, BloomOptions{}), slashes}, true, true},
		"ranges":     {[]FilterPolicy{ftMinMax{}}, false, false},
		"words":      {[]FilterPolicy{ftWords{}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.FilterPolicies = c.policies
			db, s := ftTables(t, o, 4)
			for _, order := range []Order{Ascending, Descending} {
				require.Empty(t, scanRows(t, db, Prefix([]byte("t9/")), &ScanOptions{Order: order}))
				if n := ftReads(s); c.absent {
					require.Zero(t, n, "absent prefix")
				} else {
					require.Equal(t, 4, n, "absent prefix")
				}
				require.Len(t, scanRows(t, db, Prefix([]byte("t2/")), &ScanOptions{Order: order}), 50)
				if n := ftReads(s); c.present {
					require.LessOrEqual(t, n, 4, "several requests, of one table")
				} else {
					require.Greater(t, n, 4)
				}
			}
			// The range of a narrowed prefix scan, made by hand, is a prefix query too.
			require.Empty(t, scanRows(t, db, Range{Start: []byte("t9/10"), End: []byte("t9/20")}, nil))
			require.Equal(t, c.absent, ftReads(s) == 0)
		})
	}
}

// ftField is a policy over a number in the values: tables whose numbers all lie outside the
// bounds in the filter context are not read.
type ftField struct{}

func (ftField) Name() string              { return "field" }
func (ftField) SupportsRange() bool       { return true }
func (ftField) NewBuilder() FilterBuilder { return &ftFieldBuilder{min: math.MaxUint64} }

type ftFieldBuilder struct{ min, max uint64 }

func (b *ftFieldBuilder) Add(r *Row) {
	if r.Kind != ValueRow || len(r.Value) != 8 {
		b.min, b.max = 0, math.MaxUint64 // it cannot be left out: it hides older rows
		return
	}
	n := binary.BigEndian.Uint64(r.Value)
	b.min, b.max = min(b.min, n), max(b.max, n)
}

func (b *ftFieldBuilder) Build() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.min), b.max)
}

func (ftField) MayContain(data []byte, q *FilterQuery) (bool, error) {
	if len(q.Context) != 16 {
		return true, nil
	}
	lo, hi := binary.BigEndian.Uint64(q.Context), binary.BigEndian.Uint64(q.Context[8:])
	return binary.BigEndian.Uint64(data) <= hi && binary.BigEndian.Uint64(data[8:]) >= lo, nil
}

// A filter over a field of the values skips tables by the context of the read: plain scans,
// prefix scans and gets, on every handle.
func TestFilterContextSkipsTables(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	s := faulty.New(o.Store, nil)
	o.Store, o.FilterPolicies, o.MinFilterKeys = s, []FilterPolicy{ftField{}}, -1
	o.BlockCacheBytes, o.MetaCacheBytes = -1, 1<<20
	db := openTest(t, o)
	for day := range 5 { // keys are random, numbers come with time
		for i := range 10 {
			k := fmt.Appendf(nil, "u/%d-%d", i, day)
			_, err := db.PutWithOptions(ctx, k, binary.BigEndian.AppendUint64(nil, uint64(100*day+i)), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		flushMem(t, db)
	}
	snap, err := db.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	tx, err := db.Begin(SnapshotIsolation)
	require.NoError(t, err)
	defer tx.Rollback()
	rd := testReader(t, o.Store, "db", ReaderOptions{Mode: FollowLatest, FilterPolicies: o.FilterPolicies, BlockCacheBytes: -1, MetaCacheBytes: 1 << 20})
	window := func(lo, hi uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, lo), hi)
	}
	for name, r := range map[string]ReadOps{"db": db, "snapshot": snap, "transaction": tx, "reader": rd} {
		t.Run(name, func(t *testing.T) {
			for _, rng := range []Range{All, Prefix([]byte("u/"))} {
				for _, order := range []Order{Ascending, Descending} {
					require.Len(t, scanRows(t, r, rng, &ScanOptions{Order: order}), 50)
					s.Record(true)
					c := window(200, 205)
					it, err := r.ScanWithOptions(ctx, rng, &ScanOptions{Order: order, FilterContext: c})
					require.NoError(t, err)
					clear(c) // the slice is the caller's again
					n := 0
					for it.Next() {
						n++
					}
					require.NoError(t, it.Close())
					require.Equal(t, 10, n, "the rows of one table")
					require.Equal(t, 1, ftReads(s))
					require.Empty(t, scanRows(t, r, rng, &ScanOptions{Order: order, FilterContext: window(1000, 2000)}))
					require.Zero(t, ftReads(s))
				}
			}
			key := []byte("u/3-2")
			for _, c := range []struct {
				context []byte
				found   bool
			}{{nil, true}, {window(0, 1000), true}, {window(203, 203), true}, {window(300, 400), false}} {
				ro := &ReadOptions{FilterContext: c.context}
				_, err := r.GetWithOptions(ctx, key, ro)
				require.Equal(t, c.found, err == nil)
				_, err = r.GetEntry(ctx, key, ro)
				require.Equal(t, c.found, err == nil)
				_, err = r.AppendGet(ctx, nil, key, ro)
				require.Equal(t, c.found, err == nil)
				vs, err := r.MultiGet(ctx, [][]byte{key, key}, ro)
				require.NoError(t, err)
				require.Equal(t, c.found, vs[0] != nil && vs[1] != nil)
			}
			s.Record(true)
		})
	}
}

// ftSpy is a policy that writes down what it is asked, and always says maybe.
type ftSpy struct {
	rng, prefix bool
	mu          *sync.Mutex
	asked       *[]string
}

func (p ftSpy) Name() string            { return fmt.Sprint("spy", p.rng, p.prefix) }
func (p ftSpy) SupportsRange() bool     { return p.rng }
func (p ftSpy) SupportsPrefix() bool    { return p.prefix }
func (ftSpy) NewBuilder() FilterBuilder { return ftSpyBuilder{} }
func (ftSpyBuilder) Add(*Row)           {}
func (ftSpyBuilder) Build() []byte      { return []byte{} }

type ftSpyBuilder struct{}

func (p ftSpy) MayContain(data []byte, q *FilterQuery) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.asked = append(*p.asked, fmt.Sprintf("%s %q [%q %q] %q", []string{"point", "prefix", "range"}[q.Kind], q.Key, q.Range.Start, q.Range.End, q.Context))
	return true, nil
}

// Gets ask points; prefix scans ask prefixes, or ranges when only those are answered; plain scans
// ask ranges where they are answered.
func TestWhatPoliciesAreAsked(t *testing.T) {
	ctx := context.Background()
	point, prefix, rng := `point "ab" ["" ""] "ctx"`, `prefix "ab" ["ab" "ac"] "ctx"`, `range "" ["ab" "ac"] "ctx"`
	for _, c := range []struct {
		rng, prefix  bool
		onPrefix     string
		plain        string
		kind         string
		kindOfPrefix string
	}{
		{false, true, prefix, "", "", "prefix"},
		{true, true, prefix, `range "" ["a" ""] "ctx"`, "range", "prefix"},
		{true, false, rng, `range "" ["a" ""] "ctx"`, "range", "range"},
		{false, false, "", "", "", ""},
	} {
		t.Run(fmt.Sprintf("range=%v/prefix=%v", c.rng, c.prefix), func(t *testing.T) {
			var mu sync.Mutex
			asked := []string{}
			o := testOptions()
			o.FilterPolicies, o.MinFilterKeys = []FilterPolicy{ftSpy{c.rng, c.prefix, &mu, &asked}}, -1
			o.MergeOperator = concatOp
			told := map[string]float64{}
			o.MetricsRecorder = sumRecorder{&mu, told}
			db := openTest(t, o)
			putKeys(t, db, "aa", "b")
			flushAll(t, db)
			take := func() string {
				mu.Lock()
				defer mu.Unlock()
				out := strings.Join(asked, ",")
				asked = asked[:0]
				return out
			}
			figure := func(what, kind string) float64 {
				return metric(t, db.Metrics(), "slatedb.db.sst_filter_"+what+"_count", "kind", kind)
			}
			_, err := db.GetWithOptions(ctx, []byte("ab"), &ReadOptions{FilterContext: []byte("ctx")})
			require.ErrorIs(t, err, ErrNotFound)
			require.Contains(t, take(), point)
			require.EqualValues(t, 1, figure("positive", "point"), "one table, however often it was asked")
			require.EqualValues(t, 1, figure("false_positive", "point"))

			scan := func(r Range) {
				for _, order := range []Order{Ascending, Descending} {
					before := map[string]float64{"prefix": figure("false_positive", "prefix"), "range": figure("false_positive", "range")}
					rows := scanRows(t, db, r, &ScanOptions{FilterContext: []byte("ctx"), Order: order})
					for kind, n := range before {
						grown := 0.0
						if len(rows) == 0 && kind == c.kindOfPrefix {
							grown = 1
						}
						require.Equal(t, n+grown, figure("false_positive", kind), "false positives of kind %s", kind)
					}
				}
			}
			twice := func(s string) string {
				if s == "" {
					return ""
				}
				return s + "," + s
			}
			scan(Prefix([]byte("ab")))
			require.Equal(t, twice(c.onPrefix), take())
			scan(Range{Start: []byte("a")})
			require.Equal(t, twice(c.plain), take())
			for _, kind := range []string{"prefix", "range"} {
				want := 0.0
				if kind == c.kind {
					want += 2
				}
				if kind == c.kindOfPrefix {
					want += 2
				}
				require.Equal(t, want, figure("positive", kind), "positives of kind %s", kind)
				require.Zero(t, figure("negative", kind))
			}
			require.NoError(t, db.RefreshManifest(ctx))
			for _, kind := range []string{"point", "prefix", "range"} {
				for _, what := range []string{"positive", "negative", "false_positive"} {
					// The flusher may still be telling, and looks again for the refresh when it has.
					require.Eventually(t, func() bool {
						mu.Lock()
						defer mu.Unlock()
						return told["slatedb.db.sst_filter_"+what+"_countkind,"+kind] == figure(what, kind)
					}, 5*time.Minute, time.Millisecond, "%s of kind %s", what, kind)
				}
			}
		})
	}
}

// ftBroken is a policy that fails on command.
type ftBroken struct {
	ftWords
	x *trouble
}

func (ftBroken) Name() string { return "broken" }

func (p ftBroken) NewBuilder() FilterBuilder { return &ftBrokenBuilder{x: p.x} }

type ftBrokenBuilder struct {
	ftWordsBuilder
	x *trouble
}

func (b *ftBrokenBuilder) Build() []byte {
	_ = b.x.maybe()
	return b.ftWordsBuilder.Build()
}

// A builder that panics fails the compaction that needs it; the database stays usable, the job
// is done once the builder works, and Close does not hang.
func TestBrokenBuilderInCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		x := &trouble{}
		o := testOptions()
		o.FilterPolicies, o.MinFilterKeys, o.DisableCompactor = []FilterPolicy{ftBroken{x: x}}, -1, false
		db := openTest(t, o)
		for range 2 {
			putKeys(t, db, "a", "b")
			flushAll(t, db)
		}
		x.mode.Store(2)
		short, cancel := context.WithTimeout(ctx, time.Minute)
		require.ErrorIs(t, db.Compact(short), context.DeadlineExceeded)
		cancel()
		require.Greater(t, x.hits.Load(), int32(1))
		require.NoError(t, db.Status().Err)
		require.Equal(t, []string{"a", "b"}, keysSeen(t, db))
		putKeys(t, db, "c")
		x.mode.Store(0)
		require.NoError(t, db.Compact(ctx))
		require.Equal(t, []string{"a", "b", "c"}, keysSeen(t, db))
		require.Len(t, db.state.Load().root.runs, 1)
		x.mode.Store(2)
		flushed := db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable})
		require.NoError(t, flushed, "nothing to flush")
		closeAll(t, db)
	})
}

// Combined operands are counted by reads, plain values are not.
func TestReadOperandsAreCounted(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.MergeOperator = concatOp
	db := openTest(t, o)
	folded := func() float64 {
		return metric(t, db.Metrics(), "slatedb.merge_operator_operands", "path", "read")
	}
	require.NoError(t, db.Put(ctx, []byte("plain"), []byte("v")))
	require.NoError(t, db.Put(ctx, []byte("k"), []byte("v")))
	flushMem(t, db)
	for range 3 {
		require.NoError(t, db.Merge(ctx, []byte("k"), []byte("+")))
	}
	require.NoError(t, db.Merge(ctx, []byte("alone"), []byte("+")))
	_, err := db.Get(ctx, []byte("plain"))
	require.NoError(t, err)
	_, err = db.Get(ctx, []byte("alone"))
	require.NoError(t, err)
	require.Zero(t, folded())
	v, err := db.Get(ctx, []byte("k"))
	require.NoError(t, err)
	require.Equal(t, "v+++", string(v))
	require.EqualValues(t, 3, folded())
	_, err = db.MultiGet(ctx, [][]byte{[]byte("k"), []byte("plain")}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 6, folded())
	require.Len(t, scanRows(t, db, All, &ScanOptions{Order: Descending}), 3)
	require.EqualValues(t, 9, folded())
	for range db.Entries(ctx, All, &ScanOptions{KeysOnly: true}) {
	}
	require.EqualValues(t, 9, folded(), "nobody looks at values")
}
