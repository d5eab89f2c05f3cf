package slatedb

import "context"

// The estimates of every handle. Those of a Snapshot are about the tables of now, which hold
// what it sees and what was written since.

// Estimate tells about how much the database holds in r, without reading it: see
// RangeEstimate. It reads at most the indexes of the tables at the edges of r (a few in L0, two
// in each sorted run) and the statistics of eight others, and nothing of what is cached.
func (db *DB) Estimate(ctx context.Context, r Range) (RangeEstimate, error) {
	return db.estimateIn(ctx, r, true, db.seeAll)
}

// EstimateSize returns about how many bytes r takes in the object store: Bytes of Estimate.
// It reads no statistics.
func (db *DB) EstimateSize(ctx context.Context, r Range) (uint64, error) {
	e, err := db.estimateIn(ctx, r, false, db.seeAll)
	return e.Bytes, err
}

// EstimateCount returns about how many entries r has: Rows less Deletes of Estimate.
func (db *DB) EstimateCount(ctx context.Context, r Range) (uint64, error) {
	return entriesCount(db.Estimate(ctx, r))
}

// SplitPoints returns keys that cut r into n parts of about equal size, ascending, none of them
// the start of r: the parts are [start, p0), [p0, p1), ... They are fewer than n-1 when there
// is not enough to split, and need not be keys that exist. It reads the indexes of tables that
// are larger than an eighth of a part, at most some 8n tables, and of those at the edges of r.
func (db *DB) SplitPoints(ctx context.Context, r Range, n int) ([][]byte, error) {
	return db.splitIn(ctx, r, n, db.seeAll)
}

func entriesCount(e RangeEstimate, err error) (uint64, error) {
	return e.Rows - min(e.Deletes, e.Rows), err
}

// Estimate is DB.Estimate.
func (s *Snapshot) Estimate(ctx context.Context, r Range) (RangeEstimate, error) {
	return s.db.estimateIn(ctx, r, true, s.seeAll)
}

// EstimateSize is DB.EstimateSize.
func (s *Snapshot) EstimateSize(ctx context.Context, r Range) (uint64, error) {
	e, err := s.db.estimateIn(ctx, r, false, s.seeAll)
	return e.Bytes, err
}

// EstimateCount is DB.EstimateCount.
func (s *Snapshot) EstimateCount(ctx context.Context, r Range) (uint64, error) {
	return entriesCount(s.Estimate(ctx, r))
}

// SplitPoints is DB.SplitPoints.
func (s *Snapshot) SplitPoints(ctx context.Context, r Range, n int) ([][]byte, error) {
	return s.db.splitIn(ctx, r, n, s.seeAll)
}

// Estimate is DB.Estimate.
func (r *Reader) Estimate(ctx context.Context, rng Range) (RangeEstimate, error) {
	return retried(ctx, r, func() (RangeEstimate, error) { return r.estimateIn(ctx, rng, true, r.seeAll) })
}

// EstimateSize is DB.EstimateSize.
func (r *Reader) EstimateSize(ctx context.Context, rng Range) (uint64, error) {
	e, err := retried(ctx, r, func() (RangeEstimate, error) { return r.estimateIn(ctx, rng, false, r.seeAll) })
	return e.Bytes, err
}

// EstimateCount is DB.EstimateCount.
func (r *Reader) EstimateCount(ctx context.Context, rng Range) (uint64, error) {
	return entriesCount(r.Estimate(ctx, rng))
}

// SplitPoints is DB.SplitPoints.
func (r *Reader) SplitPoints(ctx context.Context, rng Range, n int) ([][]byte, error) {
	return retried(ctx, r, func() ([][]byte, error) { return r.splitIn(ctx, rng, n, r.seeAll) })
}

// retried does f once more on newer tables when it meets one that was collected.
func retried[T any](ctx context.Context, r *Reader, f func() (T, error)) (T, error) {
	st := r.state.Load()
	v, err := f()
	if missing(err) {
		return again(ctx, r, st, err, f)
	}
	return v, err
}
