package slatedb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// IsolationLevel tells which conflicts end a transaction. The checks are made once, in Commit:
// the first committer wins, and nobody ever waits for a lock.
type IsolationLevel uint8

const (
	// SnapshotIsolation: a commit fails when another commit since Begin wrote a key that this
	// one writes. Lost updates cannot happen, write skew can.
	SnapshotIsolation IsolationLevel = iota
	// SerializableSnapshot: it also fails when one wrote a key that this transaction read, or
	// any key in a range that it scanned, whether there was one before or not. No anomaly is
	// left.
	SerializableSnapshot
)

// String returns "si" or "ssi".
func (l IsolationLevel) String() string {
	switch l {
	case SnapshotIsolation:
		return "si"
	case SerializableSnapshot:
		return "ssi"
	}
	return fmt.Sprintf("IsolationLevel(%d)", uint8(l))
}

// ParseIsolation is the opposite of String: "si" or "ssi", in any case.
func ParseIsolation(s string) (IsolationLevel, error) {
	switch strings.ToLower(s) {
	case "si":
		return SnapshotIsolation, nil
	case "ssi":
		return SerializableSnapshot, nil
	}
	return 0, invalidf("isolation level %q, want si or ssi", s)
}

// A Txn is a transaction: it reads the database as it was at Begin, with its own writes on
// top, and writes all or nothing. It buffers in memory and takes no locks. It belongs to one
// goroutine; a call that finds another one under way is ErrInvalid. It must end with Commit or
// Rollback: one that stays open holds old versions and the history of commits back.
//
// A row that the transaction has written itself shows Seq 2^64-1 and zero times, since it has
// neither yet; merged with stored data it shows the data's times. TTLs count from the commit.
type Txn struct {
	db    *DB
	level IsolationLevel
	id    uuid.UUID
	pin   *pin

	busy      atomic.Bool // a call is under way
	abandoned atomic.Bool // Rollback met one: it rolls back when it ends
	done      bool

	w        WriteBatch // every write in order, also those that were replaced: savepoints need them
	own      ownIndex
	reads    map[string]struct{} // keys that a commit of others may not have written
	ranges   []kv.Range          // the same for ranges
	unmarked map[string]struct{}
	saves    []savepoint
	serial   uint64 // of the newest savepoint

	cleanup runtime.Cleanup
}

var _ ReadOps = (*Txn)(nil)

func (db *DB) begin(l IsolationLevel) (*Txn, error) {
	if l > SerializableSnapshot {
		return nil, invalidf("%v is no isolation level", l)
	}
	if err := db.latched(); err != nil {
		return nil, err
	}
	p := &pin{db: db, kind: "transaction", window: new(window)}
	tx := &Txn{db: db, level: l, id: db.conf.env.UUID(), pin: p}
	// The number and the window belong together: every commit above the number is recorded.
	db.commitMu.Lock()
	db.conflicts.open(p.window, kv.Seq(db.committed.Load()))
	db.pins.add(&p.reg, &db.committed)
	db.commitMu.Unlock()
	db.liveTxns.Add(1)
	tx.cleanup = runtime.AddCleanup(tx, (*pin).lost, p)
	return tx, nil
}

// ID identifies the transaction in this process's logs.
func (tx *Txn) ID() uuid.UUID { return tx.id }

// Seq returns the newest sequence number that its reads see.
func (tx *Txn) Seq() uint64 { return uint64(tx.pin.reg.seq) }

// enter begins a call, leave ends it.
func (tx *Txn) enter() error {
	if !tx.busy.CompareAndSwap(false, true) {
		return errTxnBusy
	}
	if tx.done {
		tx.leave()
		return errTxnDone
	}
	if err := tx.db.latched(); err != nil {
		tx.leave()
		return err
	}
	return nil
}

func (tx *Txn) leave() {
	tx.busy.Store(false)
	if tx.abandoned.Load() && tx.busy.CompareAndSwap(false, true) {
		tx.finish()
		tx.busy.Store(false)
	}
}

var (
	errTxnBusy = invalidf("the transaction is in use by another goroutine")
	errTxnDone = invalidf("the transaction is completed")
)

// Put buffers a put.
func (tx *Txn) Put(key, value []byte) error { return tx.PutWithOptions(key, value, nil) }

// PutWithOptions buffers a put. Only TTL and ExpireAt apply; NoWait or Seq is ErrInvalid.
func (tx *Txn) PutWithOptions(key, value []byte, o *PutOptions) error {
	return tx.write(func(b *WriteBatch) { b.PutWithOptions(key, value, o) })
}

// Delete buffers a delete.
func (tx *Txn) Delete(key []byte) error {
	return tx.write(func(b *WriteBatch) { b.Delete(key) })
}

// Merge buffers a merge operand. It reads nothing: under either level two transactions that
// merge the same key conflict, as two that put it do.
func (tx *Txn) Merge(key, operand []byte) error { return tx.MergeWithOptions(key, operand, nil) }

// MergeWithOptions buffers a merge operand. Only TTL and ExpireAt apply. Operands of one key,
// and the put or delete before them, must agree in their TTL, else Commit is ErrInvalid.
func (tx *Txn) MergeWithOptions(key, operand []byte, o *PutOptions) error {
	if tx.db.conf.MergeOperator == nil {
		return errNoOperator
	}
	return tx.write(func(b *WriteBatch) { b.MergeWithOptions(key, operand, o) })
}

// write adds one operation. A refused one leaves the transaction as it was.
func (tx *Txn) write(add func(*WriteBatch)) error {
	if err := tx.enter(); err != nil {
		return err
	}
	defer tx.leave()
	add(&tx.w)
	if err := tx.w.err; err != nil {
		tx.w.err = nil
		return err
	}
	tx.own.added(&tx.w)
	return nil
}

// MarkRead treats keys as read, under either level: a commit by others that wrote one of them
// since Begin makes this one fail. Under SnapshotIsolation it turns single reads into conflicts.
func (tx *Txn) MarkRead(keys ...[]byte) error {
	return tx.mark(&tx.reads, keys)
}

// UnmarkWrite takes keys out of the conflict checks, for good and whether they are written
// before or after: they are written, but make neither this commit fail nor that of others.
func (tx *Txn) UnmarkWrite(keys ...[]byte) error {
	return tx.mark(&tx.unmarked, keys)
}

func (tx *Txn) mark(set *map[string]struct{}, keys [][]byte) error {
	if err := tx.enter(); err != nil {
		return err
	}
	defer tx.leave()
	for _, k := range keys {
		if err := checkReadKey(k); err != nil {
			return err
		}
	}
	for _, k := range keys {
		addKey(set, k)
	}
	return nil
}

func addKey(set *map[string]struct{}, key []byte) {
	if *set == nil {
		*set = make(map[string]struct{})
	}
	if _, ok := (*set)[string(key)]; !ok { // the look allocates nothing
		(*set)[string(key)] = struct{}{}
	}
}

// A Savepoint is a moment of a transaction that RollbackTo returns to.
type Savepoint struct {
	tx     *Txn
	at     int
	serial uint64
}

type savepoint struct {
	serial uint64
	ops    int
}

// Savepoint marks the writes made so far. Savepoints nest. On a finished transaction it
// returns one that RollbackTo refuses.
func (tx *Txn) Savepoint() Savepoint {
	if tx.enter() != nil {
		return Savepoint{}
	}
	defer tx.leave()
	tx.serial++
	tx.saves = append(tx.saves, savepoint{tx.serial, len(tx.w.ops)})
	return Savepoint{tx: tx, at: len(tx.saves) - 1, serial: tx.serial}
}

// RollbackTo forgets the writes made since s. s stays valid, savepoints made after it do not;
// to use one of those, or of another transaction, is ErrInvalid. What was read stays read: the
// program has seen it. UnmarkWrite is not undone either.
func (tx *Txn) RollbackTo(s Savepoint) error {
	if err := tx.enter(); err != nil {
		return err
	}
	defer tx.leave()
	if s.tx != tx || s.at >= len(tx.saves) || tx.saves[s.at].serial != s.serial {
		return invalidf("the savepoint is not one of this transaction, or was rolled back over")
	}
	tx.saves = tx.saves[:s.at+1]
	tx.own.cut(&tx.w, tx.saves[s.at].ops)
	return nil
}

// Rollback ends the transaction and forgets its writes. On a finished one it does nothing, so
// that "defer tx.Rollback()" is right.
func (tx *Txn) Rollback() {
	tx.abandoned.Store(true)
	if tx.busy.CompareAndSwap(false, true) {
		tx.finish()
		tx.busy.Store(false)
	}
}

// finish releases what the transaction holds. busy is held.
func (tx *Txn) finish() {
	if tx.done {
		return
	}
	tx.done = true
	tx.cleanup.Stop()
	tx.pin.release()
	tx.w, tx.own, tx.reads, tx.ranges, tx.unmarked, tx.saves = WriteBatch{}, ownIndex{}, nil, nil, nil, nil
}

// Commit ends the transaction; nil means that its writes are durable. ErrConflict: another
// commit since Begin was in the way, nothing is written, run the whole transaction again. The
// transaction is finished whatever Commit returns. A ctx that ends while Commit waits for
// durability leaves the outcome open, as with every write.
//
// A transaction that wrote nothing is checked for what it read (under SerializableSnapshot, or
// by MarkRead), so that ErrConflict can come back from it too.
func (tx *Txn) Commit(ctx context.Context) error {
	_, err := tx.CommitWithOptions(ctx, nil)
	return err
}

// CommitWithOptions is Commit with options: with NoWait it returns when the writes are visible.
// The handle of a transaction that wrote nothing is the zero handle.
func (tx *Txn) CommitWithOptions(ctx context.Context, o *WriteOptions) (WriteHandle, error) {
	if err := tx.enter(); err != nil {
		return WriteHandle{}, err
	}
	if o == nil {
		o = &WriteOptions{}
	}
	h, err := tx.commit(ctx, *o)
	tx.finish() // before the wait: it gives back what others wait for
	tx.leave()
	if err != nil || o.NoWait || h.db == nil {
		return h, err
	}
	return h, h.Await(ctx)
}

func (tx *Txn) commit(ctx context.Context, o WriteOptions) (WriteHandle, error) {
	if err := ctx.Err(); err != nil {
		return WriteHandle{}, err
	}
	s, err := tx.w.rowSet(tx.db.conf.MergeOperator, tx.db.conf.defaultTTL)
	if err != nil {
		return WriteHandle{}, err
	}
	defer s.release()
	s.check = &conflictCheck{window: tx.pin.window, since: tx.pin.reg.seq, reads: tx.reads, ranges: tx.ranges, unmarked: tx.unmarked}
	tx.db.conf.env.Point("txn.before-commit")
	var h WriteHandle
	if len(s.rows) == 0 {
		err = tx.db.conflictFree(s)
	} else {
		h, err = tx.db.commit(ctx, s, s.ops, o)
	}
	if errors.Is(err, ErrConflict) {
		tx.db.stats.txnConflicts.add(1)
	}
	return h, err
}

// retryPause is the mean first pause after a conflict; it doubles up to maxRetryPause. A
// commit takes microseconds and a WAL upload tens of milliseconds; both arbitrary otherwise.
const (
	retryPause    = 500 * time.Microsecond
	maxRetryPause = 64 * time.Millisecond
)

func (db *DB) update(ctx context.Context, l IsolationLevel, f func(*Txn) error) error {
	if f == nil {
		return invalidf("Update without a function")
	}
	for n := 0; ; n++ {
		err := db.updateOnce(ctx, l, f)
		var again *retryError
		if !errors.As(err, &again) {
			return err
		}
		d := min(retryPause<<min(n, 16), maxRetryPause)
		if err := db.conf.env.Sleep(ctx, time.Duration(2*db.conf.env.Float64()*float64(d))); err != nil {
			return fmt.Errorf("update: gave up after %d tries (%v): %w", n+1, again.err, err)
		}
	}
}

// retryError is a conflict of Update's own commit. One that f returns is f's.
type retryError struct{ err error }

func (e *retryError) Error() string { return e.err.Error() }

func (db *DB) updateOnce(ctx context.Context, l IsolationLevel, f func(*Txn) error) error {
	tx, err := db.begin(l)
	if err != nil {
		return err
	}
	defer tx.Rollback() // also when f panics
	if err := f(tx); err != nil {
		return err
	}
	if tx.done {
		return invalidf("the function given to Update has finished the transaction itself")
	}
	if err = tx.Commit(ctx); errors.Is(err, ErrConflict) {
		return &retryError{err}
	}
	return err
}
