package diskcache

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// A PreloadMode says what is read into the cache when a database is opened.
type PreloadMode uint8

// The preload modes.
const (
	PreloadNone PreloadMode = iota // nothing
	PreloadL0                      // the tables of L0
	PreloadAll                     // all tables, L0 first, newest first
)

// Options configure the local disk of a database. The zero value of every field but Dir is
// its default.
type Options struct {
	// Dir is the directory. It is made when missing; what others keep in it is left alone.
	// One process uses it at a time: another one's handles read from the store until the
	// directory is free (with Mirror, opening fails).
	Dir string
	// MaxBytes bounds the sizes of all files of the part cache. The default is 16 GiB.
	// Negative: no bound but MaxOpenFiles files of 1 GiB. Mirror ignores it: a mirror is as
	// large as the tables of its database.
	MaxBytes int64
	// PartBytes is the unit that is fetched and evicted, a power of two from 4 KiB to 4 MiB.
	// A larger one fetches more bytes for a miss, a smaller one needs more requests and
	// memory (about 250 bytes a part). The default is 128 KiB: a block that misses, even one
	// across a border, fetches at most 256 KiB, which takes a store hardly longer than 4 KiB.
	PartBytes int64
	// OnFlush keeps tables that a memtable flush writes, OnCompaction those of the compactor
	// in this process, as they are written. Both are off by default: the tables that are read
	// come in by themselves.
	OnFlush, OnCompaction bool
	// Preload reads tables in the background after the opening, until MaxBytes is full. What
	// is there already is not read again. The default is PreloadNone.
	Preload PreloadMode
	// ScanInterval is how often the files are looked for, so that a directory that was
	// removed is made anew. The look comes with the next write after it. The default is 1h.
	// Negative: never.
	ScanInterval time.Duration
	// MaxOpenFiles bounds the files that are open at once. The default is 1000. The part
	// cache makes its files as large as that needs.
	MaxOpenFiles int
	// Mirror keeps whole copies of all tables of the database instead of parts of those that
	// are read: once they are there, no read of a table leaves the machine.
	Mirror bool
}

const (
	defaultMaxBytes  = 16 << 30
	defaultPartBytes = 128 << 10
	defaultScan      = time.Hour
	defaultOpenFiles = 1000
	minPartBytes     = 4 << 10
	maxPartBytes     = 4 << 20
)

// Resolve returns the options with their defaults, or an error (kv.ErrInvalid) that names
// the field that is out of its range.
func (o Options) Resolve() (Options, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.PartBytes == 0 {
		o.PartBytes = defaultPartBytes
	}
	if o.ScanInterval == 0 {
		o.ScanInterval = defaultScan
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = defaultOpenFiles
	}
	switch {
	case o.Dir == "":
		return o, fmt.Errorf("%w: DiskCache.Dir is empty, want a directory", kv.ErrInvalid)
	case o.PartBytes < minPartBytes || o.PartBytes > maxPartBytes || o.PartBytes&(o.PartBytes-1) != 0:
		return o, fmt.Errorf("%w: DiskCache.PartBytes is %d, want a power of two from %d to %d", kv.ErrInvalid, o.PartBytes, minPartBytes, maxPartBytes)
	case o.MaxOpenFiles < 1:
		return o, fmt.Errorf("%w: DiskCache.MaxOpenFiles is %d, want at least 1", kv.ErrInvalid, o.MaxOpenFiles)
	case o.MaxBytes > 0 && !o.Mirror && o.MaxBytes < slabBytes(1, o.PartBytes):
		return o, fmt.Errorf("%w: DiskCache.MaxBytes is %d, want at least %d for one part", kv.ErrInvalid, o.MaxBytes, slabBytes(1, o.PartBytes))
	case o.Preload > PreloadAll:
		return o, fmt.Errorf("%w: DiskCache.Preload is %d, which is no mode", kv.ErrInvalid, o.Preload)
	}
	return o, nil
}

// Config is what a cache runs on.
type Config struct {
	Options
	FS     seam.FS // nil: the system's disk
	Env    *seam.Env
	Logger *slog.Logger // nil: none
}

func (c *Config) fill() error {
	o, err := c.Options.Resolve()
	if err != nil {
		return err
	}
	c.Options = o
	if c.FS == nil {
		c.FS = seam.OS{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Stats are the figures of a directory, for all handles of this process that use it.
type Stats struct {
	Parts, Bytes        int64 // held now: parts (or mirrored tables), and their bytes
	Evicted, EvictedLen int64 // parts that made room for others, and their bytes
	Dropped             int64 // parts that were not kept because the queue was full or the disk had failed
	Corrupt             int64 // parts whose checksum was wrong, or that a reader refused
	ReadErrors          int64 // failed reads of the disk
	WriteErrors         int64 // failed writes, and failed openings of the directory
	Off                 bool  // the directory is not usable now; reads go to the store
}
