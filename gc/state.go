package gc

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
)

// A State is what the plans know of a database: its latest manifest, the compactions read
// before that, and what the pinned manifests need. Of those it keeps only that, since there
// may be hundreds, one for each reader.
type State struct {
	Root        string
	Manifest    *manifest.Manifest
	Compactions *manifest.Compactions // nil: there are none

	pins     map[uint64]uuid.UUID // pinned manifest -> a checkpoint that pins it
	unread   map[uint64]bool      // those that Pin has not seen yet
	tables   map[ulid.ULID]uint64 // table -> a manifest that uses it
	wal      []walRange
	borrowed map[uuid.UUID]uint64 // final checkpoint -> a manifest with tables under it
}

// walRange is what a reader of a pinned manifest replays: ids in (after, last].
type walRange struct{ manifest, after, last uint64 }

// NewState begins a State. The compactions must have been read before the manifest: a job that
// is finished in them is then in the manifest. Every manifest in Pinned is to be added by Pin;
// until then the plans that need it delete nothing.
func NewState(root string, m *manifest.Manifest, c *manifest.Compactions) *State {
	s := &State{
		Root: root, Manifest: m, Compactions: c,
		pins: make(map[uint64]uuid.UUID), unread: make(map[uint64]bool),
		tables: make(map[ulid.ULID]uint64), borrowed: make(map[uuid.UUID]uint64),
	}
	for i := range m.Checkpoints {
		id := m.Checkpoints[i].ManifestID
		if _, ok := s.pins[id]; !ok {
			s.pins[id] = m.Checkpoints[i].ID
			s.unread[id] = id != m.ID
		}
	}
	delete(s.unread, m.ID)
	s.need(m)
	return s
}

// Pinned returns the ids of the manifests that Pin has yet to see, ascending.
func (s *State) Pinned() []uint64 { return slices.Sorted(maps.Keys(s.unread)) }

// Pin adds what a pinned manifest needs.
func (s *State) Pin(m *manifest.Manifest) {
	delete(s.unread, m.ID)
	s.need(m)
	s.wal = append(s.wal, walRange{manifest: m.ID, after: m.ReplayAfterWAL, last: m.WALLastSeen})
}

func (s *State) need(m *manifest.Manifest) {
	for v := range m.Views() {
		id := v.Table.ID.ULID()
		if _, ok := s.tables[id]; !ok {
			s.tables[id] = m.ID
		}
	}
	for i := range m.External {
		e := &m.External[i]
		if _, ok := s.borrowed[e.FinalCheckpoint]; !ok && len(e.Tables) > 0 {
			s.borrowed[e.FinalCheckpoint] = m.ID
		}
	}
}

// Rules are what the plans are told about time and wishes.
type Rules struct {
	Now time.Time
	// MinAge is the least age of what is deleted. Not positive: any.
	MinAge time.Duration
	// DeleteWALFences allows PlanWALFences to delete.
	DeleteWALFences bool
}

// age settles a decision in which nothing but age is open.
func (r *Rules) age(d *Decision, born time.Time, reason string) {
	if r.MinAge > 0 {
		if born.IsZero() {
			d.keep("age unknown")
			return
		}
		if due := born.Add(r.MinAge); !due.Before(r.Now) {
			d.Due = due
			d.keep("younger than min age " + r.MinAge.String())
			return
		}
	}
	d.remove(reason)
}
