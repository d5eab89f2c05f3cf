package metered_test

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store {
		return metered.New(objstore.NewMemory(), "test", metered.NewLedger())
	})
}

func TestRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := faulty.New(delay.New(objstore.NewMemory(), delay.Options{Get: 3 * time.Millisecond, Put: 10 * time.Millisecond}), nil)
		l := metered.NewLedger()
		wal, gc := metered.New(f, "wal", l), metered.New(f, "gc", l)
		for i := range 3 {
			_, err := wal.Put(ctx, "k"+strconv.Itoa(i), []byte("hello"), objstore.IfAbsent())
			require.NoError(t, err)
		}
		_, err := wal.Put(ctx, "k0", []byte("hello"), objstore.IfAbsent())
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		_, err = wal.Get(ctx, "k1")
		require.NoError(t, err)
		_, err = wal.ReadAt(ctx, "k1", make([]byte, 4), 3)
		require.ErrorIs(t, err, objstore.ErrRange)
		_, err = wal.Upload(ctx, "up", io.MultiReader(strings.NewReader("0123456789")), objstore.Always)
		require.NoError(t, err)
		f.Script(faulty.Rule{Method: "delete", Nth: 1, Kind: faulty.ErrorBefore})
		require.Error(t, gc.Delete(ctx, "k0"))
		require.NoError(t, gc.Delete(ctx, "k0"))
		_, err = gc.Head(ctx, "k0")
		require.ErrorIs(t, err, objstore.ErrNotFound)
		for _, err := range gc.List(ctx, "", "") {
			require.NoError(t, err)
			time.Sleep(time.Hour) // the caller's time is not the store's
		}

		ms := func(d int) time.Duration { return time.Duration(d) * time.Millisecond }
		latency := func(bucket int, n int64) (h [metered.LatencyBuckets]int64) { h[bucket] = n; return h }
		took := func(bound time.Duration, n int64) (h [len(metered.Bounds) + 1]int64) {
			h[slices.Index(metered.Bounds[:], bound)] = n
			return h
		}
		assert.Equal(t, []metered.Row{
			{Cause: "gc", Method: "delete", Requests: 2, Calls: 2, Errors: 1, Latency: latency(0, 2), Durations: took(ms(1), 2)},
			{Cause: "gc", Method: "head", Requests: 1, Calls: 1, Misses: 1, Duration: ms(3), Latency: latency(2, 1), Durations: took(ms(5), 1)},
			{Cause: "gc", Method: "list", Requests: 1, Calls: 1, Latency: latency(0, 1), Durations: took(ms(1), 1)},
			{Cause: "wal", Method: "get", Requests: 1, Calls: 1, BytesIn: 5, Duration: ms(3), Latency: latency(2, 1), Durations: took(ms(5), 1)},
			{Cause: "wal", Method: "put", Requests: 4, Calls: 4, Misses: 1, BytesOut: 20, Duration: ms(40), Latency: latency(4, 4), Durations: took(ms(10), 4)},
			{Cause: "wal", Method: "read", Requests: 1, Calls: 1, Misses: 1, BytesIn: 2, Duration: ms(3), Latency: latency(2, 1), Durations: took(ms(5), 1)},
			{Cause: "wal", Method: "upload", Requests: 1, Calls: 1, BytesOut: 10, Duration: ms(10), Latency: latency(4, 1), Durations: took(ms(10), 1)},
		}, l.Snapshot())
		total := l.Total()
		assert.EqualValues(t, 11, total.Requests)
		assert.EqualValues(t, 30, total.BytesOut)
		assert.EqualValues(t, 7, total.BytesIn)
	})
}

func TestRequestsOfPagesAndParts(t *testing.T) {
	f := faulty.New(objstore.NewMemory(), nil)
	f.SetProperties(func(p *objstore.Properties) { p.UploadParts = 100 })
	l := metered.NewLedger()
	s := metered.New(f, "c", l)
	_, err := s.Upload(t.Context(), "up", strings.NewReader(strings.Repeat("x", 250)), objstore.Always)
	require.NoError(t, err)
	for i := range 1500 {
		_, err := f.Put(t.Context(), "k/"+strconv.Itoa(i), nil, objstore.Always)
		require.NoError(t, err)
	}
	for range s.List(t.Context(), "k/", "") {
	}
	for _, r := range l.Snapshot() {
		assert.Equal(t, map[string]int64{"multipart": 5, "list": 2}[r.Method], r.Requests, r.Method)
	}
}

func TestConcurrentCounting(t *testing.T) {
	l := metered.NewLedger()
	inner := objstore.NewMemory()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := metered.New(inner, "c"+strconv.Itoa(i%2), l)
			for range 100 {
				_, _ = s.Get(t.Context(), "none")
				l.Snapshot()
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 800, l.Total().Misses)
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := metered.New(objstore.NewMemory(), "c", metered.NewLedger())
	_, err := s.Put(t.Context(), "k", []byte("x"), objstore.Always)
	require.NoError(t, err)
	p := make([]byte, 1)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = s.ReadAt(t.Context(), "k", p, 0) }))
}

// Stores under one cause are told apart by name, each call is told when it has ended, and what is
// booked under another cause stays in its store.
func TestNamedStoresAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := metered.NewLedger()
		var calls []metered.Call
		l.OnCall(func(c metered.Call) { calls = append(calls, c) })
		inner := delay.New(objstore.NewMemory(), delay.Options{Put: 3 * time.Second})
		main, wal := metered.NewNamed(inner, "main", "gc", l), metered.NewNamed(inner, "wal", "gc", l)
		_, err := main.Put(ctx, "a", nil, objstore.Always)
		require.NoError(t, err)
		require.NoError(t, wal.Delete(metered.Rebook(ctx, "gc", "other"), "none"))
		require.NoError(t, wal.Delete(ctx, "a"))
		assert.Equal(t, []metered.Call{
			{Cause: "gc", Store: "main", Method: "put", Duration: 3 * time.Second},
			{Cause: "other", Store: "wal", Method: "delete"}, {Cause: "gc", Store: "wal", Method: "delete"},
		}, calls)
		var got []string
		for _, r := range l.Snapshot() {
			got = append(got, r.Cause+" "+r.Store+" "+r.Method)
		}
		assert.Equal(t, []string{"gc wal delete", "gc main put", "other wal delete"}, got)
		assert.EqualValues(t, 1, l.Total().Durations[slices.Index(metered.Bounds[:], 5*time.Second)])
	})
}
