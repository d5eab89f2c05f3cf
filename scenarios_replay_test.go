package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// The scenarios B1-B12 of writing and replaying the log, on the level of the engine.

// An ackHistory is what a test wrote, in commit order, and what of it was acknowledged. The
// model of the model test says what the database must be after a crash.
type ackHistory struct {
	mu sync.Mutex
	m  model
}

// write commits the ops without waiting; nil handle = refused.
func (h *ackHistory) write(db *DB, ops ...modelOp) *WriteHandle {
	var b WriteBatch
	for _, o := range ops {
		if o.del {
			b.Delete([]byte(o.key))
		} else {
			b.Put([]byte(o.key), []byte(o.value))
		}
	}
	h.mu.Lock() // so that commits are noted in their order
	defer h.mu.Unlock()
	w, err := db.WriteWithOptions(context.Background(), &b, &WriteOptions{NoWait: true})
	if err != nil {
		return nil
	}
	h.m.commits = append(h.m.commits, modelCommit{w.Seq(), ops})
	return &w
}

// put commits one row and waits; it reports whether that was acknowledged.
func (h *ackHistory) put(db *DB, key, value string) bool {
	w := h.write(db, modelOp{key: key, value: value})
	return w != nil && h.await(w)
}

func (h *ackHistory) await(w *WriteHandle) bool {
	if w.Await(context.Background()) != nil {
		return false
	}
	h.acked(w.Seq())
	return true
}

func (h *ackHistory) acked(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.m.durable = max(h.m.durable, seq)
}

// flush moves everything into tables; a success acknowledges all that was written before.
func (h *ackHistory) flush(db *DB) error {
	h.mu.Lock()
	last := h.m.last()
	h.mu.Unlock()
	err := db.FlushWithOptions(context.Background(), memtableFlush)
	if err == nil {
		h.acked(last)
	}
	return err
}

// check requires db to be the commit order cut at one point, at or behind the last
// acknowledgement, and forgets what was lost.
func (h *ackHistory) check(t testing.TB, db *DB, where string) {
	t.Helper()
	got := db.Status().CommittedSeq
	require.GreaterOrEqual(t, got, h.m.durable, "%s: a durable write is gone", where)
	require.LessOrEqual(t, got, h.m.last(), "%s: more came back than was written", where)
	h.m.cut(got)
	want := entryStrings(h.m.at(got))
	require.Equal(t, want, entryStrings(scanRows(t, db, All, nil)), where)
	require.Equal(t, want, entryStrings(scanRows(t, db, All, &ScanOptions{Durability: DurabilityRemote})), "%s: what was replayed is durable", where)
	for _, e := range h.m.at(got) {
		v, err := db.Get(context.Background(), e.Key)
		require.NoError(t, err, where)
		require.Equal(t, string(e.Value), string(v), where)
	}
}

func (h *ackHistory) clone() *ackHistory {
	c := &ackHistory{}
	c.m = model{commits: append([]modelCommit(nil), h.m.commits...), durable: h.m.durable}
	return c
}

// crashEverywhere runs script on a copy of what prepare made, once for each request of it,
// crashing there before or after the effect, and checks the next two openings. The log is
// collected before each of them.
func crashEverywhere(t *testing.T, o Options, prepare func(o *Options, h *ackHistory), script func(db *DB, h *ackHistory), least int) {
	base, before := objstore.NewMemory(), &ackHistory{}
	prepare(o.with(func(o *Options) { o.Store = base }), before)
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			where := fmt.Sprintf("crash at request %d, after its effect: %v", n, after)
			inner, h := sceneCopy(t, base), before.clone()
			s := faulty.New(inner, nil)
			s.CrashAt(n, after)
			db, err := Open(context.Background(), "db", o.with(func(o *Options) { o.Store = s }))
			if err != nil {
				require.True(t, s.Crashed(), "%s: %v", where, err)
			} else {
				script(db, h)
				sceneAbandon(db)
			}
			crashed := s.Crashed()
			s.Crash()
			for range 2 {
				if len(sceneObjects(t, inner, "manifest")) > 0 {
					sceneCollectWAL(t, inner, false)
				}
				db, err := Open(context.Background(), "db", o.with(func(o *Options) { o.Store = inner }))
				require.NoError(t, err, where)
				h.check(t, db, where)
				require.True(t, h.put(db, "again", where), where)
				require.NoError(t, h.flush(db), where)
				h.check(t, db, where)
				sceneAbandon(db)
			}
			if !crashed {
				require.Greater(t, n, least, "the script has more requests than that")
				break
			}
		}
	}
}

// sceneLog fills a log with n durable objects and no table.
func sceneLog(t testing.TB, n, valueBytes int) func(o *Options, h *ackHistory) {
	return func(o *Options, h *ackHistory) {
		db, err := Open(context.Background(), "db", o.with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 1<<20, 1<<30 }))
		require.NoError(t, err)
		for i := range n {
			require.True(t, h.put(db, fmt.Sprintf("log/%03d", i%(n-n/4)), fmt.Sprintf("%d%s", i, strings.Repeat("v", valueBytes))))
		}
		sceneAbandon(db)
	}
}

// B1: a crash after each flush of a memtable that replay made. Each flush may record only
// what it has, not the end of the log.
func TestB1_CrashAfterEachFlushOfAReplay(t *testing.T) {
	o := *sceneOptions(nil).with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 700, 1<<20 })
	flushes := 0
	crashEverywhere(t, o, sceneLog(t, 16, 150), func(db *DB, h *ackHistory) {
		n := len(db.state.Load().imm)
		require.GreaterOrEqual(t, n+len(db.state.Load().man.Root.L0), 3, "replay made several memtables")
		if h.flush(db) == nil {
			flushes++
		}
	}, 30)
	require.Positive(t, flushes)
}

// B2: flushes and freezes next to writes, then a crash at any request: no gap, and nothing
// twice (the numbers of all rows are compared).
func TestB2_ReplayPointUnderAFreezeThatRacesAFlush(t *testing.T) {
	o := *sceneOptions(nil).with(func(o *Options) {
		o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.FlushInterval, o.L0FlushParallelism = 500, 1<<20, time.Millisecond, 3
	})
	crashEverywhere(t, o, sceneLog(t, 3, 50), func(db *DB, h *ackHistory) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 3 {
				_ = h.flush(db)
			}
		})
		for w := range 2 {
			wg.Go(func() {
				for i := range 8 {
					key := fmt.Sprintf("w%d/%d", w, i%5)
					if i%2 == 0 {
						h.put(db, key, fmt.Sprintf("%d%s", i, strings.Repeat("x", 90)))
					} else {
						h.write(db, modelOp{key: key, value: "y"}, modelOp{key: fmt.Sprintf("w%d/%d", w, (i+2)%5), del: true})
					}
				}
			})
		}
		wg.Wait()
	}, 15)
}

// B3: the manifest must not name a WAL object that never landed, or no reader can open the
// checkpoint that pins it.
func TestB3_TheManifestNamesNoWALObjectThatIsNotStored(t *testing.T) {
	for _, fail := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			inner := objstore.NewMemory()
			s := faulty.New(inner, nil)
			h := &ackHistory{}
			db := openScene(t, sceneOptions(s).with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 500, 1<<20 }))
			require.True(t, h.put(db, "a", "1"))
			require.NoError(t, h.flush(db))
			require.True(t, h.put(db, "b", "1"))
			release := make(chan struct{})
			s.Script(faulty.Rule{Method: "put", Key: "db/wal/", Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
				<-release
				if fail {
					return objstore.Permanent(errors.New("no"))
				}
				return nil
			}})
			for i := range 9 { // some memtables freeze behind the object that does not land
				h.write(db, modelOp{key: fmt.Sprintf("c%d", i), value: strings.Repeat("v", 150)})
			}
			flushed := make(chan error, 1)
			go func() { flushed <- h.flush(db) }()
			synctest.Wait()
			require.NotEmpty(t, db.state.Load().imm)

			look := func(landed bool) {
				id := uuid.New()
				scenePin(t, sceneManifests(inner), id)
				m := sceneManifest(t, inner)
				stored := sceneObjects(t, inner, "wal")
				for n := m.ReplayAfterWAL + 1; n <= m.WALLastSeen; n++ {
					require.Contains(t, stored, n, "manifest %d names it", m.ID)
				}
				r, err := OpenReader(ctx, "db", &ReaderOptions{Store: inner, CheckpointID: id, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: -1})
				require.NoError(t, err)
				defer r.Close(ctx)
				got := sceneRows(t, r)
				require.Equal(t, "1", got["a"])
				_, ok := got["c0"]
				require.Equal(t, landed, ok, "a row is in a table and not in the log")
			}
			look(false)
			close(release)
			if err := <-flushed; fail {
				require.ErrorIs(t, err, ErrUnavailable)
				require.ErrorIs(t, err, ErrClosed)
			} else {
				require.NoError(t, err)
			}
			look(!fail)
			sceneAbandon(db)
			look(!fail)
			db = openScene(t, sceneOptions(inner))
			h.check(t, db, "reopened")
			sceneAbandon(db)
			look(!fail)
		})
	}
}

// B4: two freezes while the first WAL PUT is delayed. Ids are taken at the PUT, so there is
// neither a gap nor an overwrite.
func TestB4_TwoFreezesBehindADelayedPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		h := &ackHistory{}
		db := openScene(t, sceneOptions(s).with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 500, 1<<20 }))
		release := make(chan struct{})
		rule := s.Script(faulty.Rule{Method: "put", Key: "db/wal/", Nth: 1, Kind: faulty.Block, Release: release})
		var last *WriteHandle
		for i := 0; len(db.state.Load().imm) < 3; i++ {
			last = h.write(db, modelOp{key: fmt.Sprintf("%02d", i), value: strings.Repeat("v", 100)})
			if i == 0 {
				go db.Flush(context.Background())
				<-rule.Reached()
			}
		}
		synctest.Wait() // the tables are stored now
		require.Empty(t, sceneManifest(t, inner).Root.L0, "nothing is in the manifest that the log could lose")
		close(release)
		require.True(t, h.await(last))
		require.NoError(t, h.flush(db))
		h.check(t, db, "before the crash")
		stored := sceneObjects(t, inner, "wal")
		for id := range uint64(len(stored)) {
			require.Contains(t, stored, id+1, "a gap in the log")
		}
		m := sceneManifest(t, inner)
		require.GreaterOrEqual(t, len(m.Root.L0), 3)
		for i := 1; i < len(m.Root.L0); i++ {
			require.LessOrEqual(t, m.Root.L0[i].Table.ID.ULID().Time(), m.Root.L0[i-1].Table.ID.ULID().Time())
		}
		require.True(t, h.put(db, "tail", "1"))
		s.Crash()
		sceneAbandon(db)
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, "reopened")
		sceneAbandon(db)
	})
}

// B5: whatever the timer does in the middle of a batch, after a crash it is there as a whole
// or not at all.
func TestB5_ABatchIsNeverCutByACrash(t *testing.T) {
	o := *sceneOptions(nil).with(func(o *Options) {
		o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.FlushInterval = 400, 1<<20, time.Microsecond
	})
	crashEverywhere(t, o, sceneLog(t, 2, 20), func(db *DB, h *ackHistory) {
		for i := range 6 {
			var ops []modelOp
			for r := range 12 { // larger than a WAL object's limit and than a memtable
				ops = append(ops, modelOp{key: fmt.Sprintf("row/%02d", r), value: fmt.Sprintf("%d%s", i, strings.Repeat("v", 10*i))})
			}
			ops = append(ops, modelOp{key: fmt.Sprintf("row/%02d", i), del: true})
			if w := h.write(db, ops...); w != nil && i%2 == 0 {
				h.await(w)
			}
		}
		_ = db.Flush(context.Background())
	}, 15)

	// Batches larger than a memtable in the log: replay cuts between them alone.
	o.L0FlushParallelism = 1 // so that one memtable is installed before the next is stored
	crashEverywhere(t, o, func(o *Options, h *ackHistory) {
		db, err := Open(context.Background(), "db", o.with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 1<<20, 1<<30 }))
		require.NoError(t, err)
		for i := range 4 {
			var ops []modelOp
			for r := range 12 {
				ops = append(ops, modelOp{key: fmt.Sprintf("row/%02d", r), value: fmt.Sprintf("%d%s", i, strings.Repeat("v", 50))})
			}
			require.True(t, h.await(h.write(db, ops...)))
		}
		sceneAbandon(db)
	}, func(db *DB, h *ackHistory) { _ = h.flush(db) }, 15)
}

// B6: damage in the middle of the log is never its end. Open fails with an error that names
// the object, and the log is whole again once the object is.
func TestB6_DamageInTheLogFailsTheOpen(t *testing.T) {
	ctx := context.Background()
	base, h := objstore.NewMemory(), &ackHistory{}
	db := openScene(t, sceneOptions(base))
	for i := range 6 {
		require.True(t, h.put(db, fmt.Sprintf("%d", i), "value"))
	}
	sceneAbandon(db)
	key := sst.WALID(4).Object("db") // the third of six rows
	whole, err := base.Get(ctx, key)
	require.NoError(t, err)
	damage := map[string][]byte{"no bytes but no fence either": whole.Body[:1], "cut": whole.Body[:len(whole.Body)/2]}
	for i := range whole.Body {
		b := bytes.Clone(whole.Body)
		b[i] ^= 1 << (i % 8)
		damage[fmt.Sprintf("bit flipped in byte %d", i)] = b
	}
	for what, body := range damage {
		s := sceneCopy(t, base)
		_, err := s.Put(ctx, key, body, objstore.Always)
		require.NoError(t, err)
		for range 2 { // the failed opening has put a fence behind the log; the next one fails as well
			db, err := Open(ctx, "db", sceneOptions(s))
			if err == nil {
				h.clone().check(t, db, what) // the right answer is allowed, a silent cut is not
				sceneAbandon(db)
				continue
			}
			require.ErrorIs(t, err, ErrCorrupt, what)
			var c *CorruptionError
			require.ErrorAs(t, err, &c, what)
			require.Equal(t, key, c.Object, what)
		}
		_, err = s.Put(ctx, key, whole.Body, objstore.Always)
		require.NoError(t, err)
		db, err := Open(ctx, "db", sceneOptions(s))
		require.NoError(t, err, what)
		h.clone().check(t, db, what+", repaired")
		sceneAbandon(db)
	}
}

// B6: an object of the log that the store has lost. Ids are probed by doubling steps, so a
// hole can look like the end; what the manifest has seen stored tells the difference.
func TestB6_AMissingObjectIsNeverTheEndOfTheLog(t *testing.T) {
	ctx := context.Background()
	base, h := objstore.NewMemory(), &ackHistory{}
	db := openScene(t, sceneOptions(base))
	for i := range 9 {
		require.True(t, h.put(db, fmt.Sprintf("%d", i), "value"))
	}
	require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL})) // notes the end of the log
	m := sceneManifest(t, base)
	require.EqualValues(t, 10, m.WALLastSeen)
	for id := m.ReplayAfterWAL + 1; id <= m.WALLastSeen; id++ {
		s := sceneCopy(t, base)
		require.NoError(t, s.Delete(ctx, sst.WALID(id).Object("db")))
		_, err := Open(ctx, "db", sceneOptions(s))
		require.ErrorIs(t, err, ErrCorrupt, "WAL object %d is gone", id)
		require.NotErrorIs(t, err, ErrNotFound)
	}
}

// B7: short, stale and foreign bytes while the log is read.
func TestB7_ReplayOfStaleBytes(t *testing.T) {
	ctx := context.Background()
	base, h := objstore.NewMemory(), &ackHistory{}
	db := openScene(t, sceneOptions(base))
	for i := range 8 {
		require.True(t, h.put(db, fmt.Sprintf("%d", i), strings.Repeat("v", 10+i)))
	}
	sceneAbandon(db)
	body := func(id uint64) []byte {
		o, err := base.Get(ctx, sst.WALID(id).Object("db"))
		require.NoError(t, err)
		return bytes.Clone(o.Body)
	}
	poison := func(b []byte) []byte { // the end of the buffer is from the object before
		return append(b[:len(b)/2:len(b)/2], body(4)[len(b)/2:]...)
	}
	cases := map[string]faulty.Rule{
		"short":     {Kind: faulty.Short},
		"stale end": {Kind: faulty.Alter, Change: poison},
		"foreign":   {Kind: faulty.Alter, Change: func([]byte) []byte { return body(3) }},
		"longer":    {Kind: faulty.Alter, Change: func(b []byte) []byte { return append(b, "stale"...) }},
	}
	for what, rule := range cases {
		for _, always := range []bool{false, true} {
			s := faulty.New(sceneCopy(t, base), nil)
			rule.Method, rule.Key, rule.Nth = "get", sst.WALID(5).Object("db"), 1
			if always {
				rule.Nth = 0
			}
			s.Script(rule)
			db, err := Open(ctx, "db", sceneOptions(s))
			if !always && what != "foreign" { // only its neighbours show that it is foreign
				require.NoError(t, err, "%s: read once more", what)
			}
			if err != nil {
				require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnavailable), "%s: %v", what, err)
				continue
			}
			h.clone().check(t, db, what)
			sceneAbandon(db)
		}
	}
	// A read that got nothing of an object is no fence: the size in the answer tells.
	s := faulty.New(sceneCopy(t, base), nil)
	s.Script(faulty.Rule{Method: "get", Key: sst.WALID(5).Object("db"), Kind: faulty.Short, Times: 2, Err: nil})
	db, err := Open(ctx, "db", sceneOptions(s))
	if err == nil {
		h.clone().check(t, db, "short twice")
		sceneAbandon(db)
	} else {
		require.ErrorIs(t, err, ErrUnavailable)
	}
}

// B8: the replay boundary moves with each regular close, and a full L0 keeps nobody from
// opening.
func TestB8_ReplayIsBoundedOverManyReopens(t *testing.T) {
	for _, kind := range []CloseFlush{CloseFlushMemtable, CloseFlushWAL, CloseNoFlush} {
		for _, idle := range []bool{false, true} {
			if idle && kind != CloseFlushMemtable {
				continue // nothing is flushed there
			}
			inner, h := objstore.NewMemory(), &ackHistory{}
			worst := 0
			const cycles, bound = 30, 12
			for i := range cycles {
				s := faulty.New(inner, nil)
				s.Record(true)
				db := openScene(t, sceneOptions(s).with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 600, 1<<20 }))
				read := 0
				for _, r := range s.Log() {
					if r.Method == "get" && strings.HasPrefix(r.Key, "db/wal/") {
						read++
					}
				}
				s.Record(false)
				worst = max(worst, read)
				h.check(t, db, fmt.Sprintf("cycle %d", i))
				if !idle {
					require.True(t, h.put(db, fmt.Sprintf("%d", i%7), strings.Repeat("v", 150)))
				}
				for range db.Watch(context.Background()) { // it lives long enough for what replay froze
					if len(db.state.Load().imm) == 0 {
						break
					}
				}
				require.NoError(t, db.CloseWithOptions(context.Background(), &CloseOptions{Flush: kind}))
				sceneCollectWAL(t, inner, false)
			}
			require.LessOrEqual(t, worst, bound, "objects read by one replay; close %v, idle %v", kind, idle)
		}
	}
}

func TestB8_OpenWithAFullL0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		inner, h := objstore.NewMemory(), &ackHistory{}
		o := sceneOptions(inner).with(func(o *Options) {
			o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.L0MaxSSTs = 600, 1<<20, 2
		})
		for i := range 10 {
			start := time.Now()
			db := openScene(t, o)
			h.check(t, db, fmt.Sprintf("cycle %d", i))
			for j := range 4 {
				require.True(t, h.put(db, fmt.Sprintf("%d/%d", i, j), strings.Repeat("v", 150)))
			}
			if i%2 == 0 {
				require.NoError(t, db.Close(ctx), "with a log, a full L0 does not hold Close up")
			} else {
				sceneAbandon(db)
			}
			require.LessOrEqual(t, time.Since(start), 5*time.Second)
			require.LessOrEqual(t, len(sceneManifest(t, inner).Root.L0), 2)
		}
		// A compactor makes room: everything goes on.
		db := openScene(t, o)
		role, err := sceneManifests(inner).AcquireCompactor(ctx, manifest.AcquireOptions{})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- h.flush(db) }()
		for flushed := false; !flushed; {
			synctest.Wait()
			select {
			case err := <-done:
				require.NoError(t, err)
				flushed = true
			default:
				_, err := role.Update(ctx, func(m *manifest.Manifest) error { sceneCompact(m); return nil })
				require.NoError(t, err)
				time.Sleep(2 * time.Second)
			}
		}
		h.check(t, db, "after the compactor")
		sceneAbandon(db)
	})
}

// sceneCompact is a compaction in the manifest alone: each L0 table becomes a run of its own.
func sceneCompact(m *manifest.Manifest) {
	l0 := m.Root.L0
	for i := len(l0) - 1; i >= 0; i-- {
		id, _ := m.NextRunID()
		m.Root.Runs = append([]sst.SortedRun{{ID: id, Views: []sst.View{l0[i]}}}, m.Root.Runs...)
	}
	if len(l0) > 0 {
		m.Root.CutL0(l0[0].ID)
	}
}

// B9: sizes that do not fit each other. What cannot work is refused; what can is never stuck,
// also when replay finds more than the limit of unflushed bytes.
func TestB9_OptionSetsThatCouldDeadlock(t *testing.T) {
	require.ErrorIs(t, (&Options{L0SSTSizeBytes: 1000, MaxUnflushedBytes: 1000}).Validate(), ErrInvalid)
	require.ErrorIs(t, (&Options{L0SSTSizeBytes: 2000, MaxUnflushedBytes: 1000}).Validate(), ErrInvalid)
	require.ErrorIs(t, (&Options{MaxUnflushedBytes: 1 << 20}).Validate(), ErrInvalid, "the default of the other counts")
	for _, noWAL := range []bool{false, true} {
		for _, sizes := range [][2]int{{1000, 1001}, {1000, 1500}, {1, 2}, {100, 101}, {4000, 4001}} {
			for _, value := range []int{0, 1, 100, 900, 5000} {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					defer cancel()
					inner, h := objstore.NewMemory(), &ackHistory{}
					big := sceneOptions(inner)
					db := openScene(t, big)
					for i := range 30 { // replayed below: more than the limit
						require.True(t, h.put(db, fmt.Sprintf("%02d", i), strings.Repeat("v", value)))
					}
					sceneAbandon(db)
					db = openScene(t, big.with(func(o *Options) {
						o.DisableWAL, o.L0SSTSizeBytes, o.MaxUnflushedBytes = noWAL, sizes[0], sizes[1]
					}))
					what := fmt.Sprintf("sizes %v, values of %d", sizes, value)
					h.check(t, db, what)
					for i := range 60 {
						_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%02d", i), make([]byte, value), noWait)
						require.NoError(t, err, "%s: put %d", what, i)
					}
					var wg sync.WaitGroup
					for w := range 4 {
						wg.Go(func() {
							for i := range 5 {
								require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d-%d", w, i), make([]byte, value)), what)
							}
						})
					}
					wg.Wait()
					require.NoError(t, db.FlushWithOptions(ctx, memtableFlush), what)
					require.NoError(t, db.Close(ctx), what)
				})
			}
		}
	}
}

// B10: replay makes three memtables or more; after a flush of them the collector runs and the
// process dies.
func TestB10_LogIsKeptUntilTheLastOfSeveralFlushes(t *testing.T) {
	ctx := context.Background()
	base, before := objstore.NewMemory(), &ackHistory{}
	sceneLog(t, 24, 150)(sceneOptions(base), before)
	small := func(s objstore.Store, onPoint func(string)) *Options {
		return sceneOptions(s).with(func(o *Options) {
			o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.L0FlushParallelism, o.onPoint = 700, 1<<20, 1, onPoint
		})
	}
	stuck := faulty.New(sceneCopy(t, base), nil)
	stuck.Script(faulty.Rule{Method: "put", Key: "db/compacted/", Kind: faulty.Hang})
	db := openScene(t, small(stuck, nil))
	frozen := len(db.state.Load().imm)
	require.GreaterOrEqual(t, frozen, 3)
	sceneAbandon(db)

	for flushes := 1; flushes <= frozen; flushes++ {
		inner, h := sceneCopy(t, base), before.clone()
		s := faulty.New(inner, nil)
		crash := make(chan struct{})
		uploads := 0
		db, err := Open(ctx, "db", small(s, func(name string) {
			switch name {
			case "flush.before-put": // one at a time, in order
				if uploads++; uploads > flushes {
					<-crash
				}
			case "install.after-manifest":
				if len(sceneManifest(t, inner).Root.L0) == flushes {
					s.Crash()
					close(crash)
				}
			}
		}))
		require.NoError(t, err)
		awaitScene(t, crash, "the flush")
		sceneAbandon(db)
		m := sceneManifest(t, inner)
		require.Len(t, m.Root.L0, flushes)
		require.Less(t, m.LastL0Seq, kv.Seq(h.m.last()), "the rest is in the log alone")
		sceneCollectWAL(t, inner, false)
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, fmt.Sprintf("crash after flush %d of %d", flushes, frozen))
		sceneAbandon(db)
	}
}

// B11: crashes right after the fence and before the first data object, several in a row.
func TestB11_CrashesBetweenFenceAndFirstData(t *testing.T) {
	for _, at := range []string{"wal.fence.after-put", "open.after-fence", "wal.before-put", "opened"} {
		inner, h := objstore.NewMemory(), &ackHistory{}
		db := openScene(t, sceneOptions(inner))
		require.True(t, h.put(db, "k", "v"))
		sceneAbandon(db)
		for range 3 {
			s := faulty.New(inner, nil)
			db, err := Open(context.Background(), "db", sceneOptions(s).with(func(o *Options) {
				o.onPoint = func(name string) {
					if name == at {
						s.Crash()
					}
				}
			}))
			if err == nil {
				if at == "opened" {
					s.Crash()
				}
				require.False(t, h.put(db, "lost", "v"))
				sceneAbandon(db)
			}
			require.True(t, s.Crashed())
		}
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, at)
		require.True(t, h.put(db, "on", at))
		sceneAbandon(db)
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, at)
		sceneAbandon(db)
	}
}

// B12: a crash between freeze and flush with writes in flight. The times that the manifest
// keeps for sequence numbers stay in order, and the next openings flush on.
func TestB12_CrashBetweenFreezeAndFlushKeepsTheTrackerInOrder(t *testing.T) {
	o := *sceneOptions(nil).with(func(o *Options) { o.L0SSTSizeBytes, o.MaxUnflushedBytes = 300, 1<<20 })
	crashEverywhere(t, o, sceneLog(t, 2, 20), func(db *DB, h *ackHistory) {
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				for i := range 5 {
					h.put(db, fmt.Sprintf("%d/%d", w, i), strings.Repeat("v", 100))
				}
			})
		}
		wg.Wait()
		_ = h.flush(db)
	}, 15)

	// The clock steps back by a day between the openings, while the log holds newer times.
	clock := &sceneClock{now: time.Unix(1_700_000_000, 0)}
	inner, h := objstore.NewMemory(), &ackHistory{}
	for i := range 4 {
		db := openScene(t, sceneOptions(inner).with(func(o *Options) { o.Clock, o.L0SSTSizeBytes, o.MaxUnflushedBytes = clock, 300, 1<<20 }))
		h.check(t, db, "stepped back")
		for j := range 6 {
			require.True(t, h.put(db, fmt.Sprintf("%d", j), strings.Repeat("v", 50*i)))
			clock.add(time.Minute)
		}
		if i%2 == 1 {
			require.NoError(t, h.flush(db))
		}
		sceneAbandon(db)
		clock.add(-24 * time.Hour)
	}
	require.NoError(t, sceneManifest(t, inner).Validate())
}

// A sceneClock stands where a test puts it; its timers are real.
type sceneClock struct {
	seam.SystemClock
	mu  sync.Mutex
	now time.Time
}

func (c *sceneClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *sceneClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// B6: an object lost from the middle of the log, which no manifest knows of, is never taken
// for the log's end, wherever it is and however long the log; and the refused open changes
// nothing, so that the object can be put back.
func TestB6_AHoleInTheLogIsNeverItsEnd(t *testing.T) {
	ctx := context.Background()
	for objects := 2; objects <= 12; objects++ {
		for lost := 2; lost <= objects; lost++ { // object 1 is the fence; the last has nothing behind it
			s := objstore.NewMemory()
			o := testOptions()
			o.Store = s
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			for i := range objects {
				require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "k%02d", i), nil))
			}
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
			name := sst.WALID(uint64(lost)).Object("db")
			body, err := s.Get(ctx, name)
			require.NoError(t, err)
			require.NoError(t, s.Delete(ctx, name))
			for range 2 {
				_, err = Open(ctx, "db", o)
				require.ErrorIs(t, err, ErrCorrupt, "%d objects, %d lost", objects+1, lost)
				var c *CorruptionError
				require.ErrorAs(t, err, &c)
			}
			_, err = s.Put(ctx, name, body.Body, objstore.IfAbsent())
			require.NoError(t, err, "the refused open put something into the hole")
			db, err = Open(ctx, "db", o)
			require.NoError(t, err)
			require.Len(t, scanRows(t, db, All, nil), objects)
			require.NoError(t, db.Close(ctx))
		}
	}
}
