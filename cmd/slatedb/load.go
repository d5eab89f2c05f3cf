package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/slatedb/slatedb-go"
)

var loadCommand = &command{
	name: "load", args: "DIR LOCATION", nargs: 2, at: 1, group: groupData,
	brief: "store the files of a folder",
	help: `
Stores every file below DIR: the key is the path relative to DIR, with slashes, the value is
the content. What cannot be stored (a symbolic link, a device, a file that cannot be read, an
empty DIR) is named on standard error, and the exit code is then 1. The database is created when
it does not exist; loading fences another writer of it.

example:
  slatedb load --verify ./linux-6.9 file:///data/kernel`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		verify := fs.Bool("verify", false, "afterwards open the database again and compare every file by SHA-256")
		quiet := fs.Bool("quiet", false, "show no progress")
		file := settingsFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			l := &loader{io: io, dir: args[0], location: args[1], quiet: *quiet, verify: *verify, file: file}
			return l.run(ctx)
		}
	},
}

// Rows go to the database in batches, so that a tree of small files costs few commits. What
// is under way at once is bounded by the database itself (Options.MaxUnflushedBytes).
const (
	loadBatchRows  = 256
	loadBatchBytes = 1 << 20
)

// A loader stores one folder.
type loader struct {
	io            *streams
	dir, location string
	quiet, verify bool
	file          *settingsFile

	progress *progress
	files    []string // paths below dir, found by the walk
	skipped  int      // named on standard error
	stored   []storedFile
}

// storedFile remembers what --verify compares with.
type storedFile struct {
	key string
	sum [sha256.Size]byte
}

func (l *loader) run(ctx context.Context) error {
	if err := l.checkPlace(); err != nil {
		return err
	}
	total, err := l.find(ctx)
	if err != nil {
		return err
	}
	if len(l.files) == 0 {
		l.skip("%s: holds no file", l.dir)
		return errReported
	}
	if err := l.store(ctx, total); err != nil {
		return err
	}
	if l.verify {
		if err := l.compare(ctx); err != nil {
			return err
		}
	}
	if l.skipped > 0 {
		fmt.Fprintf(l.io.err, "slatedb load: %s not stored\n", plural(l.skipped, "file"))
		return errReported
	}
	return nil
}

// checkPlace refuses a database inside the folder that is loaded: the walk would find it.
func (l *loader) checkPlace() error {
	st, err := os.Stat(l.dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return usagef("%s is not a folder", l.dir)
	}
	place := strings.TrimPrefix(l.location, "file://")
	if strings.Contains(place, "://") {
		return nil
	}
	dir, err := filepath.Abs(l.dir)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(filepath.FromSlash(place))
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, abs); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return usagef("the database %s lies inside %s, which is to be loaded", l.location, l.dir)
	}
	return nil
}

// find walks the folder. It names what is not a regular file, and goes on.
func (l *loader) find(ctx context.Context) (bytes int64, err error) {
	err = filepath.WalkDir(l.dir, func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.skip("%s: %v", p, err)
			if d != nil && d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		switch mode := d.Type(); {
		case d.IsDir():
			return nil
		case mode&fs.ModeSymlink != 0:
			l.skip("%s: symbolic link", p)
			return nil
		case !mode.IsRegular():
			l.skip("%s: no regular file (%v)", p, mode)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			l.skip("%s: %v", p, err)
			return nil
		}
		l.files = append(l.files, p)
		bytes += info.Size()
		return nil
	})
	return bytes, err
}

// skip names something that is not stored.
func (l *loader) skip(format string, args ...any) {
	l.skipped++
	text := "slatedb load: not stored: " + fmt.Sprintf(format, args...)
	if l.progress != nil {
		l.progress.note("%s", text)
		return
	}
	fmt.Fprintln(l.io.err, text)
}

// store writes all files and returns when they are durable.
func (l *loader) store(ctx context.Context, total int64) (err error) {
	o, _ := l.file.read()
	db, err := slatedb.Open(ctx, l.location, o)
	if err != nil {
		return fmt.Errorf("open %s: %w", shown(l.location), err)
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	if !l.quiet {
		l.progress = newProgress(l.io.err, "loaded", len(l.files), total)
	}

	var batch slatedb.WriteBatch
	write := func() error {
		if _, err := db.WriteWithOptions(ctx, &batch, &slatedb.WriteOptions{NoWait: true}); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		batch.Reset()
		return nil
	}
	for _, p := range l.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, value, ok := l.read(p)
		if !ok {
			continue
		}
		if batch.Len() > 0 && batch.Size()+len(value) > loadBatchBytes {
			if err := write(); err != nil {
				return err
			}
		}
		batch.Put([]byte(key), value)
		if batch.Len() >= loadBatchRows {
			if err := write(); err != nil {
				return err
			}
		}
		if l.verify {
			l.stored = append(l.stored, storedFile{key, sha256.Sum256(value)})
		}
		if l.progress != nil {
			l.progress.add(int64(len(value)))
		}
	}
	if batch.Len() > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	if err := db.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if l.progress != nil {
		l.progress.done()
		l.progress = nil
	}
	return nil
}

// read returns the row of one file. A file that no row can hold is named and passed over, so
// that it does not spoil the batch.
func (l *loader) read(p string) (key string, value []byte, ok bool) {
	rel, err := filepath.Rel(l.dir, p)
	if err != nil {
		l.skip("%s: %v", p, err)
		return "", nil, false
	}
	key = filepath.ToSlash(rel)
	if len(key) > slatedb.MaxKeyBytes {
		l.skip("%s: a key has at most %d bytes", p, slatedb.MaxKeyBytes)
		return "", nil, false
	}
	value, err = os.ReadFile(p)
	if err != nil {
		l.skip("%v", err)
		return "", nil, false
	}
	if uint64(len(value)) > slatedb.MaxValueBytes {
		l.skip("%s: a value has at most %d bytes", p, uint64(slatedb.MaxValueBytes))
		return "", nil, false
	}
	return key, value, true
}
