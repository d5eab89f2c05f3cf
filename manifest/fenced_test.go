package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

func TestAcquireAndFence(t *testing.T) {
	ctx := t.Context()
	mem, s := newDatabase(t)
	w1 := must(s.AcquireWriter(ctx, AcquireOptions{}))
	assert.EqualValues(t, 1, w1.Epoch())
	c1 := must(s.AcquireCompactor(ctx, AcquireOptions{}))
	must(w1.Update(ctx, bump))

	w2 := must(NewStore(mem, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{}))
	assert.EqualValues(t, 2, w2.Epoch())
	_, err := w1.Update(ctx, bump)
	assert.ErrorIs(t, err, kv.ErrFenced)
	assert.ErrorIs(t, err, kv.ErrClosed)
	_, err = w1.Update(ctx, bump)
	assert.ErrorIs(t, err, kv.ErrFenced, "for ever")
	_, err = w1.Refresh(ctx)
	assert.ErrorIs(t, err, kv.ErrFenced)
	_, err = c1.Update(ctx, bump)
	assert.NoError(t, err, "the other role goes on")
	must(w2.Update(ctx, bump))
	m := must(w2.Refresh(ctx))
	assert.EqualValues(t, 2, m.WriterEpoch)
	assert.EqualValues(t, 1, m.CompactorEpoch)
	assert.EqualValues(t, 3, m.WALLastSeen)
}

func TestExpectedEpoch(t *testing.T) {
	ctx := t.Context()
	_, s := newDatabase(t)
	e := func(n uint64) AcquireOptions { return AcquireOptions{ExpectedEpoch: &n} }
	assert.EqualValues(t, 1, must(s.AcquireWriter(ctx, e(0))).Epoch(), "new database: 0")
	assert.EqualValues(t, 2, must(s.AcquireWriter(ctx, AcquireOptions{})).Epoch())
	for _, wrong := range []uint64{1, 3} {
		_, err := s.AcquireWriter(ctx, e(wrong))
		assert.ErrorIs(t, err, kv.ErrFenced, wrong)
	}
	assert.EqualValues(t, 3, must(s.AcquireWriter(ctx, e(2))).Epoch())
	assert.EqualValues(t, 4, must(s.Latest(ctx)).ID, "refused claims write nothing")
}

func TestAcquireCheck(t *testing.T) {
	ctx := t.Context()
	mem := objstore.NewMemory()
	s := NewStore(mem, "R", newEnv())
	_, err := s.AcquireWriter(ctx, AcquireOptions{})
	assert.ErrorIs(t, err, ErrNoDatabase)
	half := New("")
	half.Initialized = false
	must(s.Create(ctx, half))
	no := errors.New("half-made clone")
	_, err = s.AcquireWriter(ctx, AcquireOptions{Check: func(m *Manifest) error {
		if !m.Initialized {
			return no
		}
		return nil
	}})
	assert.ErrorIs(t, err, no)
	assert.EqualValues(t, 1, must(s.Latest(ctx)).ID)
}

func TestEpochThatFellIsCorruption(t *testing.T) {
	ctx := t.Context()
	mem, s := newDatabase(t)
	w := must(s.AcquireWriter(ctx, AcquireOptions{}))
	back := must(s.Latest(ctx)).Clone()
	back.WriterEpoch = 0
	must(mem.Put(ctx, s.Key(3), must(back.Encode()), objstore.IfAbsent()))
	_, err := w.Update(ctx, bump)
	var c *sst.CorruptionError
	require.ErrorAs(t, err, &c)
	assert.Equal(t, s.Key(3), c.Object)
	_, err = w.Refresh(ctx)
	assert.ErrorIs(t, err, kv.ErrCorrupt)
}

// A2: two writers open at once. At every step of the first (each request, before and after)
// the second one does its whole claim. Exactly one of both is the last, and the other knows.
func TestA2_TwoClaimsInterleavedAtEveryStep(t *testing.T) {
	for _, late := range []bool{false, true} {
		step := 0
		for ; ; step++ {
			ctx := t.Context()
			mem, _ := newDatabase(t)
			n, ran := 0, false
			var w2 *Fenced
			hook := func(op, key string) error {
				if n++; n-1 == step {
					ran = true
					w2 = must(NewStore(mem, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{}))
				}
				return nil
			}
			f := &scripted{Store: mem}
			if late {
				f.after = hook
			} else {
				f.before = hook
			}
			w1, err := NewStore(f, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{})
			require.NoError(t, err)
			f.before, f.after = nil, nil
			if !ran {
				break
			}
			name := fmt.Sprintf("step %d late %t", step, late)
			require.NotEqual(t, w1.Epoch(), w2.Epoch(), name)
			winner, loser := w1, w2
			if w2.Epoch() > w1.Epoch() {
				winner, loser = w2, w1
			}
			_, err = loser.Refresh(ctx)
			assert.ErrorIs(t, err, kv.ErrFenced, name)
			m, err := winner.Update(ctx, bump)
			require.NoError(t, err, name)
			assert.Equal(t, winner.Epoch(), m.WriterEpoch, name)
			_, err = loser.Update(ctx, bump)
			assert.ErrorIs(t, err, kv.ErrFenced, name)
		}
		assert.Equal(t, 4, step, "read, boundary, write, boundary")
	}
}

// A6: an incumbent that commits before each of our claims cannot keep us waiting for ever.
func TestA6_ClaimGivesUpAgainstABusyIncumbent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		mem, busy := newDatabase(t)
		incumbent := must(busy.AcquireWriter(ctx, AcquireOptions{}))
		rounds := 0
		f := &scripted{Store: mem, before: func(op, key string) error {
			if op == "put" {
				rounds++
				must(incumbent.Update(ctx, bump))
			}
			return nil
		}}
		s := NewStoreWith(f, "R", newEnv(), Options{ClaimTimeout: 20 * time.Second})
		start := time.Now()
		_, err := s.AcquireWriter(ctx, AcquireOptions{})
		assert.ErrorIs(t, err, kv.ErrUnavailable)
		assert.Equal(t, 20*time.Second, time.Since(start))
		assert.Greater(t, rounds, 20)
		_, err = incumbent.Update(ctx, bump)
		assert.NoError(t, err, "the incumbent is untouched")

		// A store that hangs is no different.
		hang := &scripted{Store: mem}
		h := &hanging{scripted: hang}
		_, err = NewStore(h, "R", newEnv()).AcquireCompactor(ctx, AcquireOptions{})
		assert.ErrorIs(t, err, kv.ErrUnavailable)
		assert.NotErrorIs(t, err, context.Canceled, "nobody has cancelled anything")
		assert.Equal(t, 320*time.Second, time.Since(start), "300 s is the default")

		// The end of the caller's ctx is no timeout.
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err = NewStore(h, "R", newEnv()).AcquireCompactor(cctx, AcquireOptions{})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, kv.ErrUnavailable)
	})
}

// hanging answers a Get only when its context ends.
type hanging struct{ *scripted }

func (h *hanging) Get(ctx context.Context, key string) (objstore.Object, error) {
	<-ctx.Done()
	return objstore.Object{}, ctx.Err()
}

// A11: a process sleeps with its PUT of id N ready, others reach N+3, the collector deletes up
// to N+2. The PUT then succeeds, and must not count.
func TestA11_DeletedIDWrittenAgainIsAConflict(t *testing.T) {
	for _, kind := range []string{"update", "claim"} {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			mem, other := newDatabase(t)
			slept := false
			f := &scripted{Store: mem, before: func(op, key string) error {
				if op != "put" || slept {
					return nil
				}
				slept = true
				for range 4 { // 2, 3, 4, 5
					must(other.Update(ctx, bump))
				}
				require.NoError(t, other.Boundary().Advance(ctx, 4))
				for id := uint64(1); id <= 4; id++ {
					require.NoError(t, mem.Delete(ctx, other.Key(id)))
				}
				return nil
			}}
			s := NewStore(f, "R", newEnv())
			must(s.Latest(ctx))
			var m *Manifest
			if kind == "update" {
				m = must(s.Update(ctx, checkpointNamed("late")))
			} else {
				m = must(s.AcquireWriter(ctx, AcquireOptions{})).Current()
			}
			require.True(t, slept)
			assert.EqualValues(t, 6, m.ID)
			assert.EqualValues(t, 4, m.WALLastSeen, "applied to the newest version")
			assert.Equal(t, m, must(NewStore(mem, "R", newEnv()).Latest(ctx)))
		})
	}
}

// The other half of A11: a reader whose cached version has no successor any more.
func TestA11_StaleCacheIsNoticed(t *testing.T) {
	ctx := t.Context()
	mem, other := newDatabase(t)
	reader := NewStore(mem, "R", newEnv())
	must(reader.Latest(ctx))
	for range 4 {
		must(other.Update(ctx, bump))
	}
	require.NoError(t, other.Boundary().Advance(ctx, 3))
	for id := uint64(1); id <= 3; id++ {
		require.NoError(t, mem.Delete(ctx, other.Key(id)))
	}
	assert.EqualValues(t, 5, must(reader.Latest(ctx)).ID)

	// The boundary file goes missing: what it once said still holds.
	require.NoError(t, mem.Delete(ctx, reader.Boundary().Key()))
	assert.EqualValues(t, 3, must(reader.Boundary().Read(ctx)))
	assert.EqualValues(t, 5, must(reader.Latest(ctx)).ID)
	require.NoError(t, reader.Boundary().Advance(ctx, 2), "comes back with its number")
	assert.EqualValues(t, 3, must(NewStore(mem, "R", newEnv()).Boundary().Read(ctx)))
}

// D5: the listed latest is deleted before it is read.
func TestD5_LatestDeletedBetweenListAndGet(t *testing.T) {
	ctx := t.Context()
	mem, other := newDatabase(t)
	must(other.Update(ctx, bump))
	deleted := false
	f := &scripted{Store: mem, before: func(op, key string) error {
		if op == "get" && key == other.Key(2) && !deleted {
			deleted = true
			must(other.Update(ctx, bump))
			require.NoError(t, mem.Delete(ctx, key))
		}
		return nil
	}}
	assert.EqualValues(t, 3, must(NewStore(f, "R", newEnv()).Latest(ctx)).ID)
	require.True(t, deleted)

	synctest.Test(t, func(t *testing.T) { // a listing that names what is not there
		ghost := &scripted{Store: mem, before: func(op, key string) error {
			if op == "get" && strings.HasSuffix(key, ".manifest") {
				return objstore.ErrNotFound
			}
			return nil
		}}
		start := time.Now()
		_, err := NewStore(ghost, "R", newEnv()).Latest(t.Context())
		assert.ErrorIs(t, err, kv.ErrCorrupt)
		assert.Less(t, ghost.requests.Load(), int64(50))
		assert.Less(t, time.Since(start), time.Minute)
	})
}

// The Rust engine lists for ever here.
func TestBoundaryAboveTheLatestIsCorruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		mem, _ := newDatabase(t)
		s := NewStore(mem, "R", newEnv())
		must(s.Latest(ctx))
		require.NoError(t, s.Boundary().Advance(ctx, 100))
		for range 2 { // with and without a cached version
			_, err := s.Latest(ctx)
			var c *sst.CorruptionError
			require.ErrorAs(t, err, &c)
			assert.Equal(t, "R/gc/manifest.boundary", c.Object)
			s = NewStore(mem, "R", newEnv())
		}
		_, err := s.Create(ctx, New(""))
		assert.ErrorIs(t, err, ErrExists)
	})
}

// An id that was used and collected is not free for a new database.
func TestCreateOverACollectedDatabase(t *testing.T) {
	ctx := t.Context()
	mem, s := newDatabase(t)
	must(s.Update(ctx, bump))
	require.NoError(t, s.Boundary().Advance(ctx, 1))
	require.NoError(t, mem.Delete(ctx, s.Key(1)))
	_, err := NewStore(mem, "R", newEnv()).Create(ctx, New(""))
	assert.ErrorIs(t, err, ErrExists)
	assert.EqualValues(t, 2, must(s.Latest(ctx)).ID)
}

func TestBoundary(t *testing.T) {
	ctx := t.Context()
	mem := objstore.NewMemory()
	b := NewStore(mem, "R", newEnv()).Boundary()
	assert.EqualValues(t, 0, must(b.Read(ctx)), "missing")
	require.NoError(t, b.Advance(ctx, 17))
	o, err := mem.Get(ctx, "R/gc/manifest.boundary")
	require.NoError(t, err)
	assert.Equal(t, "17", string(o.Body))
	require.NoError(t, b.Advance(ctx, 5))
	assert.EqualValues(t, 17, must(b.Read(ctx)), "never falls")
	require.NoError(t, b.Advance(ctx, 20))
	assert.EqualValues(t, 20, must(b.Read(ctx)))

	must(mem.Put(ctx, b.Key(), []byte(" 21\n"), objstore.Always))
	assert.EqualValues(t, 21, must(b.Read(ctx)))
	must(mem.Put(ctx, b.Key(), []byte("18446744073709551615"), objstore.Always))
	assert.Equal(t, uint64(1<<64-1), must(b.Read(ctx)))
	for _, text := range []string{"", "x", "-1", "1.5", "18446744073709551616", "0x10", strings.Repeat("0", 100)} {
		must(mem.Put(ctx, b.Key(), []byte(text), objstore.Always))
		_, err := b.Read(ctx)
		assert.ErrorIs(t, err, kv.ErrCorrupt, text)
	}
}

func TestBoundaryConflictsAndMissingSupport(t *testing.T) {
	ctx := t.Context()
	mem := objstore.NewMemory()
	other := NewStore(mem, "R", newEnv()).Boundary()
	next := uint64(0)
	f := &scripted{Store: mem, before: func(op, key string) error {
		if op == "put" && next < 5 { // another collector is faster five times
			next++
			return other.Advance(ctx, next)
		}
		return nil
	}}
	b := NewStore(f, "R", newEnv()).Boundary()
	require.NoError(t, b.Advance(ctx, 10))
	assert.EqualValues(t, 10, must(other.Read(ctx)))

	f.before = func(op, key string) error {
		if op == "put" {
			return objstore.ErrNotSupported
		}
		return nil
	}
	assert.ErrorIs(t, b.Advance(ctx, 11), objstore.ErrNotSupported)
}
