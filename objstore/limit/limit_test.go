package limit_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/limit"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			storetest.Run(t, func(*testing.T) objstore.Store { return limit.New(objstore.NewMemory(), n) })
		})
	}
}

func TestNoMoreAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.New(delay.New(objstore.NewMemory(), delay.Options{Put: time.Second}), 4)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), strconv.Itoa(i), nil, objstore.Always)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		assert.Equal(t, 3*time.Second, time.Since(start), "10 requests by 4 take 3 rounds")
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.New(delay.New(objstore.NewMemory(), delay.Options{Get: time.Hour}), 1)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = s.Head(t.Context(), "k") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.Get(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		wg.Wait()
	})
}

func TestListLoopMayUseTheStore(t *testing.T) {
	s := limit.New(objstore.NewMemory(), 1)
	for _, k := range []string{"a", "b", "c"} {
		_, err := s.Put(t.Context(), k, nil, objstore.Always)
		require.NoError(t, err)
	}
	n := 0
	for a, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), a.Key))
		if n++; n == 2 {
			break
		}
	}
	_, err := s.Get(t.Context(), "c")
	require.NoError(t, err, "the place of the abandoned listing is free")
}
