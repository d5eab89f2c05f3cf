package compactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/merging"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var quiet = slog.New(slog.DiscardHandler)

// concat appends operands to the value.
type concat struct{}

func (concat) Merge(_, existing, operand []byte) ([]byte, error) {
	return append(existing, operand...), nil
}

// A world is a database made by hand, with all rows it was ever given.
type world struct {
	t        testing.TB
	store    objstore.Store
	env      *seam.Env
	man      *manifest.Store
	writer   *manifest.Fenced
	rows     []kv.Entry
	seq      kv.Seq
	snapshot kv.Seq // oldest snapshot, MaxSeq = none
	tick     int64
	rnd      *rand.Rand
}

// lockedRand is deterministic randomness for an Env.
type lockedRand struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func (l *lockedRand) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

func testEnv(seed byte) *seam.Env {
	return seam.New(seam.Env{Rand: &lockedRand{r: rand.NewChaCha8([32]byte{seed})}})
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: objstore.NewMemory(), env: testEnv(1), snapshot: kv.MaxSeq, rnd: rand.New(rand.NewPCG(1, 2)), tick: kv.NoTS}
	w.man = manifest.NewStore(w.store, "db", w.env)
	_, err := w.man.Create(context.Background(), manifest.New(""))
	require.NoError(t, err)
	w.writer, err = w.man.AcquireWriter(context.Background(), manifest.AcquireOptions{})
	require.NoError(t, err)
	return w
}

func put(key, value string) kv.Entry {
	return kv.Entry{Key: []byte(key), Value: []byte(value), CreateTS: kv.NoTS, ExpireTS: kv.NoTS}
}

func del(key string) kv.Entry {
	return kv.Entry{Key: []byte(key), Kind: kv.Tombstone, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}
}

func merge(key, value string) kv.Entry {
	e := put(key, value)
	e.Kind = kv.Merge
	return e
}

// write gives rows the next numbers, one each.
func (w *world) write(rows ...kv.Entry) []kv.Entry {
	for i := range rows {
		w.seq++
		rows[i].Seq = w.seq
		w.tick = max(w.tick, rows[i].CreateTS)
	}
	w.rows = append(w.rows, rows...)
	return rows
}

// table stores rows as a table, unsorted ones too.
func (w *world) table(rows []kv.Entry) *sst.Handle {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b kv.Entry) int { return kv.Compare(&a, &b) })
	b := sst.NewWriter(sst.WriterOptions{BlockSize: 256})
	for i := range rows {
		require.NoError(w.t, b.Add(&rows[i]))
	}
	body, info, err := b.Finish()
	require.NoError(w.t, err)
	ms := max(uint64(w.env.Clock.Now().UnixMilli()), w.man.Known().NewestL0Time())
	h := &sst.Handle{ID: sst.TableID(w.env.ULID(ms)), Format: sst.FormatV2, Info: info}
	_, err = w.store.Put(context.Background(), h.ID.Object("db"), body, objstore.Always)
	require.NoError(w.t, err)
	return h
}

// flush writes rows and puts them into L0.
func (w *world) flush(rows ...kv.Entry) {
	w.flushTo("", rows...)
}

func (w *world) flushTo(prefix string, rows ...kv.Entry) {
	h := w.table(w.write(rows...))
	_, err := w.writer.Update(context.Background(), func(m *manifest.Manifest) error {
		m.AddL0([]byte(prefix), sst.View{ID: h.ID.ULID(), Table: h})
		m.LastL0Seq, m.LastL0Tick = w.seq, w.tick
		m.SnapshotMinSeq = min(w.seq, w.snapshot)
		return nil
	})
	require.NoError(w.t, err)
}

// batch is n random rows over few keys.
func (w *world) batch(n int, merges bool) []kv.Entry {
	out := make([]kv.Entry, n)
	for i := range out {
		key := fmt.Sprintf("k%03d", w.rnd.IntN(40))
		switch k := w.rnd.IntN(10); {
		case k < 3:
			out[i] = del(key)
		case k < 6 && merges:
			out[i] = merge(key, fmt.Sprintf("+%d", w.rnd.IntN(1000)))
		default:
			out[i] = put(key, fmt.Sprintf("v%d", w.rnd.IntN(1000)))
		}
	}
	return out
}

// model is what a read at seq must show.
func (w *world) model(seq kv.Seq) []string {
	versions := map[string][]kv.Entry{}
	for _, e := range w.rows {
		if e.Seq <= seq {
			versions[string(e.Key)] = append(versions[string(e.Key)], e)
		}
	}
	var out []string
	for key, vs := range versions {
		var value []byte
		there := false
		for _, e := range vs {
			switch e.Kind {
			case kv.Tombstone:
				value, there = nil, false
			case kv.Put:
				value, there = bytes.Clone(e.Value), true
			case kv.Merge:
				value, there = append(value, e.Value...), true
			}
		}
		if there {
			out = append(out, key+"="+string(value))
		}
	}
	slices.Sort(out)
	return out
}

// read is what the manifest shows at seq.
func (w *world) read(m *manifest.Manifest, seq kv.Seq) []string {
	w.t.Helper()
	var out []string
	src := merging.Resolve(w.scan(m), merging.ResolveOptions{Max: seq, Now: func() int64 { return math.MinInt64 + 1 }, Operator: concat{}})
	for src.Next() {
		out = append(out, string(src.Entry().Key)+"="+string(src.Entry().Value))
	}
	require.NoError(w.t, src.Err())
	require.NoError(w.t, src.Close())
	return out
}

// scan merges all rows of a manifest.
func (w *world) scan(m *manifest.Manifest) kv.Iterator {
	ssts := sst.NewStore(w.store, "db", nil, sst.StoreOptions{Env: w.env})
	g := sst.NewGroup(context.Background(), ssts, sst.GroupOptions{})
	var its []kv.Iterator
	for _, t := range m.Trees() {
		for i := range t.L0 {
			its = append(its, g.Iter(sst.NewViewReader(ssts.Open(t.L0[i].Table), &t.L0[i]), kv.Range{}, false))
		}
		for _, r := range t.Runs {
			var vs []*sst.ViewReader
			for i := range r.Views {
				vs = append(vs, sst.NewViewReader(ssts.Open(r.Views[i].Table), &r.Views[i]))
			}
			its = append(its, g.RunIter(vs, kv.Range{}, false))
		}
	}
	return merging.New(false, its...)
}

// versions lists what is stored of all keys, as "key@seq=value", "key@seq-" for a tombstone
// and "key@seq+operand".
func (w *world) versions(m *manifest.Manifest) []string {
	var out []string
	src := w.scan(m)
	for src.Next() {
		e := src.Entry()
		out = append(out, fmt.Sprintf("%s@%d%c%s", e.Key, e.Seq, "=-+"[e.Kind], e.Value))
	}
	require.NoError(w.t, src.Err())
	return out
}

// check compares reads with the model, at the newest number and at the snapshot.
func (w *world) check() {
	w.t.Helper()
	m, err := manifest.NewStore(w.store, "db", w.env).Latest(context.Background())
	require.NoError(w.t, err)
	w.checkAt(m)
}

func (w *world) checkAt(m *manifest.Manifest) {
	w.t.Helper()
	require.Equal(w.t, w.model(w.seq), w.read(m, w.seq), "newest")
	if w.snapshot != kv.MaxSeq {
		require.Equal(w.t, w.model(w.snapshot), w.read(m, w.snapshot), "snapshot %d", w.snapshot)
	}
}

func (w *world) latest() *manifest.Manifest {
	m, err := w.man.Latest(context.Background())
	require.NoError(w.t, err)
	return m
}

func (w *world) list() *manifest.Compactions {
	c, err := manifest.NewCompactionsStore(w.store, "db", w.env).Latest(context.Background())
	require.NoError(w.t, err)
	return c
}

// config is a process of its own on s.
func (w *world) config(s objstore.Store, seed byte) Config {
	env := testEnv(seed)
	return Config{
		Objects: s, Root: "db", Env: env, Logger: quiet, Manifests: manifest.NewStore(s, "db", env),
		BlockSize: 256, MergeOperator: concat{},
	}
}

// start runs fn until stop, which returns its error, or until the end of the test.
func (w *world) start(run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	done := make(chan struct{})
	go func() { err = run(ctx); close(done) }()
	stop = func() error { cancel(); <-done; return err }
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// hold is a snapshot at seq that has been there since then.
func (w *world) hold(seq kv.Seq) {
	w.snapshot = seq
	_, err := w.writer.Update(context.Background(), func(m *manifest.Manifest) error {
		m.SnapshotMinSeq = min(m.LastL0Seq, seq)
		return nil
	})
	require.NoError(w.t, err)
}

// bubble runs f on fake time.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// eventually waits, on fake time, for at most limit.
func eventually(t testing.TB, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		require.True(t, time.Now().Before(end), "not within %s", limit)
	}
}

var errStop = errors.New("stop")

var _ io.Reader = (*lockedRand)(nil)
