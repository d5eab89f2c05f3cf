package ciphers

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	slatedb "github.com/slatedb/slatedb-go"
)

// The stored form; part of the file format, do not change. The last of the four magic bytes is
// the version.
const (
	magic       = "SXG\x01"
	saltLen     = 12 // first half of the nonce, which makes the subkey
	gcmNonceLen = 12 // second half, the nonce of AES-GCM under that subkey
	tagLen      = 16
	aadLen      = len(magic) + 4
	headerLen   = aadLen + saltLen + gcmNonceLen

	// EncodedOverhead is by how many bytes encryption makes a section longer.
	EncodedOverhead = headerLen + tagLen
	// SecretBytes is the length of a secret.
	SecretBytes = 32
)

// sealsPerSalt is how many sections share a subkey. Random nonces of 96 bits under it repeat
// with a chance of 2^(2*16-1-96) = 2^-65; 2^48 sections are 2^32 subkeys, together 2^-33, and
// that two of those subkeys are the same has a chance of 2^-33 too.
const sealsPerSalt = 1 << 16

// A Key is a secret with the number under which stored sections name it. An id belongs to one
// secret for ever. It prints as its id.
type Key struct {
	ID     uint32
	Secret []byte // SecretBytes of unpredictable bytes: not a password
}

// String returns "key" and the id.
func (k Key) String() string { return fmt.Sprintf("key %d", k.ID) }

// Format keeps the secret out of every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// KeyID tells which key a stored section (without its checksum) needs; false when it is not
// one of a Ring.
func KeyID(stored []byte) (id uint32, ok bool) {
	if len(stored) < EncodedOverhead || !hasMagic(stored) {
		return 0, false
	}
	return binary.BigEndian.Uint32(stored[len(magic):]), true
}

func hasMagic(b []byte) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }

func appendHead(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, magic...), id)
}

// A master makes subkeys of one key.
type master struct {
	id    uint32
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC's subkey of full blocks
}

func newMaster(k Key) (*master, error) {
	if len(k.Secret) != SecretBytes {
		return nil, fmt.Errorf("encryption %v: %w: its secret has %d bytes, not %d", k, slatedb.ErrInvalid, len(k.Secret), SecretBytes)
	}
	if [SecretBytes]byte(k.Secret) == [SecretBytes]byte{} {
		return nil, fmt.Errorf("encryption %v: %w: its secret is all zero", k, slatedb.ErrInvalid)
	}
	b, err := aes.NewCipher(k.Secret)
	if err != nil {
		return nil, fmt.Errorf("encryption %v: %w", k, err)
	}
	m := &master{id: k.ID, block: b}
	// CMAC: encrypt zeroes and double in GF(2^128).
	b.Encrypt(m.k1[:], m.k1[:])
	hi, lo := binary.BigEndian.Uint64(m.k1[:8]), binary.BigEndian.Uint64(m.k1[8:])
	carry := hi >> 63
	binary.BigEndian.PutUint64(m.k1[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(m.k1[8:], lo<<1^carry*0x87)
	return m, nil
}

// derive makes the subkey of a salt: the counter mode of NIST SP 800-108r1 over CMAC, with the
// label X, as XAES-256-GCM has it.
func (m *master) derive(salt *[saltLen]byte) (cipher.AEAD, error) {
	var sub [SecretBytes]byte
	for i := range 2 {
		b := sub[i*aes.BlockSize:][:aes.BlockSize]
		b[1], b[2] = byte(i+1), 'X'
		copy(b[4:], salt[:])
		for j := range b {
			b[j] ^= m.k1[j]
		}
		m.block.Encrypt(b, b)
	}
	block, err := aes.NewCipher(sub[:])
	if err != nil {
		return nil, fmt.Errorf("encryption key %d: %w", m.id, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encryption key %d: %w", m.id, err)
	}
	return aead, nil
}

// subkeys remembers the subkeys of what was read lately: about one for each table (or for each
// 65,536 sections of it), and one for each time the database was opened.
type subkeys struct {
	mu sync.RWMutex
	m  map[subkeyName]cipher.AEAD
}

// subkeyName is key id and salt.
type subkeyName [4 + saltLen]byte

// maxSubkeys of about 1 KiB each; more only costs their derivation, half a microsecond.
const maxSubkeys = 1024

func nameOf(head *[headerLen]byte) subkeyName { return subkeyName(head[len(magic):]) }

func (s *subkeys) get(head *[headerLen]byte) (cipher.AEAD, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.m[nameOf(head)]
	return a, ok
}

func (s *subkeys) put(head *[headerLen]byte, a cipher.AEAD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[subkeyName]cipher.AEAD)
	}
	for k := range s.m { // any: which one goes hardly matters
		if len(s.m) < maxSubkeys {
			break
		}
		delete(s.m, k)
	}
	s.m[nameOf(head)] = a
}

// forget drops the subkeys of one key.
func (s *subkeys) forget(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.m {
		if binary.BigEndian.Uint32(k[:]) == id {
			delete(s.m, k)
		}
	}
}
