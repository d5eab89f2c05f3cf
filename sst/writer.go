package sst

import (
	"bytes"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// WriterOptions are the settings of a new compacted table.
type WriterOptions struct {
	// BlockSize is the plain size at which a data block is cut. The default is 4096, the
	// most 65,536. A row larger than that has a block of its own.
	BlockSize   int
	Codec       Codec
	Transformer Transformer
	// Policies build the filters, in this order.
	Policies []FilterPolicy
	// MinFilterKeys is the number of rows from which a table gets filters. The default is
	// 1000. Negative: every table gets them.
	MinFilterKeys int
	// SizeHint is about how large the object will become: room that is taken at once
	// instead of growing and copying. The default is none.
	SizeHint int
}

const defaultMinFilterKeys = 1000

// A Writer builds a compacted table in memory. It belongs to one goroutine. The first error
// stays.
//
// Without codec and transformer rows are written where they will stand in the object;
// otherwise a block is built aside and its stored form appended.
type Writer struct {
	o       WriterOptions
	body    []byte
	scratch []byte // the open block, unless it is built in body
	inPlace bool
	block   BlockBuilder
	open    BlockStats // counts of the open block
	filters tableFilters
	index   indexBuilder
	stats   Stats
	rows    int
	lastSeq kv.Seq
	first   []byte
	done    bool
	err     error
}

// NewWriter begins a table.
func NewWriter(o WriterOptions) *Writer {
	if o.BlockSize <= 0 {
		o.BlockSize = DefaultBlockSize
	}
	switch {
	case o.MinFilterKeys == 0:
		o.MinFilterKeys = defaultMinFilterKeys
	case o.MinFilterKeys < 0:
		o.MinFilterKeys = 0
	}
	w := &Writer{o: o, inPlace: o.Codec == NoCompression && o.Transformer == nil}
	if !o.Codec.Valid() {
		w.err = fmt.Errorf("%w: Codec %d", kv.ErrInvalid, o.Codec)
	}
	if len(o.Policies) > math.MaxUint16 {
		w.err = fmt.Errorf("%w: %d Policies", kv.ErrInvalid, len(o.Policies))
	}
	if err := w.filters.begin(o.Policies); err != nil && w.err == nil {
		w.err = err
	}
	if o.SizeHint > 0 {
		w.body = make([]byte, 0, o.SizeHint)
	}
	w.startBlock(nil)
	return w
}

// Rows is the number of rows added.
func (w *Writer) Rows() int { return w.rows }

// EstimatedBytes is about the size of the object if it were finished now, filters left out.
func (w *Writer) EstimatedBytes() int {
	n := len(w.body) + len(w.index.slab) + 40*len(w.index.ends) + 256
	if !w.inPlace {
		n += len(w.scratch)
	}
	return n
}

// Add adds a row: keys ascending, versions of one key by descending seq. It copies key and
// value. A row that breaks the order or a limit of the format is kv.ErrInvalid.
func (w *Writer) Add(e *kv.Entry) error {
	if w.err != nil {
		return w.err
	}
	if err := w.check(e); err != nil {
		w.err = err
		return err
	}
	if !w.block.Fits(e) {
		last := w.block.LastKey()
		shared := matchLen(last, e.Key)
		// The shortest prefix of the key that is above the last block; the whole key when
		// its versions are split over two blocks.
		separator := e.Key[:min(shared+1, len(e.Key))]
		if w.err = w.endBlock(); w.err != nil {
			return w.err
		}
		w.startBlock(separator)
	}
	if w.inPlace {
		w.body = w.block.Append(w.body, e)
	} else {
		w.scratch = w.block.Append(w.scratch, e)
	}
	w.count(e)
	if w.err = w.filters.add(e); w.err != nil {
		return w.err
	}
	return nil
}

func (w *Writer) check(e *kv.Entry) error {
	switch {
	case w.done:
		return fmt.Errorf("%w: Add after Finish", kv.ErrInvalid)
	case len(e.Key) == 0:
		return fmt.Errorf("%w: empty key", kv.ErrInvalid)
	case uint64(len(e.Key)) > math.MaxUint32:
		return fmt.Errorf("%w: key of %d bytes", kv.ErrInvalid, len(e.Key))
	case uint64(len(e.Value)) > math.MaxUint32:
		return fmt.Errorf("%w: value of %d bytes", kv.ErrInvalid, len(e.Value))
	case e.Kind > kv.Merge:
		return fmt.Errorf("%w: row of kind %d", kv.ErrInvalid, e.Kind)
	case w.rows == 0:
		w.first = bytes.Clone(e.Key)
		return nil
	}
	if c := bytes.Compare(w.block.LastKey(), e.Key); c > 0 || (c == 0 && e.Seq >= w.lastSeq) {
		return fmt.Errorf("%w: row %q at seq %d does not belong behind %q at seq %d",
			kv.ErrInvalid, clip(e.Key), e.Seq, clip(w.block.LastKey()), w.lastSeq)
	}
	return nil
}

// clip keeps messages short.
func clip(key []byte) []byte { return key[:min(len(key), 64)] }

func (w *Writer) count(e *kv.Entry) {
	w.rows++
	w.lastSeq = e.Seq
	w.stats.RawKeyBytes += uint64(len(e.Key))
	switch e.Kind {
	case kv.Tombstone:
		w.stats.Deletes++
		bump(&w.open.Deletes)
		return
	case kv.Merge:
		w.stats.Merges++
		bump(&w.open.Merges)
	default:
		w.stats.Puts++
		bump(&w.open.Puts)
	}
	w.stats.RawValueBytes += uint64(len(e.Value))
}

// bump counts to the largest u16 and stays there.
func bump(c *uint16) {
	if *c < math.MaxUint16 {
		*c++
	}
}

// startBlock begins a block with the given index key.
func (w *Writer) startBlock(separator []byte) {
	w.index.add(uint64(len(w.body)), separator)
	w.open = BlockStats{}
	if w.inPlace {
		w.body = w.block.Reset(w.body, w.o.BlockSize)
	} else {
		w.scratch = w.block.Reset(w.scratch[:0], w.o.BlockSize)
	}
}

func (w *Writer) endBlock() (err error) {
	if w.inPlace {
		start := int(w.index.offsets[len(w.index.offsets)-1])
		w.body = appendCRC(w.block.Finish(w.body), start)
	} else {
		w.scratch = w.block.Finish(w.scratch)
		if w.body, err = sealSection(w.body, w.scratch, w.o.Codec, w.o.Transformer); err != nil {
			return fmt.Errorf("seal block %d: %w", len(w.stats.Blocks), err)
		}
	}
	w.stats.Blocks = append(w.stats.Blocks, w.open)
	return nil
}

// Finish returns the whole object and the metadata for the manifest. A table has at least
// one row. The Writer is of no more use then.
func (w *Writer) Finish() (body []byte, info Info, err error) {
	switch {
	case w.err != nil:
		return nil, Info{}, w.err
	case w.done:
		return nil, Info{}, fmt.Errorf("%w: Finish called twice", kv.ErrInvalid)
	case w.rows == 0:
		return nil, Info{}, fmt.Errorf("%w: table without rows", kv.ErrInvalid)
	}
	w.done = true
	last := bytes.Clone(w.block.LastKey())
	if err := w.endBlock(); err != nil {
		return nil, Info{}, err
	}
	info = Info{First: w.first, Last: last, Codec: w.o.Codec, CompositeFilter: true}
	info.FilterOffset = uint64(len(w.body))
	if w.rows >= w.o.MinFilterKeys {
		named, err := w.filters.build()
		if err != nil {
			return nil, Info{}, err
		}
		if len(named) > 0 {
			if info.FilterLen, err = w.section("filters", appendFilters(nil, named)); err != nil {
				return nil, Info{}, err
			}
		}
	}
	info.IndexOffset = uint64(len(w.body))
	if info.IndexLen, err = w.section("index", w.index.build()); err != nil {
		return nil, Info{}, err
	}
	info.StatsOffset = uint64(len(w.body))
	if info.StatsLen, err = w.section("statistics", w.stats.build()); err != nil {
		return nil, Info{}, err
	}
	body = appendTail(w.body, &info)
	w.body, w.scratch = nil, nil
	return body, info, nil
}

// section appends a sealed section and returns its stored length.
func (w *Writer) section(name string, plain []byte) (uint64, error) {
	start := len(w.body)
	var err error
	if w.body, err = sealSection(w.body, plain, w.o.Codec, w.o.Transformer); err != nil {
		return 0, fmt.Errorf("seal %s: %w", name, err)
	}
	return uint64(len(w.body) - start), nil
}
