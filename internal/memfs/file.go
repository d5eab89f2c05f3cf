package memfs

import (
	"bytes"
	"io"
	"io/fs"
	"sync/atomic"
)

// file is an open file. It keeps its content when the name is removed, as on Unix.
type file struct {
	f      *FS
	name   string
	n      *inode
	closed atomic.Bool
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	if v := f.f.step(Op{"read", f.name, off, len(p)}); v.Err != nil {
		return 0, pathError("read", f.name, v.Err)
	}
	f.f.d.mu.Lock()
	defer f.f.d.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	v := f.f.step(Op{"write", f.name, off, len(p)})
	if v.Err != nil {
		if !v.Short {
			return 0, pathError("write", f.name, v.Err)
		}
		p = p[:len(p)/2]
	}
	f.f.d.mu.Lock()
	defer f.f.d.mu.Unlock()
	if grow := off + int64(len(p)) - int64(len(f.n.data)); grow > 0 {
		if l := f.f.d.limit; l > 0 && f.f.d.used()+grow > l {
			return 0, pathError("write", f.name, ErrFull)
		}
		f.n.data = append(f.n.data, make([]byte, grow)...)
	}
	copy(f.n.data[off:], p)
	if v.Err != nil {
		return len(p), pathError("write", f.name, v.Err)
	}
	return len(p), nil
}

func (f *file) Size() (int64, error) {
	if err := f.usable("stat"); err != nil {
		return 0, err
	}
	f.f.d.mu.Lock()
	defer f.f.d.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.usable("truncate"); err != nil {
		return err
	}
	if v := f.f.step(Op{"truncate", f.name, size, 0}); v.Err != nil {
		return pathError("truncate", f.name, v.Err)
	}
	f.f.d.mu.Lock()
	defer f.f.d.mu.Unlock()
	if have := int64(len(f.n.data)); size <= have {
		f.n.data = f.n.data[:size]
	} else {
		f.n.data = append(f.n.data, make([]byte, size-have)...)
	}
	return nil
}

func (f *file) Sync() error {
	if err := f.usable("sync"); err != nil {
		return err
	}
	if v := f.f.step(Op{Kind: "sync", Name: f.name}); v.Err != nil {
		return pathError("sync", f.name, v.Err)
	}
	f.f.d.mu.Lock()
	defer f.f.d.mu.Unlock()
	f.n.stable = bytes.Clone(f.n.data)
	return nil
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.f.mu.Lock()
	f.f.open--
	f.f.mu.Unlock()
	return nil
}

func (f *file) usable(op string) error {
	if f.closed.Load() {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}
