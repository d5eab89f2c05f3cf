package slatedb

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kill test: a child process writes to a directory store, or to a server, and reports every
// durable acknowledgement on its standard output; the parent kills it at a random moment, opens
// the database in a fresh handle and compares.

const killDirEnv = "SLATEDB_KILL_DIR"

// children are what this binary is run as, by the environment variable that says so and has
// the argument.
var children = map[string]func(string){killDirEnv: killChild}

// TestMain runs a child when the environment asks for one.
func TestMain(m *testing.M) {
	for env, child := range children {
		if arg := os.Getenv(env); arg != "" {
			child(arg)
			return
		}
	}
	os.Exit(m.Run())
}

const killWriters = 4

// killChild writes until it is killed. Writer w's batch i puts key w/i%50 and a companion
// with the same content, so that half a batch shows. A line "w i" says that batch i of w is
// durable; "start w i" comes before the write is sent.
func killChild(dir string) {
	ctx := context.Background()
	seed, _ := strconv.ParseUint(os.Getenv("SLATEDB_KILL_SEED"), 10, 64)
	r := rand.New(rand.NewPCG(seed, 1))
	db, err := Open(ctx, dir, &Options{
		L0SSTSizeBytes: 16 << 10, L0MaxSSTs: 1 << 20, L0MaxSSTsPerKey: 1 << 20, FlushInterval: time.Duration(1+r.IntN(5)) * time.Millisecond,
		Compactor: &CompactorOptions{Worker: &WorkerOptions{MaxSSTBytes: 64 << 10}}, GC: &GCOptions{MinAge: -1, Interval: 50 * time.Millisecond},
		Logger: quiet, Compression: Codec(r.IntN(5)), BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
	})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
	var out sync.Mutex
	say := func(format string, a ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", a...)
	}
	say("open %d", db.Status().CommittedSeq)
	base := make([]int, killWriters)
	for w := range killWriters {
		if v, err := db.Get(ctx, fmt.Appendf(nil, "last/%d", w)); err == nil {
			base[w], _ = strconv.Atoi(string(v))
		}
	}
	var wg sync.WaitGroup
	for w := range killWriters {
		wg.Go(func() {
			for i := base[w] + 1; ; i++ {
				var b WriteBatch
				b.Put(fmt.Appendf(nil, "a/%d/%d", w, i%50), fmt.Appendf(nil, "%d", i))
				b.Put(fmt.Appendf(nil, "b/%d/%d", w, i%50), fmt.Appendf(nil, "%d%s", i, strings.Repeat("x", i%700)))
				b.Put(fmt.Appendf(nil, "last/%d", w), fmt.Appendf(nil, "%d", i))
				if i%7 == 0 {
					b.Delete(fmt.Appendf(nil, "a/%d/%d", w, (i-3)%50))
					b.Delete(fmt.Appendf(nil, "b/%d/%d", w, (i-3)%50))
				}
				if err := db.Write(ctx, &b); err != nil {
					say("error %v", err)
					os.Exit(4)
				}
				say("%d %d", w, i)
			}
		})
	}
	wg.Wait()
}

// A child is killed 60 times within half a minute; no durable write is lost, no batch is
// half there, and each writer's rows are a prefix of what it wrote.
func TestKill(t *testing.T) {
	kills := 60
	if testing.Short() {
		kills = 6
	}
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir() + "/store/db"
	if folder := serverFolder(t); folder != "" {
		dir = folder + "/db"
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	acked := make([]int, killWriters)
	total := 0
	for k := range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), killDirEnv+"="+dir, fmt.Sprintf("SLATEDB_KILL_SEED=%d", rnd.Uint64()))
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		started := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			sc := bufio.NewScanner(pipe)
			for sc.Scan() {
				line := sc.Text()
				if strings.HasPrefix(line, "error") {
					done <- fmt.Errorf("child: %s", line)
					return
				}
				if strings.HasPrefix(line, "open") {
					close(started)
					continue
				}
				var w, i int
				if n, _ := fmt.Sscanf(line, "%d %d", &w, &i); n == 2 {
					acked[w] = max(acked[w], i)
					total++
				}
			}
			done <- nil
		}()
		if k%4 != 3 { // every fourth dies while it opens
			select {
			case <-started:
			case err := <-done:
				t.Fatalf("child ended early: %v", err)
			}
		}
		time.Sleep(time.Duration(rnd.IntN(250)) * time.Millisecond) // the moment of the kill is real time on purpose
		require.NoError(t, cmd.Process.Kill())
		require.NoError(t, <-done)
		_ = cmd.Wait()
		verifyKilled(t, dir, acked)
	}
	t.Logf("%d kills, %d durable acks, none lost", kills, total)
	require.Positive(t, total)
}

func verifyKilled(t *testing.T, dir string, acked []int) {
	ctx := context.Background()
	r, err := OpenReader(ctx, dir, &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
	if err != nil {
		require.ErrorIs(t, err, ErrNoDatabase)
		for _, a := range acked {
			require.Zero(t, a)
		}
		return
	}
	defer r.Close(ctx)
	got := map[string]string{}
	for e, err := range r.Entries(ctx, All, nil) {
		require.NoError(t, err)
		got[string(e.Key)] = string(e.Value)
	}
	for w := range killWriters {
		last, _ := strconv.Atoi(got[fmt.Sprintf("last/%d", w)])
		require.GreaterOrEqual(t, last, acked[w], "writer %d: a durable batch is gone", w)
		// Replay the writer's batches up to last: the database must show exactly that.
		want := map[string]string{}
		for i := 1; i <= last; i++ {
			want[fmt.Sprintf("a/%d/%d", w, i%50)] = strconv.Itoa(i)
			want[fmt.Sprintf("b/%d/%d", w, i%50)] = strconv.Itoa(i) + strings.Repeat("x", i%700)
			if i%7 == 0 {
				delete(want, fmt.Sprintf("a/%d/%d", w, (i-3)%50))
				delete(want, fmt.Sprintf("b/%d/%d", w, (i-3)%50))
			}
		}
		for j := range 50 {
			for _, ab := range []string{"a", "b"} {
				k := fmt.Sprintf("%s/%d/%d", ab, w, j)
				require.Equal(t, want[k], got[k], "writer %d at batch %d: %s", w, last, k)
			}
		}
	}
}
