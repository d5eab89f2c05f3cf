//go:build unix

package slatedb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// The distributed test: a writer without a compactor, a coordinator without a worker, and
// workers, each a process of its own on one store, a directory or an S3 server. A worker is killed in the middle
// of a job; another sleeps until its job was given away and done by somebody else, and wakes
// up. At the end nothing is lost, nothing missing, nothing left over.
//
// The children end when their standard input does, so none outlives the parent. What they say
// on their standard output is "WORD ARGUMENT" a line.

const (
	distRoleEnv = "SLATEDB_DISTRIBUTED_ROLE"
	distURLEnv  = "SLATEDB_DISTRIBUTED_STORE"
	distRowsEnv = "SLATEDB_DISTRIBUTED_ROWS"
)

const distPath = "root/db"

func init() { children[distRoleEnv] = distChild }

func distChild(role string) {
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			select {
			case heard <- in.Text():
			case <-ctx.Done():
			}
		}
		cancel()
	}()
	store, err := distStore(ctx, os.Getenv(distURLEnv))
	if err == nil {
		switch role {
		case "writer":
			err = distWriter(ctx, store, heard)
		case "coordinator":
			err = distCoordinator(ctx, store)
		case "worker":
			err = distWorker(ctx, store)
		default:
			err = errors.New("no such role")
		}
	}
	if err != nil {
		fmt.Println("error", role, err)
		os.Exit(3)
	}
	os.Exit(0)
}

// distStore opens the store that all share: a URL, or a directory, which is not synced.
func distStore(ctx context.Context, where string) (objstore.Store, error) {
	if strings.Contains(where, "://") {
		return objstore.Open(ctx, where)
	}
	return objstore.NewDirWithOptions(where, objstore.DirOptions{NoSync: true})
}

// distWriter writes operations until it hears "enough", at least as many as it was told. After
// "end" it merges everything, and once more with one row on top.
func distWriter(ctx context.Context, store objstore.Store, heard <-chan string) error {
	var least int
	if _, err := fmt.Sscan(os.Getenv(distRowsEnv), &least); err != nil {
		return err
	}
	db, err := Open(ctx, distPath, &Options{
		Store: store, DisableCompactor: true, DisableGC: true, Logger: quiet, FlushInterval: 5 * time.Millisecond,
		L0SSTSizeBytes: 32 << 10, L0MaxSSTs: 16, L0MaxSSTsPerKey: 16, MaxUnflushedBytes: 256 << 10,
		ManifestPollInterval: 20 * time.Millisecond, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
	})
	if err != nil {
		return err
	}
	fmt.Println("open")
	const batch = 100
	n := 0
	for enough := false; !enough || n < least; n += batch {
		var b WriteBatch
		for i := n; i < n+batch; i++ {
			if k, v := distOp(i); v == "" {
				b.Delete([]byte(k))
			} else {
				b.Put([]byte(k), []byte(v))
			}
		}
		if _, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true}); err != nil {
			return err
		}
		select {
		case <-heard:
			enough = true
		default:
		}
	}
	if err := db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}); err != nil {
		return err
	}
	fmt.Println("loaded", n)
	select {
	case <-heard:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := db.Compact(ctx); err != nil {
		return err
	}
	// Now there is one run, so nothing but the next call makes a job, and all tables that are
	// not its output are older than the newest of L0, as the collector demands.
	if err := db.Put(ctx, []byte("the end"), []byte("v")); err != nil {
		return err
	}
	if err := db.Compact(ctx); err != nil {
		return err
	}
	if err := db.Close(ctx); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}

// distOp is operation i: a key, and a value or "" for a delete. Keys come again.
func distOp(i int) (key, value string) {
	h := uint64(i)*0x9e3779b97f4a7c15 + 1 // splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	key = fmt.Sprintf("key/%05d", h%20_000)
	if h>>40%6 == 0 {
		return key, ""
	}
	return key, fmt.Sprintf("%d/%x", i, h) + strings.Repeat("v", int(h>>50%40))
}

func distAdmin(store objstore.Store, rec MetricsRecorder) (*Admin, error) {
	return NewAdmin(distPath, &AdminOptions{Store: store, Logger: quiet, MetricsRecorder: rec})
}

func distCoordinator(ctx context.Context, store objstore.Store) error {
	a, err := distAdmin(store, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	return a.RunCompactor(ctx, &CompactorOptions{
		DisableWorker: true, PollInterval: 20 * time.Millisecond, CommitInterval: 20 * time.Millisecond,
		WorkerHeartbeatTimeout: time.Second, CheckpointLifetime: time.Second, MaxConcurrent: 6,
	})
}

func distWorker(ctx context.Context, store objstore.Store) error {
	a, err := distAdmin(slowTables{store}, &workerName{})
	if err != nil {
		return err
	}
	return a.RunCompactionWorker(ctx, &WorkerOptions{
		PollInterval: 20 * time.Millisecond, HeartbeatInterval: 50 * time.Millisecond, MaxConcurrent: 2,
		MaxSubcompactions: 2, MinSubcompactionBytes: 32 << 10, MaxSSTBytes: 16 << 10,
	})
}

// slowTables makes jobs of many small tables last long enough to be caught in the middle.
type slowTables struct{ objstore.Store }

func (s slowTables) wait(key string) {
	if strings.HasSuffix(path.Dir(key), "/compacted") {
		time.Sleep(15 * time.Millisecond)
	}
}

func (s slowTables) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	s.wait(key)
	return s.Store.Put(ctx, key, body, c)
}

func (s slowTables) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	s.wait(key)
	return s.Store.Upload(ctx, key, body, c)
}

// workerName says the worker's id, by which job lists name it, as soon as a metric has it.
type workerName struct{ once sync.Once }

func (*workerName) Count(string, uint64, ...string) {}

func (w *workerName) Gauge(_ string, _ float64, labels ...string) {
	if len(labels) == 2 && labels[0] == "worker_id" {
		w.once.Do(func() { fmt.Println("open", labels[1]) })
	}
}

// distProcess is a child.
type distProcess struct {
	t     *testing.T
	role  string
	id    string // of a worker
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// distPatience is how long anything may take before the test gives up.
const distPatience = 5 * time.Minute

func startDist(t *testing.T, where, role string, rows int) *distProcess {
	t.Helper()
	return startProcess(t, distRoleEnv, role, distURLEnv+"="+where, fmt.Sprintf("%s=%d", distRowsEnv, rows))
}

// startProcess runs this program as the child of variable env, and waits for its "open".
func startProcess(t *testing.T, env, role string, more ...string) *distProcess {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &distProcess{t: t, role: role, cmd: exec.Command(self), lines: make(chan string, 16)}
	p.cmd.Env = append(append(os.Environ(), env+"="+role), more...)
	p.cmd.Stderr = os.Stderr
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			p.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() { // whatever the test has ended already is not there any more
		_ = p.in.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.id = p.expect("open")
	return p
}

// expect waits for a line that begins with word, and returns the rest of it.
func (p *distProcess) expect(word string) string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		require.True(p.t, ok, "the %s ended before %q", p.role, word)
		got, rest, _ := strings.Cut(line, " ")
		require.Equal(p.t, word, got, "the %s says %q", p.role, line)
		return rest
	case <-time.After(distPatience):
		require.FailNow(p.t, "nothing heard", "the %s does not say %q", p.role, word)
		return ""
	}
}

func (p *distProcess) say(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.in, line+"\n")
	require.NoError(p.t, err)
}

// end lets the child finish in peace.
func (p *distProcess) end() {
	p.t.Helper()
	require.NoError(p.t, p.in.Close())
	for line := range p.lines {
		require.Fail(p.t, "more to say", "the %s says %q", p.role, line)
	}
	require.NoError(p.t, p.cmd.Wait(), "the %s", p.role)
}

// stop suspends the child and returns when it is suspended.
func (p *distProcess) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(p.cmd.Process.Pid, &ws, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		require.NoError(p.t, err)
		require.True(p.t, ws.Stopped(), "the %s has ended: %v", p.role, ws)
		return
	}
}

func (p *distProcess) resume() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// distJobs reads the job list; without one it is empty.
func distJobs(t *testing.T, a *Admin) *manifest.Compactions {
	t.Helper()
	c, err := a.ReadCompactions(t.Context(), 0)
	if errors.Is(err, ErrNotFound) {
		return &manifest.Compactions{}
	}
	require.NoError(t, err)
	return c
}

// jobOf returns the job that a worker is at.
func jobOf(c *manifest.Compactions, worker string) *manifest.Compaction {
	for i := range c.Jobs {
		if j := &c.Jobs[i]; j.Status == manifest.Running && j.Worker != nil && j.Worker.ID == worker {
			return j
		}
	}
	return nil
}

// eventually is for what other processes do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		require.Less(t, time.Since(begin), distPatience, "%s does not happen", what)
	}
}

// catch suspends one of the workers in the middle of a job, of which it has stored some tables.
func catch(t *testing.T, a *Admin, workers []*distProcess) (caught *distProcess, job *manifest.Compaction) {
	t.Helper()
	eventually(t, "a worker at work", func() bool {
		for _, p := range workers {
			if j := jobOf(distJobs(t, a), p.id); j == nil || j.Context == nil || tablesSoFar(j) == 0 {
				continue
			}
			p.stop()
			if job = jobOf(distJobs(t, a), p.id); job != nil {
				caught = p
				return true
			}
			p.resume() // it was done with it just then
		}
		return false
	})
	return caught, job
}

func tablesSoFar(j *manifest.Compaction) (n int) {
	for i := range j.Context.Ranges {
		n += len(j.Context.Ranges[i].Outputs)
	}
	return n
}

func TestDistributedCompaction(t *testing.T) {
	if where := serverFolder(t); where != "" {
		distributedRun(t, where, 15_000)
		return
	}
	distributedRun(t, t.TempDir(), 60_000)
}

// distributedRun is the test on the store at where, with that many operations at least.
func distributedRun(t *testing.T, where string, rows int) {
	if testing.Short() {
		rows = min(rows, 15_000)
	}
	ctx := t.Context()
	store, err := distStore(ctx, where)
	require.NoError(t, err)
	a, err := distAdmin(store, nil)
	require.NoError(t, err)
	defer a.Close()

	writer := startDist(t, where, "writer", rows)
	var workers []*distProcess
	for range 3 {
		workers = append(workers, startDist(t, where, "worker", 0))
	}
	coordinator := startDist(t, where, "coordinator", 0)

	// One dies in mid-job. Its job goes on elsewhere.
	dead, job := catch(t, a, workers)
	require.NoError(t, dead.cmd.Process.Kill())
	_, err = dead.cmd.Process.Wait()
	require.NoError(t, err)
	if !strings.Contains(where, "://") {
		// As the kill leaves one when it meets a write; so there always is one.
		half := filepath.Join(where, filepath.FromSlash(distPath), "compacted", ulid.Make().String()+".sst#7")
		require.NoError(t, os.WriteFile(half, []byte("half a table"), 0o600))
	}
	torn := distTemporaries(t, where)
	workers = slices.DeleteFunc(workers, func(p *distProcess) bool { return p == dead })
	killed := time.Now()
	eventually(t, "the job of the dead worker done by another", func() bool {
		j := distJobs(t, a).Job(job.ID)
		return j == nil || j.Status.Finished()
	})
	require.Equal(t, manifest.Completed, pastStatus(t, a, job))
	t.Logf("the job of the killed worker, with %d tables, was done by another %v later", tablesSoFar(job), time.Since(killed).Round(time.Millisecond))

	kept, err := a.CreateCheckpoint(ctx, &CheckpointOptions{Name: "kept"})
	require.NoError(t, err)
	then := distScan(t, store, &ReaderOptions{CheckpointID: kept.ID})

	// One sleeps until its job was given away and is done, and then goes on with it.
	asleep, job := catch(t, a, workers)
	eventually(t, "the job of the sleeping worker done by another", func() bool {
		j := distJobs(t, a).Job(job.ID)
		return j == nil || j.Status.Finished()
	})
	require.Equal(t, manifest.Completed, pastStatus(t, a, job))
	asleep.resume()
	// It finds out and takes other jobs.
	if writer.say("enough"); len(writer.lines) == 0 {
		eventually(t, "another job of the worker that slept", func() bool {
			return jobOf(distJobs(t, a), asleep.id) != nil || len(writer.lines) > 0
		})
	}

	var n int
	_, err = fmt.Sscan(writer.expect("loaded"), &n)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, rows)
	asleep.end() // so that nothing that it may have begun in its sleep comes after the last job
	idle := func() bool {
		return !slices.ContainsFunc(distJobs(t, a).Jobs, func(j manifest.Compaction) bool { return !j.Status.Finished() })
	}
	eventually(t, "an end of the jobs so far", idle)
	writer.say("end")
	writer.expect("closed")
	writer.end()
	eventually(t, "an end of all jobs", idle)
	coordinator.end()
	for _, p := range workers {
		if p != asleep {
			p.end()
		}
	}

	m, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	require.Empty(t, m.Root.L0)
	require.Len(t, m.Root.Runs, 1)

	want := map[string]string{"the end": "v"}
	for i := range n {
		if k, v := distOp(i); v == "" {
			delete(want, k)
		} else {
			want[k] = v
		}
	}
	requireSameRows(t, want, distScan(t, store, &ReaderOptions{Mode: FollowLatest}))

	// The checkpoints of the coordinator's commits expire after a second or two.
	deleted := map[string]int{}
	eventually(t, "the end of the other checkpoints", func() bool {
		report, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1, DeleteWALFences: true})
		require.NoError(t, err)
		for _, o := range report.Deleted {
			deleted[o.Kind]++
		}
		all, err := a.ListCheckpoints(ctx, "")
		require.NoError(t, err)
		return len(all) == 1
	})
	// What the last checkpoint held goes with the pass that finds it gone.
	last, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1, DeleteWALFences: true})
	require.NoError(t, err)
	t.Logf("%d rows written, %d live; collected %v", n, len(want), deleted)
	sweepTorn(t, where, torn)
	requireOnlyReachable(t, a, distNames(t, store, where), kept, last)
	requireSameRows(t, want, distScan(t, store, &ReaderOptions{Mode: FollowLatest}))
	requireSameRows(t, then, distScan(t, store, &ReaderOptions{CheckpointID: kept.ID}))
}

// pastStatus is how a job ended.
func pastStatus(t *testing.T, a *Admin, job *manifest.Compaction) manifest.Status {
	t.Helper()
	st, err := a.outcome(t.Context(), job)
	if j := distJobs(t, a).Job(job.ID); j != nil {
		st = j.Status
	}
	require.NoError(t, err)
	return st
}

func distScan(t *testing.T, store objstore.Store, o *ReaderOptions) map[string]string {
	t.Helper()
	o.Store, o.Logger, o.PollInterval, o.BlockCacheBytes, o.MetaCacheBytes = store, quiet, -1, -1, -1
	r, err := OpenReader(t.Context(), distPath, o)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close(t.Context())) }()
	out := map[string]string{}
	for e, err := range r.Entries(t.Context(), All, nil) {
		require.NoError(t, err)
		out[string(e.Key)] = string(e.Value)
	}
	return out
}

// requireSameRows compares without printing thousands of rows.
func requireSameRows(t *testing.T, want, got map[string]string) {
	t.Helper()
	for k, v := range want {
		require.Equal(t, v, got[k], "%q", k)
	}
	for k := range got {
		_, ok := want[k]
		require.True(t, ok, "%q is there", k)
	}
}

// distNames lists what is stored of the database, but for the boundaries. Of a directory it is
// the files themselves, so that a temporary one that was left over shows.
func distNames(t *testing.T, store objstore.Store, where string) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	add := func(name string) {
		if !strings.HasSuffix(name, ".boundary") {
			got[name] = true
		}
	}
	if strings.Contains(where, "://") {
		for o, err := range store.List(t.Context(), distPath+"/", "") {
			require.NoError(t, err)
			add(strings.TrimPrefix(o.Key, distPath+"/"))
		}
		return got
	}
	root := filepath.Join(where, filepath.FromSlash(distPath))
	require.NoError(t, filepath.WalkDir(root, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if name, err = filepath.Rel(root, name); err == nil {
				add(filepath.ToSlash(name))
			}
		}
		return err
	}))
	return got
}

// distTemporaries lists the temporary files of a directory store, none of another store.
func distTemporaries(t *testing.T, where string) (out []string) {
	t.Helper()
	if strings.Contains(where, "://") {
		return nil
	}
	for name := range distNames(t, nil, where) {
		if strings.Contains(name, "#") {
			out = append(out, filepath.Join(where, filepath.FromSlash(distPath), filepath.FromSlash(name)))
		}
	}
	return out
}

// sweepTorn lets a day pass for those of the files torn that are still there: whatever a killed
// process was writing then. A listing removes them after it.
func sweepTorn(t *testing.T, where string, torn []string) {
	t.Helper()
	if len(torn) == 0 {
		return
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range torn {
		if err := os.Chtimes(name, old, old); !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
	}
	store, err := distStore(t.Context(), where) // a folder is swept once an hour by each
	require.NoError(t, err)
	for _, err := range store.List(t.Context(), distPath+"/", "") {
		require.NoError(t, err)
	}
}

// requireOnlyReachable compares what is stored with what the newest manifest and the one that
// a checkpoint pins name. report says why the collector kept what is left.
func requireOnlyReachable(t *testing.T, a *Admin, got map[string]bool, kept Checkpoint, report GCReport) {
	t.Helper()
	ctx := t.Context()
	now, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	pinned, err := a.ReadManifest(ctx, kept.ManifestID)
	require.NoError(t, err)
	require.NotEqual(t, slices.Collect(maps.Keys(now.Tables())), slices.Collect(maps.Keys(pinned.Tables())))
	want := map[string]bool{}
	for _, m := range []*manifest.Manifest{now, pinned} {
		want[fmt.Sprintf("manifest/%020d.manifest", m.ID)] = true
		for id := range m.Tables() {
			want["compacted/"+id.String()+".sst"] = true
		}
		for id := m.ReplayAfterWAL + 1; id <= m.WALLastSeen; id++ {
			want[fmt.Sprintf("wal/%020d.sst", id)] = true
		}
	}
	want[fmt.Sprintf("compactions/%020d.compactions", distJobs(t, a).ID)] = true

	for name := range want {
		require.True(t, got[name], "%s is missing", name)
	}
	// The marks that the collector measures by stay themselves: the newest table that was in L0
	// and the last object of the log that is in tables.
	want["compacted/"+now.Root.LastCompactedL0.String()+".sst"] = true
	want[fmt.Sprintf("wal/%020d.sst", now.ReplayAfterWAL)] = true
	for name := range got {
		if i := slices.IndexFunc(report.Kept, func(o GCObject) bool { return o.Name == distPath+"/"+name }); !want[name] && i >= 0 {
			require.Fail(t, "left over", "%s was kept: %s", name, report.Kept[i].Reason)
		}
		require.True(t, want[name], "%s is left over", name)
	}
}
