package slatedb_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/settings"
)

// The names below are what programs are written against. This file fails to compile when one
// goes or changes its type; adding to them is free.

var (
	_ func(context.Context, string, *slatedb.Options) (*slatedb.DB, error)           = slatedb.Open
	_ func(context.Context, string, *slatedb.ReaderOptions) (*slatedb.Reader, error) = slatedb.OpenReader
	_ func(string, *slatedb.AdminOptions) (*slatedb.Admin, error)                    = slatedb.NewAdmin
	_ func([]byte) slatedb.Range                                                     = slatedb.Prefix
	_ slatedb.Range                                                                  = slatedb.All
	_ func(string) (slatedb.IsolationLevel, error)                                   = slatedb.ParseIsolation
	_ func() slatedb.Condition                                                       = slatedb.Absent
	_ func() slatedb.Condition                                                       = slatedb.Present
	_ func([]byte) slatedb.Condition                                                 = slatedb.ValueIs
	_ func(uint64) slatedb.Condition                                                 = slatedb.SeqIs

	_ func() objstore.Store                                 = objstore.NewMemory
	_ func(string) (objstore.Store, error)                  = objstore.NewDir
	_ func(context.Context, string) (objstore.Store, error) = objstore.Open
	_ func() (*slatedb.Options, error)                      = settings.Load
	_ func(string) (*slatedb.Options, error)                = settings.File
	_ func(string) (*slatedb.Options, error)                = settings.Env
	_                                                       = []slatedb.Codec{slatedb.NoCompression, slatedb.Snappy, slatedb.Zlib, slatedb.LZ4, slatedb.Zstd}
)

// reads is ReadOps as it was first promised; the interface may grow.
type reads interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
	GetWithOptions(ctx context.Context, key []byte, o *slatedb.ReadOptions) ([]byte, error)
	AppendGet(ctx context.Context, dst, key []byte, o *slatedb.ReadOptions) ([]byte, error)
	GetEntry(ctx context.Context, key []byte, o *slatedb.ReadOptions) (slatedb.Entry, error)
	Has(ctx context.Context, key []byte) (bool, error)
	MultiGet(ctx context.Context, keys [][]byte, o *slatedb.ReadOptions) ([][]byte, error)
	Scan(ctx context.Context, start, end []byte) (*slatedb.Iterator, error)
	ScanPrefix(ctx context.Context, prefix []byte) (*slatedb.Iterator, error)
	ScanWithOptions(ctx context.Context, r slatedb.Range, o *slatedb.ScanOptions) (*slatedb.Iterator, error)
	Entries(ctx context.Context, r slatedb.Range, o *slatedb.ScanOptions) iter.Seq2[slatedb.Entry, error]
}

var (
	_ reads           = slatedb.ReadOps(nil)
	_ slatedb.ReadOps = (*slatedb.DB)(nil)
	_ slatedb.ReadOps = (*slatedb.Reader)(nil)
	_ slatedb.ReadOps = (*slatedb.Snapshot)(nil)
	_ slatedb.ReadOps = (*slatedb.Txn)(nil)
)

var _ interface {
	Put(ctx context.Context, key, value []byte) error
	Delete(ctx context.Context, key []byte) error
	Merge(ctx context.Context, key, operand []byte) error
	Write(ctx context.Context, b *slatedb.WriteBatch) error
	PutWithOptions(ctx context.Context, key, value []byte, o *slatedb.PutOptions) (slatedb.WriteHandle, error)
	DeleteWithOptions(ctx context.Context, key []byte, o *slatedb.WriteOptions) (slatedb.WriteHandle, error)
	MergeWithOptions(ctx context.Context, key, operand []byte, o *slatedb.PutOptions) (slatedb.WriteHandle, error)
	WriteWithOptions(ctx context.Context, b *slatedb.WriteBatch, o *slatedb.WriteOptions) (slatedb.WriteHandle, error)
	PutIf(ctx context.Context, key, value []byte, c slatedb.Condition, o *slatedb.PutOptions) (slatedb.WriteHandle, error)
	DeleteIf(ctx context.Context, key []byte, c slatedb.Condition, o *slatedb.WriteOptions) (slatedb.WriteHandle, error)
	Flush(ctx context.Context) error
	FlushWithOptions(ctx context.Context, o *slatedb.FlushOptions) error
	Snapshot() (*slatedb.Snapshot, error)
	Begin(l slatedb.IsolationLevel) (*slatedb.Txn, error)
	Update(ctx context.Context, l slatedb.IsolationLevel, f func(*slatedb.Txn) error) error
	CreateCheckpoint(ctx context.Context, s slatedb.CheckpointScope, o *slatedb.CheckpointOptions) (slatedb.Checkpoint, error)
	Metrics() slatedb.Metrics
	Status() slatedb.Status
	Watch(ctx context.Context) iter.Seq[slatedb.Status]
	RefreshManifest(ctx context.Context) error
	Compact(ctx context.Context) error
	Close(ctx context.Context) error
	CloseWithOptions(ctx context.Context, o *slatedb.CloseOptions) error
	EstimateSize(ctx context.Context, r slatedb.Range) (uint64, error)
	EstimateCount(ctx context.Context, r slatedb.Range) (uint64, error)
	SplitPoints(ctx context.Context, r slatedb.Range, n int) ([][]byte, error)
} = (*slatedb.DB)(nil)

var _ interface {
	Seq() uint64
	Close() error
} = (*slatedb.Snapshot)(nil)

var _ interface {
	Seq() uint64
	CreateTime() time.Time
	Await(ctx context.Context) error
} = slatedb.WriteHandle{}

var _ interface {
	Next() bool
	Key() []byte
	Value() []byte
	Entry() slatedb.Entry
	Seek(key []byte) bool
	All() iter.Seq2[[]byte, []byte]
	Err() error
	Close() error
} = (*slatedb.Iterator)(nil)

var _ interface {
	Put(key, value []byte)
	PutWithOptions(key, value []byte, o *slatedb.PutOptions)
	Delete(key []byte)
	Merge(key, operand []byte)
	MergeWithOptions(key, operand []byte, o *slatedb.PutOptions)
	Len() int
	Size() int
	Reset()
} = new(slatedb.WriteBatch)

var _ interface {
	Put(key, value []byte) error
	PutWithOptions(key, value []byte, o *slatedb.PutOptions) error
	Delete(key []byte) error
	Merge(key, operand []byte) error
	MergeWithOptions(key, operand []byte, o *slatedb.PutOptions) error
	MarkRead(keys ...[]byte) error
	UnmarkWrite(keys ...[]byte) error
	Savepoint() slatedb.Savepoint
	RollbackTo(s slatedb.Savepoint) error
	Commit(ctx context.Context) error
	CommitWithOptions(ctx context.Context, o *slatedb.WriteOptions) (slatedb.WriteHandle, error)
	Rollback()
	ID() uuid.UUID
	Seq() uint64
} = (*slatedb.Txn)(nil)

var _ interface {
	Refresh(ctx context.Context) error
	WaitForSeq(ctx context.Context, seq uint64) error
	Status() slatedb.Status
	Watch(ctx context.Context) iter.Seq[slatedb.Status]
	Metrics() slatedb.Metrics
	Close(ctx context.Context) error
} = (*slatedb.Reader)(nil)

var _ interface {
	ListCheckpoints(ctx context.Context, name string) ([]slatedb.Checkpoint, error)
	CreateCheckpoint(ctx context.Context, o *slatedb.CheckpointOptions) (slatedb.Checkpoint, error)
	RefreshCheckpoint(ctx context.Context, id uuid.UUID, lifetime time.Duration) (slatedb.Checkpoint, error)
	DeleteCheckpoint(ctx context.Context, id uuid.UUID) error
	ReadManifest(ctx context.Context, id uint64) (*manifest.Manifest, error)
	ListManifests(ctx context.Context, from, to uint64) ([]slatedb.ManifestInfo, error)
	ReadCompactions(ctx context.Context, id uint64) (*manifest.Compactions, error)
	ListCompactions(ctx context.Context, from, to uint64) ([]slatedb.ManifestInfo, error)
	SubmitCompaction(ctx context.Context, r slatedb.CompactionRequest) (slatedb.Compaction, error)
	AwaitCompaction(ctx context.Context, id string) (slatedb.Compaction, error)
	RunGCOnce(ctx context.Context, o *slatedb.GCOptions) (slatedb.GCReport, error)
	RunGC(ctx context.Context, o *slatedb.GCOptions) error
	RunCompactor(ctx context.Context, o *slatedb.CompactorOptions) error
	RunCompactionWorker(ctx context.Context, o *slatedb.WorkerOptions) error
	CreateClone(ctx context.Context, dstPath string, sources ...slatedb.CloneSource) error
	SeqForTime(ctx context.Context, t time.Time, r slatedb.Rounding) (uint64, error)
	TimeForSeq(ctx context.Context, seq uint64, r slatedb.Rounding) (time.Time, error)
	DeleteDB(ctx context.Context, confirm bool) ([]string, error)
	Close() error
} = (*slatedb.Admin)(nil)

var _ interface {
	All() iter.Seq[slatedb.Metric]
	Value(name string, labels ...string) (float64, bool)
} = slatedb.Metrics{}

// The operators and extractors that programs write.
type surfaceOperator struct{}

func (surfaceOperator) Merge(key, existing, operand []byte) ([]byte, error) { return operand, nil }
func (surfaceOperator) MergeBatch(key, existing []byte, operands [][]byte) ([]byte, error) {
	return nil, nil
}
func (surfaceOperator) Name() string                                  { return "surface" }
func (surfaceOperator) PrefixLen(b []byte, isPrefix bool) (int, bool) { return 0, false }

var (
	_ slatedb.MergeOperator   = surfaceOperator{}
	_ slatedb.BatchMerger     = surfaceOperator{}
	_ slatedb.PrefixExtractor = surfaceOperator{}
	_ slatedb.MergeOperator   = slatedb.MergeFunc(nil)
	_ slatedb.PrefixExtractor = slatedb.PrefixLength(3)
	_ slatedb.PrefixExtractor = slatedb.PrefixUntil('/')
)

// Fields, with their types: the zero value of each stands for one of that type.
var (
	zeroStore  objstore.Store
	zeroClock  slatedb.Clock
	zeroReader io.Reader

	_ = slatedb.Range{Start: []byte{}, End: []byte{}, StartExclusive: true, EndInclusive: true}
	_ = slatedb.WriteOptions{NoWait: true, Seq: uint64(1)}
	_ = slatedb.PutOptions{TTL: time.Duration(1), ExpireAt: time.Time{}, NoWait: true, Seq: uint64(1)}
	_ = slatedb.ReadOptions{Durability: slatedb.DurabilityRemote, Dirty: true, NoCacheFill: true, FilterContext: []byte{}}
	_ = slatedb.ScanOptions{Durability: slatedb.DurabilityMemory, Dirty: true, FilterContext: []byte{}, Order: slatedb.Descending,
		Limit: int(1), KeysOnly: true, CacheBlocks: true, ReadAheadBytes: int(1), MaxFetchTasks: int(1)}
	_ = []slatedb.Order{slatedb.Ascending, slatedb.Descending}
	_ = []slatedb.IsolationLevel{slatedb.SnapshotIsolation, slatedb.SerializableSnapshot}
	_ = []slatedb.FlushOptions{{Type: slatedb.FlushWAL}, {Type: slatedb.FlushMemtable}}
	_ = []slatedb.CloseOptions{{Flush: slatedb.CloseFlushMemtable}, {Flush: slatedb.CloseFlushWAL}, {Flush: slatedb.CloseNoFlush}}
	_ = slatedb.Entry{Key: []byte{}, Value: []byte{}, Seq: uint64(1), CreateTime: time.Time{}, ExpireTime: time.Time{}}.Clone()
	_ = slatedb.Status{CommittedSeq: uint64(1), DurableSeq: uint64(1), ManifestID: uint64(1), Segments: [][]byte{}, Err: error(nil)}
	_ = slatedb.Metric{Name: "", Labels: []string{}, Value: float64(1)}
	_ = slatedb.Options{
		Store: zeroStore, WALStore: zeroStore, FlushInterval: time.Duration(1), MinFlushGap: time.Duration(1), ManifestPollInterval: time.Duration(1),
		DisableWAL: true, BlockSize: int(1), L0SSTSizeBytes: int(1), MaxUnflushedBytes: int(1), L0MaxSSTs: int(1), L0MaxSSTsPerKey: int(1),
		L0FlushParallelism: int(1), MinFilterKeys: int(1), Compression: slatedb.Zstd, MergeOperator: surfaceOperator{}, DefaultTTL: time.Duration(1),
		Compactor: &slatedb.CompactorOptions{}, DisableCompactor: true, GC: &slatedb.GCOptions{}, DisableGC: true,
		BlockCache: (*cache.Cache)(nil), BlockCacheBytes: int64(1), MetaCacheBytes: int64(1), DiskCache: &slatedb.DiskCacheOptions{},
		FilterPolicies: []slatedb.FilterPolicy(nil), SegmentExtractor: surfaceOperator{}, BlockTransformer: slatedb.BlockTransformer(nil),
		Clock: zeroClock, Logger: (*slog.Logger)(nil), MetricsRecorder: slatedb.MetricsRecorder(nil), Rand: zeroReader,
		EventListener: slatedb.Options{}.EventListener,
	}
	_ = slatedb.ReaderOptions{
		Mode: slatedb.FollowLatest, CheckpointID: uuid.UUID{}, PollInterval: time.Duration(1), CheckpointLifetime: time.Duration(1), SkipWALReplay: true,
		Store: zeroStore, WALStore: zeroStore, MergeOperator: surfaceOperator{}, SegmentExtractor: surfaceOperator{}, FilterPolicies: nil,
		BlockTransformer: nil, BlockCache: nil, BlockCacheBytes: int64(1), MetaCacheBytes: int64(1), DiskCache: nil, Clock: zeroClock, Logger: nil, MetricsRecorder: nil,
	}
	_ = []slatedb.ReaderMode{slatedb.ManagedCheckpoint, slatedb.PinnedCheckpoint, slatedb.FollowLatest}
	_ = slatedb.AdminOptions{
		Store: zeroStore, WALStore: zeroStore, MergeOperator: nil, BlockTransformer: nil, SegmentExtractor: nil, FilterPolicies: nil, BlockSize: int(1),
		Compression: slatedb.LZ4, Clock: zeroClock, Logger: nil, MetricsRecorder: nil,
	}
	_ = slatedb.ManifestInfo{ID: uint64(1), Size: int64(1), Modified: time.Time{}}
	_ = slatedb.Compaction{ID: "", State: "", Err: error(nil)}
	_ = slatedb.CloneSource{Path: "", CheckpointID: uuid.UUID{}, Range: slatedb.Range{}}
	_ = slatedb.CompactionRequest{Kind: slatedb.CompactFull, Segment: []byte{}, Sources: []string{}, Destination: uint32(1)}
	_ = []slatedb.CompactionRequest{{Kind: slatedb.CompactSegment}, {Kind: slatedb.CompactSpec}, {Kind: slatedb.DrainSegment}}
	_ = slatedb.GCOptions{
		MinAge: time.Duration(1), Interval: time.Duration(1), DryRun: true, DeleteWALFences: true, DisableBoundaryFiles: true,
		Manifest: &slatedb.GCKindOptions{MinAge: time.Duration(1), Interval: time.Duration(1), DryRun: true, Disable: true},
		WAL:      nil, WALFence: nil, Compacted: nil, Compactions: nil, Detach: nil,
	}
	_ = slatedb.GCReport{
		Deleted: []slatedb.GCObject{{Kind: "", Name: "", Reason: "", Size: int64(1)}},
		Kept:    []slatedb.GCObject{},
	}
	_ = slatedb.CompactorOptions{
		PollInterval: time.Duration(1), CheckpointLifetime: time.Duration(1), WorkerHeartbeatTimeout: time.Duration(1), MaxConcurrent: int(1),
		TrivialMove: true, Scheduler: slatedb.CompactionScheduler(nil), Worker: &slatedb.WorkerOptions{}, DisableWorker: true,
	}
	_ = slatedb.WorkerOptions{
		PollInterval: time.Duration(1), HeartbeatInterval: time.Duration(1), MaxConcurrent: int(1), MaxSubcompactions: int(1), MaxSSTBytes: int64(1),
	}
	_ = slatedb.Checkpoint{ID: uuid.UUID{}, ManifestID: uint64(1), CreateTime: time.Time{}, ExpireTime: time.Time{}, Name: ""}
	_ = slatedb.CheckpointOptions{Name: "", Lifetime: time.Duration(1), Source: uuid.UUID{}}
	_ = []slatedb.CheckpointScope{slatedb.CheckpointAll, slatedb.CheckpointDurable}
	_ = []slatedb.Rounding{slatedb.RoundDown, slatedb.RoundUp}
	_ = slatedb.CorruptionError{Object: "", Offset: int64(1), Err: error(nil)}
)

func TestErrorsAreWhatTheyAlsoAre(t *testing.T) {
	for _, e := range []error{
		slatedb.ErrNotFound, slatedb.ErrConflict, slatedb.ErrConditionFailed, slatedb.ErrFenced, slatedb.ErrClosed, slatedb.ErrInvalid,
		slatedb.ErrCorrupt, slatedb.ErrUnavailable, slatedb.ErrInternal,
	} {
		require.NotEmpty(t, e.Error())
	}
	for _, c := range []struct{ e, also error }{
		{slatedb.ErrFenced, slatedb.ErrClosed}, {slatedb.ErrOutcomeUnknown, slatedb.ErrClosed}, {slatedb.ErrNoDatabase, slatedb.ErrCorrupt},
		{slatedb.ErrLeaseLost, slatedb.ErrUnavailable}, {slatedb.ErrTruncated, slatedb.ErrCorrupt},
	} {
		require.ErrorIs(t, c.e, c.also)
		require.NotErrorIs(t, c.also, c.e)
	}
	var ce *slatedb.CorruptionError
	require.True(t, errors.As(error(&slatedb.CorruptionError{Object: "x"}), &ce))
	require.ErrorIs(t, ce, slatedb.ErrCorrupt)
}
