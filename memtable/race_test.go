package memtable

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// TestConcurrentReaders: whoever knows a seq sees every row up to it, in order, in both
// directions, at each moment of the writer's work.
func TestConcurrentReaders(t *testing.T) {
	for _, shape := range benchKeys {
		t.Run(shape.name, func(t *testing.T) {
			const batches, perBatch, distinct = 1500, 8, 4000
			keyOf := func(s kv.Seq, j int) []byte {
				return shape.key(nil, mixed(uint64(s)*perBatch+uint64(j))%distinct)
			}
			tab := New()
			var committed atomic.Uint64
			var wg sync.WaitGroup
			errs := make(chan error, 8)
			reader := func(id uint64) error {
				var e kv.Entry
				for n := uint64(0); ; n++ {
					max := kv.Seq(committed.Load())
					if max == 0 {
						continue
					}
					// A key that some batch at or below max wrote has a version between the two.
					s := kv.Seq(mixed(n*8+id)%uint64(max)) + 1
					key := keyOf(s, int(n%perBatch))
					if !tab.Get(key, max, &e) || e.Seq < s || e.Seq > max || !bytes.Equal(e.Key, key) {
						return fmt.Errorf("get %q at %d: seq %d, want >= %d", key, max, e.Seq, s)
					}
					if n%64 == id {
						desc := n&1024 != 0
						it := tab.Iter(kv.Range{}, max, desc)
						rows := 0
						var last kv.Entry
						for it.Next() {
							c := bytes.Compare(it.e.Key, last.Key)
							if desc {
								c = -c
							}
							if rows > 0 && (c < 0 || (c == 0 && it.e.Seq >= last.Seq)) {
								return fmt.Errorf("%q@%d after %q@%d", it.e.Key, it.e.Seq, last.Key, last.Seq)
							}
							last = it.e
							rows++
						}
						want := map[string]bool{}
						for s := kv.Seq(1); s <= max; s++ {
							for j := range perBatch {
								want[fmt.Sprint(string(keyOf(s, j)), s)] = true
							}
						}
						if rows != len(want) {
							return fmt.Errorf("scan at %d: %d rows, want %d", max, rows, len(want))
						}
					}
					if max == batches {
						return nil
					}
				}
			}
			for id := range uint64(3) {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := reader(id); err != nil {
						errs <- err
					}
				}()
			}
			for s := kv.Seq(1); s <= batches; s++ {
				for j := range perBatch {
					tab.Add(&kv.Entry{Key: keyOf(s, j), Seq: s, Value: []byte("v"), CreateTS: 1, ExpireTS: kv.NoTS})
				}
				committed.Store(uint64(s))
			}
			wg.Wait()
			select {
			case err := <-errs:
				t.Fatal(err)
			default:
			}
			if err := tab.checkInvariants(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
