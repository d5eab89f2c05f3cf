//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setup is how a database is written; both engines take it.
type setup struct {
	codec      string // none, Snappy, Zlib, Lz4, Zstd
	blockKB    int
	filterKeys int  // least rows of a table with a filter
	l0KB       int  // size of a memtable
	keepWAL    bool // close without flushing the memtable: the next open replays
	compact    bool // the compactor runs: beside a writer of this engine, behind one of the original
}

var codecs = []string{"none", "Snappy", "Zlib", "Lz4", "Zstd"}

func (s setup) String() string {
	end := "flushed"
	if s.keepWAL {
		end = "wal"
	}
	if s.compact {
		end += "-compacted"
	}
	return fmt.Sprintf("%s-%dk-%s", s.codec, s.blockKB, end)
}

func (s setup) peerArgs() []string {
	out := []string{
		"compression=" + s.codec, fmt.Sprintf("block_kb=%d", s.blockKB),
		fmt.Sprintf("min_filter_keys=%d", s.filterKeys), fmt.Sprintf("l0_kb=%d", s.l0KB), "compactor=0", "close=memtable",
	}
	if s.keepWAL {
		out = append(out, "close=none")
	}
	return out
}

// python returns the interpreter that has the wheel.
func python(t *testing.T) string {
	t.Helper()
	py := os.Getenv("SLATEDB_PY")
	if py == "" {
		t.Fatal("SLATEDB_PY names no Python with the slatedb wheel; make interop sets it")
	}
	return py
}

func script(t *testing.T, elem ...string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(elem...))
	require.NoError(t, err)
	require.FileExists(t, p)
	return p
}

// peer runs peer.py and returns what it printed.
func peer(t *testing.T, what, dir string, stdin io.Reader, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	argv := append([]string{
		script(t, "..", "bench", "peers", "python", "peer.py"), what, "store=" + storeArg(dir), "path=db",
	}, args...)
	cmd := exec.CommandContext(ctx, python(t), argv...)
	cmd.Env = pythonEnv
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	require.NoError(t, cmd.Run(), "peer.py %s %v:\n%s", what, args, &errs)
	return out.Bytes()
}

// pyCompact lets the original engine merge L0 of the database called name into sorted runs.
func pyCompact(t *testing.T, dir, name string) {
	t.Helper()
	before := latest(t, dir, name)
	require.Greater(t, len(before.Root.L0), 1, "nothing to merge")
	py := openSession(t, "writer", dir, "path="+name, "compactor=1")
	require.Eventually(t, func() bool { return len(latest(t, dir, name).Root.L0) < 2 }, 5*time.Minute, 50*time.Millisecond)
	py.must("close", nil, nil)
	after := latest(t, dir, name)
	require.NotEmpty(t, after.Root.Runs)
	require.NotEqual(t, before.Root.LastCompactedL0, after.Root.LastCompactedL0)
	require.Greater(t, after.CompactorEpoch, before.CompactorEpoch)
}

// pyApply lets the original engine write ops, and returns what it printed.
func pyApply(t *testing.T, dir string, s setup, ops []op, args ...string) []byte {
	t.Helper()
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, o := range ops {
		require.NoError(t, enc.Encode(o))
	}
	out := peer(t, "apply", dir, &in, append(s.peerArgs(), args...)...)
	if s.compact {
		name := "db"
		for _, a := range args {
			if n, ok := strings.CutPrefix(a, "path="); ok {
				name = n
			}
		}
		pyCompact(t, dir, name)
	}
	return out
}

// pyRows lets the original engine read everything.
func pyRows(t *testing.T, dir string, reverse bool, args ...string) (rows []row) {
	t.Helper()
	if reverse {
		args = append(args, "reverse=1")
	}
	dec := json.NewDecoder(bytes.NewReader(peer(t, "dump", dir, nil, args...)))
	for {
		var r row
		err := dec.Decode(&r)
		if err == io.EOF {
			return rows
		}
		require.NoError(t, err)
		rows = append(rows, r)
	}
}

// session is a handle of the original engine that stays open.
type session struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan reply
}

type reply struct {
	OK    bool      `json:"ok"`
	Error string    `json:"error"`
	Text  string    `json:"text"`
	V     *hexBytes `json:"v"`
	Rows  []row     `json:"rows"`
	end   error
}

// openSession starts session.py and waits until the handle is open.
func openSession(t *testing.T, role, dir string, args ...string) *session {
	t.Helper()
	args = append([]string{script(t, "session.py"), role, "store=" + storeArg(dir), "path=db"}, args...)
	cmd := exec.Command(python(t), args...)
	cmd.Env = pythonEnv
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	s := &session{t: t, in: in, lines: make(chan reply, 16)}
	go func() {
		dec := json.NewDecoder(out)
		for {
			var r reply
			if r.end = dec.Decode(&r); r.end != nil {
				s.lines <- r
				return
			}
			s.lines <- r
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill() // ours alone; a session that has ended is not there any more
		_ = cmd.Wait()
		if t.Failed() && errs.Len() > 0 {
			t.Logf("session.py: %s", &errs)
		}
	})
	require.True(t, s.next().OK, "the %s did not open", role)
	return s
}

func (s *session) next() reply {
	s.t.Helper()
	select {
	case r := <-s.lines:
		require.NoError(s.t, r.end, "the session ended")
		return r
	case <-time.After(5 * time.Minute):
		require.FailNow(s.t, "the session does not answer")
		return reply{}
	}
}

// must is do for a command that has to succeed.
func (s *session) must(command string, k, v []byte) reply {
	s.t.Helper()
	r := s.do(command, k, v)
	require.True(s.t, r.OK, "%s %q: %s: %s", command, k, r.Error, r.Text)
	return r
}

// do sends a command and returns the answer.
func (s *session) do(command string, k, v []byte) reply {
	s.t.Helper()
	line, err := json.Marshal(map[string]any{"do": command, "k": hexBytes(k), "v": hexBytes(v)})
	require.NoError(s.t, err)
	_, err = s.in.Write(append(line, '\n'))
	require.NoError(s.t, err)
	return s.next()
}
