package slatedb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// The scenarios of section L: callbacks, Close, leaks, clocks, contexts.

// everyEvent sets all functions of a listener to f.
func everyEvent(f func(name string)) EventListener {
	return EventListener{
		WriteStall:      func(StallInfo) { f("WriteStall") },
		L0Stall:         func(StallInfo) { f("L0Stall") },
		MemtableFlushed: func(FlushInfo) { f("MemtableFlushed") },
		WALUploaded:     func(WALInfo) { f("WALUploaded") },
		ClockWentBack:   func(time.Duration) { f("ClockWentBack") },
		Disk:            func(DiskTrouble) { f("Disk") },
		Closed:          func(error) { f("Closed") },
	}
}

// recorder calls f for every figure.
type recorder struct {
	f func(name string, labels []string, delta uint64)
}

func (r recorder) Count(name string, delta uint64, labels ...string) { r.f(name, labels, delta) }
func (r recorder) Gauge(name string, _ float64, labels ...string)    { r.f(name, labels, 0) }

// busyLife writes, flushes, reads, scans and closes; everything must work.
func busyLife(t *testing.T, o *Options) {
	t.Helper()
	ctx := context.Background()
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	for i := range 20 {
		require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%02d", i), make([]byte, 100)))
		if i%5 == 0 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
		_, err := db.Get(ctx, fmt.Appendf(nil, "%02d", i))
		require.NoError(t, err)
	}
	require.Len(t, scanRows(t, db, Range{End: []byte("2"), EndInclusive: true}, nil), 20)
	require.NoError(t, db.Close(ctx))
	require.NoError(t, db.Close(ctx))
}

// Events and figures that panic change nothing.
func TestL1_PanickingObservers(t *testing.T) {
	testkit.NoLeaks(t)
	seen := sync.Map{}
	o := testOptions()
	o.EventListener = everyEvent(func(n string) { seen.Store(n, true); panic(n) })
	o.MetricsRecorder = recorder{func(n string, _ []string, _ uint64) { seen.Store(n, true); panic(n) }}
	busyLife(t, o)
	for _, n := range []string{"MemtableFlushed", "WALUploaded", "Closed", "slatedb.db.write_ops", "slatedb.wal.wal_buffer_flushes"} {
		_, ok := seen.Load(n)
		require.True(t, ok, n)
	}
	r, err := OpenReader(context.Background(), "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: o.Store, Logger: quiet, MetricsRecorder: o.MetricsRecorder})
	require.NoError(t, err)
	_, err = r.Get(context.Background(), []byte("01"))
	require.NoError(t, err)
	require.NoError(t, r.Close(context.Background()))
}

// Observers may call the handle that calls them: reads, writes that do not wait, figures, and
// Close from the event that says that it is over.
func TestL1_ReenteringObservers(t *testing.T) {
	for _, end := range []string{"close", "fence"} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			var db atomic.Pointer[DB]
			var depth atomic.Int32
			seen := sync.Map{}
			again := func(name string) {
				seen.Store(name, true)
				d := db.Load()
				if d == nil || depth.Add(1) > 3 {
					depth.Add(-1)
					return
				}
				defer depth.Add(-1)
				_ = d.Status()
				_ = d.Metrics()
				_, _ = d.Get(ctx, []byte("00"))
				for range d.Entries(ctx, All, &ScanOptions{Limit: 1}) {
				}
				if depth.Load() == 1 && name != "Closed" {
					_, _ = d.PutWithOptions(ctx, []byte("event"), []byte(name), &PutOptions{NoWait: true})
				}
				for range d.Watch(ctx) {
					break
				}
				if name == "Closed" {
					_ = d.Close(ctx)
				}
			}
			o := testOptions()
			o.EventListener = everyEvent(again)
			o.MetricsRecorder = recorder{func(n string, _ []string, _ uint64) { again(n) }}
			d, err := Open(ctx, "db", o)
			require.NoError(t, err)
			db.Store(d)
			for i := range 10 {
				require.NoError(t, d.Put(ctx, fmt.Appendf(nil, "%02d", i), nil))
				require.NoError(t, d.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			}
			if end == "close" {
				require.NoError(t, d.Close(ctx))
			} else {
				o2 := testOptions()
				o2.Store = o.Store
				d2, err := Open(ctx, "db", o2)
				require.NoError(t, err)
				require.ErrorIs(t, d.Put(ctx, []byte("late"), nil), ErrFenced)
				require.NoError(t, d.Close(ctx))
				require.NoError(t, d2.Close(ctx))
			}
			synctest.Wait()
			_, ok := seen.Load("Closed")
			require.True(t, ok)
		})
	}
}

// An observer that blocks holds up only the task that called it.
func TestL1_BlockingObservers(t *testing.T) {
	for _, event := range []string{"WALUploaded", "MemtableFlushed"} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			release := make(chan struct{})
			blocked := make(chan struct{})
			var once sync.Once
			o := testOptions()
			o.EventListener = everyEvent(func(n string) {
				if n == event {
					once.Do(func() { close(blocked); <-release })
				}
			})
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				err := db.Put(ctx, []byte("a"), []byte("1"))
				if err == nil {
					err = db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable})
				}
				done <- err
			}()
			<-blocked
			for i := range 50 {
				_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "b%d", i), nil, &PutOptions{NoWait: true})
				require.NoError(t, err)
				_, err = db.Get(ctx, []byte("a"))
				require.NoError(t, err)
			}
			require.Len(t, scanRows(t, db, All, nil), 51)
			_, _ = db.Status(), db.Metrics()
			short, cancel := context.WithTimeout(ctx, time.Second)
			_ = db.Flush(short)
			cancel()
			close(release)
			require.NoError(t, <-done)
			require.NoError(t, db.Flush(ctx))
			require.NoError(t, db.Close(ctx))
		})
	}
}

// trouble makes a callback fail on command.
type trouble struct {
	mode atomic.Int32 // 0 none, 1 error, 2 panic
	hits atomic.Int32
}

var errTrouble = errors.New("the callback fails")

func (x *trouble) maybe() error {
	switch x.mode.Load() {
	case 1:
		x.hits.Add(1)
		return errTrouble
	case 2:
		x.hits.Add(1)
		panic("the callback panics")
	}
	return nil
}

type troubledTransformer struct{ enc, dec *trouble }

func (x troubledTransformer) Encode(b []byte) ([]byte, error) {
	if err := x.enc.maybe(); err != nil {
		return nil, err
	}
	return goldenTransform{}.Encode(b)
}

func (x troubledTransformer) Decode(b []byte) ([]byte, error) {
	if err := x.dec.maybe(); err != nil {
		return nil, err
	}
	return goldenTransform{}.Decode(b)
}

type troubledExtractor struct {
	*trouble
	name *trouble
}

func (x troubledExtractor) Name() string {
	_ = x.name.maybe()
	return "fixed3"
}

func (x troubledExtractor) PrefixLen(b []byte, p bool) (int, bool) {
	if x.maybe() != nil {
		return -1, true
	}
	return fixed3{}.PrefixLen(b, p)
}

type troubledPolicy struct {
	FilterPolicy
	build, ask, name *trouble
}

func (x troubledPolicy) Name() string {
	_ = x.name.maybe()
	return x.FilterPolicy.Name()
}

func (x troubledPolicy) NewBuilder() sst.FilterBuilder {
	return troubledBuilder{x.FilterPolicy.NewBuilder(), x.build}
}

func (x troubledPolicy) MayContain(data []byte, q *sst.Query) (bool, error) {
	if err := x.ask.maybe(); err != nil {
		return false, err
	}
	return x.FilterPolicy.MayContain(data, q)
}

type troubledBuilder struct {
	sst.FilterBuilder
	*trouble
}

func (x troubledBuilder) Build() []byte {
	_ = x.maybe()
	return x.FilterBuilder.Build()
}

// kinds of errors that a caller can tell apart.
var errKinds = []error{ErrInvalid, ErrCorrupt, ErrUnavailable, ErrInternal, ErrClosed}

func requireKind(t testing.TB, err error, what string) {
	t.Helper()
	require.Error(t, err, what)
	for _, k := range errKinds {
		if errors.Is(err, k) {
			return
		}
	}
	t.Fatalf("%s: an error without a kind: %v", what, err)
}

// A transformer, extractor or filter that fails or panics in a write, a flush or a read gives a
// typed error. The handle goes on, or is closed and says why; nothing that was acknowledged is
// lost, nothing wrong is written.
func TestL1_FailingCallbacks(t *testing.T) {
	ctx := context.Background()
	for _, cached := range []bool{true, false} {
		for _, mode := range []int32{1, 2} {
			for _, which := range []string{"encode", "decode", "extract", "filter build", "filter ask"} {
				t.Run(fmt.Sprintf("%s/mode=%d/cached=%v", which, mode, cached), func(t *testing.T) {
					testkit.NoLeaks(t)
					troubles := map[string]*trouble{"none": {}}
					for _, n := range []string{"encode", "decode", "extract", "filter build", "filter ask"} {
						troubles[n] = &trouble{}
					}
					x := troubles[which]
					o := testOptions()
					o.BlockTransformer = troubledTransformer{troubles["encode"], troubles["decode"]}
					o.SegmentExtractor = troubledExtractor{troubles["extract"], troubles["none"]}
					o.FilterPolicies = []FilterPolicy{troubledPolicy{BloomFilter(10, BloomOptions{}), troubles["filter build"], troubles["filter ask"], troubles["none"]}}
					o.MinFilterKeys, o.BlockSize, o.ManifestPollInterval = -1, 1<<10, -1
					if !cached {
						o.BlockCacheBytes, o.MetaCacheBytes = -1, -1
					}
					acked := map[string]bool{}
					put := func(db *DB, k string) error {
						err := db.Put(ctx, []byte(k), []byte(k))
						if err == nil {
							acked[k] = true
						}
						return err
					}
					check := func(db *DB) {
						t.Helper()
						got := map[string]bool{}
						for _, e := range scanRows(t, db, All, nil) {
							require.Equal(t, string(e.Key), string(e.Value))
							got[string(e.Key)] = true
						}
						for k := range acked {
							require.True(t, got[k], "%q was acknowledged", k)
							v, err := db.Get(ctx, []byte(k))
							require.NoError(t, err)
							require.Equal(t, k, string(v))
						}
					}
					o.SegmentExtractor = troubledExtractor{troubles["extract"], troubles["none"]}
					db := openTest(t, o)
					for i := range 30 {
						require.NoError(t, put(db, fmt.Sprintf("aaa-%02d", i)))
					}
					require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
					require.NoError(t, put(db, "bbb"))

					x.mode.Store(mode)
					ops := map[string]func() error{
						"put": func() error { return put(db, "aaa-new") },
						"get": func() error { _, err := db.Get(ctx, []byte("aaa-05")); return err },
						"get no": func() error {
							_, err := db.Get(ctx, []byte("aaa-055"))
							if errors.Is(err, ErrNotFound) {
								err = nil
							}
							return err
						},
						"multi": func() error {
							_, err := db.MultiGet(ctx, [][]byte{[]byte("aaa-05"), []byte("aaa-29")}, nil)
							return err
						},
						"scan": func() error {
							n := 0
							for _, err := range db.Entries(ctx, Prefix([]byte("aaa")), nil) {
								if err != nil {
									return err
								}
								n++
							}
							if n < 30 {
								t.Errorf("the scan lost rows: %d", n)
							}
							return nil
						},
						"flush": func() error { return db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}) },
					}
					failures := 0
					for _, name := range []string{"get", "get no", "multi", "scan", "put", "flush", "get", "scan"} {
						if err := ops[name](); err != nil {
							failures++
							requireKind(t, err, name)
							require.NotErrorIs(t, err, ErrNotFound)
						}
					}
					require.Positive(t, x.hits.Load(), "the callback was never asked")
					if which != "decode" || !cached {
						// With everything cached nothing is decoded.
						if which == "filter build" && mode == 1 {
							require.Zero(t, failures, "Build cannot return an error")
						} else {
							require.Positive(t, failures)
						}
					}
					x.mode.Store(0)
					if err := db.Status().Err; err != nil {
						require.ErrorIs(t, err, ErrClosed)
						for _, name := range []string{"get", "put", "scan", "flush"} {
							require.ErrorIs(t, ops[name](), ErrClosed, name)
						}
					} else {
						check(db)
						require.NoError(t, put(db, "ccc"))
						require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
						check(db)
					}
					require.NoError(t, db.Close(ctx))
					db = openTest(t, o)
					check(db)
					require.NoError(t, put(db, "ddd"))
					require.NoError(t, db.Close(ctx))

					// Opening with a callback that fails: a typed error, or it is not needed yet.
					x.mode.Store(mode)
					db, err := Open(ctx, "db", o)
					if err != nil {
						requireKind(t, err, "open")
					} else {
						_ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
					}
					x.mode.Store(0)
					check(openTest(t, o))
				})
			}
		}
	}
}

// Names are asked at open; one that panics is an invalid option.
func TestL1_PanickingNames(t *testing.T) {
	ctx := context.Background()
	bad := &trouble{}
	bad.mode.Store(2)
	for name, set := range map[string]func(*Options){
		"SegmentExtractor": func(o *Options) { o.SegmentExtractor = troubledExtractor{&trouble{}, bad} },
		"FilterPolicies": func(o *Options) {
			o.FilterPolicies = []FilterPolicy{troubledPolicy{BloomFilter(1, BloomOptions{}), &trouble{}, &trouble{}, bad}}
		},
	} {
		o := testOptions()
		set(o)
		require.ErrorIs(t, o.Validate(), ErrInvalid, name)
		require.ErrorContains(t, o.Validate(), name)
		_, err := Open(ctx, "db", o)
		require.ErrorIs(t, err, ErrInvalid, name)
	}
}

// appendOperands puts merge operands into the log of a closed database, as a writer does.
func appendOperands(t testing.TB, s objstore.Store, key string, operands ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	env := seam.New(seam.Env{})
	m := latestManifest(t, s)
	tail, err := wal.FindTail(ctx, s, env, "db", m.ReplayAfterWAL)
	require.NoError(t, err)
	seq := m.LastL0Seq + 1000
	w := wal.NewWriter(s, tail+1, seq, wal.Options{Root: "db", Env: env})
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	for _, op := range operands {
		seq++
		w.Append([]kv.Entry{{Key: []byte(key), Value: []byte(op), Kind: kv.Merge, Seq: seq, CreateTS: 1, ExpireTS: kv.NoTS}})
	}
	require.NoError(t, w.Flush(ctx))
	cancel()
	require.NoError(t, <-done)
}

// An operator that fails at its n-th call fails the read that needed it, whatever n, and only
// that; the next read is right. In a flush it closes the handle or not, but loses nothing.
func TestL3_FailingOperatorAtEachPosition(t *testing.T) {
	ctx := context.Background()
	operands := []string{"1", "2", "3", "4", "5"}
	for _, mode := range []string{"error", "panic"} {
		for n := 1; n <= len(operands); n++ {
			var calls, failAt atomic.Int32
			op := MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
				if calls.Add(1) == failAt.Load() {
					if mode == "panic" {
						panic(errTrouble)
					}
					return []byte("wrong"), errTrouble
				}
				return append(slices.Clone(existing), operand...), nil
			})
			o := testOptions()
			o.MergeOperator, o.ManifestPollInterval = op, -1
			db := openTest(t, o)
			require.NoError(t, db.Put(ctx, []byte("k"), []byte("base")))
			require.NoError(t, db.Put(ctx, []byte("l"), []byte("other")))
			require.NoError(t, db.Close(ctx))
			appendOperands(t, o.Store, "k", operands...)
			db = openTest(t, o)
			reads := map[string]func() (string, error){
				"get": func() (string, error) { v, err := db.Get(ctx, []byte("k")); return string(v), err },
				"entry": func() (string, error) {
					e, err := db.GetEntry(ctx, []byte("k"), nil)
					return string(e.Value), err
				},
				"multi": func() (string, error) {
					v, err := db.MultiGet(ctx, [][]byte{[]byte("l"), []byte("k")}, nil)
					if err != nil {
						return "", err
					}
					return string(v[1]), nil
				},
				"has": func() (string, error) {
					ok, err := db.Has(ctx, []byte("k"))
					if ok {
						return "base12345", err
					}
					return "", err
				},
				"scan": func() (string, error) {
					for e, err := range db.Entries(ctx, All, nil) {
						return string(e.Value), err
					}
					return "", nil
				},
				"backwards": func() (string, error) {
					it, err := db.ScanWithOptions(ctx, All, &ScanOptions{Order: Descending})
					require.NoError(t, err)
					require.True(t, it.Next(), "the row before it is fine")
					require.Equal(t, "l", string(it.Key()))
					if it.Next() {
						v := string(it.Value())
						return v, it.Close()
					}
					err = it.Err()
					require.False(t, it.Next(), "sticky")
					require.Equal(t, err, it.Close())
					return "", err
				},
			}
			for name, read := range reads {
				calls.Store(0)
				failAt.Store(int32(n))
				v, err := read()
				require.ErrorIs(t, err, ErrInvalid, "%s, call %d", name, n)
				if mode == "error" {
					require.ErrorIs(t, err, errTrouble, "the caller sees the operator's own error")
				}
				require.NotContains(t, v, "wrong")
				failAt.Store(0)
				v, err = read()
				require.NoError(t, err, name)
				require.Equal(t, "base12345", v, name)
			}
			// In the flush.
			calls.Store(0)
			failAt.Store(int32(n))
			if err := db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}); err != nil {
				requireKind(t, err, "flush")
				if mode == "error" {
					require.ErrorIs(t, err, errTrouble)
				}
			}
			failAt.Store(0)
			_ = db.Close(ctx)
			db = openTest(t, o)
			v, err := db.Get(ctx, []byte("k"))
			require.NoError(t, err)
			require.Equal(t, "base12345", string(v))
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			v, err = db.Get(ctx, []byte("k"))
			require.NoError(t, err)
			require.Equal(t, "base12345", string(v))
			require.NoError(t, db.Close(ctx))
		}
	}
}

// Close at each occurrence of each named point of writing, flushing and closing itself, in its
// three kinds. Whoever waits learns the truth, and a fresh handle finds what was promised.
func TestL2_CloseAtEveryPoint(t *testing.T) {
	type spot struct {
		name string
		nth  int
	}
	run := func(t *testing.T, at spot, kind CloseFlush, walOff bool) map[string]int {
		seen := map[string]int{}
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			inner := objstore.NewMemory()
			var mu sync.Mutex
			var db atomic.Pointer[DB]
			closed := make(chan error, 1)
			o := &Options{DisableCompactor: true, DisableGC: true, Store: delay.New(inner, delay.Options{Put: 3 * time.Millisecond, Get: time.Millisecond}), Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
				L0SSTSizeBytes: 800, L0MaxSSTs: 1 << 20, L0MaxSSTsPerKey: 1 << 20, DisableWAL: walOff, FlushInterval: 5 * time.Millisecond}
			o.onPoint = func(name string) {
				d := db.Load()
				if d == nil {
					return
				}
				mu.Lock()
				seen[name]++
				hit := seen[name] == at.nth && name == at.name
				mu.Unlock()
				if !hit {
					return
				}
				// Close begins while this step stands still.
				go func() { closed <- d.CloseWithOptions(ctx, &CloseOptions{Flush: kind}) }()
				for d.latched() == nil {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(2 * time.Millisecond)
			}
			d, err := Open(ctx, "db", o)
			require.NoError(t, err)
			db.Store(d)
			type written struct {
				key   string
				await error
			}
			var all []written
			var wg sync.WaitGroup
			var done atomic.Bool
			for w := range 3 {
				wg.Go(func() {
					for i := range 12 {
						k := fmt.Sprintf("%d/%02d", w, i)
						h, err := d.PutWithOptions(ctx, []byte(k), make([]byte, 60), &PutOptions{NoWait: true})
						if err != nil {
							require.ErrorIs(t, err, ErrClosed)
							return
						}
						werr := h.Await(ctx)
						mu.Lock()
						all = append(all, written{k, werr})
						mu.Unlock()
						if werr != nil {
							require.ErrorIs(t, werr, ErrClosed)
						}
					}
				})
			}
			wg.Wait()
			done.Store(true)
			var cerr error
			if at.nth > 0 {
				// The point may come only in the flush of a Close.
				second := d.CloseWithOptions(ctx, &CloseOptions{Flush: kind})
				mu.Lock()
				reached := seen[at.name] >= at.nth
				mu.Unlock()
				if reached {
					cerr = <-closed
					require.Equal(t, cerr, second, "both calls of Close say the same")
				} else {
					cerr = second
				}
			} else {
				cerr = d.CloseWithOptions(ctx, &CloseOptions{Flush: kind})
			}
			require.NoError(t, cerr, "%+v", at)
			db.Store(nil)
			require.ErrorIs(t, d.Status().Err, ErrClosed)
			o2 := *o
			o2.onPoint = nil
			d2, err := Open(ctx, "db", &o2)
			require.NoError(t, err)
			got := map[string]bool{}
			for _, e := range scanRows(t, d2, All, nil) {
				got[string(e.Key)] = true
			}
			for _, w := range all {
				if w.await == nil {
					require.True(t, got[w.key], "%+v: %s was durable", at, w.key)
				} else if kind != CloseNoFlush {
					t.Errorf("%+v: the final flush made %s durable, its waiter got %v", at, w.key, w.await)
				}
			}
			require.NoError(t, d2.Close(ctx))
		})
		return seen
	}
	for _, walOff := range []bool{false, true} {
		points := run(t, spot{}, CloseFlushMemtable, walOff)
		require.NotEmpty(t, points)
		names := slices.Sorted(maps.Keys(points))
		t.Log(points)
		for _, kind := range []CloseFlush{CloseFlushMemtable, CloseFlushWAL, CloseNoFlush} {
			for _, name := range names {
				for _, nth := range []int{1, 2, points[name]} {
					run(t, spot{name, nth}, kind, walOff)
				}
			}
		}
	}
}

// Close next to every call, from several goroutines at once: each call works or is ErrClosed,
// and afterwards all are.
func TestL2_CloseNextToEveryCall(t *testing.T) {
	testkit.NoLeaks(t)
	bg := context.Background()
	calls := map[string]func(*DB) error{
		"Put": func(db *DB) error { return db.Put(bg, []byte("k"), []byte("v")) },
		"NoWait": func(db *DB) error {
			_, err := db.PutWithOptions(bg, []byte("k"), nil, &PutOptions{NoWait: true})
			return err
		},
		"Delete":     func(db *DB) error { return db.Delete(bg, []byte("k2")) },
		"Write":      func(db *DB) error { var b WriteBatch; b.Put([]byte("b"), nil); return db.Write(bg, &b) },
		"Empty":      func(db *DB) error { return db.Write(bg, &WriteBatch{}) },
		"Get":        func(db *DB) error { _, err := db.Get(bg, []byte("x")); return err },
		"AppendGet":  func(db *DB) error { _, err := db.AppendGet(bg, nil, []byte("x"), nil); return err },
		"GetEntry":   func(db *DB) error { _, err := db.GetEntry(bg, []byte("x"), nil); return err },
		"Has":        func(db *DB) error { _, err := db.Has(bg, []byte("x")); return err },
		"MultiGet":   func(db *DB) error { _, err := db.MultiGet(bg, [][]byte{[]byte("x"), []byte("y")}, nil); return err },
		"Scan":       func(db *DB) error { it, err := db.Scan(bg, nil, nil); return closeScan(it, err) },
		"ScanPrefix": func(db *DB) error { it, err := db.ScanPrefix(bg, []byte("x")); return closeScan(it, err) },
		"ScanOptions": func(db *DB) error {
			it, err := db.ScanWithOptions(bg, All, &ScanOptions{Order: Descending})
			return closeScan(it, err)
		},
		"Entries": func(db *DB) (err error) {
			for _, err = range db.Entries(bg, All, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Flush":    func(db *DB) error { return db.Flush(bg) },
		"FlushMem": func(db *DB) error { return db.FlushWithOptions(bg, &FlushOptions{Type: FlushMemtable}) },
		"Refresh":  func(db *DB) error { return db.RefreshManifest(bg) },
	}
	quietCalls := map[string]func(*DB){
		"Status":  func(db *DB) { _ = db.Status() },
		"Metrics": func(db *DB) { _ = db.Metrics() },
		"Watch": func(db *DB) {
			for s := range db.Watch(bg) {
				if s.Err == nil {
					break
				}
			}
		},
	}
	for round := range 3 {
		o := testOptions()
		o.MinFilterKeys, o.FlushInterval = -1, time.Millisecond
		db := openTest(t, o)
		for i := range 20 {
			_, err := db.PutWithOptions(bg, fmt.Appendf(nil, "x%d", i), nil, &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(bg, &FlushOptions{Type: FlushMemtable}))
		h, err := db.PutWithOptions(bg, []byte("last"), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		started := make(chan struct{}, len(calls)+len(quietCalls))
		for name, call := range calls {
			wg.Go(func() {
				for first := true; ; first = false {
					err := call(db)
					if first {
						started <- struct{}{}
					}
					if errors.Is(err, ErrClosed) && name != "Empty" {
						return
					}
					if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrClosed) {
						t.Errorf("%s: %v", name, err)
						return
					}
					select {
					case <-stop:
						if err == nil || errors.Is(err, ErrNotFound) {
							continue // must see the end
						}
						return
					default:
					}
				}
			})
		}
		for _, call := range quietCalls {
			wg.Go(func() {
				for first := true; ; first = false {
					call(db)
					if first {
						started <- struct{}{}
					}
					select {
					case <-stop:
						return
					default:
						runtime.Gosched()
					}
				}
			})
		}
		for range cap(started) {
			<-started
		}
		kind := CloseFlush(round % 3)
		errs := make([]error, 3)
		var cw sync.WaitGroup
		for i := range errs {
			cw.Go(func() { errs[i] = db.CloseWithOptions(bg, &CloseOptions{Flush: kind}) })
		}
		cw.Wait()
		close(stop)
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		for name, call := range calls {
			require.ErrorIs(t, call(db), ErrClosed, name)
			require.NotErrorIs(t, call(db), ErrFenced, name)
		}
		for _, call := range quietCalls {
			call(db)
		}
		if kind != CloseNoFlush {
			require.NoError(t, h.Await(bg), "it was made durable")
		}
		require.ErrorIs(t, db.CloseWithOptions(bg, &CloseOptions{Flush: 9}), ErrInvalid)
	}
}

func closeScan(it *Iterator, err error) error {
	if err != nil {
		return err
	}
	for it.Next() {
	}
	return it.Close()
}

// Close with a ctx that has ended flushes nothing, stops everything all the same, and says so;
// waiters and a fresh handle agree on what became durable.
func TestL2_CloseWithAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := faulty.New(objstore.NewMemory(), nil)
		o := testOptions()
		o.Store, o.FlushInterval = store, -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("durable"), nil))
		h, err := db.PutWithOptions(ctx, []byte("not"), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
		store.Script(faulty.Rule{Method: "put", Kind: faulty.Hang})
		gone, cancel := context.WithCancel(ctx)
		cancel()
		s := time.Now()
		require.ErrorIs(t, db.Close(gone), context.Canceled)
		require.ErrorIs(t, db.Close(ctx), context.Canceled, "later calls say what the first said")
		require.Less(t, time.Since(s), time.Second)
		require.ErrorIs(t, h.Await(ctx), ErrClosed)
		store.Clear()
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		require.Equal(t, []string{"durable"}, keysOf(scanRows(t, db, All, nil)))
		require.NoError(t, db.Close(ctx))
	})
}

// A thousand lives leave nothing behind: no goroutine, no descriptor, no memory.
func TestL4_OpenAndCloseAThousandTimes(t *testing.T) {
	testkit.NoLeaks(t)
	ctx := context.Background()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	n := 1000
	if testing.Short() {
		n = 200
	}
	inner := objstore.NewMemory()
	life := func(i int, o *Options) {
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		_, err = db.PutWithOptions(ctx, []byte("k"), fmt.Appendf(nil, "%d", i), &PutOptions{NoWait: true})
		require.NoError(t, err)
		if i%10 == 0 {
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
		_, err = db.Get(ctx, []byte("k"))
		require.NoError(t, err)
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlush(i % 3)}))
		if i%50 == 0 { // keep the store from being what grows
			for a, err := range inner.List(ctx, "", "") {
				require.NoError(t, err)
				require.NoError(t, inner.Delete(ctx, a.Key))
			}
		}
	}
	o := testOptions()
	o.Store = inner
	goroutines := 0
	var before uint64
	for i := range n {
		if i == 20 {
			goroutines, before = runtime.NumGoroutine(), heap()
		}
		if i%2 == 1 {
			o.BlockCacheBytes, o.MetaCacheBytes = 0, 0 // the process's cache
		} else {
			o.BlockCacheBytes, o.MetaCacheBytes = 1<<20, 1<<20
		}
		life(i, o)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+2)
	require.Less(t, heap(), before+(8<<20))

	fds := func() int {
		es, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return -1
		}
		return len(es)
	}
	dir := t.TempDir()
	open := 0
	for i := range 25 {
		if i == 5 {
			open = fds()
		}
		db, err := Open(ctx, dir+"/db", &Options{DisableCompactor: true, DisableGC: true, Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("k"), nil))
		r, err := OpenReader(ctx, dir+"/db", &ReaderOptions{Mode: FollowLatest, Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
		require.NoError(t, err)
		require.NoError(t, r.Close(ctx))
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
	}
	runtime.GC()
	if open >= 0 {
		require.LessOrEqual(t, fds(), open+3)
	}
	// Failed opens leave nothing either.
	for range 50 {
		s := faulty.New(objstore.NewMemory(), nil)
		s.CrashAt(1+rand.IntN(12), false)
		o := testOptions()
		o.Store = s
		if db, err := Open(ctx, "db", o); err == nil {
			_ = db.Close(ctx)
		}
	}
}

// busyStore counts the requests under way.
type busyStore struct {
	objstore.Store
	now, most atomic.Int64
}

func (b *busyStore) enter() func() {
	n := b.now.Add(1)
	for {
		m := b.most.Load()
		if n <= m || b.most.CompareAndSwap(m, n) {
			break
		}
	}
	return func() { b.now.Add(-1) }
}

func (b *busyStore) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	defer b.enter()()
	return b.Store.ReadAt(ctx, key, p, off)
}

func (b *busyStore) Get(ctx context.Context, key string) (objstore.Object, error) {
	defer b.enter()()
	return b.Store.Get(ctx, key)
}

// A cold start on many tables and a long log keeps the number of requests under way bounded.
func TestL5_RequestsInFlightAreBounded(t *testing.T) {
	inner := objstore.NewMemory()
	ctx := context.Background()
	o := testOptions()
	o.Store, o.MinFilterKeys, o.BlockSize = inner, -1, 1<<10
	db := openTest(t, o)
	const tables = 150
	for i := range tables {
		for k := range 3 {
			_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%03d", (i*7+k*50)%200), make([]byte, 800), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	}
	for range 200 {
		require.NoError(t, db.Put(ctx, []byte("k"), nil))
	}
	require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := &busyStore{Store: delay.New(inner, delay.Options{Get: 10 * time.Millisecond})}
		o := *o
		o.Store, o.ManifestPollInterval = store, -1
		db, err := Open(ctx, "db", &o)
		require.NoError(t, err)
		require.LessOrEqual(t, store.most.Load(), int64(64), "replay")
		most := func(f func()) int64 {
			store.most.Store(0)
			f()
			return store.most.Load()
		}
		scan := func(so *ScanOptions) func() {
			return func() { require.Len(t, scanRows(t, db, All, so), 201) }
		}
		require.LessOrEqual(t, most(scan(nil)), int64(64), "cold scan")
		require.LessOrEqual(t, most(scan(&ScanOptions{MaxFetchTasks: 2})), int64(2), "MaxFetchTasks")
		require.LessOrEqual(t, most(func() {
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					_, err := db.Get(ctx, fmt.Appendf(nil, "%03d", 2*i))
					require.NoError(t, err)
				})
			}
			wg.Wait()
		}), int64(64), "a hundred cold reads at once")
		require.NoError(t, db.Close(ctx))
	})
}

// shiftedClock is the real clock, wrong by an offset that may change. Its times carry no
// monotonic reading.
type shiftedClock struct {
	seam.SystemClock
	by *atomic.Int64
}

func (c shiftedClock) Now() time.Time { return time.Now().Round(0).Add(time.Duration(c.by.Load())) }

// A clock that is a day wrong at reopen, or steps by a day while everything is under way,
// delays nothing and turns no time back.
func TestL6_ClockAWholeDayOff(t *testing.T) {
	const day = 24 * time.Hour
	for _, walOff := range []bool{false, true} {
		for _, step := range []time.Duration{-day, day} {
			for _, gap := range []time.Duration{0, 50 * time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.Background()
					what := fmt.Sprintf("walOff=%v step=%v gap=%v", walOff, step, gap)
					var by atomic.Int64
					var lag atomic.Int64
					o := testOptions()
					o.Store = delay.New(objstore.NewMemory(), delay.Options{Put: 5 * time.Millisecond})
					o.Clock, o.DisableWAL, o.MinFlushGap = shiftedClock{by: &by}, walOff, gap
					o.EventListener.ClockWentBack = func(d time.Duration) { lag.Store(int64(d)) }
					quick := func(name string, f func() error) {
						t.Helper()
						s := time.Now()
						c, cancel := context.WithTimeout(ctx, time.Hour)
						defer cancel()
						done := make(chan error, 1)
						go func() { done <- f() }()
						select {
						case err := <-done:
							require.NoError(t, err, "%s: %s", what, name)
						case <-c.Done():
							t.Fatalf("%s: %s takes more than an hour", what, name)
						}
						require.Less(t, time.Since(s), 5*time.Second, "%s: %s", what, name)
					}
					var db *DB
					open := func() error { var err error; db, err = Open(ctx, "db", o); return err }
					n := 0
					var last time.Time
					work := func(where string) {
						for range 3 {
							n++
							var h WriteHandle
							quick(where+": put", func() error {
								var err error
								h, err = db.PutWithOptions(ctx, fmt.Appendf(nil, "%04d", n), nil, &PutOptions{TTL: 100 * day})
								return err
							})
							require.False(t, h.CreateTime().Before(last), "%s: create times go back", what)
							last = h.CreateTime()
						}
						_, err := db.PutWithOptions(ctx, []byte("nobody waits"), nil, &PutOptions{NoWait: true})
						require.NoError(t, err)
						quick(where+": flush", func() error { return db.Flush(ctx) })
						quick(where+": memtable flush", func() error { return db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}) })
						require.Len(t, scanRows(t, db, Range{End: []byte("a")}, nil), n, what)
					}
					quick("open", open)
					_, err := db.PutWithOptions(ctx, []byte("00 gone"), nil, &PutOptions{TTL: time.Minute})
					require.NoError(t, err)
					time.Sleep(time.Hour)
					_, err = db.Get(ctx, []byte("00 gone"))
					require.ErrorIs(t, err, ErrNotFound)
					work("before")
					by.Store(int64(step))
					work("after a step in flight")
					if step < 0 {
						require.InDelta(t, float64(day), float64(lag.Load()), float64(time.Minute), what)
					}
					_, err = db.Get(ctx, []byte("00 gone"))
					require.ErrorIs(t, err, ErrNotFound, "what has expired does not come back")
					time.Sleep(time.Minute)
					quick("close", func() error { return db.Close(ctx) })
					by.Store(int64(2 * step))
					quick("reopen", open)
					work("after a reopen")
					_, err = db.Get(ctx, []byte("00 gone"))
					require.ErrorIs(t, err, ErrNotFound)
					by.Store(0)
					work("back to the truth")
					quick("close", func() error { return db.Close(ctx) })
					quick("reopen", open)
					work("at last")
					quick("close", func() error { return db.Close(ctx) })
				})
			}
		}
	}
}

// A ctx that has ended: its error comes back as itself and nothing happens. Nil arguments that
// a caller may well pass are an error or the default, never a panic.
func TestL7_EndedContextsAndNilArguments(t *testing.T) {
	bg := context.Background()
	store := faulty.New(objstore.NewMemory(), nil)
	o := testOptions()
	o.Store, o.FlushInterval, o.ManifestPollInterval = store, -1, -1
	db := openTest(t, o)
	require.NoError(t, db.Put(bg, []byte("a"), []byte("1")))
	_, err := db.PutWithOptions(bg, []byte("b"), []byte("2"), &PutOptions{NoWait: true})
	require.NoError(t, err)
	for name, cause := range map[string]error{"cancelled": context.Canceled, "late": context.DeadlineExceeded} {
		ctx, cancel := context.WithCancel(bg)
		if name == "late" {
			ctx, cancel = context.WithDeadline(bg, time.Unix(1, 0))
		}
		cancel()
		before, seq := store.Requests(), db.Status().CommittedSeq
		var b WriteBatch
		b.Put([]byte("c"), nil)
		_, h := db.PutWithOptions(ctx, []byte("c"), nil, &PutOptions{NoWait: true})
		for call, err := range map[string]error{
			"Put": db.Put(ctx, []byte("c"), nil), "NoWait": h, "Delete": db.Delete(ctx, []byte("a")), "Write": db.Write(ctx, &b),
			"Flush": db.Flush(ctx), "FlushMem": db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}),
			"Get": lcErr(db.Get(ctx, []byte("a"))), "Has": lcErr(db.Has(ctx, []byte("a"))), "MultiGet": lcErr(db.MultiGet(ctx, [][]byte{[]byte("a")}, nil)),
			"GetEntry": lcErr(db.GetEntry(ctx, []byte("a"), nil)), "AppendGet": lcErr(db.AppendGet(ctx, nil, []byte("a"), nil)),
			"Scan": closeScan(db.Scan(ctx, nil, nil)), "ScanPrefix": closeScan(db.ScanPrefix(ctx, nil)),
		} {
			require.ErrorIs(t, err, cause, "%s %s", name, call)
		}
		for _, err := range db.Entries(ctx, All, nil) {
			require.ErrorIs(t, err, cause)
		}
		_, err = Open(ctx, "db", o)
		require.ErrorIs(t, err, cause)
		_, err = OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, Store: store, Logger: quiet})
		require.ErrorIs(t, err, cause)
		require.Equal(t, before, store.Requests(), "no request is sent under an ended ctx")
		require.Equal(t, seq, db.Status().CommittedSeq)
		require.NoError(t, db.Status().Err)
		n := 0
		for range db.Watch(ctx) {
			n++
		}
		require.Equal(t, 1, n, "Watch shows what is and ends")
	}
	require.Len(t, scanRows(t, db, All, nil), 2)

	// Nil and zero arguments.
	require.ErrorIs(t, db.Write(bg, nil), ErrInvalid)
	_, err = db.WriteWithOptions(bg, nil, nil)
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, WriteHandle{}.Await(bg))
	require.Zero(t, WriteHandle{}.Seq())
	require.True(t, WriteHandle{}.CreateTime().IsZero())
	require.ErrorIs(t, db.Put(bg, nil, nil), ErrInvalid)
	vs, err := db.MultiGet(bg, nil, nil)
	require.NoError(t, err)
	require.Empty(t, vs)
	require.NoError(t, db.FlushWithOptions(bg, nil))
	_, err = db.PutWithOptions(bg, []byte("n"), nil, nil)
	require.NoError(t, err)
	_, err = db.DeleteWithOptions(bg, []byte("n"), nil)
	require.NoError(t, err)
	it, err := db.ScanWithOptions(bg, Range{}, nil)
	require.NoError(t, err)
	require.Nil(t, it.Key())
	require.Nil(t, it.Value())
	require.Zero(t, it.Entry())
	require.True(t, it.Seek(nil), "nil is before everything")
	require.NoError(t, it.Close())
	require.Nil(t, it.Key())
	for _, so := range []*ScanOptions{{Limit: -1}, {ReadAheadBytes: -1}, {MaxFetchTasks: -1}, {Order: 7}} {
		_, err := db.ScanWithOptions(bg, All, so)
		require.ErrorIs(t, err, ErrInvalid)
	}
	var b WriteBatch
	b.PutWithOptions([]byte("k"), nil, nil)
	require.NoError(t, db.Write(bg, &b))
	b.PutWithOptions([]byte("k"), nil, &PutOptions{NoWait: true})
	require.ErrorIs(t, db.Write(bg, &b), ErrInvalid)
	require.NoError(t, db.CloseWithOptions(bg, nil))
}

func lcErr[T any](_ T, err error) error { return err }

// sumRecorder keeps what it is told.
type sumRecorder struct {
	mu *sync.Mutex
	m  map[string]float64
}

func (r sumRecorder) Count(name string, delta uint64, labels ...string) {
	r.mu.Lock()
	r.m[name+strings.Join(labels, ",")] += float64(delta)
	r.mu.Unlock()
}

func (r sumRecorder) Gauge(name string, v float64, labels ...string) {
	r.mu.Lock()
	r.m[name+strings.Join(labels, ",")] = v
	r.mu.Unlock()
}

// The names of behaviour.md 30 that a writer has are there, count what they say, and the
// recorder is told the same.
func TestMetricsNamesAndFigures(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	told := map[string]float64{}
	o := testOptions()
	o.MinFilterKeys, o.ManifestPollInterval = -1, -1
	o.MetricsRecorder = sumRecorder{&mu, told}
	db := openTest(t, o)
	for i := range 10 {
		require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d", i), make([]byte, 99)))
	}
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	var b WriteBatch
	b.Put([]byte("x"), nil)
	b.Put([]byte("x"), nil)
	b.Delete([]byte("y"))
	require.NoError(t, db.Write(ctx, &b))
	for _, k := range []string{"5", "55", "nope", "x"} {
		_, _ = db.Get(ctx, []byte(k))
	}
	scanRows(t, db, All, nil)
	require.NoError(t, db.RefreshManifest(ctx))
	m := db.Metrics()
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"slatedb.db.request_count", []string{"op", "get"}, 4},
		{"slatedb.db.request_count", []string{"op", "scan"}, 1},
		{"slatedb.db.request_count", []string{"op", "flush"}, 1},
		{"slatedb.db.write_ops", nil, 12},
		{"slatedb.db.write_batch_count", nil, 11},
		{"slatedb.db.backpressure_count", nil, 0},
		{"slatedb.db.l0_stall_count", []string{"type", "num_ssts"}, 0},
		{"slatedb.db.l0_stall_count", []string{"type", "num_ssts_per_key"}, 0},
		{"slatedb.db.immutable_memtable_flushes", nil, 1},
		{"slatedb.db.l0_flush_bytes", nil, -1},
		{"slatedb.db.memtable_write_bytes", nil, 1002},
		{"slatedb.db.sst_filter_positive_count", []string{"kind", "point"}, 1},
		{"slatedb.db.sst_filter_negative_count", []string{"kind", "point"}, 1},
		{"slatedb.db.sst_filter_false_positive_count", []string{"kind", "point"}, 0},
		{"slatedb.db.sst_filter_positive_count", []string{"kind", "prefix"}, 0},
		{"slatedb.db.sst_filter_negative_count", []string{"kind", "range"}, 0},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "filter", "result", "hit"}, 2},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "filter", "result", "miss"}, 0},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "index", "result", "hit"}, 3},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "data_block", "result", "hit"}, 1},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "data_block", "result", "miss"}, 1},
		{"slatedb.db_cache.access_count", []string{"entry_kind", "stats", "result", "miss"}, 0},
		{"slatedb.db_cache.error_count", nil, 0},
		{"slatedb.db.total_mem_size_bytes", nil, -1},
		{"slatedb.db.l0_sst_count", nil, 1},
		{"slatedb.db.segment_max_l0_sst_count", nil, 1},
		{"slatedb.db.sorted_run_count", nil, 0},
		{"slatedb.db.sst_view_count", nil, 1},
		{"slatedb.db.sst_count", nil, 1},
		{"slatedb.db.external_db_count", nil, 0},
		{"slatedb.wal.wal_buffer_flushes", nil, 11},
		{"slatedb.wal.wal_buffer_flush_requests", nil, 0},
		{"slatedb.wal.wal_buffer_estimated_bytes", nil, 0},
		{"slatedb.wal.wal_flush_bytes", nil, -1},
		{"slatedb.memtable_flush.memtable_freeze_count", nil, 1},
		{"slatedb.memtable_flush.checkpoint_request_count", nil, 0},
		{"slatedb.memtable_flush.flush_request_count", nil, 1},
		{"slatedb.memtable_flush.l0_upload_count", nil, 1},
		{"slatedb.memtable_flush.l0_flush_count", nil, 1},
		{"slatedb.memtable_flush.manifest_refresh_count", nil, 1},
	} {
		v, ok := m.Value(c.name, c.labels...)
		if !ok {
			t.Errorf("metric %s %v is missing", c.name, c.labels)
			continue
		}
		if c.want >= 0 {
			require.Equal(t, c.want, v, "%s %v", c.name, c.labels)
		} else {
			require.Positive(t, v, c.name)
		}
		// The flusher may still be telling, and looks again for the refresh when it has.
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return told[c.name+strings.Join(c.labels, ",")] == v // 0 when nothing was told
		}, 5*time.Minute, time.Millisecond, "what the recorder was told of %s %v", c.name, c.labels)
	}
	for x := range m.All() {
		require.True(t, strings.HasPrefix(x.Name, "slatedb."))
		require.Zero(t, len(x.Labels)%2)
		v, ok := m.Value(x.Name, x.Labels...)
		require.True(t, ok)
		require.Equal(t, x.Value, v, "%s %v stands there twice", x.Name, x.Labels)
	}
	_, ok := m.Value("slatedb.db.request_count", "op", "none")
	require.False(t, ok)
	_, ok = m.Value("slatedb.db.request_count", "op")
	require.False(t, ok)
	all, ok := m.Value("slatedb.db.request_count")
	require.True(t, ok)
	require.Equal(t, 6.0, all, "the sum over op")
	s := db.Status()
	require.EqualValues(t, 11, s.CommittedSeq)
	require.EqualValues(t, 11, s.DurableSeq)
	require.Positive(t, s.ManifestID)
	require.NoError(t, s.Err)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = db.Status() }), 1.0)
}

// What is charged for memory is given back, and is not far from what is held.
func TestMemoryAccounting(t *testing.T) {
	ctx := context.Background()
	for _, value := range []int{0, 10, 1000} {
		o := testOptions()
		o.FlushInterval, o.ManifestPollInterval = -1, -1
		db := openTest(t, o)
		total := 0
		for i := range 3000 {
			k := fmt.Appendf(nil, "key-%06d", i)
			_, err := db.PutWithOptions(ctx, k, make([]byte, value), &PutOptions{NoWait: true})
			require.NoError(t, err)
			total += len(k) + value
		}
		charged := metric(t, db.Metrics(), "slatedb.db.total_mem_size_bytes")
		require.GreaterOrEqual(t, charged, float64(total))
		require.LessOrEqual(t, charged, 2*float64(total)+3000*128)
		held := db.state.Load().mem.MemoryBytes()
		require.LessOrEqual(t, float64(held), 2*float64(db.pressure.used.Load())+3000*96+(1<<20), "the arena holds far more than is charged")
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		require.Zero(t, metric(t, db.Metrics(), "slatedb.db.total_mem_size_bytes"))
		// A refused write is charged nothing.
		_, err := db.PutWithOptions(ctx, []byte("k"), nil, &PutOptions{Seq: 1, NoWait: true})
		require.ErrorIs(t, err, ErrInvalid)
		require.Zero(t, db.pressure.used.Load())
		require.NoError(t, db.Close(ctx))
	}
}
