package slatedb

import "time"

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
