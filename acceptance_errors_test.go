package slatedb

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// accKinds are the kinds that a caller branches on, each a set of sentinels that must hold; all
// other sentinels must not.
var accKinds = []error{ErrNotFound, ErrConflict, ErrConditionFailed, ErrFenced, ErrClosed, ErrInvalid, ErrCorrupt, ErrUnavailable, ErrInternal, ErrOutcomeUnknown, ErrNoDatabase, ErrLeaseLost}

func accKind(t *testing.T, name string, err error, want ...error) {
	t.Helper()
	require.Error(t, err, name)
	for _, k := range accKinds {
		require.Equal(t, slices.Contains(want, k), errors.Is(err, k), "%s: is %v: %v", name, k, err)
	}
}

// TestErrorKinds is line 31: each row of the table of kinds, by the calls that lead to it.
func TestErrorKinds(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	open := func(change func(*Options)) *DB {
		o := mergeOptions()
		if change != nil {
			change(o)
		}
		return openTest(t, o)
	}
	t.Run("transaction", func(t *testing.T) {
		db := open(nil)
		tx, err := db.Begin(SnapshotIsolation)
		require.NoError(t, err)
		require.NoError(t, tx.Put(k, nil))
		require.NoError(t, db.Put(ctx, k, nil))
		accKind(t, "commit", tx.Commit(ctx), ErrConflict)
		_, err = db.PutIf(ctx, k, nil, Absent(), nil)
		accKind(t, "put if absent", err, ErrConditionFailed)
	})
	t.Run("closed", func(t *testing.T) {
		db := open(nil)
		snap, err := db.Snapshot()
		require.NoError(t, err)
		require.NoError(t, db.Close(ctx))
		for name, err := range accCalls(db) {
			accKind(t, name, err, ErrClosed)
		}
		_, err = snap.Get(ctx, k)
		accKind(t, "snapshot", err, ErrClosed)
		require.NoError(t, db.Close(ctx), "a second close is none")
	})
	t.Run("fenced", func(t *testing.T) {
		o := mergeOptions()
		db := openTest(t, o)
		second := openTest(t, o)
		accKind(t, "put", db.Put(ctx, k, nil), ErrFenced, ErrClosed)
		for name, err := range accCalls(db) {
			accKind(t, name, err, ErrFenced, ErrClosed)
		}
		require.NoError(t, second.Put(ctx, k, nil))
	})
	t.Run("panic of a background task", func(t *testing.T) {
		db := open(func(o *Options) { o.BlockTransformer = accPanics{} })
		accKind(t, "put", db.Put(ctx, k, nil), ErrInternal, ErrClosed)
		for name, err := range accCalls(db) {
			accKind(t, name, err, ErrInternal, ErrClosed)
		}
	})
	t.Run("unavailable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := faulty.New(objstore.NewMemory(), nil)
			o := mergeOptions()
			o.Store, o.MaxRetries = s, 2
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			require.NoError(t, db.Put(ctx, k, nil))
			require.NoError(t, db.Close(ctx))
			s.Script(faulty.Rule{Kind: faulty.ErrorBefore})
			_, err = Open(ctx, "db", o)
			accKind(t, "open", err, ErrUnavailable)
			_, err = OpenReader(ctx, "db", &ReaderOptions{Store: s, MaxRetries: 2, Logger: quiet})
			accKind(t, "reader", err, ErrUnavailable)
			a, err := NewAdmin("db", &AdminOptions{Store: s, MaxRetries: 2, Logger: quiet})
			require.NoError(t, err)
			defer a.Close()
			_, err = a.ListCheckpoints(ctx, "")
			accKind(t, "admin", err, ErrUnavailable)
		})
	})
	t.Run("invalid", func(t *testing.T) { accInvalid(t) })
	t.Run("data", func(t *testing.T) { accData(t) })
	t.Run("internal", func(t *testing.T) {
		// A checkpoint whose outcome nobody knows, since the handle was fenced meanwhile, is no
		// bug here: the caller hears why the handle ended.
		o := mergeOptions()
		db := openTest(t, o)
		openTest(t, o)
		require.NoError(t, accDrain(db))
		_, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
		accKind(t, "checkpoint", err, ErrFenced, ErrClosed)
	})
}

func accDrain(db *DB) error {
	for range 100 {
		if db.RefreshManifest(context.Background()) != nil {
			return nil
		}
	}
	return errors.New("still open")
}

type accPanics struct{}

func (accPanics) Encode([]byte) ([]byte, error)   { panic("encode") }
func (accPanics) Decode(b []byte) ([]byte, error) { return b, nil }

// accCalls runs every call of a handle that has ended.
func accCalls(db *DB) map[string]error {
	ctx, k := context.Background(), []byte("k")
	out := map[string]error{}
	_, out["get"] = db.Get(ctx, k)
	_, out["has"] = db.Has(ctx, k)
	_, out["get entry"] = db.GetEntry(ctx, k, nil)
	_, out["append get"] = db.AppendGet(ctx, nil, k, nil)
	_, out["multi get"] = db.MultiGet(ctx, [][]byte{k}, nil)
	_, out["scan"] = db.Scan(ctx, nil, nil)
	_, out["scan prefix"] = db.ScanPrefix(ctx, k)
	for _, err := range db.Entries(ctx, All, nil) {
		out["entries"] = err
	}
	out["put"] = db.Put(ctx, k, nil)
	out["delete"] = db.Delete(ctx, k)
	out["merge"] = db.Merge(ctx, k, nil)
	var b WriteBatch
	b.Put(k, nil)
	out["write"] = db.Write(ctx, &b)
	_, out["put if"] = db.PutIf(ctx, k, nil, Present(), nil)
	_, out["delete if"] = db.DeleteIf(ctx, k, Present(), nil)
	out["flush"] = db.Flush(ctx)
	_, out["snapshot"] = db.Snapshot()
	_, out["begin"] = db.Begin(SnapshotIsolation)
	out["update"] = db.Update(ctx, SnapshotIsolation, func(*Txn) error { return nil })
	_, out["checkpoint"] = db.CreateCheckpoint(ctx, CheckpointDurable, nil)
	out["refresh"] = db.RefreshManifest(ctx)
	out["compact"] = db.Compact(ctx)
	out["status"] = db.Status().Err
	return out
}

func accInvalid(t *testing.T) {
	ctx, k := context.Background(), []byte("k")
	o := mergeOptions()
	o.DisableWAL = true
	noWAL := openTest(t, o)
	plain := openTest(t, testOptions())
	failing := openTest(t, func() *Options {
		o := testOptions()
		o.MergeOperator = MergeFunc(func(_, _, _ []byte) ([]byte, error) { return nil, errors.New("no") })
		return o
	}())
	segOptions := testOptions()
	segOptions.SegmentExtractor = PrefixUntil('/')
	segmented := openTest(t, segOptions)
	require.NoError(t, segmented.Put(ctx, []byte("a/1"), nil))
	batch := func(fill func(*WriteBatch)) error {
		var b WriteBatch
		fill(&b)
		return noWAL.Write(ctx, &b)
	}
	admin, err := NewAdmin("db", &AdminOptions{Store: o.Store, Logger: quiet})
	require.NoError(t, err)
	defer admin.Close()
	for name, call := range map[string]func() error{
		"settings": func() error { return (&Options{BlockSize: 3}).Validate() },
		"open": func() error {
			_, err := Open(ctx, "db", &Options{Store: o.Store, L0FlushParallelism: -1, Logger: quiet})
			return err
		},
		"reader options": func() error {
			_, err := OpenReader(ctx, "db", &ReaderOptions{Store: o.Store, CheckpointLifetime: time.Millisecond})
			return err
		},
		"scan options": func() error { _, err := plain.ScanWithOptions(ctx, All, &ScanOptions{Limit: -1}); return err },
		"range":        func() error { _, err := plain.Scan(ctx, []byte("b"), []byte("a")); return err },
		"seek back": func() error {
			_ = plain.Put(ctx, k, nil)
			it, err := plain.ScanWithOptions(ctx, All, nil)
			require.NoError(t, err)
			defer it.Close()
			require.True(t, it.Seek(k))
			require.False(t, it.Seek([]byte("a")))
			return it.Err()
		},
		"empty key":          func() error { return plain.Put(ctx, nil, k) },
		"empty key of a get": func() error { _, err := plain.Get(ctx, nil); return err },
		"long key":           func() error { return plain.Put(ctx, make([]byte, MaxKeyBytes+1), nil) },
		"number": func() error {
			_ = plain.Put(ctx, k, nil)
			_, err := plain.PutWithOptions(ctx, k, nil, &PutOptions{Seq: 1})
			return err
		},
		"TTL mix": func() error {
			return batch(func(b *WriteBatch) {
				b.MergeWithOptions(k, nil, &PutOptions{TTL: time.Minute})
				b.MergeWithOptions(k, nil, &PutOptions{TTL: time.Hour})
			})
		},
		"TTL mix on a delete": func() error {
			return batch(func(b *WriteBatch) { b.Delete(k); b.MergeWithOptions(k, nil, &PutOptions{TTL: time.Hour}) })
		},
		"options in a batch": func() error { return batch(func(b *WriteBatch) { b.PutWithOptions(k, nil, noWait) }) },
		"no merge operator":  func() error { return plain.Merge(ctx, k, k) },
		"operator that fails": func() error {
			var b WriteBatch
			b.Merge(k, k)
			b.Merge(k, k)
			return failing.Write(ctx, &b)
		},
		"finished transaction": func() error {
			tx, err := plain.Begin(SnapshotIsolation)
			require.NoError(t, err)
			tx.Rollback()
			return tx.Put(k, nil)
		},
		"isolation level":     func() error { _, err := plain.Begin(9); return err },
		"clone of itself":     func() error { return admin.CreateClone(ctx, "db", CloneSource{}) },
		"clone of nothing":    func() error { return admin.CreateClone(ctx, "copy") },
		"clone of two of one": func() error { return admin.CreateClone(ctx, "copy", CloneSource{}, CloneSource{}) },
		"empty segment":       func() error { return segmented.Put(ctx, []byte("none"), nil) },
		"another extractor": func() error {
			other := *segOptions
			other.SegmentExtractor = PrefixLength(1)
			_, err := Open(ctx, "db", &other)
			return err
		},
		"no extractor": func() error {
			other := *segOptions
			other.SegmentExtractor = nil
			_, err := Open(ctx, "db", &other)
			return err
		},
		"WAL disabled":       func() error { return noWAL.FlushWithOptions(ctx, &FlushOptions{Type: FlushWAL}) },
		"flush type":         func() error { return plain.FlushWithOptions(ctx, &FlushOptions{Type: 7}) },
		"close type":         func() error { return plain.CloseWithOptions(ctx, &CloseOptions{Flush: 7}) },
		"codec":              func() error { return (&Options{Compression: 9}).Validate() },
		"location":           func() error { _, err := Open(ctx, "memory:///a/../b", &Options{Logger: quiet}); return err },
		"compaction request": func() error { _, err := admin.SubmitCompaction(ctx, CompactionRequest{Kind: CompactSpec}); return err },
		"unknown segment": func() error {
			_, err := admin.SubmitCompaction(ctx, CompactionRequest{Kind: CompactSegment, Segment: []byte("x")})
			return err
		},
		"checkpoint options": func() error {
			_, err := plain.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Lifetime: -1})
			return err
		},
		"condition": func() error { _, err := plain.PutIf(ctx, k, nil, Condition{}, nil); return err },
	} {
		accKind(t, name, call(), ErrInvalid)
	}
	for _, err := range []error{plain.Put(ctx, k, nil), noWAL.Put(ctx, k, nil), segmented.Put(ctx, []byte("b/1"), nil)} {
		require.NoError(t, err, "a wrong call costs nothing else")
	}

	// Prefixes of which one begins with the other.
	o = testOptions()
	o.SegmentExtractor = accNested{}
	db := openTest(t, o)
	require.NoError(t, db.Put(ctx, []byte("ab"), nil))
	err = db.Put(ctx, []byte("a"), nil)
	accKind(t, "antichain", err, ErrInvalid)
	require.ErrorContains(t, err, `"a"`)
	require.ErrorContains(t, err, `"ab"`)
}

// accNested gives every key as its own prefix.
type accNested struct{}

func (accNested) Name() string                           { return "nested" }
func (accNested) PrefixLen(b []byte, _ bool) (int, bool) { return len(b), len(b) > 0 }

func accData(t *testing.T) {
	ctx, k := context.Background(), []byte("k")
	// Where there is nothing.
	empty := objstore.NewMemory()
	_, err := OpenReader(ctx, "db", &ReaderOptions{Store: empty, Logger: quiet})
	accKind(t, "reader of nothing", err, ErrNoDatabase, ErrCorrupt)
	a, err := NewAdmin("db", &AdminOptions{Store: empty, Logger: quiet})
	require.NoError(t, err)
	defer a.Close()
	_, err = a.ReadManifest(ctx, 0)
	accKind(t, "admin of nothing", err, ErrNoDatabase, ErrCorrupt)

	build := func() (objstore.Store, *Options) {
		s := objstore.NewMemory()
		o := testOptions()
		o.Store = s
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, k, []byte("v")))
		flushMem(t, db)
		require.NoError(t, db.Put(ctx, []byte("l"), []byte("v")))
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
		return s, o
	}
	last := func(s objstore.Store, dir string) (key string) {
		for m, err := range s.List(ctx, "db/"+dir+"/", "") {
			require.NoError(t, err)
			if m.Size > 0 {
				key = m.Key
			}
		}
		require.NotEmpty(t, key)
		return key
	}
	read := func(o *Options) error {
		db, err := Open(ctx, "db", o)
		if err == nil {
			_, err = db.Get(ctx, k)
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
		}
		return err
	}
	for _, dir := range []string{"wal", "compacted", "manifest"} {
		for _, damage := range []string{"gone", "changed", "cut"} {
			s, o := build()
			name := last(s, dir)
			if dir == "manifest" && damage == "gone" {
				continue // the one before it is then the newest
			}
			if dir == "wal" && damage == "gone" {
				// Without one behind it nothing says that it was there.
				db, err := Open(ctx, "db", o)
				require.NoError(t, err)
				require.NoError(t, db.Put(ctx, []byte("m"), nil))
				require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
			}
			body, err := s.Get(ctx, name)
			require.NoError(t, err)
			require.NoError(t, s.Delete(ctx, name))
			switch damage {
			case "changed":
				b := slices.Clone(body.Body)
				b[5] ^= 0x40
				accPut(t, s, name, b)
			case "cut":
				accPut(t, s, name, body.Body[:len(body.Body)/2])
			}
			err = read(o)
			at := dir + " " + damage
			accKind(t, at, err, ErrCorrupt)
			require.ErrorContains(t, err, name, at)
		}
	}

	s, _ := build()
	_, err = OpenReader(ctx, "db", &ReaderOptions{Store: s, CheckpointID: uuid.New(), Logger: quiet})
	accKind(t, "reader of a checkpoint that is not there", err, ErrNotFound)
	b, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet})
	require.NoError(t, err)
	defer b.Close()
	_, err = b.RefreshCheckpoint(ctx, uuid.New(), time.Hour)
	accKind(t, "refresh of a checkpoint that is not there", err, ErrNotFound)
	_, err = b.ReadManifest(ctx, 999)
	accKind(t, "manifest that is not there", err, ErrNotFound)
}

func accPut(t *testing.T, s objstore.Store, key string, body []byte) {
	t.Helper()
	_, err := s.Put(context.Background(), key, body, objstore.Condition{})
	require.NoError(t, err)
}
