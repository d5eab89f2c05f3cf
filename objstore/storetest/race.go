package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

const racers = 32

// A writer is Put of a store, or its Upload.
type writer func(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error)

// race starts the racers at one instant and checks that one of them won.
//
// round goes into the bodies: a version may be a hash of the body, and then a racer that wins
// twice in a row with the same bytes would leave the version as it was.
func race(t *testing.T, s objstore.Store, write writer, key string, round int, c objstore.Condition) {
	t.Helper()
	body := func(i int) string { return fmt.Sprintf("round %d racer %d", round, i) }
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, racers)
	versions := make([]objstore.Version, racers)
	for i := range racers {
		wg.Go(func() {
			<-start
			versions[i], errs[i] = write(context.WithoutCancel(t.Context()), key, []byte(body(i)), c)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "%s: two winners", key)
			winner = i
			continue
		}
		require.ErrorIs(t, err, objstore.ErrPrecondition)
	}
	require.NotEqual(t, -1, winner, "%s: no winner", key)
	o, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, body(winner), string(o.Body), "the winner's bytes")
	if s.Properties().IfVersion {
		require.Equal(t, versions[winner], o.Version)
	}
}

func raceCreate(t *testing.T, s objstore.Store, rounds int) {
	if !s.Properties().IfAbsent {
		t.Skip("no create-if-absent")
	}
	for i := range rounds {
		race(t, s, s.Put, fmt.Sprintf("race/%d", i), i, objstore.IfAbsent())
	}
}

func raceUpdate(t *testing.T, s objstore.Store, rounds int) {
	if !s.Properties().IfVersion {
		t.Skip("no update-if-match")
	}
	v := put(t, s, "race", "start")
	for i := range rounds {
		race(t, s, s.Put, "race", i, objstore.IfVersion(v))
		a, err := s.Head(t.Context(), "race")
		require.NoError(t, err)
		v = a.Version
	}
}

// raceUpload is both for Upload.
func raceUpload(t *testing.T, s objstore.Store, rounds int) {
	if p := s.Properties(); !p.IfAbsent || !p.IfVersion {
		t.Skip("no conditions")
	}
	upload := func(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
		return s.Upload(ctx, key, bytes.NewBuffer(body), c)
	}
	for i := range rounds {
		key := fmt.Sprintf("race/%d", i)
		race(t, s, upload, key, i, objstore.IfAbsent())
		a, err := s.Head(t.Context(), key)
		require.NoError(t, err)
		race(t, s, upload, key, i+rounds, objstore.IfVersion(a.Version))
	}
}

func casCounter(t *testing.T, s objstore.Store) {
	if !s.Properties().IfVersion {
		t.Skip("no update-if-match")
	}
	const each = 10
	put(t, s, "counter", "0")
	ctx := context.WithoutCancel(t.Context())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for done := 0; done < each; {
				o, err := s.Get(ctx, "counter")
				if !assert.NoError(t, err) {
					return
				}
				n, err := strconv.Atoi(string(o.Body))
				if !assert.NoError(t, err) {
					return
				}
				_, err = s.Put(ctx, "counter", []byte(strconv.Itoa(n+1)), objstore.IfVersion(o.Version))
				if err == nil {
					done++
				} else if !errors.Is(err, objstore.ErrPrecondition) {
					assert.NoError(t, err)
					return
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, strconv.Itoa(16*each), body(t, s, "counter"))
}

// tornGet checks that body and version of one answer belong to one write.
func tornGet(t *testing.T, s objstore.Store, rounds int) {
	if !s.Properties().IfVersion {
		t.Skip("tells no version")
	}
	ctx := context.WithoutCancel(t.Context())
	type answer struct {
		v objstore.Version
		b []byte
	}
	var mu sync.Mutex
	wrote := map[objstore.Version][]byte{}
	var got []answer
	var stop atomic.Bool
	put(t, s, "torn", "start")
	first, err := s.Head(ctx, "torn")
	require.NoError(t, err)
	wrote[first.Version] = []byte("start")
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 5 * rounds {
				b := bytes.Repeat([]byte{byte('a' + w), byte(i)}, 500+100*w+i)
				v, err := s.Put(ctx, "torn", b, objstore.Always)
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				wrote[v] = b
				mu.Unlock()
			}
		})
	}
	for range 8 {
		readers.Go(func() {
			for !stop.Load() {
				o, err := s.Get(ctx, "torn")
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				if len(got) < 20_000 {
					got = append(got, answer{o.Version, o.Body})
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	for _, a := range got {
		require.True(t, bytes.Equal(wrote[a.v], a.b), "version %s with %d bytes of another write", a.v, len(a.b))
	}
}

// readersDuringCreate checks that an object is seen whole or not at all.
func readersDuringCreate(t *testing.T, s objstore.Store, rounds int) {
	ctx := context.WithoutCancel(t.Context())
	want := pattern(200_000, 9)
	var stop atomic.Bool
	var seen atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				o, err := s.Get(ctx, "part/k")
				if errors.Is(err, objstore.ErrNotFound) {
					continue
				}
				if !assert.NoError(t, err) || !assert.True(t, bytes.Equal(want, o.Body), "half an object: %d bytes", len(o.Body)) {
					return
				}
				seen.Add(1)
			}
		})
	}
	for range rounds {
		_, err := s.Put(ctx, "part/k", want, objstore.Always)
		assert.NoError(t, err)
		assert.NoError(t, s.Delete(ctx, "part/k"))
	}
	stop.Store(true)
	wg.Wait()
}
