package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portero/proxy/bind"
	"portero/shared/audit"
	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

// MaxOpen bounds the tasks of one session that have not ended.
const MaxOpen = 20

// ErrTooMany says that a session has MaxOpen open tasks.
var ErrTooMany = fmt.Errorf("this session has %d open tasks, the limit: wait for decisions or withdraw some with portero/cancel_task", MaxOpen)

// Ask is a call to put before a human. Binding is taken once the id is known.
type Ask struct {
	Tool  string
	Scope string
	Args  []byte // fake form, what the approver sees and what will run
	Rule  string
	Warn  string // what the approver has to know besides, in fake form; "" for nothing
	TTL   time.Duration
	Bind  func(id string, salt []byte) string
}

// Create records a call that waits for approval, with the message that asks
// for it, in one commit: when it returns, the task survives anything. An
// identical open call of this process returns the task that exists.
func (j *Journal) Create(ctx context.Context, ask Ask) (t Task, err error) {
	err = j.db.Change(ctx, func(tx *db.Tx) error {
		const open = "session = ? AND state NOT IN ('completed','failed','denied','expired','cancelled','unknown')"
		same, err := list(tx, "WHERE tool = ? AND args = ? AND "+open+" LIMIT 1", ask.Tool, string(ask.Args), j.proc)
		if err != nil {
			return err
		}
		if len(same) == 1 {
			t = same[0]
			return nil
		}
		var n int
		if err := tx.QueryRow("SELECT COUNT(*) FROM tasks WHERE "+open, j.proc).Scan(&n); err != nil {
			return err
		}
		if n >= MaxOpen {
			return ErrTooMany
		}
		t = Task{ID: bind.NewTask(), Tool: ask.Tool, Session: j.proc, Scope: ask.Scope, Args: ask.Args, Salt: bind.NewSalt(), Rule: ask.Rule, Warn: ask.Warn,
			TTL: ask.TTL, State: task.Queued, Created: tx.Now, Updated: tx.Now}
		t.Code = bind.Code(t.ID)
		t.Binding = ask.Bind(t.ID, t.Salt)
		_, err = tx.Exec(`INSERT INTO tasks(id, tool, session, scope, args, salt, binding, code, rule, warn, ttl, state, status, created, updated)
		 VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, t.ID, t.Tool, t.Session, t.Scope, string(t.Args), t.Salt, t.Binding, t.Code, t.Rule, t.Warn,
			t.TTL.Milliseconds(), t.State, t.State.Status(), db.Millis(t.Created), db.Millis(t.Updated))
		if err != nil {
			return fmt.Errorf("insert task: %w", err)
		}
		if err := postOpen(tx, t); err != nil {
			return err
		}
		return audit.Append(tx, audit.Entry{Event: "create", Task: t.ID, Tool: t.Tool, To: string(t.State), By: j.proc, Note: t.Rule, Digest: t.Binding})
	})
	return t, err
}

func postOpen(tx *db.Tx, t Task) error {
	id := "open:" + t.ID
	return post(tx, "open", id, t.ID, wire.Open{ID: id, Task: t.ID, Binding: t.Binding, Code: t.Code, Tool: t.Tool, Args: t.Args,
		Rule: t.Rule, Warn: t.Warn, Session: t.Session, TTLMS: t.TTL.Milliseconds()})
}

// Cancel withdraws a task that has not started; from here on it cannot start.
// A task that has ended or is running is returned as it is, with a
// *task.StateError.
func (j *Journal) Cancel(ctx context.Context, id string) (t Task, err error) {
	err = j.db.Change(ctx, func(tx *db.Tx) error {
		if t, err = find(tx, id); err != nil {
			return err
		}
		from := t.State
		if from == task.Claimed {
			// The claim is not a start: whoever holds it finds the task
			// withdrawn when it tries, and gives the claim back.
			t.State = task.Approved
		}
		step, err := task.Next(task.Task{State: t.State}, task.Event{Kind: task.Cancel, Now: tx.Now})
		if t.State = from; err != nil || !step.Changed {
			return err
		}
		// What the relay has never seen need not be shown to anyone.
		r, err := tx.Exec("DELETE FROM outbox WHERE task = ? AND kind = 'open' AND sent = 0", id)
		if err != nil {
			return err
		}
		if unseen, err := r.RowsAffected(); err != nil {
			return err
		} else if unseen == 0 {
			key := "cancel:" + id
			if err := post(tx, "cancel", key, id, wire.Cancel{ID: key, Task: id}); err != nil {
				return err
			}
		}
		t.State, t.Reason = task.Cancelled, "withdrawn by the asking side; nothing ran"
		return j.save(tx, &t, from, t.Rev, "cancel", j.proc, "", false)
	})
	return t, err
}

// Startable returns the approved tasks that have not been started.
func (j *Journal) Startable(ctx context.Context) (all []Task, err error) {
	err = j.db.Read(ctx, func(tx *db.Tx) error {
		all, err = list(tx, "WHERE state IN ('approved','claimed') AND id NOT IN (SELECT task FROM starts) ORDER BY created")
		return err
	})
	return all, err
}

// ErrVoid says that a claim must not be used any more, or that the task has
// been started or withdrawn: nothing may be sent to the server.
var ErrVoid = errors.New("the claim is void")

// Start writes the one row that allows the task's call to reach the server. It
// returns ErrVoid when that is not, or no longer, allowed.
func (j *Journal) Start(ctx context.Context, id string, claim int64) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		t, err := find(tx, id)
		if err != nil {
			return err
		}
		if t.State != task.Approved && t.State != task.Claimed {
			return fmt.Errorf("%w: the task is %s", ErrVoid, t.State.Status())
		}
		if void, err := isVoid(tx, id, claim); err != nil {
			return err
		} else if void {
			return fmt.Errorf("%w: it was given back", ErrVoid)
		}
		if err := tx.One("INSERT INTO starts(task, claim, proc, at) VALUES(?,?,?,?) ON CONFLICT DO NOTHING", id, claim, j.proc, db.Millis(tx.Now)); err != nil {
			if errors.Is(err, db.ErrChanged) {
				return fmt.Errorf("%w: it was started before", ErrVoid)
			}
			return err
		}
		from := t.State
		t.State, t.Claim, t.Holder = task.Executing, claim, j.proc
		key := fmt.Sprintf("started:%s", id)
		if err := post(tx, "started", key, id, wire.Started{ID: key, Task: id, Claim: claim}); err != nil {
			return err
		}
		return j.save(tx, &t, from, t.Rev, "start", j.proc, "", false)
	})
}

// Finish records how a started task ended and what the client will be given.
func (j *Journal) Finish(ctx context.Context, id string, outcome wire.Outcome, result []byte, note string) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		t, err := find(tx, id)
		if err != nil {
			return err
		}
		kind := task.Finish
		if outcome == wire.RPCError || outcome == wire.Unsent {
			kind = task.Fail
		}
		from := t.State
		step, err := task.Next(task.Task{State: t.State, Claim: t.Claim}, task.Event{Kind: kind, Claim: t.Claim, Now: tx.Now})
		if err != nil || !step.Changed {
			return err
		}
		t.State, t.Result, t.Reason = step.Task.State, result, note
		key := "finished:" + id
		if err := post(tx, "finished", key, id, wire.Finished{ID: key, Task: id, Claim: t.Claim, Outcome: outcome, Note: note}); err != nil {
			return err
		}
		return j.save(tx, &t, from, t.Rev, string(kind), j.proc, string(outcome), step.Anomaly)
	})
}

// Lose records that a started task's end cannot be known: it may have run.
func (j *Journal) Lose(ctx context.Context, id, note string) error {
	return j.db.Change(ctx, func(tx *db.Tx) error { return j.lose(tx, id, note) })
}

func (j *Journal) lose(tx *db.Tx, id, note string) error {
	t, err := find(tx, id)
	if err != nil {
		return err
	}
	from := t.State
	step, err := task.Next(task.Task{State: t.State, Claim: t.Claim}, task.Event{Kind: task.Lose, Claim: t.Claim, Now: tx.Now})
	if err != nil || !step.Changed {
		return err
	}
	t.State, t.Reason = step.Task.State, note
	key := "lost:" + id
	if err := post(tx, "lost", key, id, wire.Lost{ID: key, Task: id, Claim: t.Claim, Note: note}); err != nil {
		return err
	}
	return j.save(tx, &t, from, t.Rev, "lose", j.proc, note, step.Anomaly)
}

// Void gives a claim back unused: first it is made worthless here, then the
// relay is told why. It returns ErrVoid when the task has been started; giving
// the same claim back a second time changes nothing.
func (j *Journal) Void(ctx context.Context, id string, claim int64, why task.Why, note string) error {
	return ignore(errOld, j.db.Change(ctx, func(tx *db.Tx) error { return j.void(tx, id, claim, why, note) }))
}

func (j *Journal) void(tx *db.Tx, id string, claim int64, why task.Why, note string) error {
	t, err := find(tx, id)
	if err != nil {
		return err
	}
	var started bool
	if err := tx.QueryRow("SELECT EXISTS(SELECT 1 FROM starts WHERE task = ?)", id).Scan(&started); err != nil {
		return err
	}
	if started {
		return ErrVoid
	}
	if void, err := isVoid(tx, id, claim); err != nil {
		return err
	} else if void {
		return errOld // the reason given then stands
	}
	if t.State == task.Cancelled {
		why = task.Withdrawn // whatever else the caller found: nobody wants it any more
	}
	if _, err := tx.Exec("INSERT INTO voids(task, claim) VALUES(?,?)", id, claim); err != nil {
		return err
	}
	key := fmt.Sprintf("release:%s:%d", id, claim)
	if err := post(tx, "release", key, id, wire.Release{ID: key, Task: id, Claim: claim, Why: why, Note: note}); err != nil {
		return err
	}
	from := t.State
	step, err := task.Next(task.Task{State: task.Claimed, Claim: claim, Claims: claim}, task.Event{Kind: task.Release, Claim: claim, Why: why, Now: tx.Now})
	if err != nil {
		return err
	}
	// Approved again is the relay's to say; an end is final at once.
	if step.Task.State.Ended() && !from.Ended() {
		t.State, t.Reason = step.Task.State, note
	}
	return j.save(tx, &t, from, t.Rev, "release", j.proc, string(why), false)
}

func isVoid(tx *db.Tx, id string, claim int64) (void bool, err error) {
	err = tx.QueryRow("SELECT EXISTS(SELECT 1 FROM voids WHERE task = ? AND claim = ?)", id, claim).Scan(&void)
	return void, err
}
