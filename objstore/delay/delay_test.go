package delay_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store {
		return delay.New(objstore.NewMemory(), delay.Options{Get: time.Microsecond, Put: time.Microsecond})
	})
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := delay.New(objstore.NewMemory(), delay.Options{Get: time.Second, Put: time.Minute, Delete: time.Hour, List: 24 * time.Hour})
		ctx := t.Context()
		for _, c := range []struct {
			name string
			want time.Duration
			call func() error
		}{
			{"put", time.Minute, func() error { _, err := s.Put(ctx, "k", []byte("x"), objstore.Always); return err }},
			{"upload", time.Minute, func() error { _, err := s.Upload(ctx, "u", strings.NewReader("x"), objstore.Always); return err }},
			{"get", time.Second, func() error { _, err := s.Get(ctx, "k"); return err }},
			{"head", time.Second, func() error { _, err := s.Head(ctx, "k"); return err }},
			{"read", time.Second, func() error { _, err := s.ReadAt(ctx, "k", make([]byte, 1), 0); return err }},
			{"list", 24 * time.Hour, func() error {
				for range s.List(ctx, "", "") {
				}
				return nil
			}},
			{"delete", time.Hour, func() error { return s.Delete(ctx, "k") }},
		} {
			start := time.Now()
			require.NoError(t, c.call(), c.name)
			assert.Equal(t, c.want, time.Since(start), c.name)
		}
	})
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := delay.New(objstore.NewMemory(), delay.Options{PerMiB: time.Second})
		start := time.Now()
		_, err := s.Put(t.Context(), "k", make([]byte, 2<<20), objstore.Always)
		require.NoError(t, err)
		_, err = s.Get(t.Context(), "k")
		require.NoError(t, err)
		_, err = s.ReadAt(t.Context(), "k", make([]byte, 1<<19), 0)
		require.NoError(t, err)
		assert.Equal(t, 4500*time.Millisecond, time.Since(start))
	})
}
