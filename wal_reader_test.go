package slatedb

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// cdcReader opens a reader of the log of path in s.
func cdcReader(t testing.TB, path string, o *WALReaderOptions) *WALReader {
	t.Helper()
	o.Logger = quiet
	r, err := NewWALReader(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// cdcText is a row as text, without its times.
func cdcText(r RawRow) string { return fmt.Sprintf("%d %s %s=%s", r.Seq, r.Kind, r.Key, r.Value) }

// cdcDrain copies the stream up to its end, or to the first error.
func cdcDrain(t testing.TB, r *WALReader, from, to uint64) (groups []WALGroup, err error) {
	t.Helper()
	for g, err := range r.Iterate(t.Context(), from, to) {
		if err != nil {
			return groups, err
		}
		rows := make([]RawRow, 0, len(g.Rows))
		for _, row := range g.Rows {
			rows = append(rows, row.Clone())
		}
		g.Rows = rows
		groups = append(groups, g)
	}
	return groups, nil
}

func cdcTexts(groups []WALGroup) (out []string) {
	for _, g := range groups {
		for _, r := range g.Rows {
			out = append(out, cdcText(r))
		}
	}
	return out
}

// cdcWrite makes a log in which two writers left rows of every kind, batches, several commits
// in one object and fences in the middle: none of it was flushed to tables.
func cdcWrite(t testing.TB, o *Options) (want []string) {
	ctx := context.Background()
	o.MergeOperator = concatOp
	o.FlushInterval = -1
	for w := range 2 {
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		note := func(seq uint64, kind, key, value string) {
			want = append(want, fmt.Sprintf("%d %s %s=%s", seq, kind, key, value))
		}
		for i := range 4 {
			k := fmt.Sprintf("k%d%d", w, i)
			h, err := db.PutWithOptions(ctx, []byte(k), []byte("v"), &PutOptions{NoWait: true, TTL: time.Hour})
			require.NoError(t, err)
			note(h.Seq(), "put", k, "v")
			h, err = db.MergeWithOptions(ctx, []byte(k), []byte("+m"), &PutOptions{NoWait: true})
			require.NoError(t, err)
			note(h.Seq(), "merge", k, "+m")
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushWAL}))
			var b WriteBatch
			b.Put([]byte("x1"), []byte{})
			b.Delete([]byte(k))
			h, err = db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
			require.NoError(t, err)
			note(h.Seq(), "tombstone", k, "")
			note(h.Seq(), "put", "x1", "")
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushWAL}))
		}
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
	}
	return want
}

func TestWALReaderStreamsEveryKindOfRowInCommitOrder(t *testing.T) {
	testkit.NoLeaks(t)
	for _, c := range []struct {
		name string
		set  func(*Options, *WALReaderOptions)
	}{
		{"plain", func(*Options, *WALReaderOptions) {}},
		{"second store", func(o *Options, w *WALReaderOptions) { o.WALStore = objstore.NewMemory(); w.WALStore = o.WALStore }},
		{"transformed and compressed", func(o *Options, w *WALReaderOptions) {
			o.BlockTransformer, o.Compression = goldenTransform{}, Zstd
			w.BlockTransformer = goldenTransform{}
		}},
		{"one at a time", func(_ *Options, w *WALReaderOptions) { w.MaxFetchTasks, w.MaxBufferedBytes = 1, 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions()
			ro := &WALReaderOptions{Store: o.Store}
			c.set(o, ro)
			want := cdcWrite(t, o)
			r := cdcReader(t, "db", ro)
			last, err := r.LastID(t.Context(), 0)
			require.NoError(t, err)
			files, err := r.List(t.Context(), 0, 0)
			require.NoError(t, err)
			require.Equal(t, last, files[len(files)-1].ID)
			fences := 0
			for i, f := range files {
				require.Equal(t, uint64(i+1), f.ID)
				require.Equal(t, sst.WALID(f.ID).Object("db"), f.Object)
				if f.Size == 0 {
					fences++
				}
			}
			require.Equal(t, 2, fences)
			require.Zero(t, files[0].Size, "the log begins with a fence")

			groups, err := cdcDrain(t, r, 0, last+1)
			require.NoError(t, err)
			require.Equal(t, want, cdcTexts(groups))
			for i, g := range groups {
				require.Equal(t, g.Seq, g.Rows[0].Seq)
				lastOfFile := i+1 == len(groups) || groups[i+1].File != g.File
				require.Equal(t, lastOfFile, g.Consumed == g.File, "group %d of file %d: consumed %d", g.Seq, g.File, g.Consumed)
				if !lastOfFile {
					require.Equal(t, g.File-1, g.Consumed)
				}
			}
			first := groups[0].Rows[0]
			require.False(t, first.CreateTime.IsZero())
			require.Equal(t, time.Hour, first.ExpireTime.Sub(first.CreateTime))

			var byFile []string // the same, object by object
			for f := (&WALFile{}); f.NextID() <= last; {
				f, err = r.Get(t.Context(), f.NextID())
				require.NoError(t, err)
				for _, row := range f.Rows {
					byFile = append(byFile, cdcText(row))
				}
			}
			require.Equal(t, want, byFile)
			_, err = r.Get(t.Context(), last+1)
			require.ErrorIs(t, err, ErrNotFound)
			require.NotErrorIs(t, err, ErrCorrupt)
		})
	}
}

// A consumer that stops behind any group and begins again with what it stored misses nothing,
// and sees twice only what came from an object it had not finished.
func TestWALReaderResumesAnywhere(t *testing.T) {
	o := testOptions()
	cdcWrite(t, o)
	r := cdcReader(t, "db", &WALReaderOptions{Store: o.Store})
	last, err := r.LastID(t.Context(), 3)
	require.NoError(t, err)
	all, err := cdcDrain(t, r, 1, last+1)
	require.NoError(t, err)
	for stop, g := range all {
		rest, err := cdcDrain(t, r, g.Consumed+1, last+1)
		require.NoError(t, err)
		for len(rest) > 0 && rest[0].Seq <= g.Seq {
			require.Equal(t, g.File, rest[0].File)
			rest = rest[1:]
		}
		require.Equal(t, cdcTexts(all[stop+1:]), cdcTexts(rest), "stopped behind seq %d", g.Seq)
	}
	for from := uint64(1); from <= last+1; from++ { // at every id
		rest, err := cdcDrain(t, r, from, last+1)
		require.NoError(t, err)
		var want []WALGroup
		for _, g := range all {
			if g.File >= from {
				want = append(want, g)
			}
		}
		require.Equal(t, cdcTexts(want), cdcTexts(rest), "from %d", from)
	}
}

func TestWALReaderTruncation(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	for i := range 6 {
		require.NoError(t, db.Put(ctx, []byte{'a' + byte(i)}, []byte("1")))
	}
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	require.NoError(t, db.Put(ctx, []byte("z"), []byte("2")))
	r := cdcReader(t, "db", &WALReaderOptions{Store: o.Store})
	last, err := r.LastID(ctx, 0)
	require.NoError(t, err)
	for id := uint64(1); id <= 4; id++ {
		require.NoError(t, o.Store.Delete(ctx, sst.WALID(id).Object("db")))
	}
	check := func(from, missing uint64, rows int) {
		t.Helper()
		got, err := cdcDrain(t, r, from, 0)
		require.ErrorIs(t, err, ErrTruncated)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, sst.WALID(missing).Object("db"))
		require.Len(t, got, rows)
	}
	check(1, 1, 0)
	check(3, 3, 0)
	first, err := r.FirstID(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(5), first)
	got, err := cdcDrain(t, r, 0, last+1)
	require.NoError(t, err)
	require.Len(t, got, 4, "three of the first six puts, and the last") // fence, six puts, one more
	require.NoError(t, o.Store.Delete(ctx, sst.WALID(6).Object("db")))
	check(5, 6, 1) // a hole in the middle: what was before it came

	for id := uint64(5); id <= last; id++ {
		require.NoError(t, o.Store.Delete(ctx, sst.WALID(id).Object("db")))
	}
	first, err = r.FirstID(ctx)
	require.NoError(t, err)
	require.Equal(t, db.state.Load().man.ReplayAfterWAL+1, first)
}

// A stream follows a writer, waits, sees what the next writer does after the first one died
// without closing, says that what it needs is gone when it slept too long, and asks little.
func TestWALReaderFollowsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := testOptions()
		o.ManifestPollInterval = -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		r, err := NewWALReader("db", &WALReaderOptions{Store: o.Store, Logger: quiet})
		require.NoError(t, err)
		type item struct {
			text string
			at   time.Time
			err  error
		}
		items := make(chan item, 100)
		go func() {
			defer close(items)
			for g, err := range r.Iterate(ctx, 1, 0) {
				it := item{at: time.Now(), err: err}
				if err == nil {
					it.text = cdcText(g.Rows[0])
				}
				items <- it
			}
		}()
		next := func() item {
			t.Helper()
			select {
			case it := <-items:
				return it
			case <-time.After(10 * time.Second):
				t.Fatal("nothing came")
				return item{}
			}
		}
		for i := range 5 { // a steady trickle is seen within one short pause
			time.Sleep(150 * time.Millisecond)
			require.NoError(t, db.Put(ctx, []byte("k"), []byte{'0' + byte(i)}))
			stored := time.Now()
			it := next()
			require.NoError(t, it.err)
			require.Equal(t, fmt.Sprintf("%d put k=%d", i+1, i), it.text)
			require.LessOrEqual(t, it.at.Sub(stored), walPollLeast)
		}
		// At rest it asks ever less often: an hour is at most one look in 5 s, and a manifest
		// and a log object a minute.
		before := cdcRequests(r)
		time.Sleep(time.Hour)
		require.LessOrEqual(t, cdcRequests(r)-before, uint64(720+2*60+40))
		require.GreaterOrEqual(t, cdcRequests(r)-before, uint64(720))

		// The writer dies, another takes over behind a fence.
		db.fail(errors.New("crash"))
		o2 := *o
		db2, err := Open(ctx, "db", &o2)
		require.NoError(t, err)
		require.NoError(t, db2.Put(ctx, []byte("k"), []byte("second writer")))
		it := next()
		require.NoError(t, it.err)
		require.Equal(t, "6 put k=second writer", it.text)

		// Its next object is written, flushed and collected between two looks.
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		h, err := db2.PutWithOptions(ctx, []byte("k"), []byte("lost"), nil)
		require.NoError(t, err)
		require.Equal(t, uint64(7), h.Seq())
		require.NoError(t, db2.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		for id := uint64(1); id < 20; id++ {
			require.NoError(t, o.Store.Delete(ctx, sst.WALID(id).Object("db")))
		}
		time.Sleep(holeCheck + 2*walPollMost)
		it = next()
		require.ErrorIs(t, it.err, ErrTruncated)
		_, more := <-items
		require.False(t, more, "the error is the last pair")
		require.NoError(t, r.Close())
		_ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
		require.NoError(t, db2.Close(ctx))
	})
}

func cdcRequests(r *WALReader) (n uint64) {
	for _, row := range r.h.ledger.Snapshot() {
		n += uint64(row.Requests)
	}
	return n
}

func TestWALReaderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.Close(ctx)
		r, err := NewWALReader("db", &WALReaderOptions{Store: o.Store, Logger: quiet, PollInterval: time.Second})
		require.NoError(t, err)
		end := func(ctx context.Context) (err error) {
			for _, err = range r.Iterate(ctx, 1, 0) {
			}
			return err
		}
		for _, d := range []time.Duration{time.Second, 1500 * time.Millisecond} {
			tctx, cancel := context.WithTimeout(ctx, d)
			require.Equal(t, context.DeadlineExceeded, errors.Unwrap(end(tctx)))
			cancel()
		}
		require.NoError(t, db.Put(ctx, []byte("k"), nil))
		for range r.Iterate(ctx, 1, 0) {
			break // leaves nothing behind: the bubble would not end
		}
		go func() { time.Sleep(time.Minute); _ = r.Close() }()
		require.Equal(t, ErrClosed, end(ctx))
		require.Equal(t, ErrClosed, end(ctx))
		_, err = r.LastID(ctx, 0)
		require.Equal(t, ErrClosed, err)
	})
}

func TestWALReaderRefusals(t *testing.T) {
	ctx := context.Background()
	_, err := NewWALReader("db", &WALReaderOptions{MaxFetchTasks: -1})
	require.ErrorIs(t, err, ErrInvalid)
	r := cdcReader(t, "db", &WALReaderOptions{Store: objstore.NewMemory()})
	for _, from := range []uint64{0, 1} {
		_, err = cdcDrain(t, r, from, 0)
		require.ErrorIs(t, err, ErrNoDatabase)
	}
	_, err = r.LastID(ctx, 0)
	require.ErrorIs(t, err, ErrNoDatabase)
	_, err = cdcDrain(t, r, 5, 4)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = r.List(ctx, 5, 4)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = r.Get(ctx, 0)
	require.ErrorIs(t, err, ErrInvalid)
	for _, err := range r.Subscribe(ctx, 1, Range{Start: []byte("b"), End: []byte("a")}) {
		require.ErrorIs(t, err, ErrInvalid)
	}

	o := testOptions()
	o.WALStore = objstore.NewMemory()
	cdcWrite(t, o)
	require.NoError(t, openTest(t, o).Close(ctx)) // flushes to tables
	r = cdcReader(t, "db", &WALReaderOptions{Store: o.Store})
	_, err = cdcDrain(t, r, 1, 0)
	require.ErrorIs(t, err, ErrTruncated, "the wrong store does not pass for a log that is still empty")
}

// A zero-byte object is a fence; every other length that is not the whole is damage.
func TestWALReaderTellsAFenceFromACutObject(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	want := cdcWrite(t, o)
	whole, err := o.Store.Get(ctx, sst.WALID(2).Object("db"))
	require.NoError(t, err)
	r := cdcReader(t, "db", &WALReaderOptions{Store: o.Store})
	last, err := r.LastID(ctx, 0)
	require.NoError(t, err)
	for n := 0; n < len(whole.Body); n++ {
		_, err := o.Store.Put(ctx, sst.WALID(2).Object("db"), whole.Body[:n], objstore.Always)
		require.NoError(t, err)
		got, err := cdcDrain(t, r, 1, last+1)
		if n == 0 {
			require.NoError(t, err)
			require.Equal(t, want[2:], cdcTexts(got))
			continue
		}
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
		require.NotErrorIs(t, err, ErrTruncated)
		var c *CorruptionError
		require.ErrorAs(t, err, &c)
		require.Equal(t, sst.WALID(2).Object("db"), c.Object)
		require.Empty(t, got)
	}
}

func TestWALReaderSubscribeFilters(t *testing.T) {
	o := testOptions()
	cdcWrite(t, o)
	r := cdcReader(t, "db", &WALReaderOptions{Store: o.Store})
	last, err := r.LastID(t.Context(), 0)
	require.NoError(t, err)
	all, err := cdcDrain(t, r, 1, last+1)
	require.NoError(t, err)
	var want, got []string
	for _, s := range cdcTexts(all) {
		if strings.Contains(s, " k1") {
			want = append(want, s)
		}
	}
	for g, err := range r.Subscribe(t.Context(), 1, Prefix([]byte("k1"))) {
		require.NoError(t, err)
		if len(g.Rows) == 0 {
			require.Equal(t, g.File, g.Consumed, "an empty group only moves the position")
		}
		got = append(got, cdcTexts([]WALGroup{g})...)
		if g.Consumed == last {
			break
		}
	}
	require.NotEmpty(t, want)
	require.Equal(t, want, got)
}

// Log objects of every release since 0.10, whose rows may stand in another order, come out by
// commits.
func TestWALReaderGoldenObjects(t *testing.T) {
	var names []string
	for _, dir := range []string{"", "v1", "v2-legacy-filter", "synthetic"} {
		more, err := filepath.Glob(filepath.Join("testdata/golden/sst", dir, "*wal*.sst"))
		require.NoError(t, err)
		names = append(names, more...)
	}
	require.Greater(t, len(names), 20)
	for _, name := range names {
		t.Run(strings.TrimPrefix(name, "testdata/golden/sst/"), func(t *testing.T) {
			body, err := os.ReadFile(name)
			require.NoError(t, err)
			side, err := os.ReadFile(name + ".json")
			require.NoError(t, err)
			var want struct {
				Rows []struct {
					Key, Value json.RawMessage
					Seq        uint64
				}
			}
			require.NoError(t, json.Unmarshal(side, &want))
			s := objstore.NewMemory()
			_, err = s.Put(t.Context(), sst.WALID(1).Object("db"), body, objstore.Always)
			require.NoError(t, err)
			groups, err := cdcDrain(t, cdcReader(t, "db", &WALReaderOptions{Store: s}), 1, 2)
			require.NoError(t, err)
			left := map[string]int{}
			for _, row := range want.Rows {
				var key []byte
				if json.Unmarshal(row.Key, &key) == nil {
					left[fmt.Sprint(row.Seq, base64.StdEncoding.EncodeToString(key))]++
				}
			}
			seq, rows := uint64(0), 0
			for _, g := range groups {
				require.Greater(t, g.Seq, seq)
				seq = g.Seq
				for _, row := range g.Rows {
					require.Equal(t, g.Seq, row.Seq)
					left[fmt.Sprint(row.Seq, base64.StdEncoding.EncodeToString(row.Key))]--
					rows++
				}
			}
			require.Equal(t, len(want.Rows), rows)
			if !bytes.Contains(side, []byte(`"fill"`)) {
				for k, n := range left {
					require.Zero(t, n, k)
				}
			}
		})
	}
}

// The logs of the reference engine's databases, fences and writers that died included.
func TestWALReaderGoldenDatabases(t *testing.T) {
	dirs, err := os.ReadDir(golden018)
	require.NoError(t, err)
	read := 0
	for _, d := range dirs {
		store := filepath.Join(golden018, d.Name(), "store")
		for path := range map[string]bool{"db": true, "tm": true, "mid": true} {
			ids, _ := filepath.Glob(filepath.Join(store, path, "wal", "*.sst"))
			if len(ids) == 0 {
				continue
			}
			o := &WALReaderOptions{Store: memoryCopy(t, store)}
			if d.Name() == "transform" {
				o.BlockTransformer = goldenTransform{}
			}
			r := cdcReader(t, path, o)
			first, err := r.FirstID(t.Context())
			require.NoError(t, err)
			groups, err := cdcDrain(t, r, first, first+uint64(len(ids)))
			require.NoError(t, err, "%s/%s", d.Name(), path)
			read += len(groups)
		}
	}
	require.Greater(t, read, 50)
}
