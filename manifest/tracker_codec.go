package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Tracker bytes: version, count (little endian), then two bit blocks, the seqs and the
// times. A block is the count again, the first value, and for each later value the change of
// the difference ("delta of delta") in one of five lengths. manifest.md section 6.

var errTracker = errors.New("sequence tracker")

// Prefix and payload lengths of the classes of a delta of delta, smallest first. The last is
// 32 or 64 bits by version. Part of the file format, do not change.
var trackClasses = [...]struct {
	prefix     uint64
	prefixBits int
	bits       int
}{{0b10, 2, 7}, {0b110, 3, 9}, {0b1110, 4, 12}}

const lastClass, lastClassBits = 0b1111, 4

// Append appends the encoded tracker to dst. Version 2 is written only when a step needs it,
// since releases before 0.18 cannot read it.
func (t *Tracker) Append(dst []byte) []byte {
	n := len(t.points)
	version, wide := byte(1), 32
	for _, series := range [...]func(int) uint64{t.seq, t.unix} {
		var prev, delta uint64
		for i := range n {
			v := series(i)
			if i > 0 {
				if dod := int64(v - prev - delta); dod < math.MinInt32 || dod > math.MaxInt32 {
					version, wide = 2, 64
				}
				delta = v - prev
			}
			prev = v
		}
	}
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	for _, series := range [...]func(int) uint64{t.seq, t.unix} {
		w := bitWriter{dst: dst}
		w.write(uint64(n), 32)
		var prev, delta uint64
		for i := range n {
			v := series(i)
			if i == 0 {
				w.write(v, 64)
			} else {
				w.step(int64(v-prev-delta), wide)
				delta = v - prev
			}
			prev = v
		}
		dst = w.flush()
	}
	return dst
}

func (t *Tracker) seq(i int) uint64  { return uint64(t.points[i].Seq) }
func (t *Tracker) unix(i int) uint64 { return uint64(t.points[i].Unix) }

// DecodeTracker reads a tracker. It copies.
func DecodeTracker(b []byte) (Tracker, error) {
	if len(b) < 5 {
		return Tracker{}, fmt.Errorf("%w: %d bytes", errTracker, len(b))
	}
	wide := 0
	switch b[0] {
	case 1:
		wide = 32
	case 2:
		wide = 64
	default:
		return Tracker{}, fmt.Errorf("%w: unknown version %d", errTracker, b[0])
	}
	n := uint64(binary.LittleEndian.Uint32(b[1:]))
	// Every pair takes a bit at least in both blocks: bounds the allocation.
	if 2*n > uint64(len(b)-5)*8 {
		return Tracker{}, fmt.Errorf("%w: %d pairs in %d bytes", errTracker, n, len(b))
	}
	t := Tracker{points: make([]TrackPoint, n)}
	rest, err := trackBlock(b[5:], int(n), wide, func(i int, v uint64) { t.points[i].Seq = kv.Seq(v) })
	if err != nil {
		return Tracker{}, fmt.Errorf("sequence numbers: %w", err)
	}
	rest, err = trackBlock(rest, int(n), wide, func(i int, v uint64) { t.points[i].Unix = int64(v) })
	if err != nil {
		return Tracker{}, fmt.Errorf("times: %w", err)
	}
	if len(rest) > 0 {
		return Tracker{}, fmt.Errorf("%w: %d bytes behind the end", errTracker, len(rest))
	}
	return t, nil
}

// trackBlock reads one bit block and returns the bytes behind it.
func trackBlock(b []byte, n, wide int, set func(int, uint64)) (rest []byte, err error) {
	r := bitReader{b: b}
	if got := r.read(32); !r.short && got != uint64(n) {
		return nil, fmt.Errorf("%w: block of %d values, want %d", errTracker, got, n)
	}
	var v, delta uint64
	for i := range n {
		if i == 0 {
			v = r.read(64)
		} else {
			delta += r.step(wide)
			v += delta
		}
		if r.short {
			break
		}
		set(i, v)
	}
	if r.short {
		return nil, fmt.Errorf("%w: bits end early", errTracker)
	}
	return b[(r.pos+7)/8:], nil
}

// bitWriter appends bits, most significant first.
type bitWriter struct {
	dst  []byte
	acc  uint64 // the last free bits of the byte in progress
	fill int    // bits in acc, below 8
}

func (w *bitWriter) write(v uint64, n int) {
	for n > 0 {
		take := min(n, 8-w.fill)
		part := v >> (n - take) & (1<<take - 1)
		w.acc = w.acc<<take | part
		w.fill += take
		n -= take
		if w.fill == 8 {
			w.dst = append(w.dst, byte(w.acc))
			w.acc, w.fill = 0, 0
		}
	}
}

func (w *bitWriter) step(dod int64, wide int) {
	if dod == 0 {
		w.write(0, 1)
		return
	}
	for _, c := range trackClasses {
		// Symmetric: the most negative value of each length goes to the next class.
		if limit := int64(1)<<(c.bits-1) - 1; dod >= -limit && dod <= limit {
			w.write(c.prefix, c.prefixBits)
			w.write(uint64(dod), c.bits)
			return
		}
	}
	w.write(lastClass, lastClassBits)
	w.write(uint64(dod), wide)
}

func (w *bitWriter) flush() []byte {
	if w.fill > 0 {
		w.write(0, 8-w.fill)
	}
	return w.dst
}

// bitReader reads bits; short is set for good when they run out.
type bitReader struct {
	b     []byte
	pos   int // in bits
	short bool
}

func (r *bitReader) read(n int) uint64 {
	if n > len(r.b)*8-r.pos {
		r.short = true
		r.pos = len(r.b) * 8
		return 0
	}
	var v uint64
	for n > 0 {
		take := min(n, 8-r.pos&7)
		part := uint64(r.b[r.pos>>3]) >> (8 - r.pos&7 - take) & (1<<take - 1)
		v = v<<take | part
		r.pos += take
		n -= take
	}
	return v
}

// step reads a delta of delta, sign extended.
func (r *bitReader) step(wide int) uint64 {
	ones := 0
	for ones < lastClassBits && r.read(1) == 1 {
		ones++
	}
	if ones == 0 {
		return 0
	}
	bits := wide
	if ones < lastClassBits {
		bits = trackClasses[ones-1].bits
	}
	return uint64(int64(r.read(bits)<<(64-bits)) >> (64 - bits))
}
