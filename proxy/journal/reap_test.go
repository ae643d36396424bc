package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portero/shared/task"
	"portero/shared/wire"
)

func reap(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Reap(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDeadWhileExecuting: whatever a killed process had started may have run.
func TestDeadWhileExecuting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	n := startNeighbour(t, "executing", dir)
	reap(t, j)
	isIn(t, j, n.task, task.Executing)
	n.kill(t)
	reap(t, j)
	got := get(t, j, n.task)
	if got.State != task.Unknown || !strings.Contains(got.Reason, "may have run") {
		t.Errorf("%s: %q", got.State, got.Reason)
	}
	if all := letters(t, j, n.task); !slices.Equal(all[len(all)-2:], []string{"started(1)", "lost(1)"}) {
		t.Errorf("outbox holds %v", all)
	}
	events := audited(t, j, n.task)
	for range 3 { // and nothing happens to it again
		reap(t, j)
	}
	if now := audited(t, j, n.task); !slices.Equal(now, events) {
		t.Errorf("audited %v, then %v", events, now)
	}
	if all, err := j.Startable(ctx); err != nil || len(all) != 0 {
		t.Errorf("startable: %v, %v", all, err)
	}
}

// TestDeadWithAClaim: what a killed process had not started can be run by
// another, with a claim of its own.
func TestDeadWithAClaim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	n := startNeighbour(t, "claimed", dir)
	reap(t, j)
	isIn(t, j, n.task, task.Claimed)
	wantLetters(t, j, n.task, "open")
	n.kill(t)
	reap(t, j)
	wantLetters(t, j, n.task, "open", "release(1,dead)")
	events := audited(t, j, n.task)
	for range 3 { // the relay may be away for days
		reap(t, j)
	}
	if now := audited(t, j, n.task); !slices.Equal(now, events) {
		t.Errorf("given back again and again: audited %v, then %v", events, now)
	}
	r := &relay{T: t, j: j, rev: 3}
	r.says(n.task, task.Approved, 0, "")
	reap(t, j)
	isIn(t, j, n.task, task.Approved)
	r.says(n.task, task.Claimed, 2, j.Proc())
	if err := j.Start(ctx, n.task, 2); err != nil {
		t.Error(err)
	}
}

func TestDeadSession(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		act  string
		end  func(*neighbour, *testing.T)
		want task.State
	}{
		{"queued", (*neighbour).kill, task.Queued},
		{"session", (*neighbour).kill, task.Cancelled},
		{"session", (*neighbour).leave, task.Cancelled},
	} {
		dir := t.TempDir()
		j := open(t, dir)
		n := startNeighbour(t, tc.act, dir)
		reap(t, j)
		isIn(t, j, n.task, task.Queued)
		tc.end(n, t)
		reap(t, j)
		isIn(t, j, n.task, tc.want)
		if tc.want == task.Cancelled {
			wantLetters(t, j, n.task) // never sent, so never to be withdrawn
		} else {
			wantLetters(t, j, n.task, "open")
		}
	}
}

// TestDeadSessionLater covers the states in which a session can leave a task
// that only it could run.
func TestDeadSessionLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, session := open(t, dir), open(t, dir)
	r := &relay{T: t, j: session}
	ask := sampleAsk("")
	ask.Scope = "session"
	ids := map[task.State]string{}
	for _, s := range []task.State{task.Pending, task.Approved, task.Claimed} {
		ask.Args = []byte(`{"s":"` + s + `"}`)
		made, err := session.Create(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		ids[s] = made.ID
		ack(t, session, "open:"+made.ID, wire.Task{})
		r.says(made.ID, s, 1, session.Proc())
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	reap(t, j)
	for _, s := range []task.State{task.Pending, task.Approved} {
		isIn(t, j, ids[s], task.Cancelled)
		wantLetters(t, j, ids[s], "cancel")
	}
	// The claim goes first; without one, the task can be withdrawn.
	wantLetters(t, j, ids[task.Claimed], "release(1,dead)")
	r.j = j
	r.says(ids[task.Claimed], task.Approved, 0, "")
	reap(t, j)
	isIn(t, j, ids[task.Claimed], task.Cancelled)
	wantLetters(t, j, ids[task.Claimed], "release(1,dead)", "cancel")
}

// TestTwoReapers: several processes settle the same legacy at once.
func TestTwoReapers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	handles := []*Journal{open(t, dir), open(t, dir), open(t, dir)}
	n := startNeighbour(t, "executing", dir)
	n.kill(t)
	done := make(chan error)
	for _, j := range handles {
		go func() { done <- j.Reap(ctx) }()
	}
	for range handles {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if events := audited(t, handles[0], n.task); events[len(events)-1] != "lose" || slices.Index(events, "lose") != len(events)-1 {
		t.Errorf("audited %v", events)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	n := startNeighbour(t, "queued", dir)
	if j.Proc() == other.Proc() || j.ID() != other.ID() || j.ID() == "" {
		t.Fatalf("processes %s and %s, journals %s and %s", j.Proc(), other.Proc(), j.ID(), other.ID())
	}
	for range 3 { // looking must not take the lock away
		for who, proc := range map[string]string{"itself": j.Proc(), "another handle": other.Proc(), "another process": n.proc} {
			if !j.Alive(proc) {
				t.Errorf("%s counts as dead", who)
			}
		}
		if !other.Alive(j.Proc()) || !other.Alive(n.proc) {
			t.Error("seen from the other handle, somebody counts as dead")
		}
	}
	n.kill(t)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for who, proc := range map[string]string{"a closed handle": other.Proc(), "a killed process": n.proc, "nobody": "NOSUCHPROCESS"} {
		if j.Alive(proc) {
			t.Errorf("%s counts as living", who)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "run", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != j.Proc()+".lock" {
		t.Errorf("lock files left: %v, %v", left, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "run")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	id, journal, proc := create(t, j, "a").ID, j.ID(), j.Proc()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	if j.ID() != journal || j.Proc() == proc {
		t.Errorf("journal %s then %s, process %s then %s", journal, j.ID(), proc, j.Proc())
	}
	isIn(t, j, id, task.Queued)
	if _, err := Open(ctx, filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("opened in a directory that is not there: %v", err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for name, age := range map[string]time.Duration{"killed": time.Hour, "young": 0} {
		path := procFile(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(procFile(dir, j.Proc()), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	for name, want := range map[string]bool{"killed": false, "young": true, j.Proc(): true} {
		if _, err := os.Stat(procFile(dir, name)); (err == nil) != want {
			t.Errorf("lock of %s: %v, want kept: %v", name, err, want)
		}
	}
}
