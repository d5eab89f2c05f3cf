package faulty

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/objstore"
)

// The errors of faults.
var (
	// ErrInjected is the error of a Rule that names none. It is worth a retry.
	ErrInjected = errors.New("injected fault")
	// ErrCrashed is the answer of a crashed Store to everything. No retry helps.
	ErrCrashed = objstore.Permanent(errors.New("the store of this handle has crashed"))
)

// Kind is what a Rule does to a request.
type Kind uint8

// The kinds of faults.
const (
	// ErrorBefore fails the request; nothing takes effect.
	ErrorBefore Kind = iota
	// ErrorAfter lets the request take effect and loses the answer.
	ErrorAfter
	// ErrorThenEffect loses the request on a slow way: the error comes at once, the effect
	// after Delay, whatever has become of the caller, a crash included. Writes only; other
	// requests just fail.
	ErrorThenEffect
	// Twice sends the request twice and returns the second answer.
	Twice
	// Delay waits for Delay first.
	Delay
	// Hang waits until ctx ends; nothing takes effect.
	Hang
	// HangAfter lets the request take effect, then waits until ctx ends.
	HangAfter
	// Short cuts the second half off the body of a Get or ReadAt and says nothing of it. With
	// Err set it says that.
	Short
	// Alter changes the body of a Get or what a ReadAt read by Change.
	Alter
	// Hide leaves out of a List what Hides chooses, as a stale listing does.
	Hide
	// Block waits until Release is closed (or ctx ends), then passes.
	Block
	// BlockAfter lets the request take effect, then waits as Block does.
	BlockAfter
	// Call asks Do: an error fails the request before it takes effect, nil lets it pass.
	Call
	// Unconditional forgets the condition of a Put or Upload, as a store does that does not
	// know it.
	Unconditional
	kinds
)

var kindNames = [kinds]string{
	"error before", "error after", "error then effect", "twice", "delay", "hang", "hang after", "short", "alter",
	"hide", "block", "block after", "call", "unconditional",
}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "invalid"
}

// A Request is one call as a Rule and a log see it.
type Request struct {
	Method string // "get", "read", "put", "upload", "head", "delete", "list"
	Key    string // the prefix for "list"
	Off    int64  // of "read"
	Len    int    // of "read" and "put"
}

// A Rule is one scripted fault. Empty conditions match everything.
type Rule struct {
	Method string // as in Request, "" = any; "write" = put, upload and delete
	Key    string // a part of the key
	Match  func(Request) bool
	// Nth is the first matching request, from 1, that the rule acts on (0 is 1). Times is on
	// how many it acts: 0 = one when Nth is set, else all.
	Nth, Times int

	Kind    Kind
	Err     error // nil: ErrInjected where the kind needs one
	Delay   time.Duration
	Release <-chan struct{}
	Do      func(ctx context.Context, r Request) error
	// Change gets a copy of the bytes and returns what the caller sees, for Alter. For a
	// ReadAt, more bytes than it asked for are cut.
	Change func(body []byte) []byte
	// Hides chooses what a List leaves out, for Hide. nil: everything.
	Hides func(objstore.Attributes) bool
}

// An Active is a Rule at work.
type Active struct {
	rule    Rule
	s       *Store
	seen    atomic.Int64
	acted   atomic.Int64
	reached chan struct{} // closed at the first act
	once    sync.Once     // closes it
}

// Hits returns how many requests it acted on.
func (a *Active) Hits() int { return int(a.acted.Load()) }

// Reached is closed when the rule acts for the first time, so that a test can wait until a
// request blocks. Of one that waits after its effect that is when the effect is there.
func (a *Active) Reached() <-chan struct{} { return a.reached }

func (a *Active) reach() { a.once.Do(func() { close(a.reached) }) }

// Remove ends the rule. What already hangs or blocks in it stays there.
func (a *Active) Remove() { a.s.remove(a) }

// takes reports whether the rule acts on r, and counts.
func (a *Active) takes(r Request) bool {
	u := &a.rule
	switch {
	case u.Method == "":
	case u.Method == "write":
		if r.Method != "put" && r.Method != "upload" && r.Method != "delete" {
			return false
		}
	case u.Method != r.Method:
		return false
	}
	if !strings.Contains(r.Key, u.Key) || (u.Match != nil && !u.Match(r)) {
		return false
	}
	n := a.seen.Add(1)
	first, times := int64(max(u.Nth, 1)), int64(u.Times)
	if times == 0 && u.Nth > 0 {
		times = 1
	}
	if n < first || (times > 0 && n >= first+times) {
		return false
	}
	a.acted.Add(1)
	if u.Kind != HangAfter && u.Kind != BlockAfter {
		a.reach()
	}
	return true
}

func (u *Rule) err() error {
	if u.Err != nil {
		return u.Err
	}
	return ErrInjected
}
