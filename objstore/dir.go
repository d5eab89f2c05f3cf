package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// DirOptions are the options of a directory store.
type DirOptions struct {
	// NoSync leaves out every fsync. A power cut may then lose or tear what was
	// acknowledged; a crash of the process cannot. For tests and throw-away data.
	NoSync bool
	// Clock stamps the files. The default is the system's.
	Clock seam.Clock
}

// NewDir returns the store that keeps each object as a file of the same name below dir,
// which is created when absent. It is safe for any number of processes, and shares a folder
// with the Rust engine: same names, same temporary names (KEY#N), same versions. No name
// and no symbolic link leads out of dir.
//
// Temporary files that killed processes left are removed by listings of their folder, a day
// after they were last written. So dir is no place for files of others that are called so.
//
// What the filesystem adds to the rules of a Store: "k" and "k/child" cannot both exist,
// the last segment of a key does not end in '#' and digits, and where the filesystem
// ignores case, so do keys.
func NewDir(dir string) (Store, error) { return NewDirWithOptions(dir, DirOptions{}) }

// NewDirWithOptions is NewDir with options.
func NewDirWithOptions(dir string, o DirOptions) (Store, error) {
	if o.Clock == nil {
		o.Clock = seam.SystemClock{}
	}
	abs, err := filepath.Abs(dir) // the program may change its working directory
	if err != nil {
		return nil, fmt.Errorf("open directory store %s: %w", clip(dir), err)
	}
	d := &dirStore{dir: abs, noSync: o.NoSync, clock: o.Clock}
	if err := d.makeRoot(); err != nil {
		return nil, fmt.Errorf("open directory store: %w", err)
	}
	return d, nil
}

// dirStore holds no descriptor between calls: a Store has no Close, and a directory that is
// removed and made again under a long-lived handle is simply there again. Opening the root
// for each call costs about two microseconds.
type dirStore struct {
	dir    string // absolute
	noSync bool
	clock  seam.Clock

	noLinks atomic.Bool  // the filesystem has no hard links
	stamp   atomic.Int64 // the newest modification time given, Unix microseconds
	swept   sync.Map     // folder with temporary files -> time.Time: when they were looked at
	synced  sync.Map     // folder (relative, "" the root) -> struct{}: its way to the root is durable
}

func (d *dirStore) Properties() Properties {
	return Properties{Name: "dir", IfAbsent: true, IfVersion: haveFileLocks, Local: true}
}

// makeRoot creates the root and syncs whatever folder of its way it had to make.
func (d *dirStore) makeRoot() error {
	fi, err := os.Stat(d.dir)
	if err == nil && !fi.IsDir() {
		return Permanent(fmt.Errorf("%s is a file, a directory is needed: %w", d.dir, kv.ErrInvalid))
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return explain(err)
	}
	missing := []string{d.dir}
	for p := filepath.Dir(d.dir); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil || !errors.Is(err, fs.ErrNotExist) || p == filepath.Dir(p) {
			break
		}
		missing = append(missing, p)
	}
	if err := os.MkdirAll(d.dir, 0o777); err != nil {
		return explain(err)
	}
	if d.noSync {
		return nil
	}
	for _, p := range missing {
		parent, err := os.OpenRoot(filepath.Dir(p))
		if err != nil {
			return explain(err)
		}
		err = syncFolder(parent, ".")
		_ = parent.Close()
		if err != nil {
			return explain(err)
		}
	}
	return nil
}

// open opens an object for reading.
func (d *dirStore) open(ctx context.Context, op, key string) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := validFileKey(key); err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, readError(op, key, err)
	}
	defer r.Close()
	f, err := r.OpenFile(key, openRead, 0)
	if err != nil {
		return nil, readError(op, key, err)
	}
	return f, nil
}

func (d *dirStore) Get(ctx context.Context, key string) (Object, error) {
	f, err := d.open(ctx, "get", key)
	if err != nil {
		return Object{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return Object{}, readError("get", key, err)
	}
	if !fi.Mode().IsRegular() {
		return Object{}, fail("get", key, ErrNotFound)
	}
	// Files are replaced, never changed, so this size and these bytes belong together.
	if int64(int(fi.Size())) != fi.Size() {
		return Object{}, fail("get", key, Permanent(fmt.Errorf("%d bytes do not fit into memory", fi.Size())))
	}
	body := make([]byte, fi.Size())
	if _, err := io.ReadFull(f, body); err != nil {
		return Object{}, readError("get", key, err)
	}
	return Object{Attributes: fileAttributes(key, fi), Body: body}, nil
}

func (d *dirStore) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	f, err := d.open(ctx, "read", key)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if off < 0 {
		return 0, fail("read", key, ErrRange)
	}
	if len(p) == 0 {
		fi, err := f.Stat()
		switch {
		case err != nil:
			return 0, readError("read", key, err)
		case !fi.Mode().IsRegular():
			return 0, fail("read", key, ErrNotFound)
		case off > fi.Size():
			return 0, fail("read", key, ErrRange)
		}
		return 0, nil
	}
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fail("read", key, ErrRange)
	}
	return n, readError("read", key, err)
}

func (d *dirStore) Head(ctx context.Context, key string) (Attributes, error) {
	if err := ctx.Err(); err != nil {
		return Attributes{}, err
	}
	if err := validFileKey(key); err != nil {
		return Attributes{}, err
	}
	r, err := os.OpenRoot(d.dir)
	if err != nil {
		return Attributes{}, readError("head", key, err)
	}
	defer r.Close()
	fi, err := r.Stat(key)
	if err != nil {
		return Attributes{}, readError("head", key, err)
	}
	if !fi.Mode().IsRegular() {
		return Attributes{}, fail("head", key, ErrNotFound)
	}
	return fileAttributes(key, fi), nil
}

func fileAttributes(key string, fi fs.FileInfo) Attributes {
	return Attributes{Key: key, Size: fi.Size(), Modified: fi.ModTime(), Version: fileVersion(fi)}
}

// fileVersion is "inode-mtime in microseconds-size" in hex, as the Rust object_store has it.
func fileVersion(fi fs.FileInfo) Version {
	b := make([]byte, 0, 48)
	b = strconv.AppendUint(b, inode(fi), 16)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(max(fi.ModTime().UnixMicro(), 0)), 16)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(fi.Size()), 16)
	return Version(b)
}

// nextStamp returns a modification time that no earlier version of the file has. The
// filesystem's own time stands still for milliseconds, and a freed inode is used again at
// once: two versions of one size would look the same.
func (d *dirStore) nextStamp(old fs.FileInfo) time.Time {
	us := d.clock.Now().UnixMicro()
	if old != nil {
		us = max(us, old.ModTime().UnixMicro()+1)
	}
	for {
		last := d.stamp.Load()
		next := max(us, last+1)
		if next > us && us < last-int64(time.Minute/time.Microsecond) {
			next = us // the clock was set back: rather old times than times of the future
		}
		if d.stamp.CompareAndSwap(last, next) {
			return time.UnixMicro(next)
		}
	}
}

// validFileKey adds the directory's own rules to ValidKey.
func validFileKey(key string) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if isTempName(key) {
		return fmt.Errorf("key %q ends in '#' and digits, which marks temporary files: %w", clip(key), ErrInvalidKey)
	}
	if i := strings.IndexAny(key, forbiddenInNames); i >= 0 {
		return fmt.Errorf("key %q holds %q, which this system cannot have in file names: %w", clip(key), key[i], ErrInvalidKey)
	}
	return nil
}

// isTempName reports whether a name (or a key) ends in '#' and decimal digits.
func isTempName(name string) bool {
	rest := strings.TrimRight(name, "0123456789")
	return strings.HasSuffix(rest, "#")
}

// readError says what a failed read means: nothing there, or a fault.
func readError(op, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return fail(op, key, ErrNotFound)
	}
	return fail(op, key, explain(err))
}

// explain marks what no retry mends.
func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENAMETOOLONG),
		errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, errors.ErrUnsupported),
		strings.Contains(err.Error(), "escapes from parent"): // os.Root does not export this one
		return Permanent(err)
	}
	return err
}
