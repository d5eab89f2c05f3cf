package wal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// stored puts bodies at ids 1, 2, ...
func stored(t testing.TB, bodies ...[]byte) *stub {
	s := newStub(0)
	for i, b := range bodies {
		_, err := s.Store.Put(t.Context(), sst.WALID(uint64(i+1)).Object(""), b, objstore.IfAbsent())
		require.NoError(t, err)
	}
	return s
}

// object makes a WAL object of batches with the given seqs, two rows each.
func object(t testing.TB, seqs ...kv.Seq) []byte {
	s := newStub(0)
	w := NewWriter(s, 1, 0, Options{})
	for _, q := range seqs {
		w.Append(batch(q, 2, 20))
	}
	seg, _ := w.buf.take()
	body, err := w.seal(seg)
	require.NoError(t, err)
	return bytes.Clone(body)
}

// drain replays all and returns the seq of each batch.
func drain(r *Replayer) (seqs []kv.Seq, err error) {
	defer r.Close()
	for r.Next() {
		seqs = append(seqs, r.Batch()[0].Seq)
	}
	return seqs, r.Err()
}

func TestGoldenObjectsReplay(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(goldenDir, "*wal*.sst"))
	require.NoError(t, err)
	for _, dir := range []string{"v1", "v2-legacy-filter", "synthetic"} {
		more, err := filepath.Glob(filepath.Join(goldenDir, dir, "wal*.sst"))
		require.NoError(t, err)
		names = append(names, more...)
	}
	names = append(names, filepath.Join(goldenDir, "bad", "wal-good-reference.sst"))
	require.Greater(t, len(names), 20)
	for _, path := range names {
		name, err := filepath.Rel(goldenDir, path)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			body, c := golden(t, name)
			r := NewReplayer(t.Context(), stored(t, body), ReplayOptions{From: 1, To: 1})
			defer r.Close()
			var got []kv.Entry
			last := kv.Seq(0)
			for r.Next() {
				b := r.Batch()
				require.Greater(t, b[0].Seq, last, "batches in commit order")
				last = b[0].Seq
				for _, e := range b {
					require.Equal(t, last, e.Seq)
				}
				got = append(got, b...)
			}
			require.NoError(t, r.Err())
			require.Equal(t, uint64(1), r.Consumed())
			want := c.entries()
			sortBySeq(want)
			requireRows(t, want, got)
		})
	}
}

func sortBySeq(rows []kv.Entry) {
	for i := 1; i < len(rows); i++ { // stable, and not the code under test
		for j := i; j > 0 && rows[j].Seq < rows[j-1].Seq; j-- {
			rows[j], rows[j-1] = rows[j-1], rows[j]
		}
	}
}

// Old releases sorted the rows of an object by key: the batches still come out whole and in
// commit order, each in key order.
func TestKeySortedObject(t *testing.T) {
	w := NewWriter(newStub(0), 1, 0, Options{})
	var rows []kv.Entry
	for i := range 3000 { // several blocks
		rows = append(rows, batch(kv.Seq(1+(i*7919)%40), 1, 50)...)
		rows[i].Key = fmt.Appendf(nil, "%05d", i)
	}
	w.Append(rows)
	seg, _ := w.buf.take()
	body, err := w.seal(seg)
	require.NoError(t, err)
	r := NewReplayer(t.Context(), stored(t, body, object(t, 41)), ReplayOptions{From: 1, To: 2})
	defer r.Close()
	var got []kv.Entry
	for seq := kv.Seq(1); seq <= 41; seq++ {
		require.True(t, r.Next())
		require.Equal(t, seq, r.Batch()[0].Seq)
		if seq < 41 {
			require.Len(t, r.Batch(), 75)
			got = append(got, r.Batch()...)
		}
	}
	require.False(t, r.Next())
	require.NoError(t, r.Err())
	sortBySeq(rows)
	requireRows(t, rows, got)
}

// The log of a database that 0.18 wrote, from its first object to its last.
func TestGoldenLogReplays(t *testing.T) {
	roots, err := filepath.Glob("../testdata/golden/db018/*/store/db/wal")
	require.NoError(t, err)
	require.NotEmpty(t, roots)
	replayed := 0
	for _, root := range roots {
		t.Run(strings.Split(root, "/")[4], func(t *testing.T) {
			s := newStub(0)
			files, err := filepath.Glob(filepath.Join(root, "*.sst"))
			require.NoError(t, err)
			first := uint64(1 << 62)
			for _, f := range files {
				body, err := os.ReadFile(f)
				require.NoError(t, err)
				var id uint64
				_, err = fmt.Sscanf(filepath.Base(f), "%d.sst", &id)
				require.NoError(t, err)
				first = min(first, id)
				_, err = s.Store.Put(t.Context(), sst.WALID(id).Object(""), body, objstore.Always)
				require.NoError(t, err)
			}
			tail, err := FindTail(t.Context(), s, env, "", first-1)
			require.NoError(t, err)
			require.Equal(t, first+uint64(len(files))-1, tail)
			seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: first, To: tail}))
			if err != nil { // written with a transformer that this test does not have
				require.ErrorIs(t, err, kv.ErrCorrupt)
				require.Contains(t, root, "transform")
				return
			}
			for i := range seqs[:max(len(seqs)-1, 0)] {
				require.Less(t, seqs[i], seqs[i+1])
			}
			replayed += len(seqs)
		})
	}
	require.Greater(t, replayed, 20)
}

func TestReplayOrderAndPosition(t *testing.T) {
	fence := []byte{}
	s := stored(t, fence, object(t, 1, 2, 3), fence, fence, object(t, 7), object(t, 8, 20), fence)
	r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 7})
	defer r.Close()
	require.Zero(t, r.Consumed())
	for _, want := range []struct {
		seq      kv.Seq
		id       uint64
		consumed uint64
	}{{1, 2, 1}, {2, 2, 1}, {3, 2, 1}, {7, 5, 4}, {8, 6, 5}, {20, 6, 5}} {
		require.True(t, r.Next())
		require.Len(t, r.Batch(), 2)
		require.Equal(t, want.seq, r.Batch()[0].Seq)
		require.Equal(t, want.id, r.WALID())
		require.Equal(t, want.consumed, r.Consumed(), "the object of the current batch does not count yet")
	}
	require.False(t, r.Next())
	require.False(t, r.Next())
	require.NoError(t, r.Err())
	require.Equal(t, uint64(7), r.Consumed())

	seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 5, To: 5}))
	require.NoError(t, err)
	require.Equal(t, []kv.Seq{7}, seqs)
	empty := NewReplayer(t.Context(), s, ReplayOptions{From: 5, To: 4})
	seqs, err = drain(empty)
	require.NoError(t, err)
	require.Empty(t, seqs)
	require.Equal(t, uint64(4), empty.Consumed())
}

func TestMissingObject(t *testing.T) {
	s := stored(t, object(t, 1), object(t, 2), object(t, 3), object(t, 4))
	require.NoError(t, s.Store.Delete(t.Context(), sst.WALID(3).Object("")))
	r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 4})
	seqs, err := drain(r)
	require.Equal(t, []kv.Seq{1, 2}, seqs, "what stands before the hole")
	require.ErrorIs(t, err, kv.ErrCorrupt)
	var trunc *TruncatedError
	require.ErrorAs(t, err, &trunc)
	require.Equal(t, uint64(3), trunc.ID)
	require.Contains(t, err.Error(), sst.WALID(3).Object(""))
	require.Equal(t, uint64(2), r.Consumed())
	require.Equal(t, 1, s.gets[sst.WALID(3).Object("")], "missing is an answer, not damage")
}

// B6: any flipped bit in any object is a typed error that names the object; it never passes
// for the end of the log, and no row of the damaged object or of those behind it comes out.
func TestB6_FlippedBitIsNeverEndOfLog(t *testing.T) {
	good := [][]byte{object(t, 1, 2), object(t, 3, 4), object(t, 5, 6)}
	for k, name := range []string{"first", "middle", "last"} {
		t.Run(name, func(t *testing.T) {
			for bit := range len(good[k]) * 8 {
				bodies := [][]byte{good[0], good[1], good[2]}
				bodies[k] = bytes.Clone(good[k])
				bodies[k][bit/8] ^= 1 << (bit % 8)
				s := stored(t, bodies...)
				seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 3}))
				require.ErrorIs(t, err, kv.ErrCorrupt, "bit %d", bit)
				object := sst.WALID(uint64(k + 1)).Object("")
				require.Contains(t, err.Error(), object)
				require.Len(t, seqs, 2*k, "bit %d", bit)
				require.Equal(t, 2, s.gets[object], "one fresh read before the verdict")
			}
		})
	}
}

func TestTruncatedBodiesAreCorrupt(t *testing.T) {
	good := object(t, 1, 2)
	for n := 1; n < len(good); n++ {
		_, err := drain(NewReplayer(t.Context(), stored(t, good[:n], object(t, 3)), ReplayOptions{From: 1, To: 2}))
		require.ErrorIs(t, err, kv.ErrCorrupt, "cut to %d bytes", n)
	}
}

func TestBadGoldenObjectsAreCorrupt(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(goldenDir, "bad", "wal*.sst"))
	require.NoError(t, err)
	require.Greater(t, len(names), 10)
	for _, path := range names {
		if strings.Contains(path, "good-reference") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			body, err := os.ReadFile(path)
			require.NoError(t, err)
			seqs, err := drain(NewReplayer(t.Context(), stored(t, body), ReplayOptions{From: 1, To: 1}))
			require.ErrorIs(t, err, kv.ErrCorrupt)
			require.Empty(t, seqs)
		})
	}
}

// B7: damage on the way is healed by one fresh read; a short read never passes for a fence.
func TestB7_ShortOrDamagedReadIsReadAgain(t *testing.T) {
	harm := map[string]func([]byte) []byte{
		"nothing read": func(b []byte) []byte { return nil },
		"short":        func(b []byte) []byte { return b[:len(b)/2] },
		"stale bytes":  func(b []byte) []byte { c := bytes.Clone(b); copy(c, "stale bytes of another read"); return c },
	}
	for name, f := range harm {
		for _, times := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/%d times", name, times), func(t *testing.T) {
				s := stored(t, object(t, 1), object(t, 2), object(t, 3))
				bad := sst.WALID(2).Object("")
				s.get = func(key string, o objstore.Object) (objstore.Object, error) {
					if s.mu.Lock(); key == bad && s.gets[key] <= times {
						o.Body = f(o.Body)
					}
					s.mu.Unlock()
					return o, nil
				}
				seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 3}))
				if times == 1 {
					require.NoError(t, err)
					require.Equal(t, []kv.Seq{1, 2, 3}, seqs)
					return
				}
				require.ErrorIs(t, err, kv.ErrCorrupt)
				require.Contains(t, err.Error(), bad)
				require.Equal(t, []kv.Seq{1}, seqs)
				require.Equal(t, 2, s.gets[bad])
			})
		}
	}
}

func TestSeqMustRiseFromObjectToObject(t *testing.T) {
	for _, bodies := range [][][]byte{
		{object(t, 5), object(t, 5)},
		{object(t, 5, 9), {}, object(t, 7, 12)},
	} {
		seqs, err := drain(NewReplayer(t.Context(), stored(t, bodies...), ReplayOptions{From: 1, To: uint64(len(bodies))}))
		require.ErrorIs(t, err, kv.ErrCorrupt)
		require.Contains(t, err.Error(), sst.WALID(uint64(len(bodies))).Object(""))
		require.Equal(t, kv.Seq(5), seqs[0])
	}
}

func TestReplayUnavailable(t *testing.T) {
	s := stored(t, object(t, 1), object(t, 2))
	s.get = func(key string, o objstore.Object) (objstore.Object, error) {
		if key == sst.WALID(2).Object("") {
			return o, errRefused
		}
		return o, nil
	}
	seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 2}))
	require.Equal(t, []kv.Seq{1}, seqs)
	require.ErrorIs(t, err, kv.ErrUnavailable)
	require.NotErrorIs(t, err, kv.ErrCorrupt)
}

func TestReplayEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stored(t, object(t, 1), object(t, 2), object(t, 3))
		s.delay = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		seqs, err := drain(NewReplayer(ctx, s, ReplayOptions{From: 1, To: 3, Ahead: 1}))
		require.Equal(t, []kv.Seq{1}, seqs)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, kv.ErrUnavailable)
	})
}

func TestBodiesAreFetchedAhead(t *testing.T) {
	var bodies [][]byte
	for seq := range kv.Seq(66) {
		bodies = append(bodies, object(t, seq+1))
	}
	for _, c := range []struct {
		ahead, most int
		within      time.Duration
	}{{0, 8, 12 * putTime}, {1, 1, 66 * putTime}, {100, 33, 7 * putTime}} {
		synctest.Test(t, func(t *testing.T) {
			s := stored(t, bodies...)
			s.delay = putTime
			begin := time.Now()
			seqs, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 66, Ahead: c.ahead}))
			require.NoError(t, err)
			require.Len(t, seqs, 66)
			require.LessOrEqual(t, time.Since(begin), c.within, "ahead %d", c.ahead)
			require.LessOrEqual(t, s.maxGets, max(c.most, c.ahead))
		})
	}
}

// TestPrefetch: what was asked for before the first Next is there when it comes; the range may
// grow meanwhile, from nothing too; and a replay may be closed at any time.
func TestPrefetch(t *testing.T) {
	var bodies [][]byte
	for seq := range kv.Seq(20) {
		bodies = append(bodies, object(t, seq+1))
	}
	for _, c := range []struct {
		to, extend uint64
		wait       time.Duration // before the first Next
		within     time.Duration // from then on
	}{
		{20, 20, 2 * putTime, 0}, {20, 20, putTime, putTime}, {20, 20, 0, 2 * putTime},
		{10, 20, 2 * putTime, putTime}, {0, 20, 2 * putTime, 4 * putTime}, {0, 0, putTime, 0}, {1, 1, putTime, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := stored(t, bodies...)
			s.delay = putTime
			r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: c.to, Ahead: 32})
			r.Prefetch()
			time.Sleep(c.wait)
			begin := time.Now()
			r.Extend(c.extend)
			seqs, err := drain(r)
			require.NoError(t, err)
			require.Len(t, seqs, int(c.extend))
			require.LessOrEqual(t, time.Since(begin), c.within, "%+v", c)
			require.Equal(t, c.extend, r.Consumed())

			r = NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: c.to})
			r.Prefetch()
			time.Sleep(c.wait)
			r.Close()
			require.Zero(t, s.getting, "fetches after Close")
			require.False(t, r.Next())
		})
	}
}

// TestPrefetchOfADamagedLog: an error comes where the replay meets it.
func TestPrefetchOfADamagedLog(t *testing.T) {
	s := stored(t, object(t, 1), []byte("damage"), object(t, 3))
	r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 4})
	r.Prefetch()
	seqs, err := drain(r)
	require.Equal(t, []kv.Seq{1}, seqs)
	require.ErrorIs(t, err, kv.ErrCorrupt)
	r = NewReplayer(t.Context(), s, ReplayOptions{From: 3, To: 4})
	r.Prefetch()
	seqs, err = drain(r)
	require.Equal(t, []kv.Seq{3}, seqs)
	var gone *TruncatedError
	require.ErrorAs(t, err, &gone)
}

func TestLargeBodiesAreNotHeldInNumbers(t *testing.T) {
	var f fetcher
	s := newStub(0)
	f.init(t.Context(), s, ReplayOptions{From: 1, To: 10, Ahead: 8, Env: env})
	for id := uint64(1); id <= 4; id++ {
		big := make([]byte, aheadBytes/2+1) // damaged, but that is not the point
		_, err := s.Store.Put(t.Context(), sst.WALID(id).Object(""), big, objstore.IfAbsent())
		require.NoError(t, err)
	}
	require.LessOrEqual(t, f.window, 2)
	f.prefetch()
	f.settle()
	require.LessOrEqual(t, len(f.pending), 2)
	for range 3 {
		l := f.next()
		require.Equal(t, aheadBytes/2+1, l.size)
		require.Equal(t, 1, f.window)
	}
	f.close()
}

func TestCloseInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies [][]byte
		for seq := range kv.Seq(40) {
			bodies = append(bodies, object(t, seq+1))
		}
		for n := range 40 {
			s := stored(t, bodies...)
			s.delay = putTime
			r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 40})
			for range n {
				require.True(t, r.Next())
			}
			r.Close()
			r.Close()
			require.Zero(t, s.getting, "fetches after Close")
			require.False(t, r.Next())
		}
	})
}

// Rows of a batch stay as they are while the replay goes on.
func TestRowsStayValid(t *testing.T) {
	s := newStub(0)
	l := start(t, s, 1, Options{Codec: sst.LZ4, FlushInterval: -1})
	for range 50 {
		l.write(30)
		require.NoError(t, l.Flush(t.Context()))
	}
	require.NoError(t, l.stop())
	r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 50})
	defer r.Close()
	var kept []kv.Entry
	for r.Next() {
		kept = append(kept, r.Batch()...)
	}
	require.NoError(t, r.Err())
	var want []kv.Entry
	for seq := range kv.Seq(50) {
		want = append(want, batch(seq+1, 30, 10)...)
	}
	requireRows(t, want, kept)
}

func BenchmarkReplay(b *testing.B) {
	s := newStub(0)
	l := start(b, s, 1, Options{FlushInterval: -1, MaxObjectBytes: 4 << 20})
	for range 1000 {
		l.writeValue(100, 100)
	}
	require.NoError(b, l.Flush(b.Context()))
	require.NoError(b, l.stop())
	tail := uint64(s.puts())
	b.ReportAllocs()
	for b.Loop() {
		seqs, err := drain(NewReplayer(b.Context(), s, ReplayOptions{From: 1, To: tail}))
		if err != nil || len(seqs) != 1000 {
			b.Fatal(err, len(seqs))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100_000), "ns/row")
}

// A transformer that panics is an error of the replay, in the fetch and in the delivery.
func TestReplayWithAPanickingTransformer(t *testing.T) {
	s := newStub(0)
	l := start(t, s, 1, Options{Transformer: flip{}, FlushInterval: -1})
	l.write(3)
	require.NoError(t, l.Flush(t.Context()))
	require.NoError(t, l.stop())
	for from := 1; from <= 5; from++ { // calls of Decode: index, block, and the block again
		tr := &panicking{from: from}
		_, err := drain(NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: 1, Transformer: tr}))
		if tr.calls < from {
			require.NoError(t, err)
			require.Greater(t, from, 3)
			continue
		}
		require.ErrorIs(t, err, kv.ErrInternal, "panic at call %d", from)
	}
}

type panicking struct {
	flip
	calls, from int
}

func (p *panicking) Decode(b []byte) ([]byte, error) {
	if p.calls++; p.calls >= p.from {
		panic("key lost")
	}
	return p.flip.Decode(b)
}
