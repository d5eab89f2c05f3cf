package slatedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// AdminOptions configure NewAdmin. The zero value of every field is its default. What is
// about tables (from MergeOperator on) is used by the compaction that this process runs, and
// must then agree with the writer's options.
type AdminOptions struct {
	Store, WALStore  objstore.Store   // as in Options
	MergeOperator    MergeOperator    // as in Options
	BlockTransformer BlockTransformer // as in Options
	SegmentExtractor PrefixExtractor  // as in Options
	FilterPolicies   []FilterPolicy   // as in Options
	BlockSize        int              // as in Options
	MinFilterKeys    int              // as in Options
	Compression      Codec            // as in Options
	MaxRetries       int              // as in Options
	// SkipProbe vouches for the store. By default the first call that writes tries once for
	// each process and store what Open tries, see Options.SkipProbe; calls that only read, a dry
	// run among them, do not, nor does DeleteDB of what is no clone.
	SkipProbe bool
	// CompactionFilter as in Options, for the compactors and workers that this Admin runs.
	CompactionFilter CompactionFilterSupplier
	Clock            Clock           // as in Options
	Rand             io.Reader       // as in Options
	Logger           *slog.Logger    // as in Options
	MetricsRecorder  MetricsRecorder // as in Options

	// onPoint is called at named protocol steps. For tests of this package.
	onPoint func(string)
}

// An Admin looks after a database from outside its writer, which it never fences:
// checkpoints, history, compaction, garbage collection, clones. It holds nothing but its
// stores. All methods are safe for concurrent use, in any number of processes. They return
// ErrNoDatabase where there is no database, and ErrClosed after Close.
type Admin struct {
	session
	stored atomic.Pointer[versions]
}

// versions are the numbered objects of the database. They remember what they have read.
type versions struct {
	manifests   *manifest.Store
	compactions *manifest.CompactionsStore
}

// NewAdmin returns an Admin of the database at location (see Open). It sends no request, so
// it says nothing about whether there is one.
func NewAdmin(location string, o *AdminOptions) (*Admin, error) {
	if o == nil {
		o = &AdminOptions{}
	}
	conf, err := (&Options{
		Store: o.Store, WALStore: o.WALStore, MergeOperator: o.MergeOperator, SegmentExtractor: o.SegmentExtractor,
		FilterPolicies: o.FilterPolicies, BlockTransformer: o.BlockTransformer, BlockSize: o.BlockSize,
		CompactionFilter: o.CompactionFilter, SkipProbe: o.SkipProbe,
		MinFilterKeys: o.MinFilterKeys, Compression: o.Compression, MaxRetries: o.MaxRetries, Clock: o.Clock,
		Rand: o.Rand, Logger: o.Logger, MetricsRecorder: o.MetricsRecorder, onPoint: o.onPoint,
		BlockCacheBytes: -1, MetaCacheBytes: -1,
	}).resolve()
	if err != nil {
		return nil, err
	}
	h, err := newHandle(context.Background(), location, conf)
	if err != nil {
		return nil, err
	}
	h.role = "admin"
	a := &Admin{session: session{h: h}}
	a.forget()
	return a, nil
}

// forget makes the Admin look anew at what there is.
func (a *Admin) forget() {
	s := a.h.component("admin", a.h.raw)
	a.stored.Store(&versions{
		manifests:   manifest.NewStore(s, a.h.path, a.h.conf.env),
		compactions: manifest.NewCompactionsStore(s, a.h.path, a.h.conf.env),
	})
}

func (a *Admin) manifests() *manifest.Store              { return a.stored.Load().manifests }
func (a *Admin) compactions() *manifest.CompactionsStore { return a.stored.Load().compactions }

// Close ends the Admin and whatever runs in it. It may be called again.
func (a *Admin) Close() error { return a.close() }

// beginWrite is begin for a call that writes to the database.
func (a *Admin) beginWrite(ctx context.Context, op string, withWAL bool) (context.Context, func(), error) {
	ctx, stop, err := a.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := a.h.prove(ctx, withWAL, a.h.path); err != nil {
		stop()
		return nil, nil, a.done(op, err)
	}
	return ctx, stop, nil
}

// latest reads the newest manifest.
func (a *Admin) latest(ctx context.Context) (*manifest.Manifest, error) {
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := a.manifests().Latest(ctx)
	return m, a.done("read the latest manifest", err)
}

func (a *Admin) latestFor(ctx context.Context, r Rounding) (*manifest.Manifest, error) {
	if r > RoundUp {
		return nil, invalidf("rounding is %d, want RoundDown or RoundUp", r)
	}
	return a.latest(ctx)
}

// update changes the newest manifest. It is read first, so that what mutate does not find in
// it is really not there.
func update(ctx context.Context, s *manifest.Store, mutate func(*manifest.Manifest) error) (*manifest.Manifest, error) {
	if _, err := s.Latest(ctx); err != nil {
		return nil, err
	}
	return s.Update(ctx, mutate)
}

// ListCheckpoints returns the checkpoints with this name, "" = all, oldest first, expired
// ones that nobody has removed yet included.
func (a *Admin) ListCheckpoints(ctx context.Context, name string) ([]Checkpoint, error) {
	m, err := a.latest(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Checkpoint, 0, len(m.Checkpoints))
	for _, c := range m.Checkpoints {
		if name == "" || c.Name == name {
			out = append(out, c)
		}
	}
	return out, nil
}

// CreateCheckpoint pins the newest manifest, or what o.Source pins (ErrNotFound when there is
// no such checkpoint). It needs no writer and flushes nothing: rows in WAL objects newer than
// the manifest are not included. For those see DB.CreateCheckpoint.
func (a *Admin) CreateCheckpoint(ctx context.Context, o *CheckpointOptions) (Checkpoint, error) {
	if o == nil {
		o = &CheckpointOptions{}
	}
	ck, err := newCheckpoint(a.h.conf.env, o)
	if err != nil {
		return Checkpoint{}, err
	}
	return a.change(ctx, "create a checkpoint", ck.ID, func(m *manifest.Manifest) error {
		return addCheckpoint(m, ck, o.Source)
	})
}

// RefreshCheckpoint gives a checkpoint a new lifetime, which begins now; 0 = for ever.
// ErrNotFound when there is no such checkpoint.
func (a *Admin) RefreshCheckpoint(ctx context.Context, id uuid.UUID, lifetime time.Duration) (Checkpoint, error) {
	if lifetime < 0 {
		return Checkpoint{}, invalidf("lifetime is %v, want 0 or more", lifetime)
	}
	return a.change(ctx, "refresh a checkpoint", id, func(m *manifest.Manifest) error {
		c := m.Checkpoint(id)
		if c == nil {
			return noCheckpoint(id)
		}
		c.ExpireTime = expireTime(a.h.conf.env.Clock.Now(), lifetime)
		return nil
	})
}

// change updates the manifest and returns the checkpoint id of the result.
func (a *Admin) change(ctx context.Context, op string, id uuid.UUID, mutate func(*manifest.Manifest) error) (Checkpoint, error) {
	ctx, end, err := a.beginWrite(ctx, op, false)
	if err != nil {
		return Checkpoint{}, err
	}
	defer end()
	m, err := update(ctx, a.manifests(), mutate)
	if err != nil {
		return Checkpoint{}, a.done(op, err)
	}
	return *m.Checkpoint(id), nil
}

// DeleteCheckpoint removes a checkpoint; one that does not exist is no error. What only it
// protected goes with the next garbage collection.
func (a *Admin) DeleteCheckpoint(ctx context.Context, id uuid.UUID) error {
	ctx, end, err := a.beginWrite(ctx, "delete a checkpoint", false)
	if err != nil {
		return err
	}
	defer end()
	_, err = update(ctx, a.manifests(), func(m *manifest.Manifest) error { return removeCheckpoint(m, id) })
	return a.done("delete a checkpoint", err)
}

// removeCheckpoint is the change that removes a checkpoint, if it is there.
func removeCheckpoint(m *manifest.Manifest, id uuid.UUID) error {
	for i := range m.Checkpoints {
		if m.Checkpoints[i].ID == id {
			m.Checkpoints = append(m.Checkpoints[:i:i], m.Checkpoints[i+1:]...)
			return nil
		}
	}
	return manifest.ErrUnchanged
}

// ManifestInfo describes one stored version of the manifest or of the compactor's state.
type ManifestInfo = manifest.VersionInfo

// ReadManifest reads one version of the manifest, 0 = the newest. ErrNotFound when there is
// no such version. It marshals to readable JSON.
func (a *Admin) ReadManifest(ctx context.Context, id uint64) (*manifest.Manifest, error) {
	if id == 0 {
		return a.latest(ctx)
	}
	return readVersion(ctx, a, "manifest", id, a.manifests().Read)
}

// ListManifests returns the stored versions of the manifest with from <= id < to, ascending;
// to 0 = no end. Ids that were collected are missing.
func (a *Admin) ListManifests(ctx context.Context, from, to uint64) ([]ManifestInfo, error) {
	return a.listVersions(ctx, "list manifests", from, to, a.manifests().List)
}

// ReadCompactions reads one version of the compactor's state, 0 = the newest. ErrNotFound when
// there is no such version.
func (a *Admin) ReadCompactions(ctx context.Context, id uint64) (*manifest.Compactions, error) {
	return readVersion(ctx, a, "compactions", id, func(ctx context.Context, id uint64) (*manifest.Compactions, error) {
		if id != 0 {
			return a.compactions().Read(ctx, id)
		}
		c, err := a.compactions().Latest(ctx)
		if errors.Is(err, manifest.ErrNoCompactions) {
			err = objstore.ErrNotFound
		}
		return c, err
	})
}

// ListCompactions returns the stored versions of the compactor's state, as ListManifests does.
func (a *Admin) ListCompactions(ctx context.Context, from, to uint64) ([]ManifestInfo, error) {
	return a.listVersions(ctx, "list compactions", from, to, a.compactions().List)
}

// readVersion reads a version that a person has named: one that is missing is ErrNotFound,
// unless there is no database at all.
func readVersion[T any](ctx context.Context, a *Admin, what string, id uint64, read func(context.Context, uint64) (*T, error)) (*T, error) {
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	v, err := read(ctx, id)
	if errors.Is(err, objstore.ErrNotFound) {
		if _, err = a.manifests().Latest(ctx); err == nil {
			return nil, fmt.Errorf("%w: no %s %d of %q", ErrNotFound, what, id, a.h.path)
		}
	}
	if err != nil {
		return nil, a.done("read "+what, err)
	}
	return v, nil
}

func (a *Admin) listVersions(ctx context.Context, op string, from, to uint64, list func(context.Context, uint64, uint64) ([]ManifestInfo, error)) ([]ManifestInfo, error) {
	if to != 0 && from > to {
		return nil, invalidf("from %d is above to %d", from, to)
	}
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	vs, err := list(ctx, from, to)
	if err == nil && len(vs) == 0 {
		_, err = a.manifests().Latest(ctx) // nothing there, or no database?
	}
	return vs, a.done(op, err)
}
