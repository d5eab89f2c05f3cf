package slatedb

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
	"github.com/slatedb/slatedb-go/objstore"
)

// walStoreOld is a database of an old version whose manifest names a store of its log.
func walStoreOld(t *testing.T) objstore.Store {
	t.Helper()
	b := flatbuffers.NewBuilder(256)
	uri := b.CreateString("s3://logs")
	vec := func(start func(*flatbuffers.Builder, int) flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		start(b, 0)
		return b.EndVector(0)
	}
	external, l0 := vec(flatbuf.ManifestV1StartExternalDbsVector), vec(flatbuf.ManifestV1StartL0Vector)
	runs, cks := vec(flatbuf.ManifestV1StartCompactedVector), vec(flatbuf.ManifestV1StartCheckpointsVector)
	flatbuf.ManifestV1Start(b)
	flatbuf.ManifestV1AddManifestId(b, 1)
	flatbuf.ManifestV1AddInitialized(b, true)
	flatbuf.ManifestV1AddExternalDbs(b, external)
	flatbuf.ManifestV1AddL0(b, l0)
	flatbuf.ManifestV1AddCompacted(b, runs)
	flatbuf.ManifestV1AddCheckpoints(b, cks)
	flatbuf.ManifestV1AddWalObjectStoreUri(b, uri)
	b.Finish(flatbuf.ManifestV1End(b))
	s := objstore.NewMemory()
	_, err := s.Put(t.Context(), "db/manifest/00000000000000000001.manifest", append([]byte{0, 1}, b.FinishedBytes()...), objstore.Always)
	require.NoError(t, err)
	return s
}

type walStoreCall struct {
	name, option string
	call         func(ctx context.Context, s, logs objstore.Store) error
}

func walStoreAdmin(f func(ctx context.Context, a *Admin) error) func(context.Context, objstore.Store, objstore.Store) error {
	return func(ctx context.Context, s, logs objstore.Store) error {
		a, err := NewAdmin("db", &AdminOptions{Store: s, WALStore: logs, Logger: quiet})
		if err != nil {
			return err
		}
		defer a.Close()
		return f(ctx, a)
	}
}

func walStoreReader(o ReaderOptions) func(context.Context, objstore.Store, objstore.Store) error {
	return func(ctx context.Context, s, logs objstore.Store) error {
		o.Store, o.WALStore, o.Logger, o.PollInterval = s, logs, quiet, -1
		r, err := OpenReader(ctx, "db", &o)
		if err == nil {
			err = r.Close(ctx)
		}
		return err
	}
}

func walStoreOpen(ctx context.Context, s, logs objstore.Store) error {
	o := testOptions()
	o.Store, o.WALStore, o.DisableCompactor, o.DisableGC = s, logs, true, true
	db, err := Open(ctx, "db", o)
	if err == nil {
		err = db.Close(ctx)
	}
	return err
}

// TestWALStoreLeftOut: a manifest that names a store of the log is refused by whatever would
// look for the log elsewhere, and nothing is written.
func TestWALStoreLeftOut(t *testing.T) {
	for _, c := range []walStoreCall{
		{"writer", "Options.WALStore", walStoreOpen},
		{"managed reader", "ReaderOptions.WALStore", walStoreReader(ReaderOptions{})},
		{"following reader", "ReaderOptions.WALStore", walStoreReader(ReaderOptions{Mode: FollowLatest})},
		{"clone", "AdminOptions.WALStore", walStoreAdmin(func(ctx context.Context, a *Admin) error { return a.CreateClone(ctx, "copy", CloneSource{}) })},
		{"RunGCOnce", "AdminOptions.WALStore", walStoreAdmin(func(ctx context.Context, a *Admin) error { _, err := a.RunGCOnce(ctx, nil); return err })},
		{"RunGC", "AdminOptions.WALStore", walStoreAdmin(func(ctx context.Context, a *Admin) error {
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond) // the end of a good run
			defer cancel()
			return a.RunGC(ctx, nil)
		})},
		{"DeleteDB", "AdminOptions.WALStore", walStoreAdmin(func(ctx context.Context, a *Admin) error { _, err := a.DeleteDB(ctx, true); return err })},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := walStoreOld(t)
			before := objects(t, s)
			err := c.call(t.Context(), s, nil)
			require.ErrorIs(t, err, ErrInvalid, c.name)
			assert.ErrorContains(t, err, c.option, c.name)
			assert.ErrorContains(t, err, "s3://logs", c.name)
			assert.Equal(t, before, objects(t, s), c.name)
			require.NoError(t, c.call(t.Context(), s, objstore.NewMemory()), "%s, with it", c.name)
		})
	}
}

// walStoreCrashed is a database whose writer died with rows in the log alone.
func walStoreCrashed(t *testing.T, logs objstore.Store, flushed bool) objstore.Store {
	t.Helper()
	ctx, s := t.Context(), objstore.NewMemory()
	o := testOptions()
	o.Store, o.WALStore, o.DisableCompactor, o.DisableGC = s, logs, true, true
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	if flushed {
		require.NoError(t, db.Put(ctx, []byte("a"), []byte("v")))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	}
	require.NoError(t, db.Put(ctx, []byte("b"), []byte("v")))
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return s
}

// TestWALStoreGivenWrongly: with a WALStore although the log is in the main store, rows that
// were acknowledged would be missed in silence. That is refused, by its option's name, before
// anything is claimed.
func TestWALStoreGivenWrongly(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		for _, c := range []walStoreCall{
			{"writer", "Options.WALStore", walStoreOpen},
			{"managed reader", "ReaderOptions.WALStore", walStoreReader(ReaderOptions{})},
			{"following reader", "ReaderOptions.WALStore", walStoreReader(ReaderOptions{Mode: FollowLatest})},
		} {
			s := walStoreCrashed(t, nil, flushed)
			before := objects(t, s)
			logs := objstore.NewMemory()
			err := c.call(t.Context(), s, logs)
			require.ErrorIs(t, err, ErrInvalid, c.name)
			assert.ErrorContains(t, err, c.option, c.name)
			assert.Equal(t, before, objects(t, s), c.name)
			assert.Empty(t, objects(t, logs), c.name)
			require.NoError(t, c.call(t.Context(), s, nil), "%s, without it", c.name)
		}
	}
}

// TestWALStoreMoves: a database whose log is flushed may change over to a store of its own.
func TestWALStoreMoves(t *testing.T) {
	ctx, s, logs := t.Context(), objstore.NewMemory(), objstore.NewMemory()
	for _, to := range []objstore.Store{nil, nil, logs, logs} {
		require.NoError(t, walStoreOpen(ctx, s, to))
	}
	assert.NotEmpty(t, keysIn(t, logs, "db/wal/"))
}

// TestWALStoreIsAnother: where the manifest says how far the log went, a store that does not
// hold it is found out, and the error points at the option.
func TestWALStoreIsAnother(t *testing.T) {
	ctx := t.Context()
	logs := objstore.NewMemory()
	s := walStoreCrashed(t, logs, true)
	a, err := NewAdmin("db", &AdminOptions{Store: s, WALStore: logs, Logger: quiet})
	require.NoError(t, err)
	defer a.Close()
	// The next writer notes how far the log goes, and dies too.
	o := testOptions()
	o.Store, o.WALStore, o.DisableCompactor, o.DisableGC = s, logs, true, true
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	require.NoError(t, db.Put(ctx, []byte("c"), []byte("v")))
	_, err = db.CreateCheckpoint(ctx, CheckpointDurable, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	m, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	require.Greater(t, m.WALLastSeen, m.ReplayAfterWAL)
	for name, wrong := range map[string]objstore.Store{"left out": nil, "another": objstore.NewMemory()} {
		before := objects(t, s)
		err := walStoreOpen(ctx, s, wrong)
		require.ErrorIs(t, err, ErrCorrupt, name)
		assert.ErrorContains(t, err, "Options.WALStore", name)
		assert.Equal(t, before, objects(t, s), name)
		err = walStoreAdmin(func(ctx context.Context, a *Admin) error {
			return a.CreateClone(ctx, "copy-"+uuid.NewString(), CloneSource{})
		})(ctx, s, wrong)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
}
