package slatedb

import (
	"context"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/diskcache"
)

// An EventListener is told about rare, important moments of a handle. Set the fields that
// matter; nil ones are skipped. Calls come from background goroutines and from writers, one
// at a time per kind or not, with no lock of the handle held; they must return soon: what
// calls waits meanwhile. So a function may read and write with NoWait, but a write that waits,
// a flush or a Close in it would wait for itself; only Closed, which comes once, may call Close.
// A panic in one is logged and dropped.
type EventListener struct {
	// WriteStall: writers wait because MaxUnflushedBytes is reached.
	WriteStall func(StallInfo)
	// L0Stall: flushing waits because L0 is full. It is called when the wait begins.
	L0Stall func(StallInfo)
	// MemtableFlushed: a memtable is in L0 and the manifest.
	MemtableFlushed func(FlushInfo)
	// WALUploaded: a WAL object is stored.
	WALUploaded func(WALInfo)
	// ClockWentBack: the clock stands behind the newest create time by lag; create times are
	// held at that time meanwhile.
	ClockWentBack func(lag time.Duration)
	// Disk: the local disk of Options.DiskCache begins to fail, so that nothing is written to it
	// for a while, or works again. Answers do not change, but more of them come from the store.
	Disk func(DiskTrouble)
	// Closed: the handle has ended; err is ErrClosed after Close, else the failure.
	Closed func(err error)
}

// StallInfo tells what is waited for.
type StallInfo struct {
	Reason string // "unflushed bytes", "l0 tables", "l0 tables per key"
	Have   int64
	Limit  int64
}

// FlushInfo describes a memtable flush.
type FlushInfo struct {
	Tables   int
	Bytes    int64
	Rows     int
	LastSeq  uint64
	Duration time.Duration
}

// WALInfo describes an upload of a WAL object.
type WALInfo struct {
	ID       uint64
	LastSeq  uint64
	Bytes    int64
	Duration time.Duration
}

// DiskTrouble is the beginning (Failing) or the end of a time in which the local disk fails:
// of which directory, and at the beginning in what operation and why.
type DiskTrouble = diskcache.Trouble

// maxTroubles is how many changes of the disk wait for a listener that is slow; older ones are
// dropped.
const maxTroubles = 16

// watchDisk tells the listener about the local disk, one change at a time and in order. What
// finds them out holds locks, hence a task of its own.
func (db *DB) watchDisk(ctx context.Context) error {
	var mu sync.Mutex
	var queue []DiskTrouble
	more := make(chan struct{}, 1)
	watch := db.disk.watch()
	defer watch(func(t DiskTrouble) {
		mu.Lock()
		queue = append(queue, t)
		queue = queue[max(len(queue)-maxTroubles, 0):]
		mu.Unlock()
		post(more)
	})()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
		mu.Lock()
		todo := queue
		queue = nil
		mu.Unlock()
		for _, t := range todo {
			emit(db, db.conf.EventListener.Disk, t)
		}
	}
}

// emit calls one listener function with its argument, if it is set.
func emit[T any](db *DB, f func(T), arg T) {
	if f == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			db.conf.Logger.Error("slatedb: event listener panicked", "panic", v)
		}
	}()
	f(arg)
}
