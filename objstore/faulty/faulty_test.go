package faulty_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return faulty.New(objstore.NewMemory(), nil) })
}

func TestConformanceOfPoorStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store {
		s := faulty.New(objstore.NewMemory(), nil)
		s.SetProperties(func(p *objstore.Properties) { p.IfAbsent, p.IfVersion, p.PutID = false, false, false })
		return s
	})
}

func put(s objstore.Store, key, body string) error {
	_, err := s.Put(context.Background(), key, []byte(body), objstore.Always)
	return err
}

func has(t *testing.T, s objstore.Store, key string) bool {
	t.Helper()
	_, err := s.Head(context.Background(), key)
	if !errors.Is(err, objstore.ErrNotFound) {
		require.NoError(t, err)
	}
	return err == nil
}

func TestErrorBeforeAndAfter(t *testing.T) {
	inner := objstore.NewMemory()
	s := faulty.New(inner, nil)
	mine := errors.New("mine")
	r := s.Script(faulty.Rule{Method: "put", Key: "b", Nth: 2, Kind: faulty.ErrorBefore, Err: mine})
	require.NoError(t, put(s, "b1", ""))
	require.NoError(t, put(s, "a", ""), "another key does not count")
	require.ErrorIs(t, put(s, "b2", ""), mine)
	assert.False(t, has(t, inner, "b2"))
	require.NoError(t, put(s, "b3", ""))
	assert.Equal(t, 1, r.Hits())
	s.Clear()

	s.Script(faulty.Rule{Method: "write", Kind: faulty.ErrorAfter, Times: 2})
	require.ErrorIs(t, put(s, "c", ""), faulty.ErrInjected)
	assert.True(t, has(t, inner, "c"))
	require.ErrorIs(t, s.Delete(t.Context(), "c"), faulty.ErrInjected)
	assert.False(t, has(t, inner, "c"))
	require.NoError(t, put(s, "c", ""))
	assert.Equal(t, 6, s.Count("put"))
	assert.Equal(t, 1, s.Count("delete"))
	assert.Equal(t, 7, s.Requests())
}

func TestEffectLongAfterTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		s.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorThenEffect, Delay: time.Minute, Nth: 1})
		require.ErrorIs(t, put(s, "k", "late"), faulty.ErrInjected)
		assert.False(t, has(t, inner, "k"))
		s.Crash()
		time.Sleep(59 * time.Second)
		assert.False(t, has(t, inner, "k"))
		s.Wait()
		assert.True(t, has(t, inner, "k"), "what is on the network outlives the process")
	})
}

func TestDelayHangBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		s.Script(faulty.Rule{Method: "put", Key: "slow", Kind: faulty.Delay, Delay: time.Hour})
		start := time.Now()
		require.NoError(t, put(s, "slow", ""))
		assert.Equal(t, time.Hour, time.Since(start))

		s.Script(faulty.Rule{Key: "hang", Kind: faulty.Hang, Nth: 1})
		s.Script(faulty.Rule{Key: "hang", Kind: faulty.HangAfter})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Put(ctx, "hang", nil, objstore.Always)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, has(t, inner, "hang"))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Put(ctx, "hang", nil, objstore.Always)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, has(t, inner, "hang"))

		release := make(chan struct{})
		r := s.Script(faulty.Rule{Key: "gate", Kind: faulty.Block, Release: release})
		done := make(chan error)
		go func() { done <- put(s, "gate", "") }()
		<-r.Reached()
		synctest.Wait()
		assert.False(t, has(t, inner, "gate"))
		close(release)
		require.NoError(t, <-done)
		assert.True(t, has(t, inner, "gate"))
	})
}

// What waits after its effect has been reached when the effect is there, however long it takes.
func TestReachedBehindTheEffect(t *testing.T) {
	for _, kind := range []faulty.Kind{faulty.BlockAfter, faulty.HangAfter} {
		synctest.Test(t, func(t *testing.T) {
			inner := objstore.NewMemory()
			slow := faulty.New(inner, nil)
			slow.Script(faulty.Rule{Kind: faulty.Delay, Delay: time.Second})
			s := faulty.New(slow, nil)
			release := make(chan struct{})
			r := s.Script(faulty.Rule{Key: "k", Kind: kind, Release: release})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := s.Put(ctx, "k", nil, objstore.IfAbsent())
				done <- err
			}()
			<-r.Reached()
			assert.True(t, has(t, inner, "k"))
			close(release)
			cancel()
			<-done
		})
	}
}

func TestBodies(t *testing.T) {
	inner := objstore.NewMemory()
	s := faulty.New(inner, nil)
	require.NoError(t, put(s, "k", "0123456789"))
	short := s.Script(faulty.Rule{Kind: faulty.Short})
	o, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "01234", string(o.Body))
	assert.EqualValues(t, 10, o.Size)
	p := make([]byte, 4)
	n, err := s.ReadAt(t.Context(), "k", p, 2)
	require.NoError(t, err)
	assert.Equal(t, "23", string(p[:n]))
	short.Remove()
	s.Script(faulty.Rule{Kind: faulty.Alter, Change: func(b []byte) []byte { b[0] ^= 1; return b }})
	o, err = s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "1123456789", string(o.Body))
	s.Clear()
	o, err = s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "0123456789", string(o.Body), "the stored bytes are untouched")
}

func TestListFaults(t *testing.T) {
	s := faulty.New(objstore.NewMemory(), nil)
	for _, k := range []string{"a", "b", "c"} {
		require.NoError(t, put(s, k, ""))
	}
	walk := func() (keys []string, err error) {
		for a, e := range s.List(t.Context(), "", "") {
			if e != nil {
				return keys, e
			}
			keys = append(keys, a.Key)
		}
		return keys, nil
	}
	r := s.Script(faulty.Rule{Method: "list", Kind: faulty.ErrorAfter})
	keys, err := walk()
	require.ErrorIs(t, err, faulty.ErrInjected)
	assert.Equal(t, []string{"a"}, keys)
	r.Remove()
	s.Script(faulty.Rule{Method: "list", Kind: faulty.Hide, Hides: func(a objstore.Attributes) bool { return a.Key == "b" }})
	keys, err = walk()
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, keys)
}

func TestStoreThatForgetsConditions(t *testing.T) {
	s := faulty.New(objstore.NewMemory(), nil)
	require.NoError(t, put(s, "k", "old"))
	s.Script(faulty.Rule{Kind: faulty.Unconditional})
	_, err := s.Put(t.Context(), "k", []byte("new"), objstore.IfAbsent())
	require.NoError(t, err)
	o, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "new", string(o.Body))
}

func TestTwice(t *testing.T) {
	s := faulty.New(objstore.NewMemory(), nil)
	s.Script(faulty.Rule{Kind: faulty.Twice})
	_, err := s.Put(t.Context(), "k", nil, objstore.IfAbsent())
	require.ErrorIs(t, err, objstore.ErrPrecondition, "the second is refused by the first")
	assert.True(t, has(t, s, "k"))
}

func TestCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		require.NoError(t, put(s, "one", ""))
		s.CrashAt(2, after)
		require.NoError(t, put(s, "two", ""))
		require.ErrorIs(t, put(s, "three", ""), faulty.ErrCrashed)
		assert.Equal(t, after, has(t, inner, "three"))
		require.ErrorIs(t, put(s, "four", ""), faulty.ErrCrashed)
		assert.False(t, has(t, inner, "four"))
		_, err := s.Get(t.Context(), "one")
		require.ErrorIs(t, err, faulty.ErrCrashed)
		assert.True(t, objstore.IsPermanent(err), "no retry brings it back")
		for _, err := range s.List(t.Context(), "", "") {
			require.ErrorIs(t, err, faulty.ErrCrashed)
		}
		assert.True(t, s.Crashed())
		assert.True(t, has(t, faulty.New(inner, nil), "one"), "the next process")
	}
}

func TestCrashUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		release := make(chan struct{})
		r := s.Script(faulty.Rule{Key: "k", Kind: faulty.Block, Release: release})
		done := make(chan error)
		go func() { done <- put(s, "k", "") }()
		<-r.Reached()
		s.Crash()
		close(release)
		require.ErrorIs(t, <-done, faulty.ErrCrashed)
		assert.False(t, has(t, inner, "k"))
	})
}

func TestLog(t *testing.T) {
	s := faulty.New(objstore.NewMemory(), nil)
	require.NoError(t, put(s, "before", ""))
	s.Record(true)
	require.NoError(t, put(s, "k", "abc"))
	_, err := s.ReadAt(t.Context(), "k", make([]byte, 2), 1)
	require.NoError(t, err)
	assert.Equal(t, []faulty.Request{{Method: "put", Key: "k", Len: 3}, {Method: "read", Key: "k", Off: 1, Len: 2}}, s.Log())
}
