package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"portero/proxy/bind"
	"portero/shared/db"
	"portero/shared/porterotest/auditlog"
	"portero/shared/task"
	"portero/shared/wire"
)

var ctx = context.Background()

// TestMain lets the test binary be another process of the machine.
func TestMain(m *testing.M) {
	if act := os.Getenv("JOURNAL_TEST_ACT"); act != "" {
		if err := otherProcess(act, os.Getenv("JOURNAL_TEST_DIR")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// otherProcess brings a task of its own to where act says, tells its id and
// its process, and lives until it is killed or stdin ends.
func otherProcess(act, dir string) error {
	j, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	ask := sampleAsk(act)
	if act == "session" {
		ask.Scope = "session"
	}
	t, err := j.Create(ctx, ask)
	if err != nil {
		return err
	}
	push := func(rev int64, s task.State, claim int64, holder string) error {
		return j.Observe(ctx, wire.Task{Task: t.ID, Rev: rev, State: s, Binding: t.Binding, Claim: claim, Holder: holder})
	}
	switch act {
	case "claimed", "executing":
		if err := errors.Join(push(1, task.Pending, 0, ""), push(2, task.Approved, 0, ""), push(3, task.Claimed, 1, j.Proc())); err != nil {
			return err
		}
		if act == "executing" {
			if err := j.Start(ctx, t.ID, 1); err != nil {
				return err
			}
		}
	}
	fmt.Println(t.ID, j.Proc())
	_, _ = io.ReadAll(os.Stdin)
	return j.Close()
}

// neighbour is another process of the machine.
type neighbour struct {
	task, proc string
	cmd        *exec.Cmd
	stdin      io.Closer
	gone       bool
}

func startNeighbour(t *testing.T, act, dir string) *neighbour {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbour{cmd: exec.Command(exe)}
	n.cmd.Env = append(os.Environ(), "JOURNAL_TEST_ACT="+act, "JOURNAL_TEST_DIR="+dir)
	n.cmd.Stderr = os.Stderr
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.kill(t) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if _, scanErr := fmt.Sscan(line, &n.task, &n.proc); err != nil || scanErr != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return n
}

// kill ends the process with SIGKILL and waits until it is gone.
func (n *neighbour) kill(t *testing.T) {
	t.Helper()
	if n.gone {
		return
	}
	n.gone = true
	if err := n.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = n.cmd.Wait()
}

// leave lets the process end as it should.
func (n *neighbour) leave(t *testing.T) {
	t.Helper()
	n.gone = true
	if err := errors.Join(n.stdin.Close(), n.cmd.Wait()); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func sampleAsk(args string) Ask {
	return Ask{Tool: "kit/echo", Scope: "machine", Args: []byte(`{"text":"` + args + `","n":1.0}`), Rule: "require-approval default",
		TTL: time.Hour, Bind: func(id string, salt []byte) string { return bind.Digest(bind.Fields{Task: id, Salt: salt}) }}
}

func create(t *testing.T, j *Journal, args string) Task {
	t.Helper()
	made, err := j.Create(ctx, sampleAsk(args))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// relay plays the relay towards one journal: it numbers its news.
type relay struct {
	*testing.T
	j   *Journal
	rev int64
}

// says makes the journal hear the next state of a task.
func (r *relay) says(id string, s task.State, claim int64, holder string) {
	r.Helper()
	r.rev++
	w := wire.Task{Task: id, Rev: r.rev, State: s, Binding: r.get(id).Binding, By: "Ana", Claim: claim, Holder: holder}
	if err := r.j.Observe(ctx, w); err != nil {
		r.Fatal(err)
	}
}

// to brings a fresh task to a state by the way that tasks take.
func (r *relay) to(s task.State, args string) Task {
	r.Helper()
	id := create(r.T, r.j, args).ID
	if s == task.Queued {
		return r.get(id)
	}
	ack(r.T, r.j, "open:"+id, wire.Task{})
	r.says(id, task.Pending, 0, "")
	switch s {
	case task.Pending:
	case task.Denied, task.Expired:
		r.says(id, s, 0, "")
	case task.Cancelled:
		if _, err := r.j.Cancel(ctx, id); err != nil {
			r.Fatal(err)
		}
	default:
		r.says(id, task.Approved, 0, "")
	}
	switch s {
	case task.Claimed, task.Executing, task.Completed, task.Failed, task.Unknown:
		r.says(id, task.Claimed, 1, r.j.Proc())
	}
	var err error
	switch s {
	case task.Executing, task.Completed, task.Failed, task.Unknown:
		err = r.j.Start(ctx, id, 1)
	}
	switch s {
	case task.Completed:
		err = errors.Join(err, r.j.Finish(ctx, id, wire.OK, []byte(`{"content":[]}`), ""))
	case task.Failed:
		err = errors.Join(err, r.j.Finish(ctx, id, wire.RPCError, nil, "error -1: no"))
	case task.Unknown:
		err = errors.Join(err, r.j.Lose(ctx, id, "its process died"))
	}
	if err != nil {
		r.Fatal(err)
	}
	if got := r.get(id); got.State != s {
		r.Fatalf("the task is %s, want %s", got.State, s)
	}
	return r.get(id)
}

func (r *relay) get(id string) Task {
	r.Helper()
	return get(r.T, r.j, id)
}

func get(t *testing.T, j *Journal, id string) Task {
	t.Helper()
	found, err := j.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// isIn fails the test unless a task is in a state.
func isIn(t *testing.T, j *Journal, id string, want task.State) {
	t.Helper()
	if got := get(t, j, id); got.State != want {
		t.Errorf("task is %s (%s), want %s", got.State, got.Reason, want)
	}
}

func ack(t *testing.T, j *Journal, letter string, w wire.Task) {
	t.Helper()
	if err := j.Acked(ctx, letter, w); err != nil {
		t.Fatal(err)
	}
}

// letters returns the outbox as "kind" or, for a release, "release(why)".
func letters(t *testing.T, j *Journal, id string) (kinds []string) {
	t.Helper()
	for _, l := range outbox(t, j) {
		if l.Task != id {
			continue
		}
		m, err := wire.Decode(l.Frame)
		if err != nil {
			t.Fatal(err)
		}
		kind := l.Kind
		switch m := m.(type) {
		case wire.Release:
			kind = fmt.Sprintf("release(%d,%s)", m.Claim, m.Why)
		case wire.Finished:
			kind = fmt.Sprintf("finished(%d,%s)", m.Claim, m.Outcome)
		case wire.Started:
			kind = fmt.Sprintf("started(%d)", m.Claim)
		case wire.Lost:
			kind = fmt.Sprintf("lost(%d)", m.Claim)
		}
		kinds = append(kinds, kind)
		var head struct{ ID, Task, Type string }
		if json.Unmarshal(l.Frame, &head); head.ID != l.ID || head.Task != id || head.Type != l.Kind {
			t.Errorf("letter %+v has the frame %s", l, l.Frame)
		}
	}
	return kinds
}

func outbox(t *testing.T, j *Journal) []Letter {
	t.Helper()
	all, err := j.Outbox(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantLetters(t *testing.T, j *Journal, id string, want ...string) {
	t.Helper()
	if got := letters(t, j, id); !slices.Equal(got, want) {
		t.Errorf("outbox holds %v, want %v", got, want)
	}
}

// audited returns the audit events of a task, and checks the chain.
func audited(t *testing.T, j *Journal, id string) (events []string) {
	t.Helper()
	err := j.db.Read(ctx, func(tx *db.Tx) error {
		all, err := auditlog.Entries(tx)
		for _, e := range all {
			if e.Task == id {
				events = append(events, e.Event)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}
