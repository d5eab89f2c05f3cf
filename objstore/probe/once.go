package probe

import (
	"context"
	"sync"

	"github.com/slatedb/slatedb-go/objstore"
)

// passed remembers the stores that have passed, so that a process probes each once. Failures
// are not remembered: an operator may mend a store.
var passed struct {
	sync.Mutex
	keys  map[any]struct{}
	order []any // by age, for the bound
}

// maxPassed bounds what is remembered, since a key may keep a store in memory.
const maxPassed = 64

// Once runs the probe unless the store has passed it in this process, and returns what
// refuses the store (an *Error), or keeps it from being asked. key identifies the store: its
// URL, or the comparable value itself. A store that is local or that says NoProbe passes
// without a request.
func Once(ctx context.Context, s objstore.Store, key any, o *Options) error {
	if Passed(s, key) {
		return nil
	}
	rep, err := Run(ctx, s, o)
	if err == nil {
		err = rep.Err()
	}
	if err == nil {
		remember(key)
	}
	return err
}

// Passed reports whether Once would pass the store without a request.
func Passed(s objstore.Store, key any) bool {
	p := s.Properties()
	return p.Local || p.NoProbe || known(key)
}

// Forget makes the next Once probe again, whatever passed.
func Forget() {
	passed.Lock()
	defer passed.Unlock()
	passed.keys, passed.order = nil, nil
}

func known(key any) bool {
	passed.Lock()
	defer passed.Unlock()
	_, ok := passed.keys[key]
	return ok
}

func remember(key any) {
	passed.Lock()
	defer passed.Unlock()
	if _, ok := passed.keys[key]; ok {
		return
	}
	if passed.keys == nil {
		passed.keys = make(map[any]struct{})
	}
	if len(passed.order) >= maxPassed {
		delete(passed.keys, passed.order[0])
		passed.order = passed.order[1:]
	}
	passed.keys[key] = struct{}{}
	passed.order = append(passed.order, key)
}
