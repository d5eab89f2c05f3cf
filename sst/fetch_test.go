package sst_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var bloom10 = []sst.FilterPolicy{sst.Bloom(10, sst.BloomOptions{})}

func TestGetCostsTwoRequestsColdOneWarmNoneCached(t *testing.T) {
	objects := newCounting()
	s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Policies: bloom10})
	h := objects.addTable(t, "db", numbered(2000, 50), sst.WriterOptions{Policies: bloom10})
	vs := []*sst.ViewReader{view(s, h, nil)}
	for _, c := range []struct {
		name, key string
		found     bool
		requests  int64
	}{
		{"cold", "key000100", true, 2},
		{"same block", "key000100", true, 0},
		{"other block", "key001900", true, 1},
		{"filtered", "key000100x", false, 0},
		{"below the table", "a", false, 0},
		{"above the table", "z", false, 0},
	} {
		before := objects.requests.Load()
		_, found, _, err := get(t.Context(), s, vs, c.key, kv.MaxSeq, true)
		require.NoError(t, err, c.name)
		require.Equal(t, c.found, found, c.name)
		require.Equal(t, c.requests, objects.requests.Load()-before, c.name)
	}
	st := s.Stats().Filters[sst.QueryPoint]
	require.EqualValues(t, 3, st.Positive)
	require.EqualValues(t, 1, st.Negative)
	require.Zero(t, st.FalsePositive)
}

func TestFetchWithoutFillPinsForTheLookupOnly(t *testing.T) {
	objects := newCounting()
	s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
	vs := []*sst.ViewReader{view(s, objects.addTable(t, "db", numbered(2000, 50), sst.WriterOptions{}), nil)}
	for i, want := range []int64{2, 1, 1} {
		before := objects.requests.Load()
		_, found, _, err := get(t.Context(), s, vs, "key000100", kv.MaxSeq, false)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, want, objects.requests.Load()-before, "round %d", i)
	}
}

// TestFetchIsOneWave asks five tables for many keys: two round trips, and neighbouring blocks
// of a table come in one request.
func TestFetchIsOneWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newCounting()
		objects.delay = 20 * time.Millisecond
		s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
		var vs []*sst.ViewReader
		for range 5 {
			vs = append(vs, view(s, objects.addTable(t, "db", numbered(2000, 50), sst.WriterOptions{}), nil))
		}
		ls := make([]*sst.Lookup, 120)
		for i := range ls {
			ls[i] = &sst.Lookup{}
			ls[i].Reset(fmt.Appendf(nil, "key%06d", i), nil) // neighbours: a few blocks
		}
		ask := func(want sst.Verdict) {
			for _, l := range ls {
				for _, v := range vs {
					var e kv.Entry
					verdict, err := v.Get(l, kv.MaxSeq, &e)
					require.NoError(t, err)
					require.Equal(t, want, verdict)
				}
			}
		}
		start := time.Now()
		ask(sst.Missing)
		require.NoError(t, s.Fetch(t.Context(), sst.FetchOptions{Fill: true}, ls...))
		require.EqualValues(t, 5, objects.requests.Load())
		ask(sst.Missing)
		require.NoError(t, s.Fetch(t.Context(), sst.FetchOptions{Fill: true}, ls...))
		require.EqualValues(t, 10, objects.requests.Load())
		ask(sst.Found)
		require.Equal(t, 40*time.Millisecond, time.Since(start))
	})
}

func TestConcurrentMissesShareARequest_OneLeavesTheOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newCounting()
		objects.delay = 100 * time.Millisecond
		s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
		vs := []*sst.ViewReader{view(s, objects.addTable(t, "db", numbered(2000, 50), sst.WriterOptions{}), nil)}
		// The first to come leads the requests and is the first to leave.
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				if i > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
					time.Sleep(time.Millisecond)
				}
				defer cancel()
				_, found, _, err := get(ctx, s, vs, "key000100", kv.MaxSeq, true)
				if errs[i] = err; i > 0 && !found {
					errs[i] = errors.Join(err, errors.New("not found"))
				}
			})
		}
		wg.Wait()
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		require.NotErrorIs(t, errs[0], kv.ErrUnavailable)
		for _, err := range errs[1:] {
			require.NoError(t, err)
		}
		require.EqualValues(t, 2, objects.requests.Load())
	})
}

func TestDamageIsReadOnceMore(t *testing.T) {
	rows := numbered(300, 50)
	for _, c := range []struct {
		name    string
		damage  func(n int64) bool // of request n
		reads   int64
		wantErr bool
	}{
		{"metadata once", func(n int64) bool { return n == 1 }, 3, false},
		{"block once", func(n int64) bool { return n == 2 }, 3, false},
		{"block twice", func(n int64) bool { return n >= 2 }, 3, true},
		{"metadata twice", func(int64) bool { return true }, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := newCounting()
			h := objects.addTable(t, "db", rows, sst.WriterOptions{})
			name := h.ID.Object("db")
			good := objects.objects[name]
			objects.hook = func(n int64, key string, p []byte, off int64) (bool, error) {
				copy(p, good[off:])
				if c.damage(n) {
					p[len(p)/2] ^= 0x40
				}
				return true, nil
			}
			s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
			vs := []*sst.ViewReader{view(s, h, nil)}
			_, found, _, err := get(t.Context(), s, vs, "key000100", kv.MaxSeq, true)
			require.Equal(t, c.reads, objects.requests.Load())
			require.EqualValues(t, 1, s.Stats().Rereads)
			if !c.wantErr {
				require.NoError(t, err)
				require.True(t, found)
				return
			}
			var ce *sst.CorruptionError
			require.ErrorAs(t, err, &ce)
			require.ErrorIs(t, err, kv.ErrCorrupt)
			require.Equal(t, name, ce.Object)
			require.GreaterOrEqual(t, ce.Offset, int64(0))
		})
	}
}

func TestMissingAndShortObjectsAreCorrupt(t *testing.T) {
	objects := newCounting()
	h := objects.addTable(t, "db", numbered(300, 50), sst.WriterOptions{})
	s := objects.open(nil, sst.StoreOptions{})
	vs := []*sst.ViewReader{view(s, h, nil)}
	name := h.ID.Object("db")
	body := objects.objects[name]

	objects.objects[name] = body[:len(body)/2]
	_, _, _, err := get(t.Context(), s, vs, "key000100", kv.MaxSeq, true)
	require.ErrorIs(t, err, kv.ErrCorrupt)
	require.ErrorIs(t, err, objstore.ErrRange)

	delete(objects.objects, name)
	_, _, _, err = get(t.Context(), s, vs, "key000100", kv.MaxSeq, true)
	require.ErrorIs(t, err, kv.ErrCorrupt)
	require.ErrorIs(t, err, objstore.ErrNotFound)
	require.ErrorContains(t, err, name)

	objects.hook = func(int64, string, []byte, int64) (bool, error) { return true, errors.New("boom") }
	_, _, _, err = get(t.Context(), s, vs, "key000100", kv.MaxSeq, true)
	require.ErrorIs(t, err, kv.ErrUnavailable)
	require.NotErrorIs(t, err, kv.ErrCorrupt)
}

// TestHostileLengthsAreRefusedBeforeAllocating gives a table metadata that claims terabytes.
func TestHostileLengthsAreRefusedBeforeAllocating(t *testing.T) {
	for _, n := range []uint64{1 << 28, 1 << 33, 1 << 45, 1 << 63} {
		objects := newCounting()
		h := objects.addTable(t, "db", numbered(300, 50), sst.WriterOptions{})
		h.Info.IndexLen = n
		s := objects.open(nil, sst.StoreOptions{})
		_, _, _, err := get(t.Context(), s, []*sst.ViewReader{view(s, h, nil)}, "key000100", kv.MaxSeq, true)
		require.ErrorIs(t, err, kv.ErrCorrupt, "%d", n)
	}
}

func TestL5_RequestsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newCounting()
		objects.delay = time.Millisecond
		s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{MaxInFlight: 5})
		var rs []*sst.Reader
		for range 40 {
			rs = append(rs, s.Open(objects.addTable(t, "db", numbered(20, 50), sst.WriterOptions{})))
		}
		require.NoError(t, s.Warm(t.Context(), rs))
		require.EqualValues(t, 40, objects.requests.Load())
		require.EqualValues(t, 5, objects.most.Load())
		require.NoError(t, s.Warm(t.Context(), rs))
		require.EqualValues(t, 40, objects.requests.Load(), "all is there")
	})
}

func TestWarmKeepsToTheBudget(t *testing.T) {
	objects := newCounting()
	c := cache.New(cache.Options{MetaBytes: 4000})
	s := objects.open(c, sst.StoreOptions{})
	var rs []*sst.Reader
	for range 40 {
		rs = append(rs, s.Open(objects.addTable(t, "db", numbered(300, 50), sst.WriterOptions{})))
	}
	require.NoError(t, s.Warm(t.Context(), rs))
	st := c.Stats().Meta
	require.Less(t, objects.requests.Load(), int64(20))
	require.Positive(t, st.Entries)
	require.LessOrEqual(t, st.Bytes, st.Budget)
}

// TestEndOfLifetime reads on in the caller's goroutine, and a request cut off by the end is
// made again.
func TestEndOfLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newCounting()
		objects.delay = 50 * time.Millisecond
		life, end := context.WithCancel(t.Context())
		s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Ctx: life})
		rows := numbered(3000, 50)
		v := view(s, objects.addTable(t, "db", rows, sst.WriterOptions{}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		g := sst.NewGroup(ctx, s, sst.GroupOptions{})
		it := g.Iter(v, kv.Range{}, false)
		for range 1000 {
			require.True(t, it.Next())
		}
		time.AfterFunc(10*time.Millisecond, end)
		_, found, _, err := get(ctx, s, []*sst.ViewReader{v}, "key002999", kv.MaxSeq, true)
		require.NoError(t, err)
		require.True(t, found)
		require.Error(t, life.Err())
		require.Equal(t, rows[1000:], drain(t, it))
		// A ctx that ends is still heard.
		g = sst.NewGroup(ctx, s, sst.GroupOptions{})
		it = g.Iter(v, kv.Range{}, true)
		require.True(t, it.Next())
		cancel()
		for it.Next() {
		}
		require.ErrorIs(t, it.Err(), context.Canceled)
		_, _, _, err = get(ctx, s, []*sst.ViewReader{v}, "key000000", kv.MaxSeq, true)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestTransformerPanicIsAnError lets a user's callback panic in shared requests and in scans.
func TestTransformerPanicIsAnError(t *testing.T) {
	objects := newCounting()
	s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Transformer: panicking{}})
	v := view(s, objects.addTable(t, "db", numbered(30, 50), sst.WriterOptions{}), nil)
	_, _, _, err := get(t.Context(), s, []*sst.ViewReader{v}, "key000001", kv.MaxSeq, true)
	require.ErrorIs(t, err, kv.ErrInternal)
	it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, false)
	require.False(t, it.Next())
	require.ErrorIs(t, it.Err(), kv.ErrInternal)
}

type panicking struct{}

func (panicking) Encode(b []byte) ([]byte, error) { return b, nil }
func (panicking) Decode([]byte) ([]byte, error)   { panic("no") }
