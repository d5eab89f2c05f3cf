package ciphers

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
)

// A WrappedKey is a key whose secret a key management service has encrypted. It is no secret
// itself, marshals to JSON, and is kept with the program's configuration: the engine stores no
// keys.
type WrappedKey struct {
	ID      uint32 `json:"id"`
	Wrapped []byte `json:"wrapped"`
}

// Generate draws a new key and has it wrapped, by a call to a key management service (Encrypt of
// AWS KMS, of Cloud KMS, wrapKey of Azure). Store the WrappedKey before the Key is used.
// randSource nil is the system's; secret is wrap's for the call only.
func Generate(ctx context.Context, id uint32, wrap func(ctx context.Context, secret []byte) ([]byte, error), randSource io.Reader) (Key, WrappedKey, error) {
	if randSource == nil {
		randSource = rand.Reader
	}
	k := Key{ID: id, Secret: make([]byte, SecretBytes)}
	if _, err := io.ReadFull(randSource, k.Secret); err != nil {
		return Key{}, WrappedKey{}, fmt.Errorf("generate encryption %v: %w", k, err)
	}
	if _, err := newMaster(k); err != nil {
		return Key{}, WrappedKey{}, err
	}
	lent := append([]byte(nil), k.Secret...)
	w, err := wrap(ctx, lent)
	if err != nil {
		return Key{}, WrappedKey{}, fmt.Errorf("wrap encryption %v: %w", k, err)
	}
	return k, WrappedKey{ID: id, Wrapped: append([]byte(nil), w...)}, nil
}

// Unwrap has keys unwrapped, one call each, in order, before the database is opened. Errors of
// unwrap come back wrapped; a secret of a wrong length is ErrInvalid.
func Unwrap(ctx context.Context, keys []WrappedKey, unwrap func(ctx context.Context, wrapped []byte) ([]byte, error)) ([]Key, error) {
	out := make([]Key, 0, len(keys))
	for _, w := range keys {
		secret, err := unwrap(ctx, append([]byte(nil), w.Wrapped...))
		if err != nil {
			return nil, fmt.Errorf("unwrap encryption key %d: %w", w.ID, err)
		}
		k := Key{ID: w.ID, Secret: append([]byte(nil), secret...)}
		if _, err := newMaster(k); err != nil {
			return nil, fmt.Errorf("unwrap: %w", err)
		}
		out = append(out, k)
	}
	return out, nil
}
