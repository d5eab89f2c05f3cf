package manifest

import (
	"context"
	"sync"
	"time"
)

// ProofLife is how long a look at the manifests proves that a role is still ours. Within it a
// process may trust what it knows and what a cheap look tells it; a process that stood still
// for longer asks for everything once before it vouches for anything (Confirm).
//
// It has to be shorter than the age at which a collector deletes the fences of the log, which
// is 5 minutes unless somebody sets it: a PUT that finds the id of a fence free was then either
// made before the fence, which replay knows of, or after this life had passed.
const ProofLife = time.Minute

// A proof is the last moment of which it is known that the role was ours.
type proof struct {
	sync.Mutex
	at time.Time
}

// extend moves the proof on to begin, the time before the request was sent whose answer says
// that nobody had taken over. Such an answer can miss versions that were written and collected
// since the proof before it, so it counts only while that one lives.
func (p *proof) extend(begin, now time.Time) {
	p.Lock()
	defer p.Unlock()
	if !stale(p.at, now) && begin.After(p.at) {
		p.at = begin
	}
}

func (p *proof) renew(begin time.Time) {
	p.Lock()
	defer p.Unlock()
	p.at = begin
}

func (p *proof) stale(now time.Time) bool {
	p.Lock()
	defer p.Unlock()
	return stale(p.at, now)
}

func stale(at, now time.Time) bool {
	return staleAfter(now.Sub(at), now.Round(0).Sub(at.Round(0)))
}

// staleAfter decides by what has passed on both clocks. The monotonic one stands still while
// a machine is suspended, and the wall clock may be set: the longer of both counts. When both
// say that time ran backwards nothing is known.
func staleAfter(monotonic, wall time.Duration) bool {
	d := max(monotonic, wall)
	return d < 0 || d > ProofLife
}

// Confirm returns nil when the role was ours within the last ProofLife, and kv.ErrFenced when
// it is not. It costs a request only when the process has not looked for that long, and then
// it trusts no version that it knew: what was written and collected meanwhile is found too.
func (f *Fenced) Confirm(ctx context.Context) error {
	if f.lost.Load() {
		return f.fenced()
	}
	now := f.store.env.Clock.Now()
	if !f.proof.stale(now) {
		return nil
	}
	m, err := f.store.seq.listed(ctx)
	if err == nil {
		err = f.check(m)
	}
	if err != nil {
		return err
	}
	f.proof.renew(now)
	return nil
}
