package slatedb

import (
	"bytes"
	"fmt"
	"sort"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// tracker remembers which keys were committed lately, for those who may ask: transactions
// and conditional writes. It belongs to the commit section: commitMu guards all of it, so
// that a check and the commit it allows are one step, and a window cannot open between a
// commit's look at the tracker and its publication.
//
// While no window is open nothing is recorded: a plain write pays one comparison. While one
// is, each committed key has one node with the seq of its newest commit, found by a map and kept
// in a list by age. A commit of a key that every open window can see already is not even
// noted again.
//
// Only while a transaction has scanned something, the nodes are in a treap by key too, in which
// every node knows the newest seq below it, so that "was anything in this range committed
// after S" is a walk down two paths however many keys the range or the tracker holds. Keeping it
// costs several times what the map costs, which is why most writes do not.
//
// Two facts make the treap's upkeep cheap. A seq that is raised is larger than all before, so the
// maxima above it need no look. And a node that goes has a seq at or below every number that can
// be asked about, so a maximum that still counts it is never mistaken for a hit and need not be
// repaired.
type tracker struct {
	windows seqList // who may still ask, and since when

	byKey   map[string]uint32
	chunks  [][]trackNode // nodes by number, from 1; chunks so that growing copies nothing
	top     uint32        // newest number ever handed out
	free    uint32        // freed nodes, linked by right
	root    uint32
	tree    uint32 // nodes of this generation are in the treap
	rangers int    // open windows that ask about ranges
	oldest  uint32 // ends of the list by age
	newest  uint32
	count   int
	bytes   int    // what the nodes and their keys hold
	rnd     uint64 // treap priorities; chance, not secrets

	// limit bounds bytes. Above it the oldest nodes are forgotten and floor rises to their
	// seq: who asks since before the floor is told that there is a conflict.
	limit int
	floor kv.Seq

	// backlog says that there was more to prune than a commit liked to; readable without
	// the lock.
	backlog atomic.Bool
}

type trackNode struct {
	key          string
	pfx          uint64 // first 8 bytes of key
	seq, max     kv.Seq // of this key; of this subtree
	left, right  uint32
	older, newer uint32
	prio         uint32
	tree         uint32 // generation of the treap that it is in
}

// A window is somebody's right to ask what was committed since it opened.
type window struct {
	seqReg
	ranges bool // counted in tracker.rangers
}

const (
	chunkBits = 9
	chunkSize = 1 << chunkBits
	// nodeBytes is what a node costs beside its key: itself, its slot in the map and the
	// rounding of the key's allocation.
	nodeBytes = 72 + 40 + 8
	// pruneStep is how many nodes are pruned under one hold of commitMu: some 20 µs.
	pruneStep = 128
)

// conflictCheck is what a transaction or a conditional write has to be checked for in the
// commit section, besides the rows that it writes.
type conflictCheck struct {
	window   *window // ended by a successful commit
	since    kv.Seq
	reads    map[string]struct{}
	ranges   []kv.Range
	unmarked map[string]struct{} // written, but neither checked nor recorded
}

// A conflictError says which key was in the way.
type conflictError struct {
	key   string
	since kv.Seq
	old   bool
}

func (e *conflictError) Unwrap() error { return ErrConflict }

func (e *conflictError) Error() string {
	if e.old {
		return fmt.Sprintf("%v: the history of commits since seq %d was too long to be kept", ErrConflict, e.since)
	}
	return fmt.Sprintf("%v: key %q was written after seq %d", ErrConflict, e.key, e.since)
}

func (t *tracker) at(n uint32) *trackNode { return &t.chunks[(n-1)>>chunkBits][(n-1)&(chunkSize-1)] }

// check returns nil when none of what s wrote or read was committed after s.check.since.
func (t *tracker) check(s *rowSet) *conflictError {
	c := s.check
	if c.since < t.floor {
		return &conflictError{since: c.since, old: true}
	}
	if t.newest == 0 || t.at(t.newest).seq <= c.since {
		return nil
	}
	if key, hit := t.checkPoints(s); hit {
		return &conflictError{key: key, since: c.since}
	}
	for i := range c.ranges {
		if n := t.inRange(t.root, &c.ranges[i], c.since); n != 0 {
			return &conflictError{key: t.at(n).key, since: c.since}
		}
	}
	return nil
}

// checkPoints compares the keys written and read with those committed since, going over the
// smaller of the two sets.
func (t *tracker) checkPoints(s *rowSet) (string, bool) {
	c := s.check
	steps := len(s.rows) + len(c.reads)
	n := t.newest
	for ; n != 0 && steps >= 0; steps-- {
		x := t.at(n)
		if x.seq <= c.since {
			return "", false
		}
		if _, ok := c.reads[x.key]; ok {
			return x.key, true
		}
		i, ok := sort.Find(len(s.rows), func(i int) int { return bytes.Compare([]byte(x.key), s.rows[i].Key) })
		if ok && !c.skips(s.rows[i].Key) {
			return x.key, true
		}
		n = x.older
	}
	if n == 0 {
		return "", false
	}
	for i := range s.rows {
		key := s.rows[i].Key
		if n := t.byKey[string(key)]; n != 0 && t.at(n).seq > c.since && !c.skips(key) {
			return t.at(n).key, true
		}
	}
	for key := range c.reads {
		if n := t.byKey[key]; n != 0 && t.at(n).seq > c.since {
			return key, true
		}
	}
	return "", false
}

func (c *conflictCheck) skips(key []byte) bool {
	if len(c.unmarked) == 0 {
		return false
	}
	_, ok := c.unmarked[string(key)]
	return ok
}

// inRange returns a node of the subtree that lies in r and was committed after since, or 0.
// A subtree inside r whose maximum is above since holds one, so the walk never goes astray.
func (t *tracker) inRange(n uint32, r *kv.Range, since kv.Seq) uint32 {
	for n != 0 {
		x := t.at(n)
		if x.max <= since {
			return 0
		}
		key := []byte(x.key) // no copy: nobody writes to it
		switch {
		case !r.AboveStart(key):
			n = x.right
		case !r.BelowEnd(key):
			n = x.left
		case x.seq > since:
			return n
		default:
			if hit := t.inRange(x.left, r, since); hit != 0 {
				return hit
			}
			n = x.right
		}
	}
	return 0
}

// open registers a window: from now on commits are recorded. The number is that of the
// newest commit.
func (t *tracker) open(w *window, seq kv.Seq) { t.windows.add(&w.seqReg, seq) }

// end removes a window. It may be called again.
func (t *tracker) end(w *window) {
	t.windows.remove(&w.seqReg)
	if w.ranges {
		w.ranges = false
		if t.rangers--; t.rangers == 0 {
			t.root = 0
			t.tree++ // takes all nodes out
		}
	}
	if t.windows.n == 0 {
		t.clear()
	}
}

// clear forgets everything. The first chunk is kept: small transactions that overlap for a
// moment allocate nothing.
func (t *tracker) clear() {
	if t.top == 0 {
		return
	}
	if len(t.chunks) > 1 {
		t.chunks = append([][]trackNode(nil), t.chunks[0])
	}
	clear(t.chunks[0][:min(t.top, chunkSize)])
	if t.top <= chunkSize {
		clear(t.byKey)
	} else {
		t.byKey = nil
	}
	t.top, t.free, t.root, t.oldest, t.newest, t.count, t.bytes = 0, 0, 0, 0, 0, 0, 0
}

// record notes the keys of a commit, unless nobody but the committer could ask.
func (t *tracker) record(s *rowSet, seq kv.Seq) {
	if s.check != nil {
		t.end(s.check.window)
		if t.windows.n == 0 {
			return
		}
	}
	for i := range s.rows {
		if s.check != nil && s.check.skips(s.rows[i].Key) {
			continue
		}
		t.note(s.rows[i].Key, seq)
	}
	if t.prune(2*len(s.rows)) != t.backlog.Load() {
		t.backlog.Store(!t.backlog.Load())
	}
	for t.bytes > t.limit && t.oldest != 0 {
		t.floor = max(t.floor, t.at(t.oldest).seq)
		t.drop(t.oldest)
	}
}

// prune drops up to n nodes that nobody can ask about and reports whether there are more.
func (t *tracker) prune(n int) (more bool) {
	w := t.windows.front
	for t.oldest != 0 && w != nil && t.at(t.oldest).seq <= w.seq {
		if n == 0 {
			return true
		}
		t.drop(t.oldest)
		n--
	}
	return false
}

// note records one key. seq is at or above every seq noted before.
func (t *tracker) note(key []byte, seq kv.Seq) {
	if n := t.byKey[string(key)]; n != 0 {
		x := t.at(n)
		if x.seq > t.windows.back.seq {
			return // every window that is open conflicts with it already, later ones never do
		}
		t.unlink(x)
		x.seq = seq
		t.link(n, x)
		if t.rangers > 0 {
			t.raise(n, x)
		}
		return
	}
	n := t.free
	if n != 0 {
		t.free = t.at(n).right
	} else {
		t.top++
		n = t.top
		if int(n-1)>>chunkBits == len(t.chunks) {
			t.chunks = append(t.chunks, make([]trackNode, chunkSize))
		}
	}
	t.rnd = t.rnd*6364136223846793005 + 1442695040888963407
	x := t.at(n)
	*x = trackNode{key: string(key), pfx: keyPrefix(key), seq: seq, prio: uint32(t.rnd >> 32)}
	if t.byKey == nil {
		t.byKey = make(map[string]uint32)
	}
	t.byKey[x.key] = n
	t.link(n, x)
	if t.rangers > 0 {
		t.plant(n, x)
	}
	t.count++
	t.bytes += nodeBytes + len(key)
}

// watch makes sure that the treap has every key that a window can ask about. From then on it is
// kept so. It works on the nodes from number at on, a few at a time, and returns the next, 0
// at the end.
func (t *tracker) watch(w *window, at uint32) uint32 {
	if !w.ranges {
		if w.ranges = true; t.rangers == 0 {
			t.tree++
		}
		t.rangers++
	}
	for n := at; n <= t.top; n++ {
		if n == at+pruneStep {
			return n
		}
		if x := t.at(n); x.seq > w.seq && x.tree != t.tree {
			t.plant(n, x)
		}
	}
	return 0
}

// plant puts a node into the treap.
func (t *tracker) plant(n uint32, x *trackNode) {
	x.left, x.right, x.max, x.tree = 0, 0, x.seq, t.tree
	t.root = t.insert(t.root, n, x)
}

// raise tells the treap that a node's seq is the largest of all now.
func (t *tracker) raise(n uint32, x *trackNode) {
	if x.tree != t.tree {
		t.plant(n, x)
		return
	}
	for m := t.root; ; {
		y := t.at(m)
		y.max = x.seq
		switch {
		case m == n:
			return
		case x.before(y):
			m = y.left
		default:
			m = y.right
		}
	}
}

// insert puts node n into the subtree and returns the subtree's root.
func (t *tracker) insert(root, n uint32, x *trackNode) uint32 {
	if root == 0 {
		return n
	}
	y := t.at(root)
	if x.prio > y.prio {
		x.left, x.right = t.split(root, x)
		x.max = max(x.seq, t.maxOf(x.left), t.maxOf(x.right))
		return n
	}
	y.max = max(y.max, x.seq)
	if x.before(y) {
		y.left = t.insert(y.left, n, x)
	} else {
		y.right = t.insert(y.right, n, x)
	}
	return root
}

// split cuts a subtree into the keys before and behind x.
func (t *tracker) split(root uint32, x *trackNode) (l, r uint32) {
	if root == 0 {
		return 0, 0
	}
	y := t.at(root)
	if x.before(y) {
		l, y.left = t.split(y.left, x)
		r = root
	} else {
		y.right, r = t.split(y.right, x)
		l = root
	}
	y.max = max(y.seq, t.maxOf(y.left), t.maxOf(y.right))
	return l, r
}

// join is the opposite of split: all keys of l are before those of r.
func (t *tracker) join(l, r uint32) uint32 {
	if l == 0 || r == 0 {
		return l + r
	}
	x, y := t.at(l), t.at(r)
	if x.prio > y.prio {
		x.max = max(x.max, y.max)
		x.right = t.join(x.right, r)
		return l
	}
	y.max = max(x.max, y.max)
	y.left = t.join(l, y.left)
	return r
}

// drop removes a node. Its seq is at or below everything that can be asked about.
func (t *tracker) drop(n uint32) {
	x := t.at(n)
	t.unlink(x)
	delete(t.byKey, x.key)
	if t.rangers > 0 && x.tree == t.tree {
		at := &t.root
		for *at != n {
			if y := t.at(*at); x.before(y) {
				at = &y.left
			} else {
				at = &y.right
			}
		}
		*at = t.join(x.left, x.right)
	}
	t.count--
	t.bytes -= nodeBytes + len(x.key)
	*x = trackNode{right: t.free}
	t.free = n
}

func (t *tracker) maxOf(n uint32) kv.Seq {
	if n == 0 {
		return 0
	}
	return t.at(n).max
}

// link makes n the newest by age.
func (t *tracker) link(n uint32, x *trackNode) {
	x.older, x.newer = t.newest, 0
	if t.newest != 0 {
		t.at(t.newest).newer = n
	} else {
		t.oldest = n
	}
	t.newest = n
}

func (t *tracker) unlink(x *trackNode) {
	if x.older != 0 {
		t.at(x.older).newer = x.newer
	} else {
		t.oldest = x.newer
	}
	if x.newer != 0 {
		t.at(x.newer).older = x.older
	} else {
		t.newest = x.older
	}
}

// before orders two nodes by key.
func (x *trackNode) before(y *trackNode) bool {
	if x.pfx != y.pfx {
		return x.pfx < y.pfx
	}
	return x.key < y.key
}

// openWindow lets the tracker record from the newest commit on, which it returns.
func (db *DB) openWindow(w *window) kv.Seq {
	db.commitMu.Lock()
	defer db.commitMu.Unlock()
	seq := kv.Seq(db.committed.Load())
	db.conflicts.open(w, seq)
	return seq
}

// watchRanges is called before a window's first range is noted, in its owner's goroutine.
func (db *DB) watchRanges(w *window) {
	if w.ranges {
		return
	}
	for at := uint32(1); at != 0; {
		db.commitMu.Lock()
		at = db.conflicts.watch(w, at)
		db.commitMu.Unlock()
	}
}

// endWindow removes a window and drops what only it could ask about, a little at a time.
func (db *DB) endWindow(w *window) {
	for more := true; more; {
		db.commitMu.Lock()
		db.conflicts.end(w)
		more = db.conflicts.prune(pruneStep)
		db.conflicts.backlog.Store(more)
		db.commitMu.Unlock()
	}
}

// conflictFree checks a transaction that writes nothing.
func (db *DB) conflictFree(s *rowSet) error {
	db.commitMu.Lock()
	defer db.commitMu.Unlock()
	if err := db.latched(); err != nil {
		return err
	}
	if e := db.conflicts.check(s); e != nil {
		return e
	}
	return nil
}
