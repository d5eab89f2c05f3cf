//go:build unix

package slatedb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// The test of leases: this process writes and holds iterators, snapshots, readers and a clone
// for more than three lifetimes of every lease, while one other process compacts whatever
// comes and a third collects without a minimum age. No read of theirs may fail.
//
// Time is the parent's: it tells the others what it is (leaseClock), an hour in steps of three
// minutes. A step comes when everybody has done what the step before made due, and in between
// time flows slowly. So the verdict does not depend on how fast the machine is.

const leaseRoleEnv, leaseDirEnv, leaseNowEnv = "SLATEDB_LEASES_ROLE", "SLATEDB_LEASES_DIR", "SLATEDB_LEASES_NOW"

const (
	leaseDB, leaseClone = "root/db", "root/clone"
	leaseLife           = time.Hour
	leaseStep           = leaseLife / 20
	leaseSteps          = 66 // more than three lifetimes
	leaseRows           = 400
	leasePoll           = 500 * time.Millisecond // 25 ms of the wall clock while nobody steps
)

func init() { children[leaseRoleEnv] = leaseChild }

func leaseChild(role string) {
	ctx, cancel := context.WithCancel(context.Background())
	ms, err := strconv.ParseInt(os.Getenv(leaseNowEnv), 10, 64)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
	clock := newLeaseClock(time.UnixMilli(ms))
	store, err := objstore.NewDirWithOptions(os.Getenv(leaseDirEnv), objstore.DirOptions{NoSync: true})
	var admins []*Admin
	for _, path := range []string{leaseDB, leaseClone} {
		if err == nil {
			var a *Admin
			a, err = NewAdmin(path, &AdminOptions{Store: store, Logger: quiet, Clock: clock, BlockSize: 1 << 10})
			admins = append(admins, a)
		}
	}
	orders := make(chan struct{}, 1)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			if now, ok := strings.CutPrefix(in.Text(), "now "); ok {
				ms, _ := strconv.ParseInt(now, 10, 64)
				clock.set(time.UnixMilli(ms))
				continue
			}
			orders <- struct{}{}
		}
		cancel()
		clock.set(clock.Now().Add(leaseLife)) // nobody waits any more
	}()
	if err == nil {
		fmt.Println("open")
		switch role {
		case "compactor":
			err = admins[0].RunCompactor(ctx, &CompactorOptions{
				PollInterval: leasePoll, CommitInterval: leasePoll, CheckpointLifetime: leaseLife,
				WorkerHeartbeatTimeout: 10 * leaseLife, SizeTiered: SizeTieredOptions{MinSources: 2, IncludeSizeThreshold: 1000},
				Worker: &WorkerOptions{PollInterval: leasePoll, MaxSSTBytes: 8 << 10},
			})
		case "collector": // a pass over both for each order
			for err == nil && ctx.Err() == nil {
				select {
				case <-orders:
				case <-ctx.Done():
					continue
				}
				var deleted int
				for _, a := range admins {
					var report GCReport
					if report, err = a.RunGCOnce(ctx, &GCOptions{MinAge: -1, DeleteWALFences: true}); err != nil {
						break
					}
					for _, o := range report.Deleted {
						if o.Kind == "compacted" {
							deleted++
						}
					}
				}
				if err == nil {
					fmt.Println("collected", deleted)
				}
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		fmt.Println("error", role, err)
		os.Exit(3)
	}
	os.Exit(0)
}

// leaseWorld is the parent's side.
type leaseWorld struct {
	t     *testing.T
	clock *leaseClock
	store objstore.Store
	admin *Admin

	mu     sync.Mutex // orders what is said about the time
	others []*distProcess

	db, clone *DB
	round     int
	rounds    map[string]int // the round in which each key was written last
}

// pass lets time pass, here and in the other processes.
func (w *leaseWorld) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now().Add(d)
	for _, p := range w.others {
		_, _ = fmt.Fprintln(p.in, "now", now.UnixMilli())
	}
	w.clock.set(now)
}

func leaseKey(i int) string { return fmt.Sprintf("key/%04d", i) }

// leaseValue takes several rows to a block.
func leaseValue(key string, round int) string {
	return fmt.Sprintf("%d/%s", round, strings.Repeat(key, 20))
}

func roundOf(t *testing.T, key string, value []byte) int {
	t.Helper()
	n, _, _ := strings.Cut(string(value), "/")
	round, err := strconv.Atoi(n)
	require.NoError(t, err)
	require.Equal(t, leaseValue(key, round), string(value))
	return round
}

// write is the next round: the rows i with i%every == 0, in a table of their own.
func (w *leaseWorld) write(every int) {
	w.t.Helper()
	w.round++
	var b WriteBatch
	for i := 0; i < leaseRows; i += every {
		k := leaseKey((i + w.round) % leaseRows)
		b.Put([]byte(k), []byte(leaseValue(k, w.round)))
		w.rounds[k] = w.round
	}
	require.NoError(w.t, w.db.Write(w.t.Context(), &b))
	require.NoError(w.t, w.db.FlushWithOptions(w.t.Context(), &FlushOptions{Type: FlushMemtable}))
}

// settled waits until everybody here has done what is due: the writers have seen the newest
// manifest and protect the tables of long scans, the readers have renewed their leases, the
// compactor has emptied L0.
func (w *leaseWorld) settled(managed ...*Reader) {
	w.t.Helper()
	ctx := w.t.Context()
	eventually(w.t, "an end of what is due", func() bool {
		m, err := w.admin.ReadManifest(ctx, 0)
		require.NoError(w.t, err)
		if len(m.Root.L0) > 1 || w.db.state.Load().man.ID < m.ID {
			return false
		}
		now := w.clock.Now()
		for _, db := range []*DB{w.db, w.clone} {
			require.NoError(w.t, db.Status().Err)
			if leaseKeeperLate(&db.keeper, now) {
				return false
			}
		}
		for _, r := range managed {
			if leaseReaderLate(r, now) {
				return false
			}
		}
		return true
	})
}

// leaseKeeperLate reports whether a long scan waits for its checkpoint.
func leaseKeeperLate(k *keeper, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.mu.uses, func(u *tableUse) bool {
		return u.open.Load() > 0 && u.pin != 0 && !u.act.After(now)
	})
}

// leaseReaderLate reports whether the reader uses a lease that is past half of its life.
func leaseReaderLate(r *Reader, now time.Time) bool {
	r.leases.mu.Lock()
	defer r.leases.mu.Unlock()
	return slices.ContainsFunc(r.leases.mu.list, func(l *lease) bool {
		return !l.lost && (l.open > 0 || l == r.leases.mu.current) && l.expire.Sub(now) < leaseLife/2
	})
}

// A held handle shows what there was when it was opened, by point and by iterators that were
// opened then and go on a few rows a step.
type held struct {
	name    string
	r       ReadOps
	want    map[string]int
	seen    map[string]int // the newest round that a read showed
	its     []*Iterator
	at      []int // rows that its have shown
	mayMove bool  // reads may show newer rounds than want, never older ones
}

func (w *leaseWorld) hold(name string, r ReadOps, mayMove bool) *held {
	w.t.Helper()
	h := &held{name: name, r: r, want: maps.Clone(w.rounds), seen: map[string]int{}, mayMove: mayMove, at: make([]int, 2)}
	for _, order := range []Order{Ascending, Descending} {
		it, err := r.ScanWithOptions(w.t.Context(), All, &ScanOptions{Order: order, ReadAheadBytes: 1, MaxFetchTasks: 1})
		require.NoError(w.t, err)
		h.its = append(h.its, it)
	}
	return h
}

// goOn moves the iterators by n rows.
func (h *held) goOn(t *testing.T, n int) {
	t.Helper()
	for j, it := range h.its {
		for range min(n, leaseRows-h.at[j]) {
			i := h.at[j]
			if j == 1 {
				i = leaseRows - 1 - i
			}
			k := leaseKey(i)
			require.True(t, it.Next(), "iterator of the %s at %s: %v", h.name, k, it.Err())
			require.Equal(t, k, string(it.Key()), "iterator of the %s", h.name)
			require.Equal(t, h.want[k], roundOf(t, k, it.Value()), "iterator of the %s at %s", h.name, k)
			h.at[j]++
		}
	}
}

// read asks for some rows by point and scans some.
func (h *held) read(t *testing.T, step int) {
	t.Helper()
	saw := func(k string, v []byte) {
		got := roundOf(t, k, v)
		if !h.mayMove {
			require.Equal(t, h.want[k], got, "the %s at %s", h.name, k)
		}
		require.GreaterOrEqual(t, got, max(h.want[k], h.seen[k]), "the %s goes back at %s", h.name, k)
		h.seen[k] = got
	}
	for i := step; i < leaseRows; i += 97 {
		k := leaseKey(i)
		v, err := h.r.Get(t.Context(), []byte(k))
		require.NoError(t, err, "the %s at %s", h.name, k)
		saw(k, v)
	}
	from := step * 5 % leaseRows
	for e, err := range h.r.Entries(t.Context(), Range{Start: []byte(leaseKey(from))}, &ScanOptions{Limit: 40}) {
		require.NoError(t, err, "a scan of the %s", h.name)
		saw(string(e.Key), e.Value)
	}
}

func (h *held) end(t *testing.T) {
	t.Helper()
	h.goOn(t, leaseRows)
	for _, it := range h.its {
		require.False(t, it.Next(), "iterator of the %s", h.name)
		require.NoError(t, it.Close(), "iterator of the %s", h.name)
	}
}

func TestLeases(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	store, err := objstore.NewDirWithOptions(dir, objstore.DirOptions{NoSync: true})
	require.NoError(t, err)
	w := &leaseWorld{t: t, store: store, clock: newLeaseClock(time.Now()), rounds: map[string]int{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // time flows, ten times as fast as outside
		defer close(stopped)
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-tick.C:
				w.pass(20 * time.Millisecond)
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	defer func() { close(stop); <-stopped }()

	options := func() *Options {
		return &Options{
			Store: store, Clock: w.clock, Logger: quiet, DisableCompactor: true, DisableGC: true, BlockSize: 1 << 10,
			BlockCacheBytes: -1, MetaCacheBytes: -1, ManifestPollInterval: leasePoll, L0MaxSSTs: 1000, L0MaxSSTsPerKey: 1000,
			// Of no use without a compactor but for the keeper, whose checkpoints live as long.
			Compactor: &CompactorOptions{CheckpointLifetime: leaseLife},
		}
	}
	w.db, err = Open(ctx, leaseDB, options())
	require.NoError(t, err)
	w.write(1)
	w.write(3)
	w.admin, err = NewAdmin(leaseDB, &AdminOptions{Store: store, Clock: w.clock, Logger: quiet})
	require.NoError(t, err)
	defer w.admin.Close()
	require.NoError(t, w.admin.CreateClone(ctx, leaseClone, CloneSource{}))
	w.clone, err = Open(ctx, leaseClone, options())
	require.NoError(t, err)

	open := func(o ReaderOptions, path string) *Reader {
		o.Store, o.Clock, o.Logger, o.BlockCacheBytes, o.MetaCacheBytes = store, w.clock, quiet, -1, -1
		o.CheckpointLifetime = leaseLife
		r, err := OpenReader(ctx, path, &o)
		require.NoError(t, err)
		return r
	}
	start := func(role string) *distProcess {
		p := startProcess(t, leaseRoleEnv, role, leaseDirEnv+"="+dir, fmt.Sprintf("%s=%d", leaseNowEnv, w.clock.Now().UnixMilli()))
		w.mu.Lock()
		defer w.mu.Unlock()
		w.others = append(w.others, p)
		return p
	}
	start("compactor")
	collector := start("collector")

	// Each of them has tables that nobody else needs.
	var all []*held
	var readers []*Reader
	hold := func(name string, r ReadOps, mayMove bool) {
		all = append(all, w.hold(name, r, mayMove))
		if r, ok := r.(*Reader); ok {
			readers = append(readers, r)
		}
		w.settled()
		w.write(1)
		w.settled()
	}
	all = append(all, w.hold("clone", w.clone, false))
	hold("reader of the clone", open(ReaderOptions{PollInterval: leasePoll}, leaseClone), false)
	hold("writer", w.db, true)
	snapshot, err := w.db.Snapshot()
	require.NoError(t, err)
	hold("snapshot", snapshot, false)
	hold("managed reader", open(ReaderOptions{PollInterval: leasePoll}, leaseDB), true)
	hold("managed reader without polling", open(ReaderOptions{PollInterval: -1}, leaseDB), false)
	pin, err := w.admin.CreateCheckpoint(ctx, &CheckpointOptions{Lifetime: leaseLife})
	require.NoError(t, err)
	hold("pinned reader", open(ReaderOptions{CheckpointID: pin.ID}, leaseDB), false)
	follow := &leaseFollower{r: open(ReaderOptions{Mode: FollowLatest, PollInterval: leaseLife + leaseLife/2}, leaseDB)}

	deleted := 0
	for step := range leaseSteps {
		w.settled(readers...)
		w.pass(leaseStep)
		w.mu.Lock()
		collector.say("collect")
		w.mu.Unlock()
		w.write(7)
		if step%8 == 0 { // whoever pins looks after the checkpoint
			_, err := w.admin.RefreshCheckpoint(ctx, pin.ID, leaseLife)
			require.NoError(t, err)
		}
		for _, h := range all {
			h.goOn(t, 5)
			h.read(t, step)
		}
		follow.step(t, step)
		n, err := strconv.Atoi(collector.expect("collected"))
		require.NoError(t, err)
		deleted += n
		if step == leaseSteps/2 { // and some that are younger, on a tree that was merged often
			s, err := w.db.Snapshot()
			require.NoError(t, err)
			defer s.Close()
			late := w.hold("younger snapshot", s, false)
			all = append(all, late)
		}
	}
	for _, h := range all {
		h.end(t)
	}
	t.Logf("%d rounds, %d tables deleted; the follower failed %d times of %d", w.round, deleted, follow.failed, follow.scans)
	require.Greater(t, deleted, leaseSteps, "the collector had next to nothing to do")
	require.Positive(t, follow.failed, "nobody needed a lease")
	require.NoError(t, follow.r.Refresh(ctx))
	require.NoError(t, follow.scan(t))

	require.NoError(t, snapshot.Close())
	for _, r := range append(readers, follow.r) {
		require.NoError(t, r.Close(ctx))
	}
	require.NoError(t, w.clone.Close(ctx))
	require.NoError(t, w.db.Close(ctx))
}

// A leaseFollower scans with a reader that has no lease. That fails when its manifest is too
// old, and works again as soon as it has a new one.
type leaseFollower struct {
	r             *Reader
	manifest      uint64
	since         int // the step in which the manifest was first seen
	scans, failed int
}

func (f *leaseFollower) step(t *testing.T, step int) {
	t.Helper()
	if id := f.r.Status().ManifestID; id != f.manifest {
		f.manifest, f.since = id, step
	}
	id := f.manifest
	err := f.scan(t)
	f.scans++
	if err == nil {
		return
	}
	f.failed++
	require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnavailable), "the follower: %v", err)
	require.NotErrorIs(t, err, ErrNotFound)
	require.NotErrorIs(t, err, ErrClosed)
	// What a commit drops stays for a lifetime, so a manifest that was just read is good.
	if f.r.Status().ManifestID == id {
		require.Greater(t, step-f.since, 10, "a fresh manifest cannot be read: %v", err)
	}
}

func (f *leaseFollower) scan(t *testing.T) error {
	var last []byte
	n := 0
	for e, err := range f.r.Entries(t.Context(), All, nil) {
		if err != nil {
			return err
		}
		require.Negative(t, bytes.Compare(last, e.Key))
		last = append(last[:0], e.Key...)
		roundOf(t, string(e.Key), e.Value)
		n++
	}
	require.Equal(t, leaseRows, n)
	return nil
}
