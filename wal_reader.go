package slatedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// WALReaderOptions configure NewWALReader. The zero value of every field is its default.
type WALReaderOptions struct {
	// PollInterval is how often a stream that has read everything looks for the next object.
	// Each look is one request. The default is a quarter of the time since something came,
	// at least 100ms and at most 5s.
	PollInterval time.Duration
	// MaxBufferedBytes bounds the objects that a stream fetches ahead of its consumer, as far
	// as the sizes of recent ones foretell those to come. The default is 128 MiB.
	MaxBufferedBytes int
	// MaxFetchTasks is the most objects that a stream fetches at once, each in one request.
	// The default is 16.
	MaxFetchTasks int

	Store, WALStore  objstore.Store   // as in Options
	BlockTransformer BlockTransformer // as in Options
	MaxRetries       int              // as in Options
	Clock            Clock            // as in Options
	Rand             io.Reader        // as in Options
	Logger           *slog.Logger     // as in Options
	MetricsRecorder  MetricsRecorder  // as in Options
}

// A WALReader reads the write-ahead log of a database, object by object or as a stream of
// commits: change data capture. It needs no writer, fences nobody and writes nothing. What it
// yields is durable. Merges are not resolved. A database that is written with DisableWAL has
// no log to read.
//
// Log objects are collected some time after their rows have reached tables (GCOptions.WAL,
// by default 5 minutes), whoever is still reading them: set that long enough for the
// slowest consumer. All methods are safe for concurrent use.
type WALReader struct {
	session
	store   objstore.Store
	poll    time.Duration // 0 = adaptive
	buffer  int
	fetches int
}

const (
	defaultWALBuffer  = 128 << 20
	defaultWALFetches = 16
)

// NewWALReader returns a reader of the log of the database at location (see Open). It sends no
// request, so it says nothing about whether there is one.
func NewWALReader(location string, o *WALReaderOptions) (*WALReader, error) {
	if o == nil {
		o = &WALReaderOptions{}
	}
	if o.PollInterval < 0 || o.MaxBufferedBytes < 0 || o.MaxFetchTasks < 0 {
		return nil, invalidf("WAL reader options: PollInterval %v, MaxBufferedBytes %d, MaxFetchTasks %d: want none below 0",
			o.PollInterval, o.MaxBufferedBytes, o.MaxFetchTasks)
	}
	conf, err := (&Options{
		Store: o.Store, WALStore: o.WALStore, BlockTransformer: o.BlockTransformer, MaxRetries: o.MaxRetries, Clock: o.Clock,
		Rand: o.Rand, Logger: o.Logger, MetricsRecorder: o.MetricsRecorder, BlockCacheBytes: -1, MetaCacheBytes: -1,
	}).resolve()
	if err != nil {
		return nil, err
	}
	h, err := newHandle(context.Background(), location, conf)
	if err != nil {
		return nil, err
	}
	h.role = "reader"
	return &WALReader{
		session: session{h: h}, store: h.component("wal", h.rawWAL), poll: o.PollInterval,
		buffer: orDefault(o.MaxBufferedBytes, defaultWALBuffer), fetches: orDefault(o.MaxFetchTasks, defaultWALFetches),
	}, nil
}

// Close ends the reader and every stream of it. It may be called again.
func (r *WALReader) Close() error { return r.close() }

// A WALFileInfo describes a stored object of the log.
type WALFileInfo struct {
	ID       uint64
	Object   string // key in the object store
	Size     int64  // bytes; 0 is a fence, with which a writer stopped its predecessor
	Modified time.Time
}

// List returns the objects of the log with from <= id < to, ascending; to 0 = no end. What was
// collected is missing. A stream needs no List: ids have no gaps.
func (r *WALReader) List(ctx context.Context, from, to uint64) ([]WALFileInfo, error) {
	if to != 0 && from > to {
		return nil, invalidf("from %d is above to %d", from, to)
	}
	ctx, end, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	out, err := r.list(ctx, from, to, -1)
	return out, r.done("list the log", err)
}

// list returns at most limit objects, all when limit is negative.
func (r *WALReader) list(ctx context.Context, from, to uint64, limit int) (out []WALFileInfo, err error) {
	prefix := strings.TrimSuffix(sst.WALID(1).Object(r.h.path), walName(1))
	after := ""
	if from > 1 {
		after = prefix + walName(from-1)
	}
	for a, err := range r.store.List(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		id, ok := walNumber(strings.TrimPrefix(a.Key, prefix))
		if !ok {
			continue // not ours
		}
		if to != 0 && id >= to || len(out) == limit {
			break
		}
		out = append(out, WALFileInfo{ID: id, Object: a.Key, Size: a.Size, Modified: a.Modified})
	}
	return out, nil
}

func walName(id uint64) string { return fmt.Sprintf("%020d.sst", id) }

func walNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".sst")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0
}

// A WALFile is an object of the log with its rows in commit order. Those of one batch carry one
// number and stand together; a batch is never split over two objects.
type WALFile struct {
	ID   uint64
	Rows []RawRow // none: a fence
}

// NextID is the id of the object behind this one, which need not exist yet.
func (f *WALFile) NextID() uint64 { return f.ID + 1 }

// Get reads one object. ErrNotFound when it is not there, be it that it was collected or that
// it does not exist yet: for a consumer that polls by Get, LastID tells which. A zero-byte
// object is a fence and has no rows; one that was cut short is ErrCorrupt.
func (r *WALReader) Get(ctx context.Context, id uint64) (*WALFile, error) {
	ctx, end, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if id == 0 {
		return nil, invalidf("log objects are numbered from 1")
	}
	rp := wal.NewReplayer(ctx, r.store, wal.ReplayOptions{Root: r.h.path, From: id, To: id, Transformer: r.h.conf.BlockTransformer, Env: r.h.conf.env})
	defer rp.Close()
	f := &WALFile{ID: id}
	for rp.Next() {
		for i := range rp.Batch() {
			f.Rows = append(f.Rows, rawRow(&rp.Batch()[i]))
		}
	}
	if err := rp.Err(); errors.Is(err, wal.ErrTruncated) {
		return nil, fmt.Errorf("%w: no log object %d of %q", ErrNotFound, id, r.h.path)
	} else if err != nil {
		return nil, r.done("read the log", err)
	}
	return f, nil
}

// FirstID returns the id of the oldest object that is there, or of the next one to come when
// there is none.
func (r *WALReader) FirstID(ctx context.Context) (uint64, error) {
	ctx, end, err := r.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	id, err := r.firstID(ctx)
	return id, r.done("find the first log object", err)
}

func (r *WALReader) firstID(ctx context.Context) (uint64, error) {
	m, err := r.manifest(ctx) // first: what is collected meanwhile lies below its replay point
	if err != nil {
		return 0, err
	}
	some, err := r.list(ctx, 0, 0, 1)
	if err != nil {
		return 0, err
	}
	if len(some) == 0 {
		return m.ReplayAfterWAL + 1, nil
	}
	return some[0].ID, nil
}

// LastID returns the id of the newest object. known is an id that is known to have existed, 0
// when none is; the closer it is, the fewer requests. With an empty log it is that of the last
// object that was collected, 0 when there never was one.
func (r *WALReader) LastID(ctx context.Context, known uint64) (uint64, error) {
	ctx, end, err := r.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	m, err := r.manifest(ctx)
	if err == nil {
		known, err = wal.FindTail(ctx, r.store, r.h.conf.env, r.h.path, max(known, m.ReplayAfterWAL))
	}
	return known, r.done("find the last log object", err)
}

// manifest reads the newest manifest.
func (r *WALReader) manifest(ctx context.Context) (*manifest.Manifest, error) {
	m, err := r.h.manifests.Latest(ctx)
	if err != nil {
		return nil, err
	}
	if m.WALObjectStoreURI != "" && r.h.conf.WALStore == nil {
		return nil, invalidf("the database keeps its WAL in another store (%q); set WALReaderOptions.WALStore", m.WALObjectStoreURI)
	}
	return m, nil
}

// collected tells why object id is missing: true when it existed once, false when it does not
// exist yet. What lies above the replay point is needed by recovery and never collected, so
// what is missing there has not been written.
func (r *WALReader) collected(ctx context.Context, id uint64) (bool, error) {
	m, err := r.manifest(ctx)
	if err != nil || id > max(m.ReplayAfterWAL, m.WALLastSeen) {
		return false, err
	}
	// It may have come between the read that missed it and the manifest.
	exists, err := wal.Exists(ctx, r.store, r.h.path, id)
	return !exists, err
}
