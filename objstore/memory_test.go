package objstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoryStampsByItsClock(t *testing.T) {
	s := NewMemoryWithClock(stillClock{})
	mustPut(t, s, "k", "x")
	a, err := s.Head(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1_700_000_000, 0), a.Modified)
}

func TestMemoryVersionIsNoContentHash(t *testing.T) {
	s := NewMemory()
	v := mustPut(t, s, "k", "same")
	_, err := s.Put(t.Context(), "k", []byte("other"), IfVersion(v))
	require.NoError(t, err)
	mustPut(t, s, "k", "same")
	_, err = s.Put(t.Context(), "k", nil, IfVersion(v))
	require.ErrorIs(t, err, ErrPrecondition, "the same bytes again are another version")
}

func TestMemoryListIsASnapshot(t *testing.T) {
	s := NewMemory()
	for _, k := range []string{"a", "b", "c"} {
		mustPut(t, s, k, k)
	}
	var got []string
	for a, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		got = append(got, a.Key)
		require.NoError(t, s.Delete(t.Context(), "b"))
		mustPut(t, s, "bb", "new")
	}
	assert.Equal(t, []string{"a", "b", "c"}, got)
	assert.Equal(t, []string{"a", "bb", "c"}, listed(t, s))
}

func TestMemoryReadsAllocateNothing(t *testing.T) {
	s := NewMemory()
	mustPut(t, s, "k", "0123456789")
	p := make([]byte, 4)
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = s.ReadAt(ctx, "k", p, 3)
		_, _ = s.Get(ctx, "k")
		_, _ = s.Head(ctx, "k")
	}))
}
