package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/slatedb/slatedb-go/objstore"
)

// ReadBody reads a whole body that the server promised to have size bytes; negative: it did
// not say. Fewer are io.ErrUnexpectedEOF, so that the request is sent again.
func ReadBody(body io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(body)
	}
	const trust = 64 << 20 // a header is only a claim: memory is not given for it at once
	b := make([]byte, 0, min(size, trust))
	for int64(len(b)) < size {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := body.Read(b[len(b):min(int64(cap(b)), size)])
		b = b[:len(b)+n]
		if err != nil && int64(len(b)) < size {
			return b, short(int64(len(b)), size, err)
		}
	}
	// The end is read too: it may be an error, and it frees the connection.
	var one [1]byte
	if n, err := io.ReadFull(body, one[:]); n != 0 {
		return b, fmt.Errorf("body is longer than the %d bytes promised: %w", size, io.ErrUnexpectedEOF)
	} else if err != io.EOF {
		return b, err
	}
	return b, nil
}

// ReadRange reads into p the answer to a request for len(p) bytes from off. start and total
// are what the server said: where the body begins and how large the object is. An object
// that ends earlier is objstore.ErrRange with the bytes there are; a body that does is
// io.ErrUnexpectedEOF.
func ReadRange(body io.Reader, p []byte, off, start, total int64) (int, error) {
	if start != off {
		return 0, objstore.Permanent(fmt.Errorf("the server ignores ranges: asked from %d, got from %d", off, start))
	}
	want := int64(len(p))
	if total >= 0 {
		want = min(want, max(total-off, 0))
	}
	n, err := io.ReadFull(body, p[:want])
	if err != nil {
		return n, short(int64(n), want, err)
	}
	if n < len(p) {
		return n, objstore.ErrRange
	}
	return n, nil
}

// An Answer is what a server sent to a request for a range.
type Answer struct {
	Body   io.Reader
	Range  *string // the header Content-Range; nil or empty: the body is the whole object
	Length *int64  // the header Content-Length; nil: unknown
}

var errContentRange = errors.New("the answer to a range has no Content-Range that can be read")

// ReadAt reads the answer to a request for len(p) bytes from off into p, as objstore.Store's
// method of that name does. p must not be empty.
func (a Answer) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	var first, total int64 = 0, -1
	if a.Length != nil {
		total = *a.Length
	}
	if a.Range != nil && *a.Range != "" {
		var ok bool
		if first, total, ok = ContentRange(*a.Range); !ok {
			return 0, Fail("read", key, errContentRange)
		}
	} else if total == 0 {
		return 0, Fail("read", key, objstore.ErrRange) // some servers answer so at the end
	}
	n, err := ReadRange(a.Body, p, off, first, total)
	return n, BodyError(ctx, "read", key, err)
}

// BodyError is the error of reading a body: an answer as it is, else what the transport's
// failure means. nil is nil.
func BodyError(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if objstore.IsPermanent(err) {
		return Fail(op, key, err)
	}
	return (&Error{Op: op, Key: key, Err: err}).Class(ctx)
}

func short(got, want int64, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("body of %d bytes, %d promised: %w", got, want, err)
}

// ContentRange reads "bytes first-last/total"; total is -1 for "*".
func ContentRange(h string) (first, total int64, ok bool) {
	h, ok = strings.CutPrefix(h, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, all, ok := strings.Cut(h, "/")
	if !ok {
		return 0, 0, false
	}
	from, _, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil || first < 0 {
		return 0, 0, false
	}
	if all == "*" {
		return first, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return first, total, err == nil && total >= 0
}

// CheckRead is what every ReadAt begins with. done: the answer is n = 0 and err.
func CheckRead(ctx context.Context, key string, p []byte, off int64) (done bool, err error) {
	if err := objstore.ValidKey(key); err != nil {
		return true, err
	}
	if off < 0 {
		return true, Fail("read", key, objstore.ErrRange)
	}
	if err := ctx.Err(); err != nil {
		return true, Fail("read", key, err)
	}
	return len(p) == 0, nil // some servers take an empty range for an open one
}

// Exhausted reports whether no key can have the prefix and lie above after, so that there is
// nothing to list.
func Exhausted(prefix, after string) bool {
	return after > prefix && !strings.HasPrefix(after, prefix)
}

// Check is what every other method begins with.
func Check(ctx context.Context, op, key string) error {
	if err := objstore.ValidKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return Fail(op, key, err)
	}
	return nil
}
