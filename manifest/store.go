package manifest

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Options of a Store.
type Options struct {
	// ClaimTimeout is how long AcquireWriter and AcquireCompactor keep trying against other
	// processes (or a store) that are always faster. The default is 300s. Negative: no limit.
	ClaimTimeout time.Duration
}

const defaultClaimTimeout = 300 * time.Second

// A Store reads and writes the manifests of one database.
type Store struct {
	seq          *sequenced[Manifest]
	env          *seam.Env
	claimTimeout time.Duration
}

// NewStore returns a store for the database at root, with default options. No I/O.
func NewStore(s objstore.Store, root string, env *seam.Env) *Store {
	return NewStoreWith(s, root, env, Options{})
}

// NewStoreWith is NewStore with options.
func NewStoreWith(s objstore.Store, root string, env *seam.Env, o Options) *Store {
	if o.ClaimTimeout == 0 {
		o.ClaimTimeout = defaultClaimTimeout
	}
	return &Store{env: env, claimTimeout: o.ClaimTimeout, seq: newSequenced(s, root, "manifest", env, codec[Manifest]{
		what: "manifest", decode: Decode, encode: (*Manifest).Encode, clone: (*Manifest).Clone,
		id:    func(m *Manifest) uint64 { return m.ID },
		seal:  func(m *Manifest, id uint64) { m.ID, m.FormatVersion, m.WALObjectStoreURI = id, envelope2, "" },
		check: checkManifest, empty: ErrNoDatabase,
	})}
}

// Key returns the key of version id.
func (s *Store) Key(id uint64) string { return s.seq.key(id) }

// Latest reads the newest version, or returns ErrNoDatabase.
func (s *Store) Latest(ctx context.Context) (*Manifest, error) { return s.seq.latest(ctx) }

// Known returns the newest version that this store has seen, without a request; nil when it
// has seen none.
func (s *Store) Known() *Manifest { return s.seq.shown() }

// Read reads version id. A missing one is a *sst.CorruptionError that is also
// objstore.ErrNotFound, for callers that were given the id by a person.
func (s *Store) Read(ctx context.Context, id uint64) (*Manifest, error) { return s.seq.read(ctx, id) }

// List returns the stored versions with from <= id < to, ascending. to 0 means no end.
func (s *Store) List(ctx context.Context, from, to uint64) ([]VersionInfo, error) {
	return s.seq.list(ctx, from, to)
}

// Boundary returns the boundary file of the manifests.
func (s *Store) Boundary() *Boundary { return s.seq.boundary }

// Create writes m as version 1, or returns ErrExists.
func (s *Store) Create(ctx context.Context, m *Manifest) (*Manifest, error) {
	return s.seq.create(ctx, m)
}

// Update applies mutate to the newest version and stores the result as the next one; when
// another process was faster, it does so again with that process's version. It is for
// changes that need no epoch: checkpoints, detaching. mutate gets a copy that is its own,
// may be called several times, and must not touch the epochs. An error of mutate ends the
// update and is returned, except for ErrUnchanged. The result is shared: do not change it.
//
// Any other error leaves open whether the version was stored; a caller that tries again
// must recognise its own change. kv.ErrOutcomeUnknown means that nobody can find out.
func (s *Store) Update(ctx context.Context, mutate func(*Manifest) error) (*Manifest, error) {
	return s.seq.update(ctx, func(next *Manifest) error {
		writer, compactor := next.WriterEpoch, next.CompactorEpoch
		if err := mutate(next); err != nil {
			return err
		}
		return sameEpochs(next, writer, compactor)
	})
}

func sameEpochs(m *Manifest, writer, compactor uint64) error {
	if m.WriterEpoch != writer || m.CompactorEpoch != compactor {
		return invalid(fmt.Errorf("an update changed an epoch"))
	}
	return nil
}

// checkManifest runs before every write.
func checkManifest(old, next *Manifest) error {
	if err := next.Validate(); err != nil {
		return invalid(err)
	}
	if old == nil {
		return nil
	}
	// The collector deletes tables that no manifest lists when they are older than the
	// newest L0. So a new L0 table must not be older, or it might be gone by now.
	w := old.NewestL0Time()
	listed := old.Tables()
	for _, t := range next.Trees() {
		for i := range t.L0 {
			id := t.L0[i].Table.ID.ULID()
			if listed[id] == nil && id.Time() < w {
				return invalid(fmt.Errorf("new L0 table %s is older than the newest one (%d < %d ms)", id, id.Time(), w))
			}
		}
	}
	return nil
}

// A CompactionsStore reads and writes the compactor state of one database.
type CompactionsStore struct {
	seq *sequenced[Compactions]
}

// NewCompactionsStore returns a store for the database at root. No I/O.
func NewCompactionsStore(s objstore.Store, root string, env *seam.Env) *CompactionsStore {
	return &CompactionsStore{seq: newSequenced(s, root, "compactions", env, codec[Compactions]{
		what: "compactions", decode: DecodeCompactions, encode: (*Compactions).Encode, clone: (*Compactions).Clone,
		id:    func(c *Compactions) uint64 { return c.ID },
		seal:  func(c *Compactions, id uint64) { c.ID, c.FormatVersion = id, envelope2 },
		check: checkCompactions, empty: ErrNoCompactions,
	})}
}

// Key returns the key of version id.
func (s *CompactionsStore) Key(id uint64) string { return s.seq.key(id) }

// Latest reads the newest version, or returns ErrNoCompactions.
func (s *CompactionsStore) Latest(ctx context.Context) (*Compactions, error) {
	return s.seq.latest(ctx)
}

// Look is a cheaper Latest for polls, see Fenced.Look.
func (s *CompactionsStore) Look(ctx context.Context) (*Compactions, error) { return s.seq.look(ctx) }

// Known returns the newest version that this store has seen, nil when it has seen none.
func (s *CompactionsStore) Known() *Compactions { return s.seq.shown() }

// Read reads version id, as Store.Read does.
func (s *CompactionsStore) Read(ctx context.Context, id uint64) (*Compactions, error) {
	return s.seq.read(ctx, id)
}

// List returns the stored versions with from <= id < to, ascending. to 0 means no end.
func (s *CompactionsStore) List(ctx context.Context, from, to uint64) ([]VersionInfo, error) {
	return s.seq.list(ctx, from, to)
}

// Boundary returns the boundary file of the compactions.
func (s *CompactionsStore) Boundary() *Boundary { return s.seq.boundary }

// Create writes c as version 1, or returns ErrExists.
func (s *CompactionsStore) Create(ctx context.Context, c *Compactions) (*Compactions, error) {
	return s.seq.create(ctx, c)
}

// Update applies mutate to the newest version and stores the result, as Store.Update does.
// The coordinator compares c.CompactorEpoch with its own in mutate and returns kv.ErrFenced
// when it has been overtaken; workers and submitters leave it alone.
func (s *CompactionsStore) Update(ctx context.Context, mutate func(*Compactions) error) (*Compactions, error) {
	return s.seq.update(ctx, mutate)
}

// checkCompactions runs before every write. Like tables, jobs and outputs are judged by the
// collector by the time in their ids.
func checkCompactions(old, next *Compactions) error {
	if err := next.Validate(); err != nil {
		return invalid(err)
	}
	if old == nil {
		return nil
	}
	if next.CompactorEpoch < old.CompactorEpoch {
		return invalid(fmt.Errorf("an update lowered the epoch"))
	}
	var newest uint64
	for i := range old.Jobs {
		newest = max(newest, old.Jobs[i].ID.Time())
	}
	for i := range next.Jobs {
		j := &next.Jobs[i]
		before := old.Job(j.ID)
		if before == nil && j.ID.Time() < newest {
			return invalid(fmt.Errorf("new job %s is older than the newest one (%d < %d ms)", j.ID, j.ID.Time(), newest))
		}
		known := make(map[ulid.ULID]bool)
		if before != nil {
			for id := range before.outputIDs() {
				known[id] = true
			}
		}
		for id := range j.outputIDs() {
			if id.Time() < j.ID.Time() && !known[id] {
				return invalid(fmt.Errorf("output %s is older than its job %s", id, j.ID))
			}
		}
	}
	return nil
}

// outputIDs yields the tables that the job has made, final and partial.
func (j *Compaction) outputIDs() func(yield func(ulid.ULID) bool) {
	return func(yield func(ulid.ULID) bool) {
		for _, h := range j.Outputs {
			if !yield(h.ID.ULID()) {
				return
			}
		}
		if j.Context == nil {
			return
		}
		for i := range j.Context.Ranges {
			for _, h := range j.Context.Ranges[i].Outputs {
				if !yield(h.ID.ULID()) {
					return
				}
			}
		}
	}
}
