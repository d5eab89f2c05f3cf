package compactor

import (
	"log/slog"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// Options of a Compactor.
type Options struct {
	// PollInterval is how often the stored job list and manifest are looked at for what other processes
	// did. The default is 5s; of an embedded compactor it is adaptive, up to a minute while
	// nothing happens (what this process does wakes it at once).
	PollInterval time.Duration
	// CommitInterval is how often the job list is looked at while a worker of another process
	// has a job. The default is 1s.
	CommitInterval time.Duration
	// CheckpointLifetime is how long the tables that a commit dropped stay protected for
	// readers that still use them. The default is 15m.
	CheckpointLifetime time.Duration
	// WorkerHeartbeatTimeout is after how long without a sign of life a worker loses its
	// job. The default is 30s; it must be well above the workers' HeartbeatInterval.
	WorkerHeartbeatTimeout time.Duration
	// ManifestUpdateTimeout bounds the claim of the coordinator's role against other
	// processes. Embedded, the writer's own counts. The default is 300s.
	ManifestUpdateTimeout time.Duration
	// MaxRetries bounds the retries of one store request of the compactor and of its worker.
	// The default is 0: as the handle's. Negative: none.
	MaxRetries int
	// MaxConcurrent bounds the jobs that are free to claim or running. The default is 4.
	MaxConcurrent int
	// TrivialMove lets inputs whose key ranges are disjoint become the output as they are.
	// It saves the rewrite, but nothing is cleaned up by it.
	TrivialMove bool
	// Scheduler decides what to merge. nil: size-tiered, with SizeTiered.
	Scheduler  Scheduler
	SizeTiered SizeTieredOptions
	// Worker has the options of the worker in this process, nil = defaults. DisableWorker
	// leaves the merging to others.
	Worker        *WorkerOptions
	DisableWorker bool
	// CompactionFilter makes a filter for each job that the worker of this process does, and
	// takes the place of Config.Filter. The default is that one.
	CompactionFilter FilterSupplier
}

// SizeTieredOptions shape the default scheduler.
type SizeTieredOptions struct {
	// MinSources and MaxSources bound the sources of one job. The defaults are 4 and 8.
	MinSources, MaxSources int
	// IncludeSizeThreshold is how many times larger than the smallest a run may be to be
	// merged with it. The default is 4.
	IncludeSizeThreshold float32
	// ConsolidationThreshold is the number of runs above which neighbours are merged
	// whatever their sizes. The default 0, and 1, mean never.
	ConsolidationThreshold int
}

// WorkerOptions of a Worker.
type WorkerOptions struct {
	// PollInterval is how often a worker of its own process looks for jobs; each wait is between half
	// and one and a half of it. The default is 5s.
	PollInterval time.Duration
	// HeartbeatInterval is how often a worker shows that it lives, and saves how far it is.
	// The default is 10s.
	HeartbeatInterval time.Duration
	// MaxConcurrent bounds its jobs at a time. The default is 4.
	MaxConcurrent int
	// MaxSubcompactions is into how many key ranges, merged side by side, a job is
	// split. The default is 4, and 1 means no split.
	MaxSubcompactions int
	// MinSubcompactionBytes is the input of a range below which splitting is not worth the
	// additional tables. The default is 4 MiB. Negative: no bound.
	MinSubcompactionBytes int64
	// MaxSSTBytes is the size at which the next output table is begun. A table is in memory
	// until it is stored, and each range at work holds up to two. The default is 128 MiB for a
	// job that is not split and a part of that for each range of one that is: the 256 MiB of
	// the Rust engine would be 2 GiB of memory with four ranges.
	MaxSSTBytes int64
	// FetchTasks requests of BytesToFetch bytes are under way for each input. The
	// defaults are 4 and 2 MiB. A job with many inputs reads less ahead from each.
	FetchTasks, BytesToFetch int
	// MaxRetries bounds the retries of one store request of a worker of its own process, as
	// Options.MaxRetries does for one beside a compactor.
	MaxRetries int
}

// Config is what a Compactor or Worker works on. Writer, compactor and workers of one
// database must agree on everything from BlockSize to MergeOperator.
type Config struct {
	Objects objstore.Store
	Root    string
	Env     *seam.Env
	Logger  *slog.Logger
	// Manifests is shared with the writer when embedded.
	Manifests *manifest.Store

	BlockSize     int
	Codec         sst.Codec
	Transformer   sst.Transformer
	Policies      []sst.FilterPolicy
	MinFilterKeys int
	MergeOperator kv.MergeOperator
	// Filter makes the compaction filters of this process, nil = none.
	Filter FilterSupplier

	// OnManifest is told each manifest that this role has written; no lock is held.
	OnManifest func(*manifest.Manifest)
	// Count and Gauge take metrics, with the names of the Rust engine. labels alternate name
	// and value. Both may be nil.
	Count func(name string, delta uint64, labels ...string)
	Gauge func(name string, value float64, labels ...string)
	// Wake is signalled by the writer when L0 has grown. It being set also says that the compactor
	// is embedded: the writer keeps Manifests up to date, so it is not polled here.
	Wake <-chan struct{}
}

func (c *Config) count(name string, delta uint64, labels ...string) {
	if c.Count != nil && delta > 0 {
		c.Count("slatedb.compactor."+name, delta, labels...)
	}
}

func (c *Config) gauge(name string, v float64, labels ...string) {
	if c.Gauge != nil {
		c.Gauge("slatedb.compactor."+name, v, labels...)
	}
}

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}

const (
	defaultPoll         = 5 * time.Second
	idlePoll            = time.Minute
	defaultCommit       = time.Second
	defaultLifetime     = 15 * time.Minute
	defaultTimeout      = 30 * time.Second
	defaultHeartbeat    = 10 * time.Second
	defaultConcurrent   = 4
	defaultSplit        = 4
	defaultSplitBytes   = 4 << 20
	defaultFetchTasks   = 4
	defaultBytesToFetch = 2 << 20
)

// orDefault replaces a value that was left out.
func orDefault[T int | int64 | float32 | time.Duration](p *T, d T) {
	if *p <= 0 {
		*p = d
	}
}

// withDefaults leaves PollInterval alone: 0 means adaptive when embedded.
func (o Options) withDefaults() Options {
	orDefault(&o.CommitInterval, defaultCommit)
	orDefault(&o.CheckpointLifetime, defaultLifetime)
	orDefault(&o.WorkerHeartbeatTimeout, defaultTimeout)
	orDefault(&o.MaxConcurrent, defaultConcurrent)
	o.SizeTiered = o.SizeTiered.withDefaults()
	if o.Scheduler == nil {
		o.Scheduler = SizeTiered(o.SizeTiered)
	}
	return o
}

func (o SizeTieredOptions) withDefaults() SizeTieredOptions {
	orDefault(&o.MinSources, 4)
	orDefault(&o.MaxSources, 8)
	orDefault(&o.IncludeSizeThreshold, 4)
	o.MinSources = max(o.MinSources, 1)
	o.MaxSources = max(o.MaxSources, o.MinSources)
	if o.ConsolidationThreshold == 1 {
		o.ConsolidationThreshold = 0 // every tree ends in one run; joining that with itself would never end
	}
	return o
}

func (o WorkerOptions) withDefaults() WorkerOptions {
	orDefault(&o.PollInterval, defaultPoll)
	orDefault(&o.HeartbeatInterval, defaultHeartbeat)
	orDefault(&o.MaxConcurrent, defaultConcurrent)
	orDefault(&o.MaxSubcompactions, defaultSplit)
	if o.MinSubcompactionBytes == 0 {
		o.MinSubcompactionBytes = defaultSplitBytes
	}
	orDefault(&o.FetchTasks, defaultFetchTasks)
	orDefault(&o.BytesToFetch, defaultBytesToFetch)
	return o
}
