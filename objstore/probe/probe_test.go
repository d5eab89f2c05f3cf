package probe_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/probe"
)

// left counts the objects of a store.
func left(t *testing.T, s objstore.Store) (n int) {
	t.Helper()
	for _, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		n++
	}
	return n
}

func TestJ4_DeviantStores(t *testing.T) {
	refused := map[deviant.Kind]probe.Capability{
		deviant.IgnoresIfAbsent:  probe.CreateIfAbsent,
		deviant.IgnoresIfVersion: probe.UpdateIfMatch,
		deviant.UpdatesMissing:   probe.UpdateIfMatch,
		deviant.ShortBodies:      probe.WholeBody,
		deviant.StaleList:        probe.ListAfterWrite,
		deviant.WholeForRange:    probe.RangeRead,
		deviant.NoMetadata:       probe.Metadata,
	}
	for _, k := range append(deviant.Kinds(), deviant.Honest) {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := objstore.NewMemory()
				rep, err := probe.Run(t.Context(), deviant.New(inner, k), &probe.Options{Path: "db"})
				require.NoError(t, err)
				for range left(t, inner) {
					assert.Fail(t, "the probe left an object behind")
				}
				want, bad := refused[k]
				if !bad {
					require.NoError(t, rep.Err())
					for _, r := range rep.Results {
						assert.Equal(t, probe.OK, r.State, "%+v", r)
					}
					if k == deviant.Honest {
						assert.Equal(t, 21, rep.Requests, "as documented")
					}
					return
				}
				var e *probe.Error
				require.ErrorAs(t, rep.Err(), &e)
				assert.Equal(t, want, e.Capability, "%+v", rep)
				require.ErrorIs(t, e, kv.ErrInvalid)
				require.ErrorIs(t, e, objstore.ErrNotSupported)
				assert.Contains(t, e.Error(), string(want))
				for _, r := range rep.Results {
					if r.Capability != want && k != deviant.ShortBodies {
						assert.NotEqual(t, probe.Failed, r.State, "only one is at fault: %+v", r)
					}
				}
			})
		})
	}
}

// TestStaleReads: a get that returns the version before, and one that lost the object.
func TestStaleReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(objstore.NewMemory(), nil)
		f.Script(faulty.Rule{Method: "get", Nth: 1, Kind: faulty.ErrorBefore, Err: objstore.ErrNotFound})
		rep, err := probe.Run(t.Context(), f, nil)
		require.NoError(t, err)
		assert.Equal(t, probe.Failed, rep.Result(probe.ReadAfterWrite).State)

		f.Clear()
		f.Script(faulty.Rule{Method: "get", Nth: 2, Kind: faulty.Alter, Change: func(b []byte) []byte { b[0]++; return b }})
		rep, err = probe.Run(t.Context(), f, nil)
		require.NoError(t, err)
		assert.Equal(t, probe.Failed, rep.Result(probe.ReadAfterWrite).State)
	})
}

func TestFailedDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(objstore.NewMemory(), nil)
		f.Script(faulty.Rule{Method: "head", Nth: 2, Kind: faulty.Call, Do: func(ctx context.Context, r faulty.Request) error { return nil }})
		keep := &keeps{Store: f}
		rep, err := probe.Run(t.Context(), keep, nil)
		require.NoError(t, err)
		assert.Equal(t, probe.Failed, rep.Result(probe.Delete).State)
	})
}

type keeps struct{ objstore.Store }

func (keeps) Delete(context.Context, string) error { return nil }

// TestFaultsAreNoTraits: lost answers and outages are not held against a store.
func TestFaultsAreNoTraits(t *testing.T) {
	for n := 1; n <= 21; n++ {
		for _, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter, faulty.Short} {
			synctest.Test(t, func(t *testing.T) {
				inner := objstore.NewMemory()
				f := faulty.New(inner, nil)
				// A range that is cut at the end of the object looks like a wrong end.
				whole := func(r faulty.Request) bool { return kind != faulty.Short || r.Method != "read" }
				f.Script(faulty.Rule{Nth: n, Kind: kind, Match: whole})
				rep, err := probe.Run(t.Context(), f, nil)
				require.NoError(t, err)
				require.NoError(t, rep.Err(), "request %d, %v", n, kind)
				assert.Zero(t, left(t, inner))
			})
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(objstore.NewMemory(), nil)
		f.Script(faulty.Rule{Kind: faulty.ErrorBefore})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := probe.Run(ctx, f, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, faulty.ErrInjected)
		assert.Equal(t, time.Minute, time.Since(start))
		_, err = probe.Run(t.Context(), f, &probe.Options{MaxRetries: 2})
		require.ErrorIs(t, err, kv.ErrUnavailable)
	})
}

type status int

func (s status) Error() string   { return "denied" }
func (s status) HTTPStatus() int { return int(s) }

// TestDeniedIsNoTrait: without access the store is not judged.
func TestDeniedIsNoTrait(t *testing.T) {
	f := faulty.New(objstore.NewMemory(), nil)
	f.Script(faulty.Rule{Kind: faulty.ErrorBefore, Err: objstore.Permanent(status(403))})
	_, err := probe.Run(t.Context(), f, nil)
	var e *probe.Error
	require.Error(t, err)
	assert.False(t, errors.As(err, &e))
	require.ErrorContains(t, err, "denied")
}

func TestRemainsAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := objstore.NewMemory()
		old := []string{"db/probe/01aaaa/a", "db/probe/01aaaa/b", "db/manifest/00000000000000000001.manifest"}
		for _, k := range old {
			_, err := s.Put(t.Context(), k, []byte("x"), objstore.Always)
			require.NoError(t, err)
		}
		time.Sleep(23 * time.Hour)
		_, err := s.Put(t.Context(), "db/probe/01bbbb/a", nil, objstore.Always)
		require.NoError(t, err)
		rep, err := probe.Run(t.Context(), s, &probe.Options{Path: "db"})
		require.NoError(t, err)
		require.NoError(t, rep.Err())
		assert.Equal(t, 4, left(t, s), "not yet")
		time.Sleep(2 * time.Hour)
		_, err = probe.Run(t.Context(), s, &probe.Options{Path: "db"})
		require.NoError(t, err)
		assert.Equal(t, 2, left(t, s), "the database's object and the young remains")
		_, err = s.Head(t.Context(), old[2])
		require.NoError(t, err)
	})
}

func TestDeclaredLacks(t *testing.T) {
	f := faulty.New(objstore.NewMemory(), nil)
	f.SetProperties(func(p *objstore.Properties) { p.IfVersion, p.PutID = false, false })
	rep, err := probe.Run(t.Context(), f, nil)
	require.NoError(t, err)
	require.NoError(t, rep.Err(), "the engine has ways around both")
	assert.Equal(t, probe.Absent, rep.Result(probe.UpdateIfMatch).State)
	assert.Equal(t, probe.Absent, rep.Result(probe.Metadata).State)
	f.SetProperties(func(p *objstore.Properties) { p.IfAbsent = false })
	rep, err = probe.Run(t.Context(), f, nil)
	require.NoError(t, err)
	require.ErrorIs(t, rep.Err(), objstore.ErrNotSupported)
}

func TestOnce(t *testing.T) {
	probe.Forget()
	t.Cleanup(probe.Forget)
	ctx := t.Context()
	f := faulty.New(objstore.NewMemory(), nil)
	require.NoError(t, probe.Once(ctx, f, "k", nil))
	assert.Zero(t, f.Requests(), "a local store is known")
	f.SetProperties(func(p *objstore.Properties) { p.Local, p.NoProbe = false, true })
	require.NoError(t, probe.Once(ctx, f, "k", nil))
	assert.Zero(t, f.Requests(), "vouched for")
	f.SetProperties(func(p *objstore.Properties) { p.NoProbe = false })
	for range 3 {
		require.NoError(t, probe.Once(ctx, f, "k", nil))
		assert.Equal(t, 21, f.Requests())
	}
	bad := deviant.New(objstore.NewMemory(), deviant.IgnoresIfAbsent)
	for range 2 {
		require.Error(t, probe.Once(ctx, bad, "bad", nil), "a failure is not remembered")
	}
}
