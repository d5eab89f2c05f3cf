package slatedb

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/prices"
	"github.com/slatedb/slatedb-go/sst"
)

// A Codec compresses tables and WAL objects. Objects with different codecs mix: each says
// its own.
type Codec = sst.Codec

// The codecs. NoCompression is the default.
const (
	NoCompression = sst.NoCompression
	Snappy        = sst.Snappy
	Zlib          = sst.Zlib
	LZ4           = sst.LZ4
	Zstd          = sst.Zstd
)

// A MergeOperator folds merge operands into values. See its methods' contract.
type MergeOperator = kv.MergeOperator

// A BatchMerger is a MergeOperator that takes several operands at once, oldest first.
type BatchMerger = kv.BatchMerger

// A MergeFunc is a MergeOperator.
type MergeFunc func(key, existing, operand []byte) ([]byte, error)

// Merge calls f.
func (f MergeFunc) Merge(key, existing, operand []byte) ([]byte, error) {
	return f(key, existing, operand)
}

// A PrefixExtractor gives the prefix of a key for segments and prefix filters. Its name
// identifies its configuration and is stored. PrefixLen must depend only on the first n
// bytes of b; for a scan prefix (isPrefix) it may answer only if the answer holds for every
// extension of b.
type PrefixExtractor = sst.PrefixExtractor

// A FilterPolicy builds and asks the filters of tables.
type FilterPolicy = sst.FilterPolicy

// BloomFilter is the built-in policy. The default is BloomFilter(10, BloomOptions{}).
func BloomFilter(bitsPerKey int, o BloomOptions) FilterPolicy { return sst.Bloom(bitsPerKey, o) }

// BloomOptions choose what goes into a bloom filter.
type BloomOptions = sst.BloomOptions

// A BlockTransformer changes every block on its way to the store and back, for example by
// encryption. Every process that reads the database needs the same one. It is called from
// several goroutines at once. Manifests and the first and last key of a table are not
// passed through it.
type BlockTransformer = sst.Transformer

// A Clock tells time and waits; tests replace it.
type Clock = seam.Clock

// Options configure Open. The zero value of every field is its default, and Open copies the
// struct. Negative means off or none where that makes sense.
type Options struct {
	// Store takes the place of the location's URL; the location is then a path inside it.
	Store objstore.Store
	// WALStore keeps the WAL objects, under the same path. The default is the main store.
	// Every process that opens the database needs the same one.
	WALStore objstore.Store

	// FlushInterval bounds how long a row that nobody waits for stays out of the WAL; a
	// waited write does not wait for it. Shorter costs more requests (each upload is one
	// PUT), longer loses more in a crash. The default is 100ms. Negative: no timer.
	FlushInterval time.Duration
	// MinFlushGap is the least time between the starts of two WAL uploads: a ceiling on the
	// request bill, paid for in latency of waited writes. The default is 0, none.
	MinFlushGap time.Duration
	// ManifestPollInterval is how often the writer looks for changes that other processes
	// made to the manifest. The default is 1s while something happens, backing off to 20s
	// when nothing does; a value that is set is kept. Negative: never.
	ManifestPollInterval time.Duration
	// ManifestUpdateTimeout bounds one update of the manifest, conflicts included. The
	// default is 300s.
	ManifestUpdateTimeout time.Duration

	// DisableWAL writes no WAL: a write is durable when its memtable is in L0.
	DisableWAL bool
	// BlockSize is the size of data blocks in bytes before compression: 1, 2, 4, 8, 16, 32 or
	// 64 KiB. The default is 4 KiB.
	BlockSize int
	// L0SSTSizeBytes is the encoded size at which a memtable is flushed, and the most that
	// one WAL object takes. The default is 64 MiB.
	L0SSTSizeBytes int
	// MaxWALFlushesBeforeL0Flush freezes the memtable after so many WAL objects, which bounds
	// replay. The default and the least is 4096.
	MaxWALFlushesBeforeL0Flush int
	// MaxUnflushedBytes bounds what waits in memory for an upload. From half of it on each
	// write is delayed in proportion; at the limit it waits. It must be larger than
	// L0SSTSizeBytes. The default is 1 GiB.
	MaxUnflushedBytes int
	// L0MaxSSTs is the most tables L0 may have in one tree; then flushes wait for the
	// compactor. The default is 8.
	L0MaxSSTs int
	// L0MaxSSTsPerKey is the most L0 tables that may cover one key. The default is 8.
	L0MaxSSTsPerKey int
	// L0FlushParallelism is the most memtables that are uploaded at once. The default is 4.
	L0FlushParallelism int
	// MinFilterKeys is the least rows of a table that gets filters. The default is 1000.
	// Negative: always.
	MinFilterKeys int
	// Compression of new tables and WAL objects. The default is NoCompression.
	Compression Codec
	// MergeOperator is needed to read or write merge operands.
	MergeOperator MergeOperator
	// DefaultTTL of puts that name none. The default is 0, entries do not expire.
	DefaultTTL time.Duration
	// FilterPolicies of new tables, and those that reads may ask: a table's filter is asked by
	// the policy of the same name, an unknown one is ignored. nil is BloomFilter(10); an empty
	// list is none.
	FilterPolicies []FilterPolicy
	// CompactionFilter makes a filter of rows for each compaction of this process, see
	// CompactionFilter. The default is none.
	CompactionFilter CompactionFilterSupplier
	// SegmentExtractor splits the database into segments by key prefix. It is fixed when the
	// database is created: opening with another, or without, is ErrInvalid.
	SegmentExtractor PrefixExtractor
	// BlockTransformer, see there. The default is none.
	BlockTransformer BlockTransformer

	// BlockCache, when set, is used and stays the caller's: Close does not close it.
	BlockCache *cache.Cache
	// BlockCacheBytes and MetaCacheBytes, when set, make a cache of this handle's own. With
	// all three zero the handle uses the process's shared cache of 512 MiB of blocks and
	// 128 MiB of metadata for all handles together. Negative: no cache.
	BlockCacheBytes, MetaCacheBytes int64

	// DiskCache keeps tables, or the parts of them that are read, on a local disk. The default
	// is none.
	DiskCache *DiskCacheOptions

	// Compactor are the options of the compactor that runs in this process, nil = defaults.
	// DisableCompactor leaves compaction to other processes (Admin.RunCompactor): without
	// any, flushing stops at L0MaxSSTs.
	Compactor        *CompactorOptions
	DisableCompactor bool
	// GC are the options of the garbage collector that runs in this process, nil = defaults.
	// DisableGC leaves it to other processes (Admin.RunGC).
	GC        *GCOptions
	DisableGC bool

	// MaxRetries bounds the retries of one store request. The default is 0: no bound but the
	// context. Negative: none.
	MaxRetries int
	// SkipProbe vouches for the store. By default Open tries once for each process and store
	// whether it does what the engine stands on, which costs 21 requests in seven round trips
	// (see package objstore/probe), and refuses one that does not with a *CapabilityError. A
	// store in memory or in a directory is known and not tried. The URL parameter
	// skip_probe=true does the same.
	SkipProbe bool
	// HedgedReads sends a second request for a range that is slow in coming. The default, nil,
	// is off.
	HedgedReads *HedgeOptions
	// Prices is what the figure slatedb.object_store.estimated_monthly_cost_usd is worked out
	// with. The default is the table of the store's provider, see package objstore/prices.
	Prices *prices.Table
	// Clock is used for create times, expiry and schedules. The default is the wall clock.
	Clock Clock
	// Rand is where ids and jitter come from. The default is the system's source.
	Rand io.Reader
	// Logger receives the few messages of a handle. The default is slog.Default().
	Logger *slog.Logger
	// MetricsRecorder receives what Metrics shows, as it happens (see there for what is
	// computed). The default is none.
	MetricsRecorder MetricsRecorder
	// EventListener is told about stalls, flushes, the local disk and the end of the handle. The default is
	// none.
	EventListener EventListener

	// onPoint is called at named protocol steps. For tests of this package.
	onPoint func(string)
	diskFS  seam.FS // the local disk; nil: the system's
}

// Validate reports the first option that is out of its range, by name. Open calls it before
// it touches the store.
func (o *Options) Validate() error {
	if o == nil {
		return nil
	}
	_, err := o.resolve()
	return err
}

// config is Options with every default filled in.
type config struct {
	Options
	env        *seam.Env
	defaultTTL int64 // ms, 0 = none
}

func orDefault[T int | int64 | time.Duration](v, deflt T) T {
	if v == 0 {
		return deflt
	}
	return v
}

// adaptivePoll is the poll interval of a writer that was given none.
const (
	pollWhenBusy = time.Second
	pollWhenIdle = 20 * time.Second
)

// nameOf asks a user's option for its name.
func nameOf(field string, x interface{ Name() string }) (name string, err error) {
	if err := seam.Guard(field+".Name", func() error { name = x.Name(); return nil }); err != nil {
		return "", invalidf("%v", err)
	}
	return name, nil
}

func (o *Options) resolve() (*config, error) {
	var c config
	if o != nil {
		c.Options = *o
	}
	c.FlushInterval = orDefault(c.FlushInterval, 100*time.Millisecond)
	c.ManifestUpdateTimeout = orDefault(c.ManifestUpdateTimeout, 300*time.Second)
	c.BlockSize = orDefault(c.BlockSize, 4<<10)
	c.L0SSTSizeBytes = orDefault(c.L0SSTSizeBytes, 64<<20)
	c.MaxWALFlushesBeforeL0Flush = orDefault(c.MaxWALFlushesBeforeL0Flush, 4096)
	c.MaxUnflushedBytes = orDefault(c.MaxUnflushedBytes, 1<<30)
	c.L0MaxSSTs = orDefault(c.L0MaxSSTs, 8)
	c.L0MaxSSTsPerKey = orDefault(c.L0MaxSSTsPerKey, 8)
	c.L0FlushParallelism = orDefault(c.L0FlushParallelism, 4)
	if c.FilterPolicies == nil {
		c.FilterPolicies = []FilterPolicy{BloomFilter(10, BloomOptions{})}
	}
	switch {
	case c.BlockSize < 1<<10 || c.BlockSize > 64<<10 || c.BlockSize&(c.BlockSize-1) != 0:
		return nil, invalidf("BlockSize is %d, want 1, 2, 4, 8, 16, 32 or 64 KiB", c.BlockSize)
	case c.L0SSTSizeBytes < 0:
		return nil, invalidf("L0SSTSizeBytes is %d, want a positive size", c.L0SSTSizeBytes)
	case c.MaxUnflushedBytes <= c.L0SSTSizeBytes:
		return nil, invalidf("MaxUnflushedBytes is %d, want more than L0SSTSizeBytes, which is %d", c.MaxUnflushedBytes, c.L0SSTSizeBytes)
	case c.MaxWALFlushesBeforeL0Flush < 4096:
		return nil, invalidf("MaxWALFlushesBeforeL0Flush is %d, want at least 4096", c.MaxWALFlushesBeforeL0Flush)
	case c.L0FlushParallelism < 1:
		return nil, invalidf("L0FlushParallelism is %d, want at least 1", c.L0FlushParallelism)
	case c.L0MaxSSTs < 1:
		return nil, invalidf("L0MaxSSTs is %d, want at least 1", c.L0MaxSSTs)
	case c.L0MaxSSTsPerKey < 1:
		return nil, invalidf("L0MaxSSTsPerKey is %d, want at least 1", c.L0MaxSSTsPerKey)
	case !c.Compression.Valid():
		return nil, invalidf("Compression is %d, which is no codec", c.Compression)
	case c.MinFlushGap < 0:
		return nil, invalidf("MinFlushGap is %v, want 0 or more", c.MinFlushGap)
	case c.BlockCache != nil && (c.BlockCacheBytes != 0 || c.MetaCacheBytes != 0):
		return nil, invalidf("BlockCache and BlockCacheBytes or MetaCacheBytes are both set, want one of them")
	}
	if c.SegmentExtractor != nil {
		if name, err := nameOf("SegmentExtractor", c.SegmentExtractor); err != nil {
			return nil, err
		} else if name == "" {
			return nil, invalidf("SegmentExtractor has an empty name")
		}
	}
	for i, p := range c.FilterPolicies {
		if p == nil {
			return nil, invalidf("FilterPolicies[%d] is nil", i)
		}
		name, err := nameOf(fmt.Sprintf("FilterPolicies[%d]", i), p)
		if err != nil {
			return nil, err
		}
		if len(name) > math.MaxUint16 || !utf8.ValidString(name) {
			return nil, invalidf("FilterPolicies[%d] has a name of %d bytes, want UTF-8 of at most %d", i, len(name), math.MaxUint16)
		}
	}
	if c.DiskCache != nil {
		d, err := c.DiskCache.Resolve()
		if err != nil {
			return nil, err
		}
		c.DiskCache = &d
	}
	if c.DefaultTTL > 0 {
		c.defaultTTL, _ = (&PutOptions{TTL: c.DefaultTTL}).ttl()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.env = seam.New(seam.Env{Clock: c.Clock, Rand: c.Rand, OnPoint: c.onPoint})
	return &c, nil
}
