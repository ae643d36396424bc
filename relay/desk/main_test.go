package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"portero/shared/audit"
	"portero/shared/db"
	"portero/shared/porterotest/auditlog"
	"portero/shared/task"
	"portero/shared/wire"
)

var ctx = context.Background()

const machine = "laptop"

var hello = wire.Hello{Machine: "Ana's laptop", Journal: "journal1", Proc: "proc1"}

func open(t *testing.T, dir string) *Desk {
	t.Helper()
	d, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func request(id string) wire.Open {
	return wire.Open{ID: "open:" + id, Task: id, Binding: "binding-" + id, Code: "7K3F", Tool: "kit/echo", Args: json.RawMessage(`{"n":1.0}`),
		Rule: "require-approval default", Session: "proc1", TTLMS: time.Hour.Milliseconds()}
}

// pending puts a request before the desk.
func pending(t *testing.T, d *Desk, id string) Task {
	t.Helper()
	made, err := d.OpenTask(ctx, machine, hello, request(id))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// do carries out one request of the machine's process proc1.
func do(d *Desk, id string, e task.Event, more ...func(*Request)) (Task, error) {
	r := Request{Machine: machine, Journal: hello.Journal, Proc: "proc1", Task: id, Event: e}
	if e.Kind == task.Claim {
		r.Binding = "binding-" + id
	}
	for _, f := range more {
		f(&r)
	}
	return d.Do(ctx, r)
}

// to brings a new task to a state by the way that tasks take.
func to(t *testing.T, d *Desk, id string, s task.State) Task {
	t.Helper()
	pending(t, d, id)
	var events []task.Event
	switch s {
	case task.Pending:
	case task.Denied:
		decide(t, d, id, false)
	case task.Cancelled:
		events = []task.Event{{Kind: task.Cancel}}
	case task.Expired:
		age(t, d, id)
		if n, err := d.ExpireDue(ctx); n != 1 || err != nil {
			t.Fatalf("%d expired, %v", n, err)
		}
	default:
		decide(t, d, id, true)
		events = map[task.State][]task.Event{
			task.Approved:  nil,
			task.Claimed:   {{Kind: task.Claim}},
			task.Executing: {{Kind: task.Claim}, {Kind: task.Start, Claim: 1}},
			task.Completed: {{Kind: task.Claim}, {Kind: task.Start, Claim: 1}, {Kind: task.Finish, Claim: 1}},
			task.Failed:    {{Kind: task.Claim}, {Kind: task.Start, Claim: 1}, {Kind: task.Fail, Claim: 1}},
			task.Unknown:   {{Kind: task.Claim}, {Kind: task.Start, Claim: 1}, {Kind: task.Lose, Claim: 1}},
		}[s]
	}
	for _, e := range events {
		if _, err := do(d, id, e); err != nil {
			t.Fatal(err)
		}
	}
	return is(t, d, id, s)
}

// relayStates are the states that a task can have on the relay.
var relayStates = task.States[1:]

func decide(t *testing.T, d *Desk, id string, approve bool) Verdict {
	t.Helper()
	v, err := d.Press(ctx, id, approve, "Ana (page)")
	if err != nil || !v.Changed {
		t.Fatalf("press on %s: %+v, %v", id, v, err)
	}
	return v
}

// is fails the test unless a task is in a state, and returns it.
func is(t *testing.T, d *Desk, id string, want task.State) Task {
	t.Helper()
	got, err := d.Task(ctx, id)
	if err != nil || got.State != want {
		t.Fatalf("task %s is %s, %v; want %s", id, got.State, err, want)
	}
	return got
}

// age lets a task's time run out.
func age(t *testing.T, d *Desk, id string) {
	t.Helper()
	expires(t, d, id, -time.Millisecond)
}

// expires sets the time that is left for a task.
func expires(t *testing.T, d *Desk, id string, left time.Duration) {
	t.Helper()
	err := d.db.Write(ctx, func(tx *db.Tx) error {
		return tx.One("UPDATE tasks SET deadline = ? WHERE id = ?", db.Millis(tx.Now.Add(left)), id)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// record returns the audit entries of a task ("" = those of no task), and
// checks the chain.
func record(t *testing.T, d *Desk, id string) (entries []audit.Entry) {
	t.Helper()
	err := d.db.Read(ctx, func(tx *db.Tx) error {
		all, err := auditlog.Entries(tx)
		for _, e := range all {
			if e.Task == id {
				entries = append(entries, e)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func events(t *testing.T, d *Desk, id string) string {
	t.Helper()
	var all []string
	for _, e := range record(t, d, id) {
		all = append(all, e.Event)
	}
	return fmt.Sprint(all)
}

func isStateError(err error) bool {
	var se *task.StateError
	return errors.As(err, &se)
}
