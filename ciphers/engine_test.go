package ciphers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/ciphers"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/operators"
	"github.com/slatedb/slatedb-go/sst"
)

var quiet = slog.New(slog.DiscardHandler)

func ringOf(t testing.TB, active uint32, others ...uint32) *ciphers.Ring {
	var keys []ciphers.Key
	for _, id := range append([]uint32{active}, others...) {
		keys = append(keys, ciphers.Key{ID: id, Secret: bytes.Repeat([]byte{byte(id)}, ciphers.SecretBytes)})
	}
	r, err := ciphers.New(active, keys, nil)
	require.NoError(t, err)
	return r
}

// options are those of a writer that does nothing by itself.
func options(s objstore.Store, tr slatedb.BlockTransformer) *slatedb.Options {
	return &slatedb.Options{
		Store: s, BlockTransformer: tr, Logger: quiet, MergeOperator: operators.Append([]byte(",")), DisableCompactor: true, DisableGC: true,
		MinFilterKeys: -1, BlockSize: 1 << 10, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20, L0MaxSSTs: 100, L0MaxSSTsPerKey: 100,
	}
}

func open(t testing.TB, o *slatedb.Options) *slatedb.DB {
	db, err := slatedb.Open(context.Background(), "db", o)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = db.CloseWithOptions(context.Background(), &slatedb.CloseOptions{Flush: slatedb.CloseNoFlush})
	})
	return db
}

const secret = "TOP-SECRET"

// fill writes rows of every kind and returns what a scan must show. n tells calls apart.
func fill(t testing.TB, db *slatedb.DB, n int, want map[string]string) {
	ctx := context.Background()
	var b slatedb.WriteBatch
	for i := range 50 {
		k, v := fmt.Sprintf("k%03d", i*7%50), fmt.Sprintf("%s %d/%d %s", secret, n, i, strings.Repeat("x", 90))
		b.Put([]byte(k), []byte(v))
		want[k] = v
	}
	for i := range 5 {
		k := fmt.Sprintf("k%03d", 10*i+n%3)
		b.Delete([]byte(k))
		delete(want, k)
	}
	b.Merge([]byte("m"), fmt.Appendf(nil, "%s%d", secret, n))
	if want["m"] != "" {
		want["m"] += ","
	}
	want["m"] += fmt.Sprint(secret, n)
	_, err := db.WriteWithOptions(ctx, &b, &slatedb.WriteOptions{NoWait: true})
	require.NoError(t, err)
}

func requireRows(t testing.TB, r slatedb.ReadOps, want map[string]string) {
	t.Helper()
	ctx, n := context.Background(), 0
	for e, err := range r.Entries(ctx, slatedb.All, nil) {
		require.NoError(t, err)
		require.Equal(t, want[string(e.Key)], string(e.Value), "key %s", e.Key)
		n++
	}
	require.Equal(t, len(want), n)
	for k, v := range want {
		got, err := r.Get(ctx, []byte(k))
		require.NoError(t, err)
		require.Equal(t, v, string(got))
	}
	_, err := r.Get(ctx, []byte("k0005"))
	require.ErrorIs(t, err, slatedb.ErrNotFound)
}

func flush(t testing.TB, db *slatedb.DB) {
	require.NoError(t, db.FlushWithOptions(context.Background(), &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
}

// bodies returns every object of the store.
func bodies(t testing.TB, s objstore.Store) map[string][]byte {
	out := map[string][]byte{}
	for m, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		obj, err := s.Get(context.Background(), m.Key)
		require.NoError(t, err)
		out[m.Key] = bytes.Clone(obj.Body)
	}
	return out
}

// recording notes which keys sections need.
type recording struct {
	*ciphers.Ring
	mu  sync.Mutex
	ids map[uint32]int
}

func (r *recording) Decode(b []byte) ([]byte, error) {
	if id, ok := ciphers.KeyID(b); ok {
		r.mu.Lock()
		r.ids[id]++
		r.mu.Unlock()
	}
	return r.Ring.Decode(b)
}

// keysOf tells how many sections of all tables and WAL objects need which key.
func keysOf(t testing.TB, s objstore.Store, ring *ciphers.Ring) map[uint32]int {
	r := &recording{Ring: ring, ids: map[uint32]int{}}
	for name, body := range bodies(t, s) {
		if !strings.HasSuffix(name, ".sst") || len(body) == 0 {
			continue
		}
		o, err := sst.OpenObject(name, body, r)
		require.NoError(t, err)
		_, err = o.Meta()
		require.NoError(t, err)
		it := o.Rows()
		for it.Next() {
		}
		require.NoError(t, it.Err())
	}
	return r.ids
}

// TestEveryRole runs all that touches a database with each codec, and looks at what is stored.
func TestEveryRole(t *testing.T) {
	for _, codec := range []slatedb.Codec{slatedb.NoCompression, slatedb.Snappy, slatedb.Zlib, slatedb.LZ4, slatedb.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel() // in real time: zstd's decoders have channels that outlive a synctest bubble
			everyRole(t, codec)
		})
	}
}

func everyRole(t *testing.T, codec slatedb.Codec) {
	ctx, s, want := context.Background(), objstore.NewMemory(), map[string]string{}
	o := options(s, ringOf(t, 1))
	o.Compression = codec
	db := open(t, o)
	for n := range 3 {
		fill(t, db, n, want)
		flush(t, db)
	}
	fill(t, db, 3, want)
	require.NoError(t, db.Flush(ctx))
	requireRows(t, db, want)

	// A reader replays the log; a process with the wrong ring or none does not open.
	ro := &slatedb.ReaderOptions{Store: s, MergeOperator: o.MergeOperator, BlockTransformer: ringOf(t, 1), Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20}
	r, err := slatedb.OpenReader(ctx, "db", ro)
	require.NoError(t, err)
	requireRows(t, r, want)
	require.NoError(t, r.Close(ctx))

	// The next writer replays it too.
	require.NoError(t, db.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))
	db = open(t, o)
	requireRows(t, db, want)
	flush(t, db)

	// Admin: checkpoint, clone, a compactor of its own, garbage collection.
	admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, MergeOperator: o.MergeOperator, BlockTransformer: ringOf(t, 1),
		Compression: codec, BlockSize: o.BlockSize, MinFilterKeys: -1, Logger: quiet})
	require.NoError(t, err)
	defer admin.Close()
	ck, err := admin.CreateCheckpoint(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, admin.CreateClone(ctx, "copy", slatedb.CloneSource{CheckpointID: ck.ID}))
	life, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- admin.RunCompactor(life, &slatedb.CompactorOptions{
			PollInterval: 5 * time.Millisecond, Worker: &slatedb.WorkerOptions{PollInterval: 5 * time.Millisecond},
		})
	}()
	require.NoError(t, db.Compact(ctx))
	stop()
	require.NoError(t, <-ended)
	requireRows(t, db, want)
	m, err := admin.ReadManifest(ctx, 0)
	require.NoError(t, err)
	require.Empty(t, m.Root.L0)
	require.Len(t, m.Root.Runs, 1)
	_, err = admin.RunGCOnce(ctx, nil)
	require.NoError(t, err)

	co := *o
	clone, err := slatedb.Open(ctx, "copy", &co)
	require.NoError(t, err)
	requireRows(t, clone, want)
	require.NoError(t, clone.Close(ctx))
	_, err = admin.SeqForTime(ctx, time.Now(), slatedb.RoundDown)
	require.NoError(t, err)
	require.NoError(t, db.Close(ctx))

	for name, body := range bodies(t, s) {
		require.False(t, bytes.Contains(body, []byte(secret)), "%s shows a value", name)
	}
	require.Equal(t, []uint32{1}, keys(keysOf(t, s, ringOf(t, 1))))
}

func keys(m map[uint32]int) (ids []uint32) {
	for id := range 100 {
		if m[uint32(id)] > 0 {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// TestMixedFiles writes tables and WAL objects with every codec and several keys into one
// database; all of it reads as one.
func TestMixedFiles(t *testing.T) {
	ctx, s, want := context.Background(), objstore.NewMemory(), map[string]string{}
	for n := range 10 {
		o := options(s, ringOf(t, uint32(1+n%3), uint32(1+(n+1)%3), uint32(1+(n+2)%3)))
		o.Compression = []slatedb.Codec{slatedb.NoCompression, slatedb.Snappy, slatedb.Zlib, slatedb.LZ4, slatedb.Zstd}[n%5]
		db := open(t, o)
		requireRows(t, db, want)
		fill(t, db, n, want)
		flush(t, db)
		fill(t, db, 100+n, want) // stays in the log for the next
		require.NoError(t, db.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))
	}
	require.Equal(t, []uint32{1, 2, 3}, keys(keysOf(t, s, ringOf(t, 1, 2, 3))))
	o := options(s, ringOf(t, 2, 3, 1))
	o.DisableCompactor = false
	db := open(t, o)
	requireRows(t, db, want)
	require.NoError(t, db.Compact(ctx))
	requireRows(t, db, want)
	require.NoError(t, db.Close(ctx))
}

// TestRotationOnCompaction: after a rewrite and a collection nothing needs the old key, whatever
// the tables were before.
func TestRotationOnCompaction(t *testing.T) {
	for _, shape := range []string{"tables in L0", "one run", "one run and L0", "trivial moves"} {
		t.Run(shape, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { rotate(t, shape) }) })
	}
}

func rotate(t *testing.T, shape string) {
	ctx, s, want := context.Background(), objstore.NewMemory(), map[string]string{}
	ring := ringOf(t, 1)
	o := options(s, ring)
	o.DisableCompactor = false
	o.Compactor = &slatedb.CompactorOptions{TrivialMove: shape == "trivial moves"}
	db := open(t, o)
	step := func(n int) {
		fill(t, db, n, want)
		flush(t, db)
		time.Sleep(time.Second) // what is collected is older than the last compaction
	}
	step(0)
	step(1)
	if shape == "one run" || shape == "one run and L0" {
		require.NoError(t, db.Compact(ctx))
		time.Sleep(time.Second)
	}
	if shape == "trivial moves" {
		// A single table is moved into its run and then stays as it is.
		_, err := db.PutWithOptions(ctx, []byte("zz"), []byte("alone"), nil)
		require.NoError(t, err)
		want["zz"] = "alone"
		require.NoError(t, db.Compact(ctx))
		time.Sleep(time.Second)
	}
	require.Equal(t, []uint32{1}, keys(keysOf(t, s, ring)))

	require.NoError(t, ring.Add(ciphers.Key{ID: 2, Secret: bytes.Repeat([]byte{2}, ciphers.SecretBytes)}))
	require.NoError(t, ring.Activate(2))
	if shape == "one run and L0" {
		step(3)
		require.Equal(t, []uint32{1, 2}, keys(keysOf(t, s, ring)), "both before the rewrite")
	}
	require.NoError(t, db.CompactWithOptions(ctx, &slatedb.CompactOptions{Rewrite: true}))
	time.Sleep(time.Second)
	fill(t, db, 4, want)
	flush(t, db)

	// The compactor's checkpoint protects the inputs for 15 minutes, a table has to be old
	// enough, and the newest WAL object of the old key must be below the replay point.
	admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, Logger: quiet})
	require.NoError(t, err)
	defer admin.Close()
	for range 3 {
		time.Sleep(20 * time.Minute)
		_, err = admin.RunGCOnce(ctx, nil)
		require.NoError(t, err)
	}
	require.Equal(t, []uint32{2}, keys(keysOf(t, s, ring)))
	require.NoError(t, ring.Remove(1))
	requireRows(t, db, want)
	require.NoError(t, db.Close(ctx))
	o.BlockTransformer = ringOf(t, 2)
	db = open(t, o)
	requireRows(t, db, want)
	require.NoError(t, db.Close(ctx))
}

// TestWrongRing: each way to open a database without the right key is a typed error, before
// anything is done to it.
func TestWrongRing(t *testing.T) {
	ctx := context.Background()
	for _, where := range []string{"log", "tables"} {
		s, want := objstore.NewMemory(), map[string]string{}
		db := open(t, options(s, ringOf(t, 1)))
		fill(t, db, 0, want)
		how := slatedb.CloseFlushWAL
		if where == "tables" {
			how = slatedb.CloseFlushMemtable
		}
		require.NoError(t, db.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: how}))
		forged, err := ciphers.New(1, []ciphers.Key{{ID: 1, Secret: bytes.Repeat([]byte{9}, ciphers.SecretBytes)}}, nil)
		require.NoError(t, err)
		for name, tr := range map[string]slatedb.BlockTransformer{"none": nil, "other key": ringOf(t, 2), "other secret": forged} {
			check := func(role string, err error) {
				require.ErrorIs(t, err, slatedb.ErrCorrupt, "%s %s %s", where, name, role)
				require.NotErrorIs(t, err, slatedb.ErrNotFound)
				var at *slatedb.CorruptionError
				require.ErrorAs(t, err, &at)
				require.Contains(t, at.Object, ".sst")
				var unknown *ciphers.UnknownKeyError
				require.Equal(t, name == "other key", errors.As(err, &unknown))
				switch name {
				case "none":
					require.ErrorContains(t, err, "was it written with a block transformer")
				case "other key":
					require.EqualValues(t, 1, unknown.ID)
				case "other secret":
					require.ErrorContains(t, err, "decrypt with key 1")
				}
			}
			r, err := slatedb.OpenReader(ctx, "db", &slatedb.ReaderOptions{Store: s, BlockTransformer: tr, Mode: slatedb.FollowLatest, PollInterval: -1,
				MergeOperator: operators.Append([]byte(",")), Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
			if err == nil { // tables are read when they are asked for
				_, err = r.Get(ctx, []byte("k007"))
				require.NoError(t, r.Close(ctx))
			}
			check("reader", err)
			w, err := slatedb.Open(ctx, "db", options(s, tr))
			if err == nil {
				_, err = w.Get(ctx, []byte("k007"))
				require.NoError(t, w.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: slatedb.CloseNoFlush}))
			}
			check("writer", err)
		}
		db = open(t, options(s, ringOf(t, 1)))
		requireRows(t, db, want)
		require.NoError(t, db.Close(ctx))
	}
}

// TestCompactorWithoutTheKey: the job fails and says why, nothing is lost.
func TestCompactorWithoutTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s, want := context.Background(), objstore.NewMemory(), map[string]string{}
		db := open(t, options(s, ringOf(t, 1)))
		for n := range 4 {
			fill(t, db, n, want)
			flush(t, db)
		}
		for _, tr := range []slatedb.BlockTransformer{nil, ringOf(t, 2)} {
			admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, BlockTransformer: tr, MergeOperator: operators.Append([]byte(",")), Logger: quiet})
			require.NoError(t, err)
			life, stop := context.WithTimeout(ctx, time.Minute)
			require.NoError(t, admin.RunCompactor(life, nil))
			stop()
			require.NoError(t, admin.Close())
		}
		requireRows(t, db, want)
		require.NoError(t, db.RefreshManifest(ctx))
		requireRows(t, db, want)
		admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, Logger: quiet})
		require.NoError(t, err)
		defer admin.Close()
		m, err := admin.ReadManifest(ctx, 0)
		require.NoError(t, err)
		require.Len(t, m.Root.L0, 4, "the inputs are still there")
		require.NoError(t, db.Close(ctx))
	})
}

// TestEncryptingAnOldDatabase: a database without encryption is opened with AcceptPlain, and is
// encrypted by Compact.
func TestEncryptingAnOldDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s, want := context.Background(), objstore.NewMemory(), map[string]string{}
		db := open(t, options(s, nil))
		fill(t, db, 0, want)
		flush(t, db)
		fill(t, db, 1, want)
		require.NoError(t, db.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))

		_, err := slatedb.Open(ctx, "db", options(s, ringOf(t, 1)))
		require.ErrorIs(t, err, slatedb.ErrCorrupt)
		require.ErrorContains(t, err, "not encrypted by package ciphers")

		lax, err := ciphers.New(1, []ciphers.Key{{ID: 1, Secret: bytes.Repeat([]byte{1}, ciphers.SecretBytes)}}, &ciphers.Options{AcceptPlain: true})
		require.NoError(t, err)
		o := options(s, lax)
		o.DisableCompactor = false
		db = open(t, o)
		requireRows(t, db, want)
		time.Sleep(time.Second)
		require.NoError(t, db.Compact(ctx))
		time.Sleep(time.Second)
		fill(t, db, 2, want)
		flush(t, db)
		require.NoError(t, db.Close(ctx))
		admin, err := slatedb.NewAdmin("db", &slatedb.AdminOptions{Store: s, Logger: quiet})
		require.NoError(t, err)
		defer admin.Close()
		for range 3 {
			time.Sleep(20 * time.Minute)
			_, err = admin.RunGCOnce(ctx, nil)
			require.NoError(t, err)
		}
		for name, body := range bodies(t, s) {
			require.False(t, bytes.Contains(body, []byte(secret)), "%s shows a value", name)
		}
		db = open(t, options(s, ringOf(t, 1)))
		requireRows(t, db, want)
		require.NoError(t, db.Close(ctx))
	})
}

// TestSwappedSectionsAreValid states the limit that the interface sets: a section
// is valid wherever it stands under its key. What notices a swapped object is the engine.
func TestSwappedSectionsAreValid(t *testing.T) {
	r := ringOf(t, 1)
	a, err := r.Encode([]byte("row of one table"))
	require.NoError(t, err)
	got, err := ringOf(t, 1).Decode(a)
	require.NoError(t, err)
	require.Equal(t, "row of one table", string(got))
}
