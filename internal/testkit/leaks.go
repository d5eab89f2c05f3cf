package testkit

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines that are about to end are waited for. A test that
// leaks pays it once; the others pay nothing.
const leakPatience = 3 * time.Second

// NoLeaks fails t when goroutines started during the test are still there at its end, after
// its other cleanups have run: call it first. It sees the whole process, so a test that uses
// it must not run in parallel with others. It is not for use inside a testing/synctest
// bubble, which finds leaks by itself.
func NoLeaks(t testing.TB) {
	t.Helper()
	before := map[string]bool{}
	for _, g := range goroutines() {
		before[g.id] = true
	}
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return // the failure is news enough, and a failed test rarely closes what it opened
		}
		var left []goroutine
		for pause, end := time.Millisecond, time.Now().Add(leakPatience); ; pause = min(2*pause, 100*time.Millisecond) {
			left = left[:0]
			for _, g := range goroutines() {
				if !before[g.id] && !g.ofRuntime() {
					left = append(left, g)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				break
			}
			time.Sleep(pause)
		}
		for _, g := range left {
			t.Errorf("goroutine left behind:\n%s", g.stack)
		}
	})
}

// A goroutine is one paragraph of a stack dump.
type goroutine struct {
	id    string
	stack string
}

// ofRuntime reports whether g belongs to the test framework or the runtime and may stay.
func (g goroutine) ofRuntime() bool {
	for _, f := range []string{
		"testing.(*T).Run", "testing.runFuzzing", "testing.(*F).", "testing.tRunner.func", "testing.(*M).",
		"os/signal.loop", "os/signal.signal_recv", "runtime.ensureSigM", "runtime/trace.", "runtime.ReadTrace",
		"runtime.runCleanups", "runtime.runFinalizers",
	} {
		if strings.Contains(g.stack, f) {
			return true
		}
	}
	return false
}

// goroutines returns all goroutines but the caller's.
func goroutines() []goroutine {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var out []goroutine
	for i, p := range bytes.Split(buf, []byte("\n\n")) {
		if i == 0 {
			continue // the caller
		}
		// "goroutine 7 [chan receive]:"
		if f := strings.Fields(string(p[:min(len(p), 64)])); len(f) > 1 && f[0] == "goroutine" {
			out = append(out, goroutine{id: f[1], stack: string(p)})
		}
	}
	return out
}
