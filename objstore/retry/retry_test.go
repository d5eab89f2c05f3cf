package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	t.Run("faultless", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) objstore.Store { return retry.New(objstore.NewMemory(), retry.Options{}) })
	})
	t.Run("dir", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store {
			s, err := objstore.NewDirWithOptions(t.TempDir(), objstore.DirOptions{NoSync: true})
			require.NoError(t, err)
			return retry.New(s, retry.Options{})
		})
	})
	// Every third request fails, half of those after their effect, and what is read is short
	// now and then: nobody may notice. Updates are left out: racing ones end in
	// ErrOutcomeUnknown here, as they must.
	t.Run("with faults", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) objstore.Store {
			s := faulty.New(objstore.NewMemory(), nil)
			s.SetProperties(func(p *objstore.Properties) { p.IfVersion = false })
			for i := range 3 {
				every := func(r faulty.Request) bool { return r.Method != "upload" && s.Requests()%9 == i*3 } // some uploads are read once
				s.Script(faulty.Rule{Match: every, Kind: []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter, faulty.Short}[i]})
			}
			return retry.New(s, retry.Options{Min: time.Microsecond, Max: time.Microsecond})
		})
	})
}

type world struct {
	inner, s objstore.Store
	f        *faulty.Store
	failures []retry.Failure
}

func open(o retry.Options) *world {
	w := &world{inner: objstore.NewMemory()}
	w.f = faulty.New(w.inner, nil)
	if o.OnRetry == nil {
		o.OnRetry = func(f retry.Failure) { w.failures = append(w.failures, f) }
	}
	w.s = retry.New(w.f, o)
	return w
}

func (w *world) create(t *testing.T) (objstore.Version, error) {
	return w.s.Put(t.Context(), "k", []byte("mine"), objstore.IfAbsent())
}

func (w *world) body(t *testing.T) string {
	t.Helper()
	o, err := w.inner.Get(context.Background(), "k")
	require.NoError(t, err)
	return string(o.Body)
}

// stranger makes another process write k.
func (w *world) stranger(t *testing.T) {
	t.Helper()
	_, err := w.inner.Put(context.Background(), "k", []byte("other"), objstore.Always.WithPutID("stranger"))
	require.NoError(t, err)
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestJ1_LostAnswerOfConditionalPut(t *testing.T) {
	bubble(t, "ours stands", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter, Nth: 1})
		v, err := w.create(t)
		require.NoError(t, err)
		a, err := w.inner.Head(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, a.Version, v)
		assert.Len(t, a.PutID, 26, "a ULID")
		assert.Equal(t, 1, w.f.Count("put"))
	})
	bubble(t, "the same bytes of a stranger are no proof", func(t *testing.T) {
		w := open(retry.Options{})
		_, err := w.inner.Put(t.Context(), "k", []byte("mine"), objstore.Always)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter, Nth: 1})
		_, err = w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
	})
	bubble(t, "never arrived", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Nth: 1, Times: 3})
		_, err := w.create(t)
		require.NoError(t, err)
		assert.Equal(t, 4, w.f.Count("put"))
	})
	bubble(t, "never arrived, and a stranger was faster", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Nth: 1, Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			w.stranger(t)
			return faulty.ErrInjected
		}})
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		assert.Equal(t, "other", w.body(t))
	})
	bubble(t, "applied twice by the network", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.Twice})
		_, err := w.create(t)
		require.NoError(t, err, "refused by our own write")
		assert.Equal(t, "mine", w.body(t))
	})
	bubble(t, "update, ours stands", func(t *testing.T) {
		w := open(retry.Options{})
		v, err := w.create(t)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter, Nth: 1})
		v2, err := w.s.Put(t.Context(), "k", []byte("two"), objstore.IfVersion(v))
		require.NoError(t, err)
		assert.NotEqual(t, v, v2)
		assert.Equal(t, "two", w.body(t))
	})
	bubble(t, "update, never arrived", func(t *testing.T) {
		w := open(retry.Options{})
		v, err := w.create(t)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Nth: 1})
		_, err = w.s.Put(t.Context(), "k", []byte("two"), objstore.IfVersion(v))
		require.NoError(t, err)
		assert.Equal(t, "two", w.body(t))
	})
	bubble(t, "update, landed and replaced since", func(t *testing.T) {
		w := open(retry.Options{OnRetry: func(retry.Failure) {}})
		v, err := w.create(t)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter, Nth: 1})
		w.f.Script(faulty.Rule{Method: "head", Nth: 1, Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			w.stranger(t)
			return nil
		}})
		_, err = w.s.Put(t.Context(), "k", []byte("two"), objstore.IfVersion(v))
		require.ErrorIs(t, err, objstore.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, objstore.ErrPrecondition)
	})
	bubble(t, "upload", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "upload", Kind: faulty.ErrorAfter})
		_, err := w.s.Upload(t.Context(), "k", io.MultiReader(strings.NewReader("mine")), objstore.IfAbsent())
		require.NoError(t, err, "settled although the body cannot be read again")
		assert.Equal(t, "mine", w.body(t))
	})
}

func TestJ1_StoreWithoutPutID(t *testing.T) {
	poor := func() *world {
		w := open(retry.Options{})
		w.f.SetProperties(func(p *objstore.Properties) { p.PutID = false })
		return w
	}
	bubble(t, "a plain refusal is one", func(t *testing.T) {
		w := poor()
		w.stranger(t)
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		assert.Zero(t, w.f.Count("head"))
	})
	bubble(t, "a refusal after a lost answer is not told", func(t *testing.T) {
		w := poor()
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter, Nth: 1})
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, objstore.ErrPrecondition)
	})
	bubble(t, "never arrived", func(t *testing.T) {
		w := poor()
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Nth: 1})
		_, err := w.create(t)
		require.NoError(t, err)
	})
	bubble(t, "certainly nothing written, then a stranger", func(t *testing.T) {
		w := poor()
		w.f.Script(faulty.Rule{Method: "put", Nth: 1, Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			w.stranger(t)
			return objstore.NoEffect(errors.New("disk full"))
		}})
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
	})
}

func TestJ2_PutLandsAfterHeadSaidAbsent(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 150 * time.Millisecond, time.Minute} {
		bubble(t, delay.String(), func(t *testing.T) {
			w := open(retry.Options{})
			w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorThenEffect, Delay: delay, Nth: 1, Times: 2})
			v, err := w.create(t)
			require.NoError(t, err)
			w.f.Wait()
			a, err := w.inner.Head(t.Context(), "k")
			require.NoError(t, err)
			assert.Equal(t, v, a.Version, "the version returned is the one that stays")
		})
	}
}

func TestJ2_DeadlineLeavesOutcomeOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.HangAfter})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.s.Put(ctx, "k", nil, objstore.IfAbsent())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, objstore.ErrPrecondition)
	})
}

func TestOpenOutcomeThenFinalError(t *testing.T) {
	denied := objstore.Permanent(errors.New("access denied"))
	for _, c := range []struct {
		name  string
		rules []faulty.Rule
		o     retry.Options
		want  []error
	}{
		{"credentials end", []faulty.Rule{
			{Method: "put", Kind: faulty.ErrorAfter, Nth: 1},
			{Method: "head", Kind: faulty.ErrorBefore, Err: denied},
		}, retry.Options{}, []error{objstore.ErrOutcomeUnknown, denied}},
		{"retries end", []faulty.Rule{
			{Method: "put", Kind: faulty.ErrorAfter, Nth: 1},
			{Method: "head", Kind: faulty.ErrorBefore},
		}, retry.Options{MaxRetries: 3}, []error{objstore.ErrOutcomeUnknown, kv.ErrUnavailable, faulty.ErrInjected}},
		{"nothing sent", []faulty.Rule{{Method: "put", Kind: faulty.ErrorBefore, Err: denied}}, retry.Options{}, []error{denied}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			w := open(c.o)
			for _, r := range c.rules {
				w.f.Script(r)
			}
			_, err := w.create(t)
			for _, want := range c.want {
				assert.ErrorIs(t, err, want)
			}
			if !slices.Contains(c.want, objstore.ErrOutcomeUnknown) {
				assert.NotErrorIs(t, err, objstore.ErrOutcomeUnknown)
			}
		})
	}
}

func TestJ3_ConflictOfRequestsUnderWay(t *testing.T) {
	// A provider reports 409 as a plain retryable error, since another request is under way.
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Times: 2, Err: errors.New("409 ConditionalRequestConflict")})
		_, err := w.create(t)
		require.NoError(t, err)
	})
}

func TestJ5_ShortBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{})
		_, err := w.s.Put(t.Context(), "k", []byte("0123456789"), objstore.Always)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Method: "get", Kind: faulty.Short, Nth: 1, Times: 2})
		o, err := w.s.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, "0123456789", string(o.Body))
		assert.Equal(t, 3, w.f.Count("get"))
		w.f.Script(faulty.Rule{Method: "read", Kind: faulty.Short, Nth: 1, Times: 2})
		p := make([]byte, 5)
		n, err := w.s.ReadAt(t.Context(), "k", p, 5)
		require.NoError(t, err)
		assert.Equal(t, "56789", string(p[:n]))
		assert.Equal(t, 3, w.f.Count("read"))
	})
}

func TestJ6_WhatIsRetried(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, s objstore.Store) error{
		"get": func(ctx context.Context, s objstore.Store) error { _, err := s.Get(ctx, "k"); return err },
		"read": func(ctx context.Context, s objstore.Store) error {
			_, err := s.ReadAt(ctx, "k", make([]byte, 1), 0)
			return err
		},
		"head":   func(ctx context.Context, s objstore.Store) error { _, err := s.Head(ctx, "k"); return err },
		"delete": func(ctx context.Context, s objstore.Store) error { return s.Delete(ctx, "k") },
		"put": func(ctx context.Context, s objstore.Store) error {
			_, err := s.Put(ctx, "k", nil, objstore.Always)
			return err
		},
		"upload": func(ctx context.Context, s objstore.Store) error {
			_, err := s.Upload(ctx, "k", strings.NewReader("x"), objstore.Always)
			return err
		},
		"list": func(ctx context.Context, s objstore.Store) error {
			for _, err := range s.List(ctx, "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		begin := func(o retry.Options) *world {
			w := open(o)
			_, err := w.inner.Put(context.Background(), "k", []byte("x"), objstore.Always)
			if err != nil {
				panic(err)
			}
			return w
		}
		bubble(t, name+" until it works", func(t *testing.T) {
			w := begin(retry.Options{})
			w.f.Script(faulty.Rule{Method: name, Nth: 1, Times: 50, Kind: faulty.ErrorBefore})
			require.NoError(t, call(t.Context(), w.s))
			require.Len(t, w.failures, 50)
			for i, f := range w.failures {
				most := min(100*time.Millisecond<<min(i, 10), time.Second)
				assert.Equal(t, i+1, f.Attempt)
				assert.Equal(t, name, f.Method)
				assert.LessOrEqual(t, f.Wait, most)
				assert.GreaterOrEqual(t, f.Wait, most/2)
			}
		})
		bubble(t, name+" not when it is permanent", func(t *testing.T) {
			for _, answer := range []error{
				objstore.ErrNotSupported, objstore.ErrInvalidKey, objstore.Permanent(errors.New("403")), context.Canceled, faulty.ErrCrashed,
				fmt.Errorf("wrapped: %w", objstore.ErrNotFound),
			} {
				w := begin(retry.Options{})
				w.f.Script(faulty.Rule{Method: name, Kind: faulty.ErrorBefore, Err: answer})
				require.ErrorIs(t, call(t.Context(), w.s), answer)
				assert.Equal(t, 1, w.f.Count(name))
			}
		})
		bubble(t, name+" until ctx ends", func(t *testing.T) {
			for _, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.Hang} {
				w := begin(retry.Options{})
				w.f.Script(faulty.Rule{Method: name, Kind: kind})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				start := time.Now()
				require.ErrorIs(t, call(ctx, w.s), context.DeadlineExceeded)
				assert.Equal(t, time.Minute, time.Since(start))
				cancel()
			}
		})
		bubble(t, name+" a given number of times", func(t *testing.T) {
			for limit, want := range map[int]int{1: 2, 5: 6, -1: 1} {
				w := begin(retry.Options{MaxRetries: limit})
				w.f.Script(faulty.Rule{Method: name, Kind: faulty.ErrorBefore})
				err := call(t.Context(), w.s)
				require.ErrorIs(t, err, faulty.ErrInjected)
				require.ErrorIs(t, err, kv.ErrUnavailable)
				assert.Equal(t, want, w.f.Count(name))
			}
		})
		if name != "list" {
			bubble(t, name+" when an attempt hangs", func(t *testing.T) {
				w := begin(retry.Options{AttemptTimeout: 10 * time.Second})
				w.f.Script(faulty.Rule{Method: name, Nth: 1, Kind: faulty.Hang})
				start := time.Now()
				require.NoError(t, call(t.Context(), w.s))
				assert.InDelta(t, 10, time.Since(start).Seconds(), 0.2)
			})
		}
	}
}

type slowDown struct{ d time.Duration }

func (e slowDown) Error() string             { return "503 slow down" }
func (e slowDown) RetryAfter() time.Duration { return e.d }

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{})
		for _, d := range []time.Duration{20 * time.Second, 24 * time.Hour} {
			w.f.Script(faulty.Rule{Method: "put", Nth: 1, Kind: faulty.ErrorBefore, Err: fmt.Errorf("put: %w", slowDown{d})})
			_, err := w.s.Put(t.Context(), "k", nil, objstore.Always)
			require.NoError(t, err)
			w.f.Clear()
		}
		assert.Equal(t, 20*time.Second, w.failures[0].Wait)
		assert.Equal(t, time.Minute, w.failures[1].Wait, "bounded")
	})
}

func TestListGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{})
		want := []string{"a", "b", "c", "d"}
		for _, k := range want {
			_, err := w.inner.Put(t.Context(), k, nil, objstore.Always)
			require.NoError(t, err)
		}
		w.f.Script(faulty.Rule{Method: "list", Nth: 1, Times: 3, Kind: faulty.ErrorAfter}) // breaks behind one object
		var got []string
		for a, err := range w.s.List(t.Context(), "", "") {
			require.NoError(t, err)
			got = append(got, a.Key)
		}
		assert.Equal(t, want, got, "each once")
		assert.Equal(t, 4, w.f.Count("list"))
	})
}

func TestUploadBodies(t *testing.T) {
	bubble(t, "a seeker is read again from where it stood", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "upload", Nth: 1, Kind: faulty.ErrorAfter})
		r := bytes.NewReader([]byte("skip-body"))
		_, err := r.Seek(5, io.SeekStart)
		require.NoError(t, err)
		_, err = w.s.Upload(t.Context(), "k", r, objstore.Always)
		require.NoError(t, err)
		assert.Equal(t, "body", w.body(t))
		assert.Equal(t, 2, w.f.Count("upload"))
	})
	bubble(t, "another reader has one try", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "upload", Nth: 1, Kind: faulty.ErrorBefore})
		_, err := w.s.Upload(t.Context(), "k", io.MultiReader(strings.NewReader("x")), objstore.Always)
		require.ErrorIs(t, err, faulty.ErrInjected)
		assert.Equal(t, 1, w.f.Count("upload"))
	})
	bubble(t, "conditional, lost, read once", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "upload", Nth: 1, Kind: faulty.ErrorThenEffect, Delay: time.Hour})
		_, err := w.s.Upload(t.Context(), "k", io.MultiReader(strings.NewReader("x")), objstore.IfAbsent())
		require.ErrorIs(t, err, objstore.ErrOutcomeUnknown, "it may still land")
		require.ErrorIs(t, err, faulty.ErrInjected)
		w.f.Wait()
	})
}

func TestOnRetryMayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(retry.Options{OnRetry: func(retry.Failure) { panic("observer") }})
		w.f.Script(faulty.Rule{Method: "put", Nth: 1, Kind: faulty.ErrorBefore})
		_, err := w.s.Put(t.Context(), "k", nil, objstore.Always)
		require.NoError(t, err)
	})
}
