package thanos_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tobj "github.com/thanos-io/objstore"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/storetest"
	"github.com/slatedb/slatedb-go/objstore/thanos"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return thanos.Wrap(tobj.NewInMemBucket()) })
}

func TestNoConditions(t *testing.T) {
	s := thanos.Wrap(tobj.NewInMemBucket())
	p := s.Properties()
	assert.False(t, p.IfAbsent || p.IfVersion || p.PutID)
	for _, c := range []objstore.Condition{objstore.IfAbsent(), objstore.IfVersion("v")} {
		_, err := s.Put(t.Context(), "k", nil, c)
		require.ErrorIs(t, err, objstore.ErrNotSupported)
		_, err = s.Upload(t.Context(), "k", strings.NewReader(""), c)
		require.ErrorIs(t, err, objstore.ErrNotSupported)
	}
	_, err := s.Head(t.Context(), "k")
	require.ErrorIs(t, err, objstore.ErrNotFound)
}

// broken is a bucket whose answers are cut off or refused.
type broken struct {
	tobj.Bucket
	provider tobj.ObjProvider
	denied   error
	cut      bool
}

func (b *broken) Provider() tobj.ObjProvider { return b.provider }

func (b *broken) IsAccessDeniedErr(err error) bool {
	return b.denied != nil && errors.Is(err, b.denied)
}

func (b *broken) GetRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if b.denied != nil {
		return nil, b.denied
	}
	r, err := b.Bucket.GetRange(ctx, name, off, n)
	if err != nil || !b.cut {
		return r, err
	}
	return io.NopCloser(io.LimitReader(r, n-1)), nil
}

func (b *broken) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.Bucket.Get(ctx, name)
	if err != nil || !b.cut {
		return r, err
	}
	return io.NopCloser(io.LimitReader(r, 3)), nil
}

func TestErrors(t *testing.T) {
	ctx := t.Context()
	open := func() (*broken, objstore.Store) {
		b := &broken{Bucket: tobj.NewInMemBucket(), provider: tobj.MEMORY}
		s := thanos.Wrap(b)
		_, err := s.Put(ctx, "k", []byte("0123456789"), objstore.Always)
		require.NoError(t, err)
		return b, s
	}
	t.Run("short bodies are worth another try", func(t *testing.T) {
		b, s := open()
		b.cut = true
		_, err := s.Get(ctx, "k")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.False(t, objstore.IsPermanent(err))
		_, err = s.ReadAt(ctx, "k", make([]byte, 4), 2)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.False(t, objstore.IsPermanent(err))
	})
	t.Run("denied is not", func(t *testing.T) {
		b, s := open()
		b.denied = errors.New("denied")
		_, err := s.ReadAt(ctx, "k", make([]byte, 4), 2)
		require.ErrorIs(t, err, b.denied)
		assert.True(t, objstore.IsPermanent(err))
	})
	t.Run("filesystem buckets are read only", func(t *testing.T) {
		b, s := open()
		b.provider = tobj.FILESYSTEM
		_, err := s.Put(ctx, "k", nil, objstore.Always)
		require.ErrorIs(t, err, objstore.ErrNotSupported)
		require.ErrorIs(t, s.Delete(ctx, "k"), objstore.ErrNotSupported)
		_, err = s.Get(ctx, "k")
		require.NoError(t, err)
	})
}
