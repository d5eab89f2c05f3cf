package gc

import "time"

// Options of a Collector. The zero value of every field is its default.
type Options struct {
	// MinAge is how old an object must be at least. The default is 5m. Negative: any age.
	MinAge time.Duration
	// Interval is the time from one pass of Run to the next. The default is 10m. Negative: Run
	// leaves the kind alone, RunOnce does not.
	Interval time.Duration
	// DryRun deletes nothing and writes nothing: the report says what would have been deleted.
	DryRun bool
	// DeleteWALFences also deletes the empty WAL objects that keep out older writers. A writer of
	// this engine that stood still for over a minute asks whether it is still the writer before it
	// reports anything durable, so their MinAge should be well above that. A writer of the Rust
	// engine does not ask: one that slept for longer than MinAge could store rows that nobody
	// will read, and report success. The default is to keep them: they cost a listing entry each.
	DeleteWALFences bool
	// DisableBoundaryFiles deletes manifests and compactions without raising the boundary
	// files. For stores that cannot overwrite conditionally; choose a MinAge longer than
	// any process may sleep.
	DisableBoundaryFiles bool
	// MaxRetries bounds the retries of one store request. The default is 0: as the handle's.
	// Negative: none.
	MaxRetries int
	// Options of one kind of object. nil: as above.
	Manifest, WAL, WALFence, Compacted, Compactions, Detach *KindOptions
}

// KindOptions override Options for one kind of object. Zero fields stand for those of Options.
type KindOptions struct {
	MinAge   time.Duration // as in Options; without meaning for Detach
	Interval time.Duration // as in Options
	DryRun   bool          // as in Options
	Disable  bool          // leaves the kind alone altogether
}

const (
	defaultMinAge   = 5 * time.Minute
	defaultInterval = 10 * time.Minute
)

// A rule is what Options say about one kind, resolved.
type rule struct {
	minAge, interval time.Duration // not positive: any age, never
	dry, off         bool
}

func (o *Options) rule(kind string) rule {
	k := map[string]*KindOptions{
		KindManifest: o.Manifest, KindWAL: o.WAL, KindWALFence: o.WALFence,
		KindCompacted: o.Compacted, KindCompactions: o.Compactions, KindDetach: o.Detach,
	}[kind]
	if k == nil {
		k = &KindOptions{}
	}
	return rule{
		minAge:   first(k.MinAge, o.MinAge, defaultMinAge),
		interval: first(k.Interval, o.Interval, defaultInterval),
		dry:      k.DryRun || o.DryRun,
		off:      k.Disable,
	}
}

func first(ds ...time.Duration) time.Duration {
	for _, d := range ds {
		if d != 0 {
			return d
		}
	}
	return 0
}
