package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// batches splits rows by seq.
func batches(rows []kv.Entry) [][]kv.Entry {
	var out [][]kv.Entry
	for i := 0; i < len(rows); {
		j := i
		for j < len(rows) && rows[j].Seq == rows[i].Seq {
			j++
		}
		out = append(out, rows[i:j])
		i = j
	}
	return out
}

// The same rows give the bytes that the Rust engine wrote.
func TestObjectsAreByteEqualToGolden(t *testing.T) {
	for _, name := range []string{
		"tiny-wal-00000000000000000002.sst", "tiny-wal-00000000000000000003.sst", "multi-wal.sst",
		"versions-wal.sst", "wide-wal.sst", "ttl-wal.sst",
	} {
		t.Run(name, func(t *testing.T) {
			body, c := golden(t, name)
			s := newStub(0)
			l := start(t, s, 7, Options{Root: "db"})
			for _, b := range batches(c.entries()) {
				l.Append(b)
			}
			require.NoError(t, l.Flush(t.Context()))
			require.NoError(t, l.stop())
			require.Equal(t, []string{"db/wal/00000000000000000007.sst"}, s.keys)
			o, err := s.Store.Get(t.Context(), s.keys[0])
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, o.Body), "%d bytes, want the %d of the golden file", len(o.Body), len(body))
		})
	}
}

type flip struct{}

func (flip) Encode(p []byte) ([]byte, error) {
	out := []byte{0xEE}
	for _, b := range p {
		out = append(out, ^b)
	}
	return out, nil
}

func (flip) Decode(p []byte) ([]byte, error) {
	if len(p) == 0 || p[0] != 0xEE {
		return nil, errors.New("not flipped")
	}
	out, _ := flip{}.Encode(p[1:])
	return out[1:], nil
}

func TestRoundTrip(t *testing.T) {
	for codec := sst.NoCompression; codec <= sst.Zstd; codec++ {
		for _, tr := range []sst.Transformer{nil, flip{}} {
			t.Run(fmt.Sprintf("%v/transformer=%v", codec, tr != nil), func(t *testing.T) {
				s := newStub(0)
				l := start(t, s, 1, Options{Codec: codec, Transformer: tr, FlushInterval: -1})
				rnd := rand.New(rand.NewPCG(1, uint64(codec)))
				var want []kv.Entry
				for seq := kv.Seq(1); seq <= 300; seq++ {
					b := batch(seq, 1+rnd.IntN(40), rnd.IntN(300))
					switch seq % 7 {
					case 1:
						b[0].Kind, b[0].Value = kv.Tombstone, nil
					case 2:
						b[0].Kind, b[0].ExpireTS = kv.Merge, 77
					case 3:
						b[0].Value = make([]byte, 200_000) // more than a block
					case 4:
						b[0].CreateTS = kv.NoTS
					}
					want = append(want, b...)
					l.Append(b)
					for i := range b {
						want[len(want)-len(b)+i] = b[i].Clone()
						clear(b[i].Key) // the caller may reuse them
						clear(b[i].Value)
					}
					if seq%60 == 0 {
						require.NoError(t, l.Flush(t.Context()))
					}
				}
				require.NoError(t, l.stop())
				require.Equal(t, 5, s.puts())
				r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 5, Transformer: tr})
				defer r.Close()
				var got []kv.Entry
				for r.Next() {
					got = append(got, r.Batch()...)
				}
				require.NoError(t, r.Err())
				requireRows(t, want, got)
			})
		}
	}
}

// B4: ids come at the PUT, one after another, so that a delayed PUT leaves no gap and lets
// nothing overtake it.
func TestB4_IdsAreGaplessWhenAPutIsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		hold := make(chan struct{})
		s.before = func(_ context.Context, n int, _ string) error {
			if n == 1 {
				<-hold
			}
			return nil
		}
		l := start(t, s, 1, Options{MaxObjectBytes: 1000, FlushInterval: -1})
		for range 30 {
			l.writeValue(1, 400)
		}
		time.Sleep(time.Minute)
		require.Equal(t, 1, s.puts(), "object 2 started before 1 was stored")
		require.Zero(t, l.Durable().Load())
		id, seq := l.Position()
		require.Zero(t, id)
		require.Zero(t, seq)
		close(hold)
		require.NoError(t, l.Flush(t.Context()))
		for i, k := range s.keys {
			require.Equal(t, sst.WALID(uint64(i+1)).Object(""), k)
		}
		id, seq = l.Position()
		require.Equal(t, uint64(len(s.keys)), id)
		require.Equal(t, l.seq, seq)
		require.False(t, s.overlap)
		require.NoError(t, l.stop())
		replay(t, s, "", 1).whole(t, l)
	})
}

// B5: a batch lies in one object, whoever flushes while it is appended.
func TestB5_ABatchIsNeverSplit(t *testing.T) {
	s := newStub(0)
	l := start(t, s, 1, Options{MaxObjectBytes: 3000, FlushInterval: time.Microsecond})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = l.Flush(ctx)
				runtime.Gosched()
			}
		})
	}
	for i := range 400 {
		l.writeValue(1+i%50, i%200) // up to three times as large as an object
	}
	cancel()
	wg.Wait()
	require.NoError(t, l.Flush(t.Context()))
	require.NoError(t, l.stop())
	require.Greater(t, s.puts(), 20)
	got := replay(t, s, "", 1)
	require.Len(t, got.seqs, 400)
	got.whole(t, l)
}

func TestObjectsTakeAtMostTheirLimitOfWholeBatches(t *testing.T) {
	const limit = 50_000
	s := newStub(0)
	l := start(t, s, 1, Options{MaxObjectBytes: limit, FlushInterval: -1})
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		n := 1 + rnd.IntN(20)
		if i%50 == 20 {
			n = 600 // alone larger than the limit
		}
		l.writeValue(n, 100)
	}
	require.NoError(t, l.Flush(t.Context()))
	require.NoError(t, l.stop())
	got := replay(t, s, "", 1)
	got.whole(t, l)
	count := map[uint64]int{}
	for _, id := range got.ids {
		count[id]++
	}
	for id, n := range count {
		a, err := s.Store.Head(t.Context(), sst.WALID(id).Object(""))
		require.NoError(t, err)
		if n > 1 {
			require.LessOrEqual(t, a.Size, int64(limit+500), "object %d with %d batches", id, n)
		}
	}
	require.Zero(t, l.BufferedBytes())
}

// No lost wake-up: real goroutines, no timer, every waiter comes back.
func TestNoLostWakeUp(t *testing.T) {
	for _, gap := range []time.Duration{0, 50 * time.Microsecond} {
		s := newStub(0)
		l := start(t, s, 1, Options{FlushInterval: -1, MinFlushGap: gap, MaxObjectBytes: 2000})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		var wg sync.WaitGroup
		for c := range 16 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(c), 0))
				for range 300 {
					seq := l.write(1 + rnd.IntN(3))
					var err error
					switch rnd.IntN(8) {
					case 0:
						err = l.Flush(ctx)
					case 1: // gives up
						short, stop := context.WithTimeout(ctx, time.Duration(rnd.IntN(50))*time.Microsecond)
						_ = l.Wait(short, seq)
						stop()
					case 2: // does not wait
					default:
						err = l.Wait(ctx, seq)
						if err == nil && l.Durable().Load() < seq {
							err = errors.New("released too early")
						}
					}
					if err != nil {
						t.Errorf("client %d seq %d: %v", c, seq, err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.NoError(t, l.Flush(ctx))
		cancel()
		require.NoError(t, l.stop())
		replay(t, s, "", 1).whole(t, l)
		require.False(t, s.overlap)
	}
}

func TestPositionIsNeverBehindTheMark(t *testing.T) {
	s := newStub(0)
	l := start(t, s, 1, Options{FlushInterval: -1})
	lasts := sync.Map{} // id -> last seq
	l.opt.OnUploaded = func(u Uploaded) { lasts.Store(u.ID, u.LastSeq) }
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			mark := l.Durable().Load()
			if _, seq := l.Position(); seq < mark {
				t.Errorf("mark %d, position %d", mark, seq)
				return
			}
			runtime.Gosched() // on one processor the writer waits for this
		}
	})
	for range 500 {
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
	}
	close(done)
	wg.Wait()
	require.NoError(t, l.stop())
	id, seq := l.Position()
	last, _ := lasts.Load(id)
	require.Equal(t, seq, last)
}

func TestFlushOfNothing(t *testing.T) {
	s := newStub(0)
	w := NewWriter(s, 5, 17, Options{})
	require.NoError(t, w.Flush(t.Context()), "no flusher needed")
	require.NoError(t, w.Wait(t.Context(), 17))
	id, seq := w.Position()
	require.Equal(t, uint64(4), id)
	require.Equal(t, kv.Seq(17), seq)
	w.Append(nil)
	require.Zero(t, w.BufferedBytes())
}

func TestLargeObjectsGrowByChunks(t *testing.T) {
	// A large object grows by chunks; its bytes are those of a small one of the same rows.
	s := newStub(0)
	l := start(t, s, 1, Options{FlushInterval: -1})
	for range 60 {
		l.writeValue(100, 1000)
	}
	l.writeValue(1, 3<<20)
	l.writeValue(3, 10)
	require.NoError(t, l.Flush(t.Context()))
	require.NoError(t, l.stop())
	require.Equal(t, 1, s.puts())
	got := replay(t, s, "", 1)
	require.Len(t, got.seqs, 62)
	got.whole(t, l)
}

func TestAppendAllocatesNothing(t *testing.T) {
	w := NewWriter(newStub(0), 1, 0, Options{FlushInterval: -1})
	rows := batch(1, 1, 100)
	full := func() {
		for range 2000 {
			rows[0].Seq++
			w.Append(rows)
		}
	}
	cycle := func() {
		full()
		seg, _ := w.buf.take()
		w.buf.recycle(seg)
	}
	cycle()
	cycle()
	require.Zero(t, testing.AllocsPerRun(20, cycle), "allocations in 2000 appends")
}

func TestIdleWriterHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(0)
		l := start(t, s, 1, Options{})
		for range 200 {
			l.writeValue(100, 1000)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, l.BufferedBytes())
		require.LessOrEqual(t, l.buf.mu.freeBytes, idleBytes)
		require.Nil(t, l.body)
		require.NoError(t, l.stop())
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			w := NewWriter(newStub(0), 1, 0, Options{FlushInterval: -1, Env: seam.New(seam.Env{})})
			rows := make([]kv.Entry, n)
			for i := range rows {
				rows[i] = kv.Entry{Key: fmt.Appendf(nil, "%016d", i*7919), Value: make([]byte, 100), CreateTS: 1, ExpireTS: kv.NoTS}
			}
			b.ReportAllocs()
			b.SetBytes(int64(n * 116))
			seq := kv.Seq(0)
			for b.Loop() {
				seq++
				for i := range rows {
					rows[i].Seq = seq
				}
				w.Append(rows)
				if w.BufferedBytes() > 4<<20 {
					seg, _ := w.buf.take()
					w.buf.recycle(seg)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}

var _ objstore.Store = (*stub)(nil)
