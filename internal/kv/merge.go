package kv

// A MergeOperator combines operands written by Merge with the value below them. It must be
// associative, and Merge(key, nil, x) must be equivalent to x. existing is nil when there is
// none; an empty existing value is non-nil. The arguments are lent for the call, not to be
// changed, and clipped: append(existing, operand...) is right. It is called from several
// goroutines at once.
type MergeOperator interface {
	Merge(key, existing, operand []byte) ([]byte, error)
}

// A BatchMerger is a MergeOperator that can take several operands at once, oldest first.
type BatchMerger interface {
	MergeBatch(key, existing []byte, operands [][]byte) ([]byte, error)
}
