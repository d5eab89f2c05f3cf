package sst

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// errStopped is the outcome of a request that the end of a store's lifetime cut off. It
// never leaves the package: a waiter whose own ctx lives reads once more by itself.
var errStopped = errors.New("the lifetime of the table store ended")

// checkedRead: for a span larger than this the size of the object is asked first, since the
// buffer is allocated before a byte arrives and the length comes from a file.
const checkedRead = 64 << 20

// readSpan fills p from offset off of r's object, or allocates p when it is nil.
func (s *Store) readSpan(ctx context.Context, objects objstore.Store, r *Reader, off uint64, n uint64, p []byte) ([]byte, error) {
	if n > math.MaxInt-1 || off > math.MaxInt64-n {
		return nil, &CorruptionError{Object: r.object, Offset: -1, Err: corruptf("section of %d bytes at %d", n, off)}
	}
	if n > checkedRead {
		a, err := objects.Head(ctx, r.object)
		if err != nil {
			return nil, s.readError(ctx, r, off, err)
		}
		if uint64(a.Size) < off+n {
			return nil, &CorruptionError{Object: r.object, Offset: int64(off), Err: corruptf("section of %d bytes, object has %d", n, a.Size)}
		}
	}
	if p == nil {
		p = make([]byte, n)
	}
	s.counters.requests.Add(1)
	got, err := objects.ReadAt(ctx, r.object, p[:n], int64(off))
	if err == nil && uint64(got) < n {
		err = fmt.Errorf("%w: got %d of %d bytes", objstore.ErrRange, got, n)
	}
	if err != nil {
		return nil, s.readError(ctx, r, off, err)
	}
	s.counters.bytes.Add(n)
	return p[:n], nil
}

// readError says what a failed read means to the engine.
func (s *Store) readError(ctx context.Context, r *Reader, off uint64, err error) error {
	switch {
	case errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrRange):
		return &CorruptionError{Object: r.object, Offset: int64(off), Err: err}
	case ctx.Err() != nil && s.stopped():
		return errStopped
	case ctx.Err() != nil:
		return fmt.Errorf("read %s: %w", r.object, ctx.Err())
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrClosed), errors.Is(err, kv.ErrInvalid), errors.Is(err, kv.ErrCorrupt):
		return fmt.Errorf("read %s at offset %d: %w", r.object, off, err)
	}
	return fmt.Errorf("read %s at offset %d: %w: %w", r.object, off, kv.ErrUnavailable, err)
}

// damage names object and section of a decoding error.
func (r *Reader) damage(section string, off uint64, err error) error {
	var c *CorruptionError
	if errors.As(err, &c) {
		if c.Object == r.object {
			return err
		}
		// A part of the metadata: it knows its own name and offset.
		return &CorruptionError{Object: r.object, Offset: c.Offset, Err: fmt.Errorf("%s: %w", c.Object, c.Err)}
	}
	return &CorruptionError{Object: r.object, Offset: int64(off), Err: fmt.Errorf("%s: %w", section, err)}
}

// guarded calls fn, which may call the user's transformer, and turns a panic into an error.
func (s *Store) guarded(fn func() error) error {
	if s.transformer == nil {
		return fn()
	}
	err := seam.Guard("transformer", fn)
	var p *seam.PanicError
	if errors.As(err, &p) {
		return fmt.Errorf("%w: %w", kv.ErrInternal, err)
	}
	return err
}

// openBlock checks the stored bytes of block i. With own set the block shares no memory with
// stored, and holds no more memory than it is charged for.
func (r *Reader) openBlock(i int, off uint64, stored []byte, own bool) (b *Block, err error) {
	codec := r.h.Info.Codec
	err = r.s.guarded(func() error {
		plain, err := openSection(stored, codec, r.s.transformer, plainLimit)
		if err != nil {
			return err
		}
		// Without compression plain may alias stored, and a decoder may return more capacity
		// than it filled.
		if own && (codec == NoCompression || cap(plain)-len(plain) > len(plain)/8) {
			plain = append(make([]byte, 0, len(plain)), plain...)
		}
		if b, err = DecodeBlock(plain, r.h.Format); err == nil && own && r.h.Format == FormatV2 {
			b.refine()
		}
		return err
	})
	if err != nil {
		return nil, r.damage(fmt.Sprintf("block %d", i), off, err)
	}
	return b, nil
}

// openMeta decodes the metadata from its span.
func (r *Reader) openMeta(off uint64, span []byte) (m *Meta, err error) {
	err = r.s.guarded(func() error {
		m, err = decodeMeta(&r.h.Info, span, off, r.s.transformer)
		return err
	})
	if err != nil {
		return nil, r.damage("metadata", off, err)
	}
	return m, nil
}

// open decodes part i of the table, a block or the metadata, from its stored bytes. When
// they are damaged it reads them once more from the fresh store.
func (r *Reader) open(ctx context.Context, i int, off uint64, stored []byte, own bool) (Loaded, error) {
	v, err := r.decode(i, off, stored, own)
	if err == nil || !errors.Is(err, kv.ErrCorrupt) {
		return v, err
	}
	r.s.counters.rereads.Add(1)
	stored, rerr := r.s.readSpan(ctx, r.s.fresh, r, off, uint64(len(stored)), nil)
	if rerr != nil {
		return v, rerr
	}
	if v, err = r.decode(i, off, stored, own); err != nil {
		r.s.counters.damaged.Add(1)
	}
	return v, err
}

func (r *Reader) decode(i int, off uint64, stored []byte, own bool) (v Loaded, err error) {
	if i == MetaBlock {
		v.Meta, err = r.openMeta(off, stored)
	} else {
		v.Block, err = r.openBlock(i, off, stored, own)
	}
	return v, err
}

// section returns where part i of the table is stored. m is needed for blocks only.
func (r *Reader) section(m *Meta, i int) (off, n uint64, err error) {
	if i == MetaBlock {
		if off, n, err = metaSpan(&r.h.Info); err != nil {
			err = r.damage("metadata", r.h.Info.IndexOffset, err)
		}
		return off, n, err
	}
	if off, n, err = blockSpan(&r.h.Info, &m.Index, i); err != nil {
		err = r.damage("index", r.h.Info.IndexOffset, err)
	}
	return off, n, err
}
