// Package storetest is the conformance suite of objstore.Store: what the engine relies on,
// as tests. Every store and every decorator runs it.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) objstore.Store { return objstore.NewMemory() })
//	}
//
// open makes an empty store for each test. What Properties says a store cannot do is
// skipped, and checked to say ErrNotSupported.
package storetest
