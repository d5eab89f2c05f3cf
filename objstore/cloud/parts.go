package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Parts bounds an upload in parts.
type Parts struct {
	Env      *seam.Env
	Size     int64 // bytes of each part but the last
	Parallel int   // parts in flight; as many buffers are held for a stream
	Max      int   // parts of one object
}

// A PartFunc sends part n, from 1. It must not keep p.
type PartFunc func(ctx context.Context, n int, p []byte) error

// ReadFirst reads the first part of a stream. whole: there is nothing behind it.
func (o Parts) ReadFirst(body io.Reader) (p []byte, whole bool, err error) {
	const begin = 256 << 10 // most uploads are far smaller than a part
	p = make([]byte, 0, min(o.Size, begin))
	for int64(len(p)) < o.Size {
		if len(p) == cap(p) {
			bigger := make([]byte, len(p), min(o.Size, 4*int64(cap(p))))
			copy(bigger, p)
			p = bigger
		}
		n, err := body.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err == io.EOF {
			return p, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return p, false, nil
}

// SendBytes sends body in parts, in parallel, and returns how many there were.
func (o Parts) SendBytes(ctx context.Context, body []byte, send PartFunc) (int, error) {
	return o.run(ctx, send, func([]byte) ([]byte, bool, error) {
		p := body[:min(int64(len(body)), o.Size)]
		body = body[len(p):]
		return p, len(body) == 0, nil
	})
}

// SendStream sends first and then the rest of body, in parts, in parallel, and returns how
// many there were. It reads body from one goroutine.
func (o Parts) SendStream(ctx context.Context, first []byte, body io.Reader, send PartFunc) (int, error) {
	return o.run(ctx, send, func(buf []byte) ([]byte, bool, error) {
		if first != nil {
			p := first
			first = nil
			return p, false, nil
		}
		if buf == nil {
			buf = make([]byte, o.Size)
		}
		n, err := io.ReadFull(body, buf[:o.Size])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return buf[:n], true, nil
		}
		return buf[:n], false, err
	})
}

// run calls next for one part after another and send for each, a bounded number at once.
// next may use the buffer it is given, which is nil or was returned by an earlier call.
func (o Parts) run(ctx context.Context, send PartFunc, next func(buf []byte) (p []byte, last bool, err error)) (int, error) {
	g, ctx := o.Env.Group(ctx)
	slots := make(chan []byte, o.Parallel)
	for range o.Parallel {
		slots <- nil
	}
	count, failure := 0, error(nil)
	for last := false; !last && failure == nil; {
		var buf, p []byte
		select {
		case <-ctx.Done():
			failure = context.Cause(ctx)
			continue
		case buf = <-slots:
		}
		if p, last, failure = next(buf); failure != nil {
			failure = fmt.Errorf("read the body: %w", failure)
			break
		}
		if len(p) == 0 && count > 0 {
			break
		}
		if count++; count > o.Max {
			failure = objstore.Permanent(objstore.NoEffect(fmt.Errorf("more than %d parts of %d bytes", o.Max, o.Size)))
			break
		}
		n := count
		g.Go("part", func() error {
			defer func() { slots <- p[:0] }()
			return send(ctx, n, p)
		})
	}
	if err := g.Wait(); err != nil && (failure == nil || errors.Is(failure, context.Canceled)) {
		return count, err
	}
	return count, failure
}
