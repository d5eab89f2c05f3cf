package diskcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
)

// The bytes of a slab file, all little endian; docs/design/disk-cache.md draws them. The
// layout is private to this package: a file of another version is made anew.
//
//	0        superblock, superLen: magic, version, part size, slots, number of the slab, crc;
//	         the same again in its second half
//	superLen slots × entryLen: what is in each slot, and its checksums
//	aligned  slots × part size
const (
	superLen   = 4096
	superHalf  = superLen / 2
	entryLen   = 128
	chunks     = 16 // checksums of a part: a hit reads and checks whole chunks only
	entryMagic = 0x5db_ca5e1
	version    = 1
	slabTarget = 64 << 20 // bytes of parts in one file, unless that would be too many files
	slabHuge   = 1 << 30  // the same without a bound
)

var (
	magic      = [16]byte{'s', 'l', 'a', 't', 'e', 'd', 'b', ' ', 'p', 'a', 'r', 't', 's', 0, 0x1a, '\n'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// An objectID stands for an object: a hash of its store and key. 16 bytes of SHA-256 do not
// collide, so that it is taken for the object itself.
type objectID [16]byte

func identify(scope, key string) (id objectID) {
	sum := sha256.Sum256([]byte(scope + "\x00" + key))
	copy(id[:], sum[:])
	return id
}

// A partKey names part n of an object, its bytes from n × part size on.
type partKey struct {
	object objectID
	part   uint32
}

// print is a short name for the ghost queue, where a mix-up costs nothing but order.
func (k partKey) print() uint64 {
	return binary.LittleEndian.Uint64(k.object[:]) ^ uint64(k.part)*0x9e3779b97f4a7c15
}

// geometry is how the bytes of a cache are cut into files. It follows from the options
// alone, so that the sum of all file sizes is bounded before anything is written.
type geometry struct {
	part    int64
	perSlab int // slots of every slab but the last
	slabs   int
	last    int // slots of the last slab
}

func (o *Options) geometry() geometry {
	g := geometry{part: o.PartBytes}
	if o.MaxBytes < 0 {
		g.perSlab = int(slabHuge / o.PartBytes)
		g.slabs, g.last = o.MaxOpenFiles, g.perSlab
		return g
	}
	g.perSlab = int((max(slabTarget, o.MaxBytes/int64(o.MaxOpenFiles)) + o.PartBytes - 1) / o.PartBytes)
	full := slabBytes(g.perSlab, g.part)
	g.slabs = int(min(o.MaxBytes/full, int64(o.MaxOpenFiles)))
	rest := o.MaxBytes - int64(g.slabs)*full
	g.last = g.perSlab
	if g.slabs < o.MaxOpenFiles {
		n := int(min(rest/(g.part+entryLen), int64(g.perSlab)))
		for n > 0 && slabBytes(n, g.part) > rest {
			n--
		}
		if n > 0 {
			g.slabs, g.last = g.slabs+1, n
		}
	}
	return g
}

// slots is the number of slots of slab i.
func (g *geometry) slots(i int) int {
	if i == g.slabs-1 {
		return g.last
	}
	return g.perSlab
}

func (g *geometry) capacity() int { return (g.slabs-1)*g.perSlab + g.last }

// dataAt is where the slots of a slab begin.
func dataAt(slots int) int64 {
	return (superLen + int64(slots)*entryLen + 4095) &^ 4095
}

func slabBytes(slots int, part int64) int64 { return dataAt(slots) + int64(slots)*part }

// slabName is the file of slab i; slabNumber undoes it, false for any other name.
func slabName(i int) string { return leftPad(i) + ".slab" }

func leftPad(i int) string {
	s := strconv.Itoa(i)
	return strings.Repeat("0", max(0, 6-len(s))) + s
}

func slabNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, ".slab")
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i >= 0 && slabName(i) == name
}

// superblock returns the head of slab i.
func (g *geometry) superblock(i int) []byte {
	b := make([]byte, superLen)
	copy(b, magic[:])
	le := binary.LittleEndian
	le.PutUint32(b[16:], version)
	le.PutUint32(b[20:], uint32(g.part))
	le.PutUint32(b[24:], uint32(g.slots(i)))
	le.PutUint32(b[28:], uint32(i))
	le.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
	copy(b[superHalf:], b[:superHalf])
	return b
}

// headVerdict is what the head of a file with a slab's name says about it.
type headVerdict uint8

const (
	foreign headVerdict = iota // somebody else's: never touched
	stale                      // ours, of another version, other options, or damaged: made anew
	ours                       // fits
)

// judgeHead decides from the first superLen bytes (fewer when the file is shorter). A file
// that is ours carries the magic in one of two places, or nothing but zeros, which is what a
// crash leaves of a new file.
func (g *geometry) judgeHead(head []byte, i int) headVerdict {
	want := g.superblock(i)
	if bytes.Equal(head, want) {
		return ours
	}
	has := func(at int) bool { return len(head) >= at+len(magic) && bytes.Equal(head[at:at+len(magic)], magic[:]) }
	if has(0) || has(superHalf) || len(bytes.Trim(head, "\x00")) == 0 {
		return stale
	}
	return foreign
}

// An entry describes what is in a slot.
type entry struct {
	key  partKey
	n    uint32 // bytes; fewer than the part size only at the end of an object
	seq  uint64 // order of writing
	sums [chunks]uint32
}

// append encodes the entry for a slot of a slab. An entry that lies elsewhere is not valid.
func (e *entry) append(dst []byte, slab, slot int) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, entryMagic)
	dst = le.AppendUint32(dst, e.n)
	dst = le.AppendUint32(dst, e.key.part)
	dst = le.AppendUint32(dst, 0)
	dst = append(dst, e.key.object[:]...)
	dst = le.AppendUint64(dst, e.seq)
	for _, s := range e.sums {
		dst = le.AppendUint32(dst, s)
	}
	dst = append(dst, make([]byte, entryLen-4-(len(dst)-start))...)
	return le.AppendUint32(dst, entrySum(dst[start:], slab, slot))
}

// entrySum mixes in the place: other seeds give other sums of the same bytes.
func entrySum(b []byte, slab, slot int) uint32 {
	return crc32.Update(uint32(slab)<<20^uint32(slot), castagnoli, b)
}

// decodeEntry reads the entry of a slot; false when the slot is empty or torn.
func decodeEntry(b []byte, slab, slot int, part int64) (e entry, ok bool) {
	le := binary.LittleEndian
	if len(b) < entryLen || le.Uint32(b) != entryMagic || le.Uint32(b[entryLen-4:]) != entrySum(b[:entryLen-4], slab, slot) {
		return e, false
	}
	e.n, e.key.part = le.Uint32(b[4:]), le.Uint32(b[8:])
	copy(e.key.object[:], b[16:])
	e.seq = le.Uint64(b[32:])
	for i := range e.sums {
		e.sums[i] = le.Uint32(b[40+4*i:])
	}
	return e, e.n > 0 && int64(e.n) <= part
}

// sum fills in the checksums of data.
func (e *entry) sum(data []byte, part int64) {
	chunk := int(part / chunks)
	for i := range e.sums {
		e.sums[i] = 0
		if at := i * chunk; at < len(data) {
			e.sums[i] = crc32.Checksum(data[at:min(at+chunk, len(data))], castagnoli)
		}
	}
}

// check compares data, whole chunks from chunk first on, with the checksums.
func (e *entry) check(data []byte, first int, part int64) bool {
	chunk := int(part / chunks)
	for i := first; len(data) > 0; i++ {
		n := min(chunk, len(data))
		if i >= chunks || crc32.Checksum(data[:n], castagnoli) != e.sums[i] {
			return false
		}
		data = data[n:]
	}
	return true
}
