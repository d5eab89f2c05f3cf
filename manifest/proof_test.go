package manifest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func TestProofGrowsStale(t *testing.T) {
	for _, c := range []struct {
		monotonic, wall time.Duration
		want            bool
		why             string
	}{
		{0, 0, false, "just now"},
		{ProofLife, ProofLife, false, "the last moment"},
		{ProofLife + 1, ProofLife + 1, true, "too long ago"},
		{time.Second, time.Hour, true, "the machine was suspended, or its clock set forward"},
		{time.Hour, time.Second, true, "the clock was set back"},
		{time.Second, -time.Hour, false, "the clock was set back, and the other one knows better"},
		{-1, -1, true, "nobody knows"},
	} {
		assert.Equal(t, c.want, staleAfter(c.monotonic, c.wall), c.why)
	}
}

// Confirm asks the store only after a time in which the process has not looked, and a cheap
// look does not make up for it.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		mem, _ := newDatabase(t)
		f := &scripted{Store: mem}
		w := must(NewStore(f, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{}))
		cost := func() int64 {
			before := f.requests.Load()
			require.NoError(t, w.Confirm(ctx))
			return f.requests.Load() - before
		}
		require.Zero(t, cost(), "the claim was just now")
		for range 10 {
			time.Sleep(ProofLife - time.Second)
			must(w.Look(ctx))
			require.Zero(t, cost(), "each look came in the life of the one before")
		}
		time.Sleep(ProofLife + 1)
		must(w.Look(ctx))
		require.EqualValues(t, 2, cost(), "manifest and boundary, behind a listing that is not counted here: the chain of looks was broken")
		require.Zero(t, cost())
		time.Sleep(ProofLife)
		must(w.Refresh(ctx))
		time.Sleep(ProofLife)
		require.Zero(t, cost())

		// Another writer, of whose claim nothing is left that a look would find.
		other := must(NewStore(mem, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{}))
		claim := other.Current().ID
		for range 3 {
			must(other.Update(ctx, bump))
		}
		for id := claim; id < other.Current().ID; id++ {
			require.NoError(t, mem.Delete(ctx, fmt.Sprintf("R/manifest/%020d.manifest", id)))
		}
		require.NoError(t, w.Confirm(ctx), "so soon nobody collects")
		time.Sleep(ProofLife)
		must(w.Look(ctx))
		require.ErrorIs(t, w.Confirm(ctx), kv.ErrFenced)
		require.ErrorIs(t, w.Confirm(ctx), kv.ErrFenced)
		_, err := w.Update(ctx, bump)
		require.ErrorIs(t, err, kv.ErrFenced)
	})
}
