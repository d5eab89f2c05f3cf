package sst

import "bytes"

// warm fetches what the sources' first rows need from memory to the processor, a stage at a
// time for all of them. Each stage is a load that the next one depends on: block header, the
// places in the block, rows. Loads of different sources do not depend on one another and
// overlap, while sources that began one after another would wait for each in turn. A short
// scan of cached blocks spends most of its time with these waits.
//
// It is called when the first source begins, at key (nil: at the start of the range), and does
// nothing but ask the filters of all sources that have their metadata.
func (g *Group) warm(key []byte) {
	g.begun = true
	if len(g.members) < 2 {
		return
	}
	var few [len(g.few)]*Block
	blocks := few[:0]
	for i := 0; i < len(g.members) && len(blocks) < len(few); {
		m := g.members[i]
		if !m.started && !m.takeMeta() && m.done {
			continue // it left the group
		}
		i++
		var b *Block
		if m.m != nil && !m.desc {
			if cells := m.v.r.cells.Blocks(); m.firstBlock(key) < len(cells) {
				b = cells[m.firstBlock(key)].Load()
			}
		}
		blocks = append(blocks, b)
	}
	var x byte
	for _, b := range blocks {
		if b != nil {
			x ^= b.common ^ b.prefix[0] ^ byte(b.inline[0]) ^ byte(b.inline[len(b.inline)-1])
		}
	}
	for i, b := range blocks {
		if b == nil {
			continue
		}
		pos := 0
		if k := g.members[i].firstKey(key); len(k) > 0 && !b.v1 {
			pos, _ = b.seekStart(k)
		}
		for n := 0; n < warmLines && pos < b.rowsEnd; n++ {
			x ^= b.data[pos]
			pos += 64
		}
	}
	g.warmed ^= x
}

// warmLines is how many cache lines of rows are fetched: some rows for each source.
const warmLines = 6

// firstKey is where the walk from key (nil: from the start of the range) begins.
func (it *Iter) firstKey(key []byte) []byte {
	if key == nil || bytes.Compare(key, it.rng.Start) <= 0 {
		return it.rng.Start
	}
	return key
}

// firstBlock is the block where an ascending walk from key begins.
func (it *Iter) firstBlock(key []byte) int {
	if key = it.firstKey(key); len(key) == 0 || len(key) == len(it.rng.Start) && &key[0] == &it.rng.Start[0] {
		return it.lo
	}
	return max(it.m.Index.lookupStart(key), it.lo)
}

// approach is called when a walk enters block i, and it has gone on for some blocks. It fetches
// from memory the header of the block after the next one and, since the header of the next one
// was fetched so before, the first rows of that. All these loads overlap, while a
// walk that comes to a block waits for its header and then for its rows.
func (it *Iter) approach(i int) {
	cells := it.v.r.cells.Blocks()
	var x byte
	if n := i + 2; n <= it.hi && n < len(cells) {
		if b := cells[n].Load(); b != nil {
			x ^= b.common
		}
	}
	if n := i + 1; n <= it.hi && n < len(cells) {
		if b := cells[n].Load(); b != nil && len(b.data) >= approachBytes {
			for at := 0; at < approachBytes; at += 64 {
				x ^= b.data[at]
			}
		}
	}
	it.warmed ^= x
}

// approachBytes is how much of a block is fetched before the walk comes to it; the processor
// finds out about the rest.
const approachBytes = 256
