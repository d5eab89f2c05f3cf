// Package objstore is all that the engine asks of object storage, and the stores that
// need no cloud: memory and a local directory. Concerns such as retry, limits, metering and
// fault injection are decorators in sub-packages, each a Store around a Store. Clouds are
// sub-packages too and register their URL scheme, so that a program links what it imports.
package objstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors of a Store. Everything else that a Store returns is a transport or server error;
// whether it may be tried again is for the retry decorator to judge.
var (
	// ErrNotFound: no object has this key. (At the engine's border a missing object that
	// a manifest names becomes slatedb.ErrCorrupt.)
	ErrNotFound = errors.New("objstore: object not found")
	// ErrPrecondition: the condition of a Put did not hold; nothing was written. For
	// IfAbsent this means that the object exists.
	ErrPrecondition = errors.New("objstore: precondition failed")
	// ErrNotSupported: the store cannot do this at all.
	ErrNotSupported = errors.New("objstore: not supported")
	// ErrRange: the range begins at or behind the end of the object, or the object is
	// shorter than asked. Permanent.
	ErrRange = errors.New("objstore: range outside the object")
	// ErrInvalidKey: the key is empty, has an empty, "." or ".." segment, begins or ends
	// with a slash, or holds a NUL byte.
	ErrInvalidKey = errors.New("objstore: invalid key")
	// ErrOutcomeUnknown: a conditional Put may or may not have taken effect and no later
	// request can tell.
	ErrOutcomeUnknown = errors.New("objstore: outcome of a conditional put is unknown")
)

// A Version identifies one content of one key, as the store gave it (an ETag or a
// generation). It is opaque; "" is none.
type Version string

// Attributes describe an object without its body.
type Attributes struct {
	Key      string
	Size     int64
	Modified time.Time
	Version  Version
	// PutID is the id that the Put carried in the object's user metadata, "" when none or
	// when this answer (a listing) does not tell.
	PutID string
}

// An Object is a whole object and the attributes of the same response.
type Object struct {
	Attributes
	Body []byte
}

// Store is safe for concurrent use. Every method honours ctx. Keys are slash-separated,
// see ErrInvalidKey.
type Store interface {
	// Get returns the whole object. The caller owns Body, but must not change it.
	Get(ctx context.Context, key string) (Object, error)
	// ReadAt fills p from offset off. A read that reaches behind the end returns the bytes
	// there are with ErrRange. Nobody writes p after it returned.
	ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error)
	// Put stores body under c's condition. It does not keep body.
	Put(ctx context.Context, key string, body []byte, c Condition) (Version, error)
	// Upload stores a stream of unknown length; nothing is visible before it returned nil.
	Upload(ctx context.Context, key string, body io.Reader, c Condition) (Version, error)
	Head(ctx context.Context, key string) (Attributes, error)
	// Delete removes one object; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// List yields the objects whose keys begin with prefix and lie above after, ascending
	// by bytes. An error is the last pair. prefix "" and after "" are open.
	List(ctx context.Context, prefix, after string) iter.Seq2[Attributes, error]
	Properties() Properties
}

// Properties say what a store can do. Capabilities are data, not type switches.
type Properties struct {
	Name        string // for messages: "memory", "dir", "s3", ...
	IfAbsent    bool   // Put with IfAbsent is atomic
	IfVersion   bool   // Put with IfVersion is atomic
	PutID       bool   // keeps a put-id in user metadata and returns it from Head and Get
	MaxPut      int64  // largest body of one Put in bytes, 0 = no limit known
	UploadParts int64  // part size of Upload in bytes, 0 = not in parts
	Local       bool   // a request costs neither money nor a network round trip
	NoProbe     bool   // the user vouches for the store: nobody tries it at open
	Prices      string // name of the table in objstore/prices that the bill follows; "" = free or unknown
}

// A Condition limits a Put. The zero value always writes.
type Condition struct {
	kind    condKind
	version Version
	putID   string
}

type condKind uint8

const (
	always condKind = iota
	ifAbsent
	ifVersion
)

// Always overwrites.
var Always = Condition{}

// IfAbsent writes only when no object has the key.
func IfAbsent() Condition { return Condition{kind: ifAbsent} }

// IfVersion writes only over the given version.
func IfVersion(v Version) Condition { return Condition{kind: ifVersion, version: v} }

// WithPutID returns c with an id that the store keeps in the object's user metadata (name
// PutIDKey), so that a lost answer can be settled by reading it back.
func (c Condition) WithPutID(id string) Condition { c.putID = id; return c }

// IsAlways reports whether c always writes.
func (c Condition) IsAlways() bool { return c.kind == always }

// IsAbsent reports whether c is IfAbsent.
func (c Condition) IsAbsent() bool { return c.kind == ifAbsent }

// OldVersion returns the version of an IfVersion condition.
func (c Condition) OldVersion() (Version, bool) { return c.version, c.kind == ifVersion }

// PutID returns the id given by WithPutID, or "".
func (c Condition) PutID() string { return c.putID }

// PutIDKey is the user metadata key of a put-id. Part of the protocol shared with SlateDB,
// do not change.
const PutIDKey = "slatedbputid"
