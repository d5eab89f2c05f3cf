package slatedb

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// observer keeps what a recorder with histograms is told.
type observer struct {
	sumRecorder
	n, sum map[string]float64
	bounds []float64
	panics bool
}

func newObserver() *observer {
	return &observer{sumRecorder: sumRecorder{new(sync.Mutex), map[string]float64{}}, n: map[string]float64{}, sum: map[string]float64{}}
}

func (o *observer) Observe(name string, value float64, bounds []float64, labels ...string) {
	if o.panics {
		panic("a recorder's bug")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := name + " " + strings.Join(labels, " ")
	o.n[key]++
	o.sum[key] += value
	o.bounds = bounds
}

// The figures of the object store say which role asked which store for what, and how long it took.
func TestRequestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := faulty.New(delay.New(objstore.NewMemory(), delay.Options{Put: 20 * time.Millisecond, Get: time.Millisecond}), nil)
		f.SetProperties(func(p *objstore.Properties) { p.UploadParts = 1 << 10 })
		rec := newObserver()
		o := testOptions()
		o.Store, o.WALStore, o.MetricsRecorder = f, delay.New(objstore.NewMemory(), delay.Options{Put: 3 * time.Second}), rec
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("k"), bytes.Repeat([]byte("v"), 5<<10)))
		f.Script(faulty.Rule{Method: "put", Nth: 1, Kind: faulty.ErrorBefore})
		flushMem(t, db)
		_, err = db.Get(ctx, []byte("k"))
		require.NoError(t, err)
		m := db.Metrics()

		const requests, failures, seconds = "slatedb.object_store.request_count", "slatedb.object_store.error_count", "slatedb.object_store.request_duration_seconds"
		wal := []string{"component", "db", "store_type", "wal", "op", "put", "api", "put", "cause", "wal"}
		require.Equal(t, 2.0, metric(t, m, requests, wal...), "the fence and the write")
		require.Equal(t, 2.0, metric(t, m, seconds+"_count", wal...))
		require.Equal(t, 6.0, metric(t, m, seconds+"_sum", wal...))
		for le, want := range map[string]float64{"0.001": 0, "2.5": 0, "5": 2, "+Inf": 2} {
			require.Equal(t, want, metric(t, m, seconds+"_bucket", append(wal, "le", le)...), le)
		}
		require.Positive(t, metric(t, m, requests, "component", "db", "store_type", "main", "op", "get", "api", "get_range"))
		require.Equal(t, 1.0, metric(t, m, failures), "one request failed")
		require.Equal(t, metric(t, m, requests), metric(t, m, requests, "op", "get")+metric(t, m, requests, "op", "put")+metric(t, m, requests, "op", "delete"))

		// The recorder was told the same.
		rec.mu.Lock()
		key := strings.Join(wal, " ")
		require.Equal(t, 2.0, rec.n[seconds+" "+key])
		require.Equal(t, 6.0, rec.sum[seconds+" "+key])
		require.Equal(t, []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}, rec.bounds)
		rec.mu.Unlock()
		require.NoError(t, db.Close(ctx))

		// Another role, and a recorder that fails.
		rec.panics = true
		r, err := OpenReader(ctx, "db", &ReaderOptions{Store: f, WALStore: o.WALStore, MetricsRecorder: rec})
		require.NoError(t, err)
		m = r.Metrics()
		require.Positive(t, metric(t, m, requests, "component", "reader", "store_type", "wal"))
		_, ok := m.Value(requests, "component", "db")
		require.False(t, ok)
		require.NoError(t, r.Close(ctx))
	})
}

// An upload in parts is several requests, and one call.
func TestRequestFiguresOfUploadsInParts(t *testing.T) {
	ctx := context.Background()
	f := faulty.New(objstore.NewMemory(), nil)
	f.SetProperties(func(p *objstore.Properties) { p.UploadParts = 1 << 10 })
	h := openTest(t, testOptions()).handle
	s := h.meter("compactor", f)
	for _, n := range []int{10 << 10, 100} {
		_, err := s.Upload(ctx, "x", bytes.NewReader(make([]byte, n)), objstore.Always)
		require.NoError(t, err)
	}
	_, err := s.Put(ctx, "x", nil, objstore.Always)
	require.NoError(t, err)
	m := h.metrics()
	for api, want := range map[string]float64{"multipart_init": 1, "multipart_part": 10, "multipart_complete": 1, "put": 2} {
		require.Equal(t, want, metric(t, m, requestCount, "component", "compactor", "op", "put", "api", api, "cause", "compactor"), api)
	}
	require.Equal(t, 1.0, metric(t, m, requestDuration+"_count", "component", "compactor", "api", "multipart_complete"))
	require.Equal(t, 2.0, metric(t, m, requestDuration+"_count", "component", "compactor", "api", "put"))
	require.Equal(t, float64(10<<10), metric(t, m, requestBytesOut, "component", "compactor", "api", "multipart_complete"))
}

// A recorder that panics does not stop a collector or compactor of an Admin.
func TestRecordersOfAnAdminMayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := objstore.NewMemory()
		o := testOptions()
		o.Store = s
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.Close(ctx)
		a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet, MetricsRecorder: panicking{}})
		require.NoError(t, err)
		defer a.Close()
		_, err = a.RunGCOnce(ctx, nil)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		require.NoError(t, a.RunCompactor(short, nil))
	})
}

type panicking struct{}

func (panicking) Count(string, uint64, ...string)               { panic("a bug of the user's") }
func (panicking) Gauge(string, float64, ...string)              { panic("a bug of the user's") }
func (panicking) Observe(string, float64, []float64, ...string) { panic("a bug of the user's") }

// The recorder of an Admin hears of its requests at the end of each call, and every minute of
// one that goes on.
func TestRequestFiguresOfAnAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := objstore.NewMemory()
		db := openTest(t, testOptions().with(func(o *Options) { o.Store, o.DisableGC = s, true }))
		defer db.Close(ctx)
		rec := newObserver()
		a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet, MetricsRecorder: rec, SkipProbe: true})
		require.NoError(t, err)
		defer a.Close()
		told := func(cause, api string) (n float64) {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			for key, v := range rec.m {
				if strings.HasPrefix(key, requestCount) && strings.Contains(key, "cause,"+cause) && strings.Contains(key, "api,"+api) {
					n += v
				}
			}
			return n
		}
		_, err = a.ListManifests(ctx, 0, 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, told("admin", "list"))
		_, err = a.ListManifests(ctx, 0, 0)
		require.NoError(t, err)
		require.EqualValues(t, 2, told("admin", "list"))

		gctx, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- a.RunGC(gctx, &GCOptions{Interval: 5 * time.Minute}) }()
		time.Sleep(7 * time.Minute)
		synctest.Wait()
		first := told("gc", "list")
		require.Positive(t, first)
		for range 3 { // so that there is something to look at again
			require.NoError(t, db.Put(ctx, []byte("k"), nil))
			flushMem(t, db)
			time.Sleep(10 * time.Minute)
		}
		synctest.Wait()
		require.Greater(t, told("gc", "list"), first, "while it runs")
		cancel()
		require.NoError(t, <-done)
	})
}
