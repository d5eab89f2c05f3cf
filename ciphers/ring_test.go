package ciphers

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
)

func key(id uint32) Key {
	return Key{ID: id, Secret: bytes.Repeat([]byte{byte(id) + 1}, SecretBytes)}
}

func ring(t testing.TB, active uint32, ids ...uint32) *Ring {
	keys := []Key{key(active)}
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	r, err := New(active, keys, nil)
	require.NoError(t, err)
	return r
}

func encode(t testing.TB, r *Ring, plain []byte) []byte {
	out, err := r.Encode(plain)
	require.NoError(t, err)
	return out
}

// The vectors of the specification of XAES-256-GCM.
func TestXAESVectors(t *testing.T) {
	for _, c := range []struct {
		secret      byte
		aad, sealed string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		m, err := newMaster(Key{Secret: bytes.Repeat([]byte{c.secret}, 32)})
		require.NoError(t, err)
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		a, err := m.derive((*[saltLen]byte)(nonce))
		require.NoError(t, err)
		got := a.Seal(nil, nonce[saltLen:], []byte("XAES-256-GCM"), []byte(c.aad))
		require.Equal(t, c.sealed, hex.EncodeToString(got))
	}
}

// counting is a random source for golden bytes: 0, 1, 2, ...
type counting struct {
	mu sync.Mutex
	n  byte
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p {
		p[i] = c.n
		c.n++
	}
	return len(p), nil
}

// The bytes of a stored section; what is written today must be read for ever.
func TestStoredForm(t *testing.T) {
	r, err := New(7, []Key{key(7)}, &Options{Rand: &counting{}})
	require.NoError(t, err)
	first, second := encode(t, r, []byte("attack at dawn")), encode(t, r, nil)
	const want = "53584701" + "00000007" + // magic, key id
		"000102030405060708090a0b" + "0c0d0e0f1011121314151617" // nonce
	require.Equal(t, want, hex.EncodeToString(first[:headerLen]))
	require.Len(t, first, 14+EncodedOverhead)
	require.Equal(t, goldenSealed, hex.EncodeToString(first[headerLen:]))
	require.Equal(t, first[:headerLen-gcmNonceLen], second[:headerLen-gcmNonceLen], "one subkey serves several sections")
	require.NotEqual(t, first[headerLen-gcmNonceLen:headerLen], second[headerLen-gcmNonceLen:headerLen])
	require.Len(t, second, r.EncodedOverhead())

	got, err := ring(t, 1, 7).Decode(first)
	require.NoError(t, err)
	require.Equal(t, "attack at dawn", string(got))
	got, err = r.Decode(second)
	require.NoError(t, err)
	require.Empty(t, got)
	id, ok := KeyID(first)
	require.True(t, ok)
	require.EqualValues(t, 7, id)
	_, ok = KeyID(first[:EncodedOverhead-1])
	require.False(t, ok)
}

func TestKeysAreChecked(t *testing.T) {
	short, zero := key(3), key(4)
	short.Secret, zero.Secret = short.Secret[:31], make([]byte, 32)
	for name, f := range map[string]func() error{
		"no key":        func() error { _, err := New(0, nil, nil); return err },
		"active absent": func() error { _, err := New(2, []Key{key(1)}, nil); return err },
		"twice":         func() error { _, err := New(1, []Key{key(1), key(1)}, nil); return err },
		"short":         func() error { _, err := New(3, []Key{short}, nil); return err },
		"zero":          func() error { _, err := New(4, []Key{zero}, nil); return err },
		"activate":      func() error { return ring(t, 1).Activate(2) },
		"remove active": func() error { return ring(t, 1).Remove(1) },
		"add twice":     func() error { return ring(t, 1).Add(key(1)) },
	} {
		require.ErrorIs(t, f(), slatedb.ErrInvalid, name)
	}
	var none Ring
	_, err := none.Encode(nil)
	require.Error(t, err)
	_, err = none.Decode(encode(t, ring(t, 1), nil))
	require.ErrorIs(t, err, slatedb.ErrCorrupt)

	k := key(1)
	r, err := New(1, []Key{k}, nil)
	require.NoError(t, err)
	sealed := encode(t, r, []byte("x"))
	clear(k.Secret)
	_, err = r.Decode(sealed)
	require.NoError(t, err, "the secret was copied")
}

func TestRotation(t *testing.T) {
	r := ring(t, 1)
	old := encode(t, r, []byte("old"))
	require.NoError(t, r.Add(key(2)))
	require.EqualValues(t, 1, r.Active())
	require.NoError(t, r.Activate(2))
	fresh := encode(t, r, []byte("new"))
	id, _ := KeyID(fresh)
	require.EqualValues(t, 2, id)
	require.Equal(t, []uint32{1, 2}, r.IDs())
	for _, s := range [][]byte{old, fresh} {
		_, err := r.Decode(s)
		require.NoError(t, err)
	}
	require.NoError(t, r.Remove(1))
	require.NoError(t, r.Remove(1))
	_, err := r.Decode(old)
	var unknown *UnknownKeyError
	require.ErrorAs(t, err, &unknown)
	require.EqualValues(t, 1, unknown.ID)
	require.ErrorIs(t, err, slatedb.ErrCorrupt)
	require.ErrorContains(t, err, "key 1")
	_, err = r.Decode(fresh)
	require.NoError(t, err)
}

// Subkeys change, and those that are remembered are bounded and not to be pushed out by what
// somebody has made up.
func TestSubkeys(t *testing.T) {
	r := ring(t, 1)
	first := encode(t, r, []byte("x"))
	r.sealing.Load().left.Store(1)
	same, other := encode(t, r, []byte("x")), encode(t, r, []byte("x"))
	require.Equal(t, nameOf((*[headerLen]byte)(first)), nameOf((*[headerLen]byte)(same)))
	require.NotEqual(t, nameOf((*[headerLen]byte)(first)), nameOf((*[headerLen]byte)(other)))
	for range maxSubkeys + 10 {
		r.sealing.Load().left.Store(0)
		_, err := r.Decode(encode(t, r, []byte("x")))
		require.NoError(t, err)
		require.LessOrEqual(t, len(r.opened.m), maxSubkeys)
	}
	require.Len(t, r.opened.m, maxSubkeys)
	_, err := r.Decode(first)
	require.NoError(t, err)
	before := len(r.opened.m)
	forged := bytes.Clone(first)
	for i := range 100 {
		forged[aadLen] = byte(i)
		if forged[aadLen] == first[aadLen] {
			continue
		}
		_, err = r.Decode(forged)
		require.ErrorIs(t, err, slatedb.ErrCorrupt)
	}
	require.Len(t, r.opened.m, before)
	_, cached := r.opened.get((*[headerLen]byte)(first))
	require.True(t, cached)
}

func TestEveryChangeIsNoticed(t *testing.T) {
	r := ring(t, 1)
	sealed := encode(t, r, []byte("some plain text"))
	keep := bytes.Clone(sealed)
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		_, err := r.Decode(bad)
		require.ErrorIs(t, err, slatedb.ErrCorrupt, "bit %d", i)
	}
	for n := range sealed {
		_, err := r.Decode(sealed[:n])
		require.ErrorIs(t, err, slatedb.ErrCorrupt, "%d bytes", n)
	}
	// Another secret under the same id.
	other, err := New(1, []Key{{ID: 1, Secret: bytes.Repeat([]byte{99}, 32)}}, nil)
	require.NoError(t, err)
	_, err = other.Decode(sealed)
	require.ErrorIs(t, err, slatedb.ErrCorrupt)
	var unknown *UnknownKeyError
	require.False(t, errors.As(err, &unknown))
	require.Equal(t, keep, sealed, "Decode changes nothing")
}

func TestAcceptPlain(t *testing.T) {
	strict := ring(t, 1)
	lax, err := New(1, []Key{key(1)}, &Options{AcceptPlain: true})
	require.NoError(t, err)
	for _, plain := range []string{"", "x", "a plain block, longer than the overhead of encryption"} {
		_, err := strict.Decode([]byte(plain))
		require.ErrorIs(t, err, slatedb.ErrCorrupt)
		got, err := lax.Decode([]byte(plain))
		require.NoError(t, err)
		require.Equal(t, plain, string(got))
	}
	sealed := encode(t, strict, []byte("x"))
	got, err := lax.Decode(sealed)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	sealed[len(sealed)-1] ^= 1
	_, err = lax.Decode(sealed)
	require.ErrorIs(t, err, slatedb.ErrCorrupt, "a damaged section is not plain")
	_, err = lax.Decode(sealed[:20])
	require.ErrorIs(t, err, slatedb.ErrCorrupt)
}

type failingSource struct{ good int }

func (f *failingSource) Read(p []byte) (int, error) {
	if f.good--; f.good < 0 {
		return 0, errors.New("no randomness today")
	}
	for i := range p {
		p[i] = byte(f.good)
	}
	return len(p), nil
}

func TestFailingRandomSource(t *testing.T) {
	for good := range 2 {
		r, err := New(1, []Key{key(1)}, &Options{Rand: &failingSource{good}})
		require.NoError(t, err)
		_, err = r.Encode([]byte("x"))
		require.ErrorContains(t, err, "no randomness today")
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	k := Key{ID: 5, Secret: []byte("SECRETSECRETSECRETSECRETSECRET!!")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, &k)
		fmt.Fprintf(&out, verb, []Key{k})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", k)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "key", k)
	assert.NotContains(t, out.String(), "SECRET")
	assert.NotContains(t, out.String(), hex.EncodeToString([]byte("SECRET")))
	assert.Contains(t, out.String(), "key 5")
}

func TestConcurrentUse(t *testing.T) {
	r := ring(t, 1, 2)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				plain := fmt.Appendf(nil, "%d/%d", g, i)
				sealed, err := r.Encode(plain)
				if !assert.NoError(t, err) {
					return
				}
				got, err := r.Decode(sealed)
				assert.NoError(t, err)
				assert.Equal(t, plain, got)
				if i%50 == 0 {
					assert.NoError(t, r.Activate(uint32(1+g%2)))
					if s := r.sealing.Load(); s != nil {
						s.left.Store(1)
					}
				}
			}
		})
	}
	wg.Wait()
}

// One slice for what is returned, nothing else.
func TestAllocations(t *testing.T) {
	r := ring(t, 1)
	plain := make([]byte, 4096)
	sealed := encode(t, r, plain)
	_, err := r.Decode(sealed)
	require.NoError(t, err)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = r.Encode(plain) }), 1.0)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = r.Decode(sealed) }), 1.0)
}

func TestEnvelope(t *testing.T) {
	ctx := context.Background()
	flip := func(_ context.Context, b []byte) ([]byte, error) { // a poor service
		for i := range b {
			b[i] ^= 0xa5
		}
		return b, nil
	}
	k, w, err := Generate(ctx, 9, flip, nil)
	require.NoError(t, err)
	text, err := json.Marshal([]WrappedKey{w})
	require.NoError(t, err)
	var back []WrappedKey
	require.NoError(t, json.Unmarshal(text, &back))
	keys, err := Unwrap(ctx, back, flip)
	require.NoError(t, err)
	require.Equal(t, []Key{k}, keys)
	require.Equal(t, w, back[0], "what is unwrapped stays as it is")

	refuse := errors.New("access denied")
	_, err = Unwrap(ctx, back, func(context.Context, []byte) ([]byte, error) { return nil, refuse })
	require.ErrorIs(t, err, refuse)
	require.ErrorContains(t, err, "key 9")
	_, err = Unwrap(ctx, back, func(context.Context, []byte) ([]byte, error) { return []byte("short"), nil })
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	_, _, err = Generate(ctx, 9, func(context.Context, []byte) ([]byte, error) { return nil, refuse }, nil)
	require.ErrorIs(t, err, refuse)
	_, _, err = Generate(ctx, 9, flip, &failingSource{})
	require.ErrorContains(t, err, "no randomness today")
	_, _, err = Generate(ctx, 9, flip, &failingSource{1})
	require.ErrorIs(t, err, slatedb.ErrInvalid, "all zero")
}

func FuzzDecode(f *testing.F) {
	r := ring(f, 1)
	f.Add(encode(f, r, []byte("x")))
	f.Add(encode(f, ring(f, 2), nil))
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		keep := bytes.Clone(b)
		if _, err := r.Decode(b); err != nil {
			require.ErrorIs(t, err, slatedb.ErrCorrupt)
		}
		require.Equal(t, keep, b)
		sealed := encode(t, r, b)
		require.Len(t, sealed, len(b)+EncodedOverhead)
		got, err := r.Decode(sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, got))
	})
}

func BenchmarkRing(b *testing.B) {
	r := ring(b, 1)
	plain := make([]byte, 4096)
	sealed := encode(b, r, plain)
	for name, f := range map[string]func() ([]byte, error){
		"encode": func() ([]byte, error) { return r.Encode(plain) },
		"decode": func() ([]byte, error) { return r.Decode(sealed) },
	} {
		b.Run(name+"/block=4096", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(4096)
			for b.Loop() {
				if _, err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("derive", func(b *testing.B) {
		b.ReportAllocs()
		var a cipher.AEAD
		for b.Loop() {
			a, _ = r.set().byID[1].derive(new([saltLen]byte))
		}
		_ = a
	})
}

// goldenSealed is ciphertext and tag.
const goldenSealed = "2c8d64a4936353fea20008397af14755101931c9e5ea67e7904ebd874b52"
