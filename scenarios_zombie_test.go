package slatedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// Helpers of the scenarios_*_test.go files come first; the zombie suite is below them.

// sceneOptions are quiet and do nothing by a timer, so that a test decides what happens when.
func sceneOptions(s objstore.Store) *Options {
	return &Options{DisableCompactor: true, DisableGC: true,
		Store: s, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: -1,
		L0MaxSSTs: 1 << 20, L0MaxSSTsPerKey: 1 << 20, FlushInterval: -1, ManifestPollInterval: -1, MaxRetries: 1,
	}
}

// with returns a changed copy.
func (o Options) with(change func(*Options)) *Options {
	change(&o)
	return &o
}

var (
	memtableFlush = &FlushOptions{Type: FlushMemtable}
	sceneNoFlush  = &CloseOptions{Flush: CloseNoFlush}
	noWait        = &PutOptions{NoWait: true}
)

// sceneAbandon ends a handle without storing anything: its process is dead.
func sceneAbandon(db *DB) {
	if db != nil {
		_ = db.CloseWithOptions(context.Background(), sceneNoFlush)
	}
}

// openScene opens "db" and abandons it when the test ends.
func openScene(t testing.TB, o *Options) *DB {
	t.Helper()
	db, err := Open(context.Background(), "db", o)
	require.NoError(t, err)
	t.Cleanup(func() { sceneAbandon(db) })
	return db
}

func sceneManifests(s objstore.Store) *manifest.Store {
	return manifest.NewStore(s, "db", seam.New(seam.Env{}))
}

func sceneManifest(t testing.TB, s objstore.Store) *manifest.Manifest {
	t.Helper()
	m, err := sceneManifests(s).Latest(context.Background())
	require.NoError(t, err)
	return m
}

// scenePin pins the latest manifest, as a reader does.
func scenePin(t testing.TB, ms *manifest.Store, id uuid.UUID) {
	_, err := ms.Update(context.Background(), func(m *manifest.Manifest) error {
		m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{ID: id, ManifestID: m.ID, CreateTime: time.Now()})
		return nil
	})
	require.NoError(t, err)
}

// sceneObjects lists the ids and sizes of a directory whose names are numbers.
func sceneObjects(t testing.TB, s objstore.Store, dir string) map[uint64]objstore.Attributes {
	t.Helper()
	out := map[uint64]objstore.Attributes{}
	for a, err := range s.List(context.Background(), "db/"+dir+"/", "") {
		require.NoError(t, err)
		name, _, _ := strings.Cut(path.Base(a.Key), ".")
		id, err := strconv.ParseUint(name, 10, 64)
		require.NoError(t, err)
		out[id] = a
	}
	return out
}

// sceneCollectWAL does what the collector does to the log with a minimum age of 0: everything
// below the replay point goes that no checkpoint needs. Fences go only when asked for.
func sceneCollectWAL(t testing.TB, s objstore.Store, fences bool) (deleted int) {
	t.Helper()
	ctx := context.Background()
	ms := sceneManifests(s)
	m, err := ms.Latest(ctx)
	require.NoError(t, err)
	var pinned []*manifest.Manifest
	for _, c := range m.Checkpoints {
		p, err := ms.Read(ctx, c.ManifestID)
		require.NoError(t, err)
		pinned = append(pinned, p)
	}
	for id, a := range sceneObjects(t, s, "wal") {
		needed := slices.ContainsFunc(pinned, func(p *manifest.Manifest) bool { return id > p.ReplayAfterWAL && id <= p.WALLastSeen })
		if id >= m.ReplayAfterWAL || needed || a.Size == 0 && !fences {
			continue
		}
		require.NoError(t, s.Delete(ctx, a.Key))
		deleted++
	}
	return deleted
}

// sceneCollectManifests deletes all versions but the latest and those that checkpoints name,
// having advanced the boundary first.
func sceneCollectManifests(t testing.TB, s objstore.Store) {
	t.Helper()
	ctx := context.Background()
	ms := sceneManifests(s)
	m, err := ms.Latest(ctx)
	require.NoError(t, err)
	var gone []string
	most := uint64(0)
	for id, a := range sceneObjects(t, s, "manifest") {
		named := slices.ContainsFunc(m.Checkpoints, func(c manifest.Checkpoint) bool { return c.ManifestID == id })
		if id < m.ID && !named {
			gone, most = append(gone, a.Key), max(most, id)
		}
	}
	require.NoError(t, ms.Boundary().Advance(ctx, most))
	for _, k := range gone {
		require.NoError(t, s.Delete(ctx, k))
	}
}

// sceneCopy returns a store with the same objects.
func sceneCopy(t testing.TB, s objstore.Store) objstore.Store {
	t.Helper()
	ctx := context.Background()
	out := objstore.NewMemory()
	for a, err := range s.List(ctx, "", "") {
		require.NoError(t, err)
		o, err := s.Get(ctx, a.Key)
		require.NoError(t, err)
		_, err = out.Put(ctx, a.Key, o.Body, objstore.Always)
		require.NoError(t, err)
	}
	return out
}

func sceneRows(t testing.TB, r ReadOps) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range scanRows(t, r, All, nil) {
		out[string(e.Key)] = string(e.Value)
	}
	return out
}

// requireRows checks that every acknowledged row is there.
func requireRows(t testing.TB, acked, got map[string]string, msg string, args ...any) {
	t.Helper()
	for k, v := range acked {
		require.Equal(t, v, got[k], "key %s is lost: %s", k, fmt.Sprintf(msg, args...))
	}
}

// A pointGate records the named points that a handle passes and parks it at one of them.
type pointGate struct {
	mu    sync.Mutex
	trace []string
	at    int                        // index in trace to park at, -1 = nowhere
	do    func(i int, name string)   // called at each point, outside the lock
	stop  func(i int, n string) bool // parks where it says so, once
	seen  map[string]int
	hit   chan struct{} // closed when parked
	open  chan struct{} // closed by release
	once  sync.Once
}

func newPointGate() *pointGate {
	return &pointGate{at: -1, seen: map[string]int{}, hit: make(chan struct{}), open: make(chan struct{})}
}

// parkAtPoint makes a pointGate that parks at the nth passage of a point, from 1.
func parkAtPoint(name string, nth int) *pointGate {
	g := newPointGate()
	g.stop = func(_ int, n string) bool { return n == name && g.seen[n] == nth }
	return g
}

func (g *pointGate) point(name string) {
	g.mu.Lock()
	i := len(g.trace)
	g.trace = append(g.trace, name)
	g.seen[name]++
	park := g.stop != nil && g.at < 0 && g.stop(i, name)
	if park {
		g.at = i
	}
	g.mu.Unlock()
	if g.do != nil {
		g.do(i, name)
	}
	if park {
		close(g.hit)
		<-g.open
	}
}

func (g *pointGate) release() { g.once.Do(func() { close(g.open) }) }

func (g *pointGate) passed() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.trace)
}

// awaitScene bounds a wait that a defect could make endless. It is not a measure of anything.
func awaitScene(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(5 * time.Minute):
		t.Fatalf("hangs: %s", what)
	}
}

// A zombie is a writer that runs a fixed script: open, some durable writes, two memtable
// flushes, close.
type zombie struct {
	o     *Options
	db    *DB
	acked map[string]string
	err   error // the first one
	stage string
	done  chan struct{}
}

func startZombie(o *Options) *zombie {
	z := &zombie{o: o, acked: map[string]string{}, done: make(chan struct{}), stage: "open"}
	go func() { defer close(z.done); z.run() }()
	return z
}

func (z *zombie) run() {
	ctx := context.Background()
	if z.db, z.err = Open(ctx, "db", z.o); z.err != nil {
		return
	}
	z.stage = "work"
	put := func(k string) {
		err := z.db.Put(ctx, []byte(k), []byte("zombie"))
		if err == nil {
			z.acked[k] = "zombie"
		}
		z.note(err)
	}
	for round := range 2 {
		put(fmt.Sprintf("z/%d/a", round))
		var b WriteBatch
		for _, k := range []string{"x", "y"} {
			b.Put(fmt.Appendf(nil, "z/%d/%s", round, k), []byte("zombie"))
		}
		if err := z.db.Write(ctx, &b); err == nil {
			z.acked[fmt.Sprintf("z/%d/x", round)], z.acked[fmt.Sprintf("z/%d/y", round)] = "zombie", "zombie"
		} else {
			z.note(err)
		}
		z.note(z.db.FlushWithOptions(ctx, memtableFlush))
	}
	put("z/last")
	z.stage = "close"
}

func (z *zombie) note(err error) {
	if z.err == nil {
		z.err = err
	}
}

// close ends the script the regular way.
func (z *zombie) close() error { return z.db.Close(context.Background()) }

type zombieCase struct {
	noWAL, fresh, manifests bool
}

func (c zombieCase) String() string {
	return fmt.Sprintf("wal=%v fresh=%v manifests-collected=%v", !c.noWAL, c.fresh, c.manifests)
}

// store prepares what both writers find.
func (c zombieCase) store(t testing.TB) (objstore.Store, map[string]string) {
	s := objstore.NewMemory()
	base := map[string]string{}
	if c.fresh {
		return s, base
	}
	db := openScene(t, sceneOptions(s))
	for i := range 4 {
		k := fmt.Sprintf("base/%d", i)
		require.NoError(t, db.Put(context.Background(), []byte(k), []byte("base")))
		base[k] = "base"
		if i == 1 {
			require.NoError(t, db.FlushWithOptions(context.Background(), memtableFlush))
		}
	}
	// The manifest knows of objects behind the replay point.
	require.NoError(t, db.CloseWithOptions(context.Background(), &CloseOptions{Flush: CloseFlushWAL}))
	return s, base
}

func (c zombieCase) options(s objstore.Store) *Options {
	return sceneOptions(s).with(func(o *Options) { o.DisableWAL = c.noWAL })
}

// takeOver is the second writer: it opens, writes, moves everything into tables, and the
// collector runs.
func (c zombieCase) takeOver(t testing.TB, s objstore.Store, acked map[string]string) *DB {
	ctx := context.Background()
	db := openScene(t, c.options(s))
	put := func(k string) {
		require.NoError(t, db.Put(ctx, []byte(k), []byte("second")))
		acked[k] = "second"
	}
	put("s/0")
	put("s/1")
	require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
	put("s/2")
	require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
	sceneCollectWAL(t, s, false)
	if c.manifests {
		sceneCollectManifests(t, s)
	}
	put("s/3")
	return db
}

// judge checks the end: one of both writers is left, it has every row that either of them
// acknowledged, and so has the next one.
func (c zombieCase) judge(t testing.TB, s objstore.Store, z *zombie, second *DB, base, acked map[string]string, parked string) {
	ctx := context.Background()
	alive, dead, what := second, z.db, "the second has taken over"
	if z.db != nil && z.db.fenced.Epoch() > second.fenced.Epoch() {
		// Parked before its claim: then the second is the older one.
		alive, dead, what = z.db, second, "the paused one has claimed later"
		require.NoError(t, z.err, parked)
	} else if parked == "close" {
		if err := z.close(); err != nil {
			require.ErrorIs(t, err, ErrFenced)
		}
	} else if z.db == nil {
		require.ErrorIs(t, z.err, ErrFenced, parked)
	}
	if dead != nil && parked != "close" {
		require.ErrorIs(t, dead.Put(ctx, []byte("late"), nil), ErrFenced, what)
		require.ErrorIs(t, dead.Put(ctx, []byte("later"), nil), ErrFenced, what)
		require.ErrorIs(t, dead.Flush(ctx), ErrFenced)
		require.ErrorIs(t, dead.RefreshManifest(ctx), ErrFenced)
		require.ErrorIs(t, dead.Status().Err, ErrFenced)
		if dead == z.db && z.err != nil {
			require.ErrorIs(t, z.err, ErrFenced)
		}
		_ = dead.Close(ctx)
	}
	now := sceneRows(t, alive)
	for who, rows := range map[string]map[string]string{"before": base, "zombie": z.acked, "second": acked} {
		requireRows(t, rows, now, "written by %s, acknowledged as durable; %s", who, what)
	}
	require.Equal(t, now["z/0/x"], now["z/0/y"], "half a batch")
	require.NotContains(t, now, "late")
	require.NoError(t, alive.Put(ctx, []byte("after"), []byte("all")))
	require.NoError(t, alive.FlushWithOptions(ctx, memtableFlush))
	sceneCollectWAL(t, s, false)
	now["after"] = "all"
	require.Equal(t, now, sceneRows(t, alive))
	require.NoError(t, alive.Close(ctx))
	third := openScene(t, c.options(s))
	require.Equal(t, now, sceneRows(t, third), "after a reopen; %s", what)
	sceneAbandon(third)
}

func eachZombieCase(t *testing.T, f func(t *testing.T, c zombieCase)) {
	for _, c := range []zombieCase{
		{}, {manifests: true}, {fresh: true}, {noWAL: true}, {noWAL: true, manifests: true}, {noWAL: true, fresh: true},
	} {
		t.Run(c.String(), func(t *testing.T) { f(t, c) })
	}
}

// The writer's named points (docs/design). The script passes each of them.
var writerPoints = []string{
	"open.before-claim", "manifest.claim", "manifest.before-put", "manifest.after-put", "open.after-claim",
	"wal.fence.before-put", "wal.fence.after-put", "open.after-fence",
	"wal.before-put", "wal.after-put", "wal.before-ack",
	"flush.before-put", "flush.after-put", "install.before-manifest", "install.after-manifest",
}

// A writer is stopped at every passage of every named point while a second one opens,
// writes, flushes and old objects are collected. Then it goes on.
func TestZombie_AtEveryNamedPoint(t *testing.T) {
	eachZombieCase(t, func(t *testing.T, c zombieCase) {
		s, _ := c.store(t)
		record := newPointGate()
		z := startZombie(c.options(s).with(func(o *Options) { o.onPoint = record.point }))
		awaitScene(t, z.done, "the script without a pause")
		require.NoError(t, z.err)
		require.NoError(t, z.close())
		trace := record.passed()
		for _, p := range writerPoints {
			if !c.noWAL || !strings.HasPrefix(p, "wal.before") && !strings.HasPrefix(p, "wal.after") {
				require.Contains(t, trace, p, "the script does not pass the point")
			}
		}
		nth := map[string]int{}
		for _, name := range trace {
			nth[name]++
			c.pauseAt(t, name, nth[name])
		}
	})
}

func (c zombieCase) pauseAt(t *testing.T, name string, nth int) {
	s, base := c.store(t)
	g := parkAtPoint(name, nth)
	defer g.release()
	z := startZombie(c.options(s).with(func(o *Options) { o.onPoint = g.point }))
	closed := make(chan error, 1)
	parked := fmt.Sprintf("parked at %s, time %d", name, nth)
	select {
	case <-g.hit:
	case <-z.done: // the point lies in Close
		require.NoError(t, z.err)
		go func() { closed <- z.close() }()
		awaitScene(t, g.hit, parked)
		parked = "close"
	}
	acked := map[string]string{}
	second := c.takeOver(t, s, acked)
	g.release()
	awaitScene(t, z.done, parked)
	c.judge(t, s, z, second, base, acked, parked)
}

// The same with the pause at every request to the store, before and after its effect. It
// reaches places between two named points: the reads of an opening, the boundary file.
func TestZombie_AtEveryRequest(t *testing.T) {
	eachZombieCase(t, func(t *testing.T, c zombieCase) {
		for _, kind := range []faulty.Kind{faulty.Block, faulty.BlockAfter} {
			n := 1
			for ; c.pauseRequest(t, kind, n); n++ {
			}
			require.Greater(t, n, 20, "the script has more requests than that")
		}
	})
}

// pauseRequest reports false when the script has less than n requests.
func (c zombieCase) pauseRequest(t *testing.T, kind faulty.Kind, n int) bool {
	inner, base := c.store(t)
	gate := &gateStore{Store: inner}
	s := faulty.New(gate, nil)
	release := make(chan struct{})
	let := func() {}
	defer func() { let() }()
	r := s.Script(faulty.Rule{Nth: n, Kind: kind, Release: release})
	z := startZombie(c.options(s))
	parked := fmt.Sprintf("%v at request %d", kind, n)
	select {
	case <-r.Reached():
	case <-z.done:
		require.NoError(t, z.err)
		closed := make(chan struct{})
		go func() { defer close(closed); _ = z.close() }()
		select {
		case <-r.Reached():
			parked = "close"
		case <-closed:
			return false
		}
	}
	// The whole process stops, not the one request alone: another one, of a claim say, that ran
	// beside it could fence the second writer in the middle of its script.
	gate.mu.Lock()
	let = sync.OnceFunc(func() { gate.mu.Unlock(); close(release) })
	acked := map[string]string{}
	second := c.takeOver(t, inner, acked)
	let()
	awaitScene(t, z.done, parked)
	c.judge(t, inner, z, second, base, acked, parked)
	return true
}

// gateStore lets no request through while mu is locked; locking waits for those under way.
type gateStore struct {
	objstore.Store
	mu sync.RWMutex
}

func (s *gateStore) Get(ctx context.Context, key string) (objstore.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Get(ctx, key)
}

func (s *gateStore) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.ReadAt(ctx, key, p, off)
}

func (s *gateStore) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Put(ctx, key, body, c)
}

func (s *gateStore) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Upload(ctx, key, body, c)
}

func (s *gateStore) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Head(ctx, key)
}

func (s *gateStore) Delete(ctx context.Context, key string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Delete(ctx, key)
}

func (s *gateStore) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		type pair struct {
			a   objstore.Attributes
			err error
		}
		var all []pair
		s.mu.RLock()
		for a, err := range s.Store.List(ctx, prefix, after) {
			all = append(all, pair{a, err})
		}
		s.mu.RUnlock()
		for _, p := range all {
			if !yield(p.a, p.err) {
				return
			}
		}
	}
}

// An opener and a running writer together: the opener is stopped at each of its points while
// the running writer goes on working. Whatever the running one acknowledges is in the opener.
func TestZombie_IncumbentWorksWhileAnOpenerIsStopped(t *testing.T) {
	ctx := context.Background()
	record := newPointGate()
	sceneAbandon(openScene(t, sceneOptions(objstore.NewMemory()).with(func(o *Options) { o.onPoint = record.point })))
	for i, name := range record.passed() {
		c := zombieCase{}
		s, acked := c.store(t)
		first := openScene(t, sceneOptions(s))
		g := newPointGate()
		g.stop = func(j int, _ string) bool { return j == i }
		var second *DB
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			second, err = Open(ctx, "db", sceneOptions(s).with(func(o *Options) { o.onPoint = g.point }))
		}()
		awaitScene(t, firstOf(g.hit, done), name)
		for k := range 5 {
			key := fmt.Sprintf("first/%d", k)
			if perr := first.Put(ctx, []byte(key), []byte("v")); perr == nil {
				acked[key] = "v"
			} else {
				require.ErrorIs(t, perr, ErrFenced)
			}
			if ferr := first.FlushWithOptions(ctx, memtableFlush); ferr != nil {
				require.True(t, errors.Is(ferr, ErrFenced), "%v", ferr)
			}
			sceneCollectWAL(t, s, false)
		}
		g.release()
		awaitScene(t, done, name)
		require.NoError(t, err, name)
		requireRows(t, acked, sceneRows(t, second), "opener stopped at %s", name)
		require.ErrorIs(t, first.Put(ctx, []byte("x"), nil), ErrFenced)
		require.NoError(t, second.Put(ctx, []byte("y"), nil))
		sceneAbandon(second)
		sceneAbandon(first)
		third := openScene(t, sceneOptions(s))
		requireRows(t, acked, sceneRows(t, third), "reopened, opener was stopped at %s", name)
		sceneAbandon(third)
	}
}

func firstOf(a, b <-chan struct{}) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		select {
		case <-a:
		case <-b:
		}
	}()
	return out
}
