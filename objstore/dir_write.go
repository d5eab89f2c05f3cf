package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// How a write becomes visible and durable:
//
//	KEY#N: write, stamp, fsync ─▶ link (create) or rename (overwrite) to KEY ─▶ fsync folder
//
// link(2) refuses an existing name, between processes too, so create needs no lock. Update
// compares and renames under an exclusive lock on the folder; overwrite and delete take it
// shared, else one of them between the compare and the rename would be lost. The lock is
// held for a stat and a rename, never while bytes are written or synced.

// tempNumber makes temporary names unique in this process. It begins at a random number of 48
// bits: the open with O_EXCL keeps processes apart that run now, and the number those that
// were stopped and find their file removed (see sweep).
var tempNumber = func() *atomic.Uint64 {
	n := &atomic.Uint64{}
	n.Store(seam.New(seam.Env{}).Uint64() >> 16)
	return n
}()

func (d *dirStore) Put(ctx context.Context, key string, body []byte, c Condition) (Version, error) {
	return d.write(ctx, "put", key, c, func(f *os.File) error {
		_, err := f.Write(body)
		return err
	})
}

func (d *dirStore) Upload(ctx context.Context, key string, body io.Reader, c Condition) (Version, error) {
	return d.write(ctx, "upload", key, c, func(f *os.File) error {
		_, err := io.Copy(f, ctxReader{ctx, body})
		return err
	})
}

func (d *dirStore) write(ctx context.Context, op, key string, c Condition, fill func(*os.File) error) (Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := validFileKey(key); err != nil {
		return "", err
	}
	if c.kind == ifVersion && !haveFileLocks {
		return "", fail(op, key, ErrNotSupported)
	}
	r, err := os.OpenRoot(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.synced.Clear()
		if err = d.makeRoot(); err == nil {
			r, err = os.OpenRoot(d.dir)
		}
	}
	if err != nil {
		return "", fail(op, key, NoEffect(explain(err)))
	}
	defer r.Close()
	version, err := d.writeIn(ctx, r, key, c, fill)
	if err != nil {
		return "", fail(op, key, err)
	}
	return version, nil
}

func (d *dirStore) writeIn(ctx context.Context, r *os.Root, key string, c Condition, fill func(*os.File) error) (Version, error) {
	old, err := look(r, key)
	if err != nil {
		return "", NoEffect(explain(d.clearer(r, key, err)))
	}
	// A lost race is usually lost already; do not write and sync a file to learn it.
	if !c.holds(old != nil, func() Version { return fileVersion(old) }) {
		return "", ErrPrecondition
	}
	temp, fi, err := d.writeTemp(r, key, old, fill)
	if err != nil {
		return "", NoEffect(explain(d.clearer(r, key, err)))
	}
	err = d.commit(ctx, r, temp, key, c)
	if err != nil {
		_ = r.Remove(temp)
		if errors.Is(err, ErrPrecondition) || ctx.Err() != nil {
			return "", err
		}
		return "", NoEffect(explain(d.clearer(r, key, err)))
	}
	if c.IsAbsent() {
		_ = r.Remove(temp) // gone already where commit renamed it
	}
	if !d.noSync {
		if err := syncFolder(r, path.Dir(key)); err != nil {
			return "", explain(err)
		}
	}
	return fileVersion(fi), nil
}

// look returns the file of key, nil when there is none.
func look(r *os.Root, key string) (fs.FileInfo, error) {
	fi, err := r.Lstat(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case fi.IsDir():
		return nil, Permanent(fmt.Errorf("%s is a directory, an object of this name cannot be: %w", key, kv.ErrInvalid))
	}
	return fi, nil
}

// writeTemp makes a whole, stamped and synced file beside the target.
func (d *dirStore) writeTemp(r *os.Root, key string, old fs.FileInfo, fill func(*os.File) error) (string, fs.FileInfo, error) {
	temp, f, err := d.createTemp(r, key)
	if err != nil {
		return "", nil, err
	}
	stamp := d.nextStamp(old)
	err = fill(f)
	if err == nil {
		err = r.Chtimes(temp, stamp, stamp)
	}
	if err == nil && !d.noSync {
		err = f.Sync()
	}
	var fi fs.FileInfo
	if err == nil {
		fi, err = f.Stat()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = r.Remove(temp)
		return "", nil, err
	}
	return temp, fi, nil
}

func (d *dirStore) createTemp(r *os.Root, key string) (string, *os.File, error) {
	folder := path.Dir(key)
	for tries := 0; ; tries++ {
		if err := d.makeFolder(r, folder); err != nil {
			return "", nil, err
		}
		temp := key + "#" + strconv.FormatUint(tempNumber.Add(1), 10)
		f, err := r.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		switch {
		case err == nil:
			return temp, f, nil
		case errors.Is(err, fs.ErrExist):
			// Another process's, or left by a crash.
		case errors.Is(err, fs.ErrNotExist) && tries < 1000: // arbitrary, no livelock lasts that long
			// A Delete took the last file of the folder and then the folder.
			d.forget(folder)
		default:
			return "", nil, err
		}
	}
}

// makeFolder makes a folder and its parents and syncs each into its own parent. A folder
// that exists may have been made by another process just now, so the first put into a
// folder syncs its way as well.
func (d *dirStore) makeFolder(r *os.Root, folder string) error {
	if folder == "." {
		return nil
	}
	if _, ok := d.synced.Load(folder); ok {
		return nil
	}
	parent := path.Dir(folder)
	for range 1000 { // as in createTemp
		if err := d.makeFolder(r, parent); err != nil {
			return err
		}
		err := r.Mkdir(folder, 0o777)
		if errors.Is(err, fs.ErrNotExist) {
			d.forget(parent)
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !d.noSync {
			if err := syncFolder(r, parent); errors.Is(err, fs.ErrNotExist) {
				d.forget(parent)
				continue
			} else if err != nil {
				return err
			}
		}
		d.synced.Store(folder, struct{}{})
		return nil
	}
	return fmt.Errorf("folder %s keeps vanishing", folder)
}

func (d *dirStore) forget(folder string) {
	for ; folder != "."; folder = path.Dir(folder) {
		d.synced.Delete(folder)
	}
}

// commit gives the finished temporary file its name. With an error nothing has happened.
func (d *dirStore) commit(ctx context.Context, r *os.Root, temp, key string, c Condition) error {
	if c.IsAbsent() && !d.noLinks.Load() {
		err := r.Link(temp, key)
		if !noHardLinks(err) {
			if errors.Is(err, fs.ErrExist) {
				if _, err := look(r, key); err != nil {
					return err
				}
				return ErrPrecondition
			}
			return err
		}
		d.noLinks.Store(true)
	}
	// Without hard links create is a compare and rename too. That is atomic between users of
	// this package only.
	unlock, err := d.lock(ctx, r, path.Dir(key), !c.IsAlways())
	if err != nil {
		return err
	}
	defer unlock()
	if !c.IsAlways() {
		now, err := look(r, key)
		if err != nil {
			return err
		}
		if !c.holds(now != nil, func() Version { return fileVersion(now) }) {
			return ErrPrecondition
		}
	}
	return r.Rename(temp, key)
}

// noHardLinks reports whether err says that the filesystem has none (FAT: EPERM).
func noHardLinks(err error) bool {
	return err != nil && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || linkUnsupported(err))
}

func (d *dirStore) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validFileKey(key); err != nil {
		return err
	}
	r, err := os.OpenRoot(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail("delete", key, explain(err))
	}
	defer r.Close()
	if err := d.deleteIn(ctx, r, key); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return fail("delete", key, explain(err))
	}
	return nil
}

func (d *dirStore) deleteIn(ctx context.Context, r *os.Root, key string) error {
	fi, err := r.Lstat(key)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return nil // no object has this key, and a folder is not ours to remove
	}
	folder := path.Dir(key)
	unlock, err := d.lock(ctx, r, folder, false)
	if err != nil {
		return err
	}
	err = r.Remove(key)
	unlock()
	if err != nil {
		return err
	}
	// Empty folders go too. Each is synced out of the lowest one that stays; a folder that is
	// not empty refuses, which is the usual end.
	for folder != "." && r.Remove(folder) == nil {
		d.synced.Delete(folder)
		folder = path.Dir(folder)
	}
	if d.noSync {
		return nil
	}
	err = syncFolder(r, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else removed it as well
	}
	return err
}

// clearer replaces the system's words where they would puzzle: a file on the way, a folder that
// may not be written, and a temporary file that a sweep removed.
func (d *dirStore) clearer(r *os.Root, key string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("directory %s is not writable: %w", d.dir, err)
	}
	for p := path.Dir(key); p != "."; p = path.Dir(p) {
		if fi, serr := r.Stat(p); serr == nil && !fi.IsDir() {
			return Permanent(fmt.Errorf("%s is a file, a directory is needed: %w (%w)", p, kv.ErrInvalid, err))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the temporary file is gone, as after a write that stood still for a day: %w", err)
	}
	return err
}
