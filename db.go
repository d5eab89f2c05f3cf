package slatedb

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/wal"
)

// DB is a database open for writing. One process at a time writes; a second Open of the same
// location takes over and fences the first. All methods are safe for concurrent use.
type DB struct {
	*handle
	fenced   *manifest.Fenced
	wal      *wal.Writer // nil with the WAL off
	fence    uint64      // our WAL fence: the first id that is ours
	flusher  *flusher
	pressure pressure
	bounds   bounds // of checkpoints being made

	// commitMu is the serial commit section. It is taken before stateMu. No I/O, seam call
	// or callback happens under it.
	commitMu   sync.Mutex
	lastSeq    kv.Seq // newest number handed out
	lastCreate int64  // newest create time given
	conflicts  tracker

	pins                    pins // numbers that live snapshots and transactions read at
	liveSnapshots, liveTxns atomic.Int64

	stateMu sync.Mutex // transitions of state; readers only load it

	compactor *compactor.Compactor // nil when disabled
	grown     chan struct{}        // mail for the compactor: L0 has grown

	keeper  keeper
	tasks   tasks
	closing closing
}

var _ ReadOps = (*DB)(nil)

// ReadOps are the reads that every handle has. It may grow: a fake embeds it.
type ReadOps interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error)
	AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error)
	GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error)
	Has(ctx context.Context, key []byte) (bool, error)
	MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error)
	Scan(ctx context.Context, start, end []byte) (*Iterator, error)
	ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error)
	ScanWithOptions(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error)
	Entries(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error]
}

// Put stores a value and returns when it is durable. key and value may be reused then.
func (db *DB) Put(ctx context.Context, key, value []byte) error {
	_, err := db.commitRow(ctx, kv.Put, key, value, ttlDefault, false, WriteOptions{})
	return err
}

// PutWithOptions stores a value. Without NoWait it returns when the value is durable.
func (db *DB) PutWithOptions(ctx context.Context, key, value []byte, o *PutOptions) (WriteHandle, error) {
	if o == nil {
		o = &PutOptions{}
	}
	ttl, abs := o.ttl()
	return db.commitRow(ctx, kv.Put, key, value, ttl, abs, WriteOptions{NoWait: o.NoWait, Seq: o.Seq})
}

// Delete removes a key and returns when that is durable. A missing key is no error.
func (db *DB) Delete(ctx context.Context, key []byte) error {
	_, err := db.commitRow(ctx, kv.Tombstone, key, nil, ttlNone, false, WriteOptions{})
	return err
}

// DeleteWithOptions removes a key. Without NoWait it returns when that is durable.
func (db *DB) DeleteWithOptions(ctx context.Context, key []byte, o *WriteOptions) (WriteHandle, error) {
	if o == nil {
		o = &WriteOptions{}
	}
	return db.commitRow(ctx, kv.Tombstone, key, nil, ttlNone, false, *o)
}

// Merge adds an operand to a key and returns when that is durable. Options.MergeOperator
// combines it with what lies below when the key is read; without one Merge is ErrInvalid.
func (db *DB) Merge(ctx context.Context, key, operand []byte) error {
	_, err := db.MergeWithOptions(ctx, key, operand, nil)
	return err
}

// MergeWithOptions adds an operand to a key. Without NoWait it returns when that is durable.
// Of the times at which the operands of a key and the value below them expire, the earliest
// is that of the result.
func (db *DB) MergeWithOptions(ctx context.Context, key, operand []byte, o *PutOptions) (WriteHandle, error) {
	if db.conf.MergeOperator == nil {
		return WriteHandle{}, errNoOperator
	}
	if o == nil {
		o = &PutOptions{}
	}
	ttl, abs := o.ttl()
	return db.commitRow(ctx, kv.Merge, key, operand, ttl, abs, WriteOptions{NoWait: o.NoWait, Seq: o.Seq})
}

// PutIf stores a value if the condition holds when it is committed: no other write of the
// key comes between the look at the key and the put. Else it is ErrConditionFailed and
// nothing is written. Without NoWait it returns when the value is durable. An expired entry
// counts as absent.
func (db *DB) PutIf(ctx context.Context, key, value []byte, c Condition, o *PutOptions) (WriteHandle, error) {
	if o == nil {
		o = &PutOptions{}
	}
	ttl, abs := o.ttl()
	return db.commitIf(ctx, kv.Put, key, value, ttl, abs, c, WriteOptions{NoWait: o.NoWait, Seq: o.Seq})
}

// DeleteIf removes a key if the condition holds, as PutIf stores one.
func (db *DB) DeleteIf(ctx context.Context, key []byte, c Condition, o *WriteOptions) (WriteHandle, error) {
	if o == nil {
		o = &WriteOptions{}
	}
	return db.commitIf(ctx, kv.Tombstone, key, nil, ttlNone, false, c, *o)
}

// Write commits a batch, all or nothing, and returns when it is durable. An empty batch
// succeeds and writes nothing. The batch is unchanged afterwards.
func (db *DB) Write(ctx context.Context, b *WriteBatch) error {
	_, err := db.WriteWithOptions(ctx, b, nil)
	return err
}

// WriteWithOptions commits a batch. Without NoWait it returns when the batch is durable.
func (db *DB) WriteWithOptions(ctx context.Context, b *WriteBatch, o *WriteOptions) (WriteHandle, error) {
	if o == nil {
		o = &WriteOptions{}
	}
	if b == nil {
		return WriteHandle{}, invalidf("nil batch")
	}
	if b.err != nil {
		return WriteHandle{}, b.err
	}
	if len(b.ops) == 0 {
		return WriteHandle{}, db.latched()
	}
	s, err := b.rowSet(db.conf.MergeOperator, db.conf.defaultTTL)
	if err != nil {
		return WriteHandle{}, err
	}
	h, err := db.commit(ctx, s, s.ops, *o)
	s.release()
	if err != nil || o.NoWait {
		return h, err
	}
	return h, db.awaitDurable(ctx, h.seq)
}

// Flush returns when everything written before the call is durable.
func (db *DB) Flush(ctx context.Context) error {
	typ := FlushWAL
	if db.conf.DisableWAL {
		typ = FlushMemtable
	}
	return db.FlushWithOptions(ctx, &FlushOptions{Type: typ})
}

// FlushWithOptions returns when everything written before the call is durable, by way of the
// WAL or of L0. FlushWAL with the WAL off is ErrInvalid. A memtable flush waits while L0 is
// full.
func (db *DB) FlushWithOptions(ctx context.Context, o *FlushOptions) error {
	if o == nil {
		o = &FlushOptions{}
	}
	if err := db.latched(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.Type > FlushMemtable {
		return invalidf("flush type %d", o.Type)
	}
	db.stats.flushes.add(1)
	return db.flushTo(ctx, o.Type)
}

func (db *DB) flushTo(ctx context.Context, typ FlushType) error {
	seq := kv.Seq(db.committed.Load())
	if db.wal != nil {
		if db.durable.Load() < seq {
			db.stats.walFlushRequests.add(1)
			if err := db.wal.Flush(ctx); err != nil {
				return db.waited(ctx, err)
			}
		}
	} else if typ == FlushWAL {
		return invalidf("FlushWAL: the WAL is off")
	}
	if typ == FlushMemtable && db.flusher.l0Seq.Load() < seq {
		return db.waited(ctx, db.flusher.flush(ctx, seq))
	}
	return nil
}

// Get returns the value of key, a copy, the caller's own. ErrNotFound when there is none; a
// stored empty value is non-nil.
func (db *DB) Get(ctx context.Context, key []byte) ([]byte, error) {
	return db.getWith(ctx, nil, key, nil)
}

// GetWithOptions is Get with options.
func (db *DB) GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error) {
	return db.getWith(ctx, nil, key, o)
}

// AppendGet appends the value of key to dst and returns the longer slice: Get without an
// allocation of its own. On an error it returns nil and dst is untouched.
func (db *DB) AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	return db.getWith(ctx, dst, key, o)
}

// GetEntry returns the value of key with its metadata, a copy, the caller's own.
func (db *DB) GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	return db.getEntryWith(ctx, key, o)
}

// Has reports whether key has a value.
func (db *DB) Has(ctx context.Context, key []byte) (bool, error) { return db.hasWith(ctx, key) }

// MultiGet returns the values of keys, in their order, from one view; a nil element is a key
// that was not found, an empty value is non-nil. What is not in memory is fetched in common
// waves of requests. Any error fails the call. The values may share one backing array.
func (db *DB) MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	return db.multiGetWith(ctx, keys, o)
}

// Scan walks [start, end); nil end = to the last key.
func (db *DB) Scan(ctx context.Context, start, end []byte) (*Iterator, error) {
	return db.scanWith(ctx, Range{Start: start, End: end}, nil)
}

// ScanPrefix walks the keys that begin with prefix.
func (db *DB) ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error) {
	return db.scanWith(ctx, Prefix(prefix), nil)
}

// ScanWithOptions walks a range.
func (db *DB) ScanWithOptions(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error) {
	return db.scanWith(ctx, r, o)
}

// Entries walks a range in one loop: it opens the scan, walks and closes it. An error is the
// last pair. The entry's slices live until the next step; Entry.Clone keeps them.
func (db *DB) Entries(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return db.entriesWith(ctx, r, o)
}

// Snapshot returns the database as it is now: what was committed before the call, and nothing
// later. Close it.
func (db *DB) Snapshot() (*Snapshot, error) { return db.snapshot() }

// Begin starts a transaction. It must end with Commit or Rollback. The program shown at
// Update is shorter and runs conflicts again.
func (db *DB) Begin(l IsolationLevel) (*Txn, error) { return db.begin(l) }

// Update runs f in a transaction and commits it; nil means durable. An error of f rolls back
// and comes back as it is. On a conflict f runs again, in a new transaction and after a
// jittered pause, until ctx ends. f does not commit, and it does not keep tx.
func (db *DB) Update(ctx context.Context, l IsolationLevel, f func(tx *Txn) error) error {
	return db.update(ctx, l, f)
}

// Metrics returns a snapshot of the handle's figures.
func (db *DB) Metrics() Metrics { return db.metrics() }

// Status returns what the handle is now.
func (db *DB) Status() Status { return db.status() }

// Watch yields the status now and after each change, coalesced. It ends with ctx, or after a
// Status with Err.
func (db *DB) Watch(ctx context.Context) iter.Seq[Status] {
	return watch(ctx, &db.changed, db.status)
}

// RefreshManifest looks for a newer manifest now, as the poll does every
// ManifestPollInterval.
func (db *DB) RefreshManifest(ctx context.Context) error {
	if err := db.latched(); err != nil {
		return err
	}
	err := db.refresh(ctx)
	if errors.Is(err, ErrFenced) {
		db.failed(err)
	}
	return unavailable(err)
}
