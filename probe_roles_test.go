package slatedb

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/probe"
)

// probeRole is something that writes to a database, on a store and with or without its probe.
type probeRole struct {
	name string
	run  func(ctx context.Context, a *Admin, s objstore.Store, skip bool) error
}

// probeReader opens a reader and closes it.
func probeReader(ctx context.Context, s objstore.Store, o ReaderOptions) error {
	o.Store, o.Logger = s, cloudQuiet()
	r, err := OpenReader(ctx, "db", &o)
	if err != nil {
		return err
	}
	return r.Close(ctx)
}

// probeUntil runs a role for a minute.
func probeUntil(ctx context.Context, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return run(ctx)
}

var probeRoles = []probeRole{
	{"CreateCheckpoint", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		_, err := a.CreateCheckpoint(ctx, nil)
		return err
	}},
	{"RefreshCheckpoint", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		if _, err := a.RefreshCheckpoint(ctx, uuid.UUID{1}, time.Hour); !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}},
	{"DeleteCheckpoint", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		return a.DeleteCheckpoint(ctx, uuid.UUID{1})
	}},
	{"CreateClone", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		return a.CreateClone(ctx, "copy", CloneSource{})
	}},
	{"SubmitCompaction", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		_, err := a.SubmitCompaction(ctx, CompactionRequest{})
		return err
	}},
	{"RunCompactor", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		return probeUntil(ctx, func(ctx context.Context) error { return a.RunCompactor(ctx, nil) })
	}},
	{"RunCompactionWorker", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		return probeUntil(ctx, func(ctx context.Context) error { return a.RunCompactionWorker(ctx, nil) })
	}},
	{"RunGC", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		return probeUntil(ctx, func(ctx context.Context) error { return a.RunGC(ctx, nil) })
	}},
	{"RunGCOnce", func(ctx context.Context, a *Admin, _ objstore.Store, _ bool) error {
		_, err := a.RunGCOnce(ctx, nil)
		return err
	}},
	{"managed reader", func(ctx context.Context, _ *Admin, s objstore.Store, skip bool) error {
		return probeReader(ctx, s, ReaderOptions{SkipProbe: skip})
	}},
}

func probeDB(t *testing.T, s objstore.Store) {
	o := &Options{Store: s, Logger: cloudQuiet(), DisableGC: true, DisableCompactor: true}
	db, err := Open(t.Context(), "db", o)
	require.NoError(t, err)
	require.NoError(t, db.Put(t.Context(), []byte("k"), []byte("v")))
	require.NoError(t, db.Close(t.Context()))
}

// TestJ4_RolesRefuseDeviantStores: every role that writes tries the store before it does; one
// that cannot refuse a second writer is refused by name and holds what it held.
func TestJ4_RolesRefuseDeviantStores(t *testing.T) {
	for _, kind := range []deviant.Kind{deviant.IgnoresIfAbsent, deviant.IgnoresIfVersion, deviant.ShortBodies} {
		for _, role := range probeRoles {
			t.Run(kind.String()+"/"+role.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					t.Cleanup(probe.Forget)
					ctx, inner := t.Context(), objstore.NewMemory()
					probeDB(t, inner)
					s := deviant.New(inner, kind)
					before := probeKeys(t, inner)
					a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: cloudQuiet()})
					require.NoError(t, err)
					defer a.Close()
					tctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
					defer cancel()
					err = role.run(tctx, a, s, false)
					var e *CapabilityError
					require.ErrorAs(t, err, &e)
					require.ErrorIs(t, err, ErrInvalid)
					assert.Equal(t, before, probeKeys(t, inner))

					if kind == deviant.ShortBodies {
						return // nothing can be read there, whoever vouches for it
					}
					b, err := NewAdmin("db", &AdminOptions{Store: s, Logger: cloudQuiet(), SkipProbe: true})
					require.NoError(t, err)
					defer b.Close()
					require.NoError(t, role.run(ctx, b, s, true), "the user vouches for it")
				})
			})
		}
	}
}

func probeKeys(t *testing.T, s objstore.Store) (out []string) {
	for o, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		out = append(out, o.Key)
	}
	return out
}

// TestRolesProbeOnce: the first call that writes costs the probe and a look whether there is
// a database, later ones and other handles nothing.
func TestRolesProbeOnce(t *testing.T) {
	for _, role := range probeRoles {
		t.Run(role.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(probe.Forget)
				ctx, inner := t.Context(), objstore.NewMemory()
				probeDB(t, inner)
				s := faulty.New(inner, nil)
				s.SetProperties(func(p *objstore.Properties) { p.Local = false })
				s.Record(true)
				run := func() int {
					before := probeRequests(s)
					a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: cloudQuiet()})
					require.NoError(t, err)
					defer a.Close()
					require.NoError(t, role.run(ctx, a, s, false))
					return probeRequests(s) - before
				}
				assert.Positive(t, run())
				assert.Zero(t, run(), "it has passed in this process")
				probe.Forget()
				assert.Positive(t, run())
			})
		})
	}
}

// probeRequests counts the requests for objects of a probe.
func probeRequests(s *faulty.Store) (n int) {
	for _, c := range s.Log() {
		if strings.Contains(c.Key, "/probe/") {
			n++
		}
	}
	return n
}

// TestReadersWriteNothing: what only reads does not try the store, and nothing is tried where
// there is no database.
func TestReadersWriteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(probe.Forget)
		ctx, inner := t.Context(), objstore.NewMemory()
		probeDB(t, inner)
		local, err := NewAdmin("db", &AdminOptions{Store: inner, Logger: cloudQuiet()})
		require.NoError(t, err)
		defer local.Close()
		ck, err := local.CreateCheckpoint(ctx, nil)
		require.NoError(t, err)

		s := faulty.New(inner, nil)
		s.SetProperties(func(p *objstore.Properties) { p.Local = false })
		s.Record(true)
		a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: cloudQuiet()})
		require.NoError(t, err)
		defer a.Close()
		require.NoError(t, probeReader(ctx, s, ReaderOptions{Mode: FollowLatest}))
		require.NoError(t, probeReader(ctx, s, ReaderOptions{CheckpointID: ck.ID}))
		_, err = a.ListCheckpoints(ctx, "")
		require.NoError(t, err)
		_, err = a.RunGCOnce(ctx, &GCOptions{DryRun: true})
		require.NoError(t, err)
		require.NoError(t, probeUntil(ctx, func(ctx context.Context) error { return a.RunGC(ctx, &GCOptions{DryRun: true}) }))
		_, err = a.DeleteDB(ctx, false)
		require.NoError(t, err)

		nowhere, err := NewAdmin("nowhere", &AdminOptions{Store: s, Logger: cloudQuiet()})
		require.NoError(t, err)
		defer nowhere.Close()
		for _, role := range probeRoles[:len(probeRoles)-1] {
			require.ErrorIs(t, role.run(ctx, nowhere, s, false), ErrNoDatabase, role.name)
		}
		_, err = OpenReader(ctx, "nowhere", &ReaderOptions{Store: s, Logger: cloudQuiet()})
		require.ErrorIs(t, err, ErrNoDatabase)
		for _, c := range s.Log() {
			assert.NotContains(t, []string{"put", "upload", "delete"}, c.Method, "%s %s", c.Method, c.Key)
		}
	})
}

// TestRolesNeedConditions: a store that says it has no create-if-absent is refused by what
// writes, whoever vouches for it, and read by the rest.
func TestRolesNeedConditions(t *testing.T) {
	ctx, inner := t.Context(), objstore.NewMemory()
	probeDB(t, inner)
	s := faulty.New(inner, nil)
	s.SetProperties(func(p *objstore.Properties) { p.IfAbsent = false })
	a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: cloudQuiet(), SkipProbe: true})
	require.NoError(t, err)
	defer a.Close()
	for _, role := range probeRoles {
		err := role.run(ctx, a, s, true)
		require.ErrorIs(t, err, ErrInvalid, role.name)
		assert.ErrorContains(t, err, "create-if-absent", role.name)
	}
	require.NoError(t, probeReader(ctx, s, ReaderOptions{Mode: FollowLatest}))
}
