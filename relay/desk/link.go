package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"portero/shared/audit"
	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

// OpenTask records a machine's request for approval. Repeating it returns the
// task as it is; the same id with another binding is ErrConflict.
func (d *Desk) OpenTask(ctx context.Context, machine string, hello wire.Hello, open wire.Open) (t Task, err error) {
	if msg := faulty(hello, open); msg != "" {
		return t, &Rejected{Code: wire.CodeInvalid, Msg: msg}
	}
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		t, err = find(tx, open.Task)
		switch {
		case err == nil && (t.Machine != machine || t.Journal != hello.Journal || t.Binding != open.Binding):
			t = Task{} // it may be another machine's
			return ErrConflict
		case !errors.Is(err, ErrNoTask):
			return err
		}
		step, err := task.Next(task.Task{State: task.Queued}, task.Event{Kind: task.Open, Now: tx.Now})
		if err != nil {
			return err
		}
		ttl := time.Duration(open.TTLMS) * time.Millisecond
		t = Task{Task: step.Task, ID: open.Task, Machine: machine, Journal: hello.Journal, Label: hello.Machine, Tool: open.Tool,
			Args: open.Args, Rule: open.Rule, Warn: open.Warn, Session: open.Session, Code: open.Code, Binding: open.Binding, TTL: ttl, Created: tx.Now.Add(-queuedFor(open))}
		t.Deadline = tx.Now.Add(ttl)
		if t.Rev, err = nextRev(tx); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO tasks(id, machine, journal, label, tool, args, rule, warn, session, code, binding, ttl, state, status, rev, created, deadline)
		 VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, t.ID, t.Machine, t.Journal, t.Label, t.Tool, string(t.Args), t.Rule, t.Warn, t.Session, t.Code,
			t.Binding, ttl.Milliseconds(), t.State, t.State.Status(), t.Rev, db.Millis(t.Created), db.Millis(t.Deadline))
		if err != nil {
			return fmt.Errorf("insert task: %w", err)
		}
		return audit.Append(tx, audit.Entry{Event: "open", Task: t.ID, Tool: t.Tool, To: string(t.State), By: "machine:" + machine, Digest: t.Binding})
	})
	return t, err
}

// queuedFor is how long a request lay queued on its machine, as the machine says. It
// is for people and for the order of the list; deadlines count from receipt.
func queuedFor(open wire.Open) time.Duration {
	const most = 366 * 24 * time.Hour
	return time.Duration(min(max(open.AgeMS, 0), most.Milliseconds())) * time.Millisecond
}

// word is what ids, bindings and codes are made of: they become parts of
// addresses and of button data.
var word = regexp.MustCompile(`^[A-Za-z0-9_:-]{1,128}$`)

// faulty says what is wrong with a request for approval, "" when nothing is.
func faulty(hello wire.Hello, open wire.Open) string {
	switch {
	case !word.MatchString(open.Task) || !word.MatchString(open.Binding) || !word.MatchString(open.Code) || !word.MatchString(open.Session):
		return "task, binding, code and session must be words of up to 128 letters, digits, _, : and -"
	case open.Tool == "" || len(open.Tool) > 512 || len(open.Rule) > wire.MaxText || len(open.Warn) > wire.MaxText || len(hello.Machine) > 256:
		return "tool, rule, warn or the machine's name is missing or too long"
	case open.TTLMS <= 0 || open.TTLMS > (366*24*time.Hour).Milliseconds():
		return "ttl_ms must be over 0 and at most a year"
	case len(open.Args) > wire.MaxArgs || !json.Valid(open.Args):
		return fmt.Sprintf("args must be JSON of at most %d bytes", wire.MaxArgs)
	}
	return ""
}

// Rejected is a request that the relay will never accept.
type Rejected struct {
	Code wire.Code
	Msg  string
}

// Error implements error.
func (r *Rejected) Error() string { return r.Msg }

// Request is one durable message of a machine about one of its tasks.
type Request struct {
	Machine string
	Journal string
	Proc    string
	Task    string
	Event   task.Event
	Binding string // set for a claim: must equal the task's
	Outcome wire.Outcome
	Note    string
}

// Do applies a machine's request and returns the task as it stands. A request
// that does not apply returns the task and a *task.StateError; repeating a
// request that had its effect is no error. A claim that the same process holds
// already is granted again with the same number.
func (d *Desk) Do(ctx context.Context, r Request) (t Task, err error) {
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		t, err = find(tx, r.Task)
		if err != nil {
			return err
		}
		if t.Machine != r.Machine || t.Journal != r.Journal {
			t = Task{}
			return ErrNoTask // another machine's task does not exist for this one
		}
		if r.Event.Kind == task.Claim {
			if t.Binding != r.Binding {
				return ErrConflict
			}
			if t.State == task.Claimed && t.Holder == r.Proc {
				return nil
			}
		}
		by := "machine:" + r.Machine + "/" + r.Proc
		_, err = move(tx, &t, r.Event, by, func(t *Task) {
			switch {
			case r.Event.Kind == task.Claim:
				t.Holder = r.Proc
			case r.Event.Kind == task.Release:
				t.Holder = ""
			}
			if r.Outcome != "" {
				t.Outcome = r.Outcome
			}
			if r.Note != "" {
				t.Note = r.Note
			}
			if r.Event.Kind == task.Cancel || r.Event.Why == task.Withdrawn {
				t.Reason = "withdrawn by the asking side"
			}
		})
		return err
	})
	return t, err
}

// Wire is the task as the link tells of it.
func (t Task) Wire() wire.Task {
	return wire.Task{Task: t.ID, Rev: t.Rev, State: t.State, Binding: t.Binding, By: t.By, Reason: t.Reason, Claim: t.Claim, Holder: t.Holder}
}
