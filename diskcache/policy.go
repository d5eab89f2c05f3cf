package diskcache

import "slices"

// policy decides which part makes room for the next one. It is S3-FIFO: new parts enter a
// small queue of a tenth of the slots, and only those that are asked for twice while they
// are in it go on to the main queue; the others leave soon, so that a long scan does not
// sweep out what is read again and again. A part that comes back shortly after it left the
// small queue (the ghosts remember it) goes to the main queue at once. The main queue is a
// FIFO in which parts that were asked for get another round, up to three.
//
// Beside plain LRU this needs no reordering on a hit (a counter of two bits), and beside
// random choice it keeps what is hot. It is a pure data structure: slots are numbers, and
// nothing in it is a pointer, so that the collector does not walk it.
type policy struct {
	nodes  []node
	queues [3]queue // of queueNone nothing is kept
	ghosts map[uint64]struct{}
	ring   []uint64 // the ghosts in order, overwritten at next
	next   int
}

type node struct {
	print      uint64
	prev, next int32 // towards the newest, towards the oldest; -1 = end
	queue      uint8
	hits       uint8
}

type queue struct {
	newest, oldest int32
	n              int
}

const (
	queueNone = iota
	queueSmall
	queueMain

	maxHits    = 3
	smallShare = 10 // the small queue has one slot in so many
)

func newPolicy() *policy {
	p := &policy{ghosts: make(map[uint64]struct{})}
	for i := range p.queues {
		p.queues[i] = queue{newest: -1, oldest: -1}
	}
	return p
}

// grow makes room for slots below n.
func (p *policy) grow(n int) {
	p.nodes = slices.Grow(p.nodes, max(0, n-len(p.nodes)))
	for len(p.nodes) < n {
		p.nodes = append(p.nodes, node{prev: -1, next: -1})
	}
}

// insert adds a slot that was written now.
func (p *policy) insert(id int32, print uint64) {
	q := uint8(queueSmall)
	if _, ok := p.ghosts[print]; ok {
		delete(p.ghosts, print)
		q = queueMain
	}
	p.nodes[id].print = print
	p.push(id, q)
}

// restore adds a slot that was found at the start; the oldest comes first.
func (p *policy) restore(id int32, print uint64) {
	p.nodes[id].print = print
	p.push(id, queueMain)
}

// hit notes that a slot was read.
func (p *policy) hit(id int32) {
	if n := &p.nodes[id]; n.hits < maxHits {
		n.hits++
	}
}

// remove takes a slot out, without a trace.
func (p *policy) remove(id int32) {
	if p.nodes[id].queue != queueNone {
		p.unlink(id)
	}
}

// len is how many slots are in the queues.
func (p *policy) len() int { return p.queues[queueSmall].n + p.queues[queueMain].n }

// victim takes out the slot that is to make room, -1 when there is none.
func (p *policy) victim() int32 {
	for p.len() > 0 {
		if s := &p.queues[queueSmall]; s.n > 0 && (s.n > p.len()/smallShare || p.queues[queueMain].n == 0) {
			id := s.oldest
			again := p.nodes[id].hits > 1
			p.unlink(id)
			if again {
				p.push(id, queueMain)
				continue
			}
			p.remember(p.nodes[id].print)
			return id
		}
		id := p.queues[queueMain].oldest
		hits := p.nodes[id].hits
		p.unlink(id)
		if hits == 0 {
			return id
		}
		p.push(id, queueMain)
		p.nodes[id].hits = hits - 1
	}
	return -1
}

// remember adds a ghost; there are as many as slots.
func (p *policy) remember(print uint64) {
	if len(p.ring) < len(p.nodes) {
		p.ring = append(p.ring, print)
	} else {
		delete(p.ghosts, p.ring[p.next])
		p.ring[p.next] = print
		p.next = (p.next + 1) % len(p.ring)
	}
	p.ghosts[print] = struct{}{}
}

// push makes id the newest of a queue, not yet hit.
func (p *policy) push(id int32, to uint8) {
	q, n := &p.queues[to], &p.nodes[id]
	n.queue, n.hits, n.prev, n.next = to, 0, -1, q.newest
	if q.newest >= 0 {
		p.nodes[q.newest].prev = id
	} else {
		q.oldest = id
	}
	q.newest = id
	q.n++
}

func (p *policy) unlink(id int32) {
	n := &p.nodes[id]
	q := &p.queues[n.queue]
	if n.prev >= 0 {
		p.nodes[n.prev].next = n.next
	} else {
		q.newest = n.next
	}
	if n.next >= 0 {
		p.nodes[n.next].prev = n.prev
	} else {
		q.oldest = n.prev
	}
	q.n--
	n.queue, n.prev, n.next = queueNone, -1, -1
}
