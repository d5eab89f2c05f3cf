package sst

import (
	"encoding/binary"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/siphash"
)

// BloomOptions shape a bloom filter policy. The zero value filters whole keys.
type BloomOptions struct {
	// Extractor adds a prefix of each key to the filter, for prefix scans.
	Extractor PrefixExtractor
	// NoWholeKeys leaves whole keys out; then points are answered from their prefix.
	NoWholeKeys bool
}

// Bloom returns the policy of the format's bloom filter: about 1% wrong maybes at 10 bits per
// key. The bits per key are not part of its name: filters of any size are understood. They
// are held between 1 and 1000: a filter without bits would say of every key that it is not
// there, and beyond a few dozen more of them change nothing.
func Bloom(bitsPerKey int, o BloomOptions) FilterPolicy {
	p := &bloom{bits: min(max(bitsPerKey, 1), maxBloomBits), o: o, name: legacyFilterName}
	if o.Extractor != nil {
		p.name += ":p=" + o.Extractor.Name()
	}
	if o.NoWholeKeys {
		p.name += ":wh=0"
	}
	return p
}

const maxBloomBits = 1000

type bloom struct {
	name string
	bits int
	o    BloomOptions
}

func (p *bloom) Name() string { return p.name }

func (p *bloom) NewBuilder() FilterBuilder { return &bloomBuilder{p: p} }

// SupportsPrefix: there is something to ask only when prefixes were cut.
func (p *bloom) SupportsPrefix() bool { return p.o.Extractor != nil }

// A bloomBuilder keeps the hashes, since the number of bits follows from their count.
type bloomBuilder struct {
	p      *bloom
	hashes []uint64
	last   []byte // the prefix added last
	any    bool   // a prefix was added
}

// Add adds the prefix of the key when it is not the one added before, and the whole key for
// every row. That versions of a key count several times is part of the format: the bits of
// two writers agree only so.
func (b *bloomBuilder) Add(e *kv.Entry) {
	if x := b.p.o.Extractor; x != nil {
		if n, ok := x.PrefixLen(e.Key, false); ok && uint(n) <= uint(len(e.Key)) {
			if cut := e.Key[:n]; !b.any || string(cut) != string(b.last) {
				b.last, b.any = append(b.last[:0], cut...), true
				b.hashes = append(b.hashes, siphash.Sum64(cut))
			}
		}
	}
	if !b.p.o.NoWholeKeys {
		b.hashes = append(b.hashes, siphash.Sum64(e.Key))
	}
}

// Build returns the number of probes as u16be and the bits. A filter of nothing has no bits.
func (b *bloomBuilder) Build() []byte {
	bytes := (uint64(len(b.hashes))*uint64(b.p.bits) + 7) / 8
	k := min(b.p.bits*69/100, 1<<16-1)
	out := make([]byte, 2+bytes)
	binary.BigEndian.PutUint16(out, uint16(k))
	bits, m := out[2:], 8*bytes
	if m == 0 {
		return out
	}
	for _, hash := range b.hashes {
		h, d := hash&0xffffffff%m, hash>>32%m
		for i := range uint64(k) {
			if d += i; d >= m {
				d %= m
			}
			bits[h>>3] |= 1 << (h & 7)
			if h += d; h >= m {
				h -= m
			}
		}
	}
	return out
}

// MayContain answers points from the whole key or, when the filter has none, from its
// prefix; prefix scans from the prefix; ranges not at all.
func (p *bloom) MayContain(data []byte, q *Query) (bool, error) {
	if len(data) < 2 {
		return false, corruptf("bloom filter of %d bytes", len(data))
	}
	switch {
	case q.Kind == QueryPoint && !p.o.NoWholeKeys:
		if !q.hasWhole {
			q.whole, q.hasWhole = siphash.Sum64(q.Key), true
		}
		return probe(data, q.whole), nil
	case q.Kind == QueryRange || p.o.Extractor == nil:
		return true, nil
	}
	hash, ok := p.cut(q)
	return !ok || probe(data, hash), nil
}

// cut returns the hash of the prefix that the extractor cuts from the query's key.
func (p *bloom) cut(q *Query) (hash uint64, ok bool) {
	slot := &q.cuts[0]
	for i := range q.cuts {
		slot = &q.cuts[i]
		if slot.by == p {
			return slot.hash, slot.ok
		}
		if slot.by == nil {
			break
		}
	}
	n, ok := p.o.Extractor.PrefixLen(q.Key, q.Kind == QueryPrefix)
	ok = ok && uint(n) <= uint(len(q.Key))
	if ok {
		hash = siphash.Sum64(q.Key[:n])
	}
	*slot = cutHash{by: p, hash: hash, ok: ok}
	return hash, ok
}

// probe reports whether all bits of hash are set. A filter without bits holds nothing; the
// number of probes that damaged or hostile bytes ask for costs at most 65,535 steps.
func probe(data []byte, hash uint64) bool {
	k, bits := uint64(binary.BigEndian.Uint16(data)), data[2:]
	m := 8 * uint64(len(bits))
	if m == 0 {
		return false
	}
	h, d := hash&0xffffffff%m, hash>>32%m
	for i := range k {
		if d += i; d >= m {
			d %= m
		}
		if bits[h>>3]&(1<<(h&7)) == 0 {
			return false
		}
		if h += d; h >= m {
			h -= m
		}
	}
	return true
}
