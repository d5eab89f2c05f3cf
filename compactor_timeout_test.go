package slatedb

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// timeoutLog remembers when warnings came and with what error.
type timeoutLog struct {
	mu   sync.Mutex
	at   []time.Time
	errs []error
}

func (l *timeoutLog) Enabled(_ context.Context, v slog.Level) bool { return v >= slog.LevelWarn }
func (l *timeoutLog) WithAttrs([]slog.Attr) slog.Handler           { return l }
func (l *timeoutLog) WithGroup(string) slog.Handler                { return l }
func (l *timeoutLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			l.at, l.errs = append(l.at, time.Now()), append(l.errs, err)
		}
		return true
	})
	return nil
}

// TestCompactorManifestUpdateTimeout: one attempt of RunCompactor at the coordinator's role,
// against processes that always write first, ends after ManifestUpdateTimeout and is logged;
// it tries again, and has the role when the others rest.
func TestCompactorManifestUpdateTimeout(t *testing.T) {
	for _, c := range []struct {
		option, want time.Duration
	}{{0, 300 * time.Second}, {5 * time.Second, 5 * time.Second}, {40 * time.Second, 40 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, s := t.Context(), objstore.NewMemory()
			probeDB(t, s)
			other, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet})
			require.NoError(t, err)
			defer other.Close()
			log, begun := &timeoutLog{}, time.Now()
			rest := begun.Add(c.want + time.Minute)
			a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: slog.New(log), onPoint: func(name string) {
				if name == "manifest.before-put" && time.Now().Before(rest) {
					ck, err := other.CreateCheckpoint(ctx, nil)
					assert.NoError(t, err)
					assert.NoError(t, other.DeleteCheckpoint(ctx, ck.ID))
				}
			}})
			require.NoError(t, err)
			defer a.Close()
			rctx, cancel := context.WithTimeout(ctx, 2*c.want+2*time.Minute)
			defer cancel()
			require.NoError(t, a.RunCompactor(rctx, &CompactorOptions{ManifestUpdateTimeout: c.option}))
			require.NotEmpty(t, log.errs)
			require.ErrorIs(t, log.errs[0], ErrUnavailable)
			assert.ErrorContains(t, log.errs[0], "claim")
			assert.InDelta(t, c.want.Seconds(), log.at[0].Sub(begun).Seconds(), 1)
			m, err := other.ReadManifest(ctx, 0)
			require.NoError(t, err)
			assert.EqualValues(t, 1, m.CompactorEpoch)
		})
	}
}
