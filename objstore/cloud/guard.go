package cloud

import (
	"errors"
	"io"
	"sync"
)

// A Body is a request body over bytes that belong to somebody else. After Release nobody
// reads them any more: an HTTP transport that has an early answer in hand may go on sending
// in the background, while the caller already fills the buffer again.
type Body struct {
	mu  sync.Mutex
	b   []byte
	off int64
}

// NewBody returns a body that reads b.
func NewBody(b []byte) *Body { return &Body{b: b} }

var errReleased = errors.New("request is over")

// Release ends all reading. It waits for a Read that is under way, which takes a copy's time.
func (b *Body) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b, b.off = nil, -1
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off < 0 {
		return 0, errReleased
	}
	if b.off >= int64(len(b.b)) {
		return 0, io.EOF
	}
	n := copy(p, b.b[b.off:])
	b.off += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (b *Body) Seek(off int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off < 0 {
		return 0, errReleased
	}
	switch whence {
	case io.SeekCurrent:
		off += b.off
	case io.SeekEnd:
		off += int64(len(b.b))
	}
	if off < 0 {
		return 0, errors.New("seek before the beginning")
	}
	b.off = off
	return off, nil
}

// Len is the whole length of the body.
func (b *Body) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.b)
}

// Close implements io.Closer. The body can be read again after a Seek, as SDKs do.
func (b *Body) Close() error { return nil }
