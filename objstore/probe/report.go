package probe

import (
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
)

// A Capability is one thing that the engine asks of a store.
type Capability string

// The capabilities, in the order of a Report.
const (
	// CreateIfAbsent: of two puts under IfAbsent the second is refused.
	CreateIfAbsent Capability = "create-if-absent"
	// UpdateIfMatch: a put under IfVersion passes with the object's version, and is refused
	// with an older one or where no object is.
	UpdateIfMatch Capability = "update-if-match"
	// WholeBody: Get returns all the bytes that were put.
	WholeBody Capability = "whole-body"
	// RangeRead: ReadAt returns just the range, and ErrRange with what there is at the end.
	RangeRead Capability = "range-read"
	// ReadAfterWrite: Get and Head see the last put, and no deleted object.
	ReadAfterWrite Capability = "read-after-write"
	// Metadata: Get and Head return the put-id.
	Metadata Capability = "metadata"
	// ListAfterWrite: a listing has every object that was put before it.
	ListAfterWrite Capability = "list-after-write"
	// ListOrder: a listing ascends by the bytes of its keys, and goes on behind a given one.
	ListOrder Capability = "list-order"
	// Delete removes an object.
	Delete Capability = "delete"
)

// Capabilities returns all of them in order.
func Capabilities() []Capability {
	return []Capability{
		CreateIfAbsent, UpdateIfMatch, WholeBody, RangeRead, ReadAfterWrite, Metadata, ListAfterWrite, ListOrder, Delete,
	}
}

// A State says how a capability did.
type State string

// The states.
const (
	OK State = "ok"
	// Absent: the store says itself that it cannot do this. The engine knows ways around the
	// lack of UpdateIfMatch and Metadata.
	Absent State = "absent"
	// Failed: the store says that it can, and does not.
	Failed State = "failed"
	// Untested: something else failed first.
	Untested State = "untested"
)

// A Result is what became of one capability.
type Result struct {
	Capability Capability `json:"capability"`
	State      State      `json:"state"`
	Detail     string     `json:"detail,omitempty"` // of Failed
}

// A Report has one Result for each capability.
type Report struct {
	Store    string   `json:"store"` // Properties.Name
	Results  []Result `json:"results"`
	Requests int      `json:"requests"` // sent, those sent again included
}

func newReport(p objstore.Properties) *Report {
	r := &Report{Store: p.Name}
	for _, c := range Capabilities() {
		r.Results = append(r.Results, Result{Capability: c, State: Untested})
	}
	return r
}

// Result returns the result of a capability.
func (r *Report) Result(c Capability) Result {
	if x := r.at(c); x != nil {
		return *x
	}
	return Result{Capability: c, State: Untested}
}

func (r *Report) at(c Capability) *Result {
	for i := range r.Results {
		if r.Results[i].Capability == c {
			return &r.Results[i]
		}
	}
	return nil
}

// pass and fail decide a capability; the first failure stays.
func (r *Report) pass(cs ...Capability) {
	for _, c := range cs {
		if x := r.at(c); x.State == Untested {
			x.State = OK
		}
	}
}

func (r *Report) absent(c Capability) { r.at(c).State = Absent }

func (r *Report) fail(c Capability, format string, args ...any) {
	if x := r.at(c); x.State != Failed {
		x.State, x.Detail = Failed, fmt.Sprintf(format, args...)
	}
}

// Err is nil when the engine can write databases to the store, else an *Error about the
// first capability that keeps it from that.
func (r *Report) Err() error {
	for _, x := range r.Results {
		switch {
		case x.State == Failed:
			return &Error{Store: r.Store, Capability: x.Capability, Detail: x.Detail}
		case x.State == Absent && x.Capability == CreateIfAbsent:
			return &Error{Store: r.Store, Capability: x.Capability, Detail: "the store says that it has none"}
		}
	}
	return nil
}

// An Error is the refusal of a store. It is kv.ErrInvalid and objstore.ErrNotSupported.
type Error struct {
	Store      string
	Capability Capability
	Detail     string
}

func (e *Error) Error() string {
	return fmt.Sprintf("store %q fails %s: %s", e.Store, e.Capability, e.Detail)
}

// Is reports the sentinels that e stands for.
func (e *Error) Is(target error) bool {
	return target == kv.ErrInvalid || target == objstore.ErrNotSupported
}
