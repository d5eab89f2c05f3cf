package ciphers

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	slatedb "github.com/slatedb/slatedb-go"
)

// Options are what may be changed about a Ring. nil means the zero value.
type Options struct {
	// Rand is where nonces come from. It must be unpredictable, never repeat itself and be
	// safe for concurrent use. The default is the system's source; anything else is for tests,
	// since two equal nonces lay open what they encrypt.
	Rand io.Reader
	// AcceptPlain passes sections that no Ring has written through as they are, so that a
	// database that was not encrypted from the start can be opened; DB.Compact then encrypts
	// it. The default is false, they are refused: while it is on, whoever can write to the
	// store can put unencrypted content in.
	AcceptPlain bool
}

// A Ring is a set of keys, of which one is active: it encrypts what is written, the others
// serve to read what is there. It is a slatedb.BlockTransformer.
type Ring struct {
	rand        io.Reader
	acceptPlain bool

	keys    atomic.Pointer[keySet]
	sealing atomic.Pointer[sealer] // nil until the first Encode
	opened  subkeys
	mu      sync.Mutex // serializes changes of keys
}

// keySet is never changed once it is in a Ring.
type keySet struct {
	active uint32
	byID   map[uint32]*master
}

var _ slatedb.BlockTransformer = (*Ring)(nil)

// New makes a ring of keys that writes with the active one. ErrInvalid when active is not among
// them, an id stands there twice, or a secret is not 32 bytes or only zeroes. Secrets are
// copied.
func New(active uint32, keys []Key, o *Options) (*Ring, error) {
	r := &Ring{rand: rand.Reader}
	if o != nil {
		r.acceptPlain = o.AcceptPlain
		if o.Rand != nil {
			r.rand = o.Rand
		}
	}
	for _, k := range keys {
		if err := r.Add(k); err != nil {
			return nil, err
		}
	}
	if err := r.Activate(active); err != nil {
		return nil, err
	}
	return r, nil
}

// Add gives the ring one more key to read with. ErrInvalid when it has one with this id, even
// the same: a key's id is for ever.
func (r *Ring) Add(k Key) error {
	m, err := newMaster(k)
	if err != nil {
		return err
	}
	return r.change(func(s *keySet) error {
		if s.byID[k.ID] != nil {
			return fmt.Errorf("add encryption %v: %w: the id is taken", k, slatedb.ErrInvalid)
		}
		s.byID[k.ID] = m
		return nil
	})
}

// Activate makes the key with this id the one that writes. Sections that are being encoded
// meanwhile may still get the old one. Every process that reads should have the key by now.
// ErrInvalid when there is no such key.
func (r *Ring) Activate(id uint32) error {
	return r.change(func(s *keySet) error {
		if s.byID[id] == nil {
			return fmt.Errorf("activate encryption key %d: %w: it is not in the ring", id, slatedb.ErrInvalid)
		}
		s.active = id
		return nil
	})
}

// Remove takes a key out of the ring: what it has encrypted cannot be read any more. ErrInvalid
// when it is the active one. A key that is not there is no error.
func (r *Ring) Remove(id uint32) error {
	err := r.change(func(s *keySet) error {
		if s.active == id && s.byID[id] != nil {
			return fmt.Errorf("remove encryption key %d: %w: it is the active one", id, slatedb.ErrInvalid)
		}
		delete(s.byID, id)
		return nil
	})
	if err == nil {
		r.opened.forget(id)
	}
	return err
}

// Active returns the id of the key that writes.
func (r *Ring) Active() uint32 { return r.set().active }

// IDs returns the ids of all keys, ascending.
func (r *Ring) IDs() []uint32 { return slices.Sorted(maps.Keys(r.set().byID)) }

// set returns the keys; those of the zero Ring, which nobody made with New, are none.
func (r *Ring) set() *keySet {
	if s := r.keys.Load(); s != nil {
		return s
	}
	return &keySet{}
}

// change puts a changed copy of the keys in the place of the old ones.
func (r *Ring) change(f func(*keySet) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.set()
	s := &keySet{active: old.active, byID: make(map[uint32]*master, len(old.byID)+1)}
	maps.Copy(s.byID, old.byID)
	if err := f(s); err != nil {
		return err
	}
	r.keys.Store(s)
	return nil
}

// Encode encrypts a section with the active key. It fails when the random source does.
func (r *Ring) Encode(plain []byte) ([]byte, error) {
	s, err := r.sealer()
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerLen, len(plain)+EncodedOverhead)
	copy(out, s.head[:])
	nonce := out[headerLen-gcmNonceLen:]
	if _, err := io.ReadFull(r.rand, nonce); err != nil {
		return nil, fmt.Errorf("encrypt: draw a nonce: %w", err)
	}
	return s.aead.Seal(out, nonce, plain, out[:aadLen]), nil
}

// Decode decrypts a section with the key that it names. *UnknownKeyError when that is not in the
// ring; every other error means that the section was changed, or encrypted with another key
// of this id, or is not encrypted. All are ErrCorrupt.
func (r *Ring) Decode(stored []byte) ([]byte, error) {
	id, ok := KeyID(stored)
	if !ok && r.acceptPlain && !hasMagic(stored) {
		return stored, nil
	}
	if !ok {
		return nil, errNotEncrypted
	}
	head := (*[headerLen]byte)(stored)
	aead, cached := r.opened.get(head)
	if !cached {
		m := r.set().byID[id]
		if m == nil {
			return nil, &UnknownKeyError{ID: id}
		}
		var err error
		if aead, err = m.derive((*[saltLen]byte)(head[aadLen:])); err != nil {
			return nil, err
		}
	}
	plain, err := aead.Open(make([]byte, 0, len(stored)-EncodedOverhead), head[headerLen-gcmNonceLen:], stored[headerLen:], head[:aadLen])
	if err != nil {
		return nil, fmt.Errorf("%w: decrypt with key %d: the section was changed, or that key is another one", slatedb.ErrCorrupt, id)
	}
	if !cached {
		// Only now: what somebody has made up must not push keys out that are in use.
		r.opened.put(head, aead)
		if r.set().byID[id] == nil {
			r.opened.forget(id) // it was removed meanwhile
		}
	}
	return plain, nil
}

// EncodedOverhead is by how many bytes Encode makes a section longer.
func (r *Ring) EncodedOverhead() int { return EncodedOverhead }

var errNotEncrypted = fmt.Errorf("%w: decrypt: the section was not encrypted by package ciphers", slatedb.ErrCorrupt)

// An UnknownKeyError says which key is missing from the ring. It is ErrCorrupt, as every
// failure to read what is stored; find it with errors.As.
type UnknownKeyError struct{ ID uint32 }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("decrypt: key %d is not in the ring", e.ID)
}

// Is makes every UnknownKeyError an ErrCorrupt.
func (e *UnknownKeyError) Is(target error) bool { return target == slatedb.ErrCorrupt }

// sealer returns what encrypts with the active key.
func (r *Ring) sealer() (*sealer, error) {
	for {
		s, keys := r.sealing.Load(), r.set()
		m := keys.byID[keys.active]
		if s != nil && s.from == m && s.left.Add(-1) >= 0 {
			return s, nil
		}
		if m == nil {
			return nil, errors.New("encrypt: no active key; make a Ring with New")
		}
		// No lock: the random source may be the program's. Of several that come here at once one
		// stays, which is lost work and nothing worse.
		next, err := r.newSealer(m)
		if err != nil {
			return nil, err
		}
		r.sealing.CompareAndSwap(s, next)
	}
}

// A sealer encrypts with one subkey, up to sealsPerSalt times.
type sealer struct {
	from *master
	aead cipher.AEAD
	head [headerLen]byte // but for the second half of the nonce
	left atomic.Int64
}

func (r *Ring) newSealer(m *master) (*sealer, error) {
	s := &sealer{from: m}
	s.left.Store(sealsPerSalt)
	appendHead(s.head[:0], m.id)
	salt := (*[saltLen]byte)(s.head[aadLen:])
	if _, err := io.ReadFull(r.rand, salt[:]); err != nil {
		return nil, fmt.Errorf("encrypt: draw a nonce: %w", err)
	}
	var err error
	s.aead, err = m.derive(salt)
	return s, err
}
