package wal

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// What was appended before a cut and what comes after it are in different objects, and the
// cut is uploaded without anybody waiting.
func TestCutEndsAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(10 * time.Millisecond)
		var up []Uploaded
		l := start(t, s, 1, Options{FlushInterval: -1, OnUploaded: func(u Uploaded) { up = append(up, u) }})
		require.Zero(t, l.Cut(), "nothing to cut")
		l.write(2)
		l.write(1)
		require.Equal(t, kv.Seq(2), l.Cut())
		l.write(1)
		require.NoError(t, l.Wait(t.Context(), 2))
		synctest.Wait()
		require.Len(t, up, 1, "the row behind the cut waits for its own reason")
		require.Equal(t, kv.Seq(2), up[0].LastSeq)
		require.Equal(t, kv.Seq(3), l.Cut())
		require.Equal(t, kv.Seq(3), l.Cut())
		time.Sleep(time.Second)
		synctest.Wait() // the flusher's writes to up happen before what follows
		require.Len(t, up, 2)
		require.Equal(t, []uint64{1, 2}, []uint64{up[0].ID, up[1].ID})
		require.NoError(t, l.stop())
		require.Equal(t, []kv.Seq{1, 2, 3}, replay(t, s, "", 1).seqs)
	})
}
