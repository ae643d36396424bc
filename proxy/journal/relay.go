package journal

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

// Position is how far this machine has followed a relay's changes.
type Position struct {
	Epoch string
	Rev   int64
}

// Position returns the last position recorded.
func (j *Journal) Position(ctx context.Context) (p Position, err error) {
	err = j.db.Read(ctx, func(tx *db.Tx) error {
		if err := tx.QueryRow("SELECT value FROM meta WHERE key = 'epoch'").Scan(&p.Epoch); err != nil {
			return err
		}
		return tx.QueryRow("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'rev'").Scan(&p.Rev)
	})
	return p, err
}

// Enter records which store the relay has. Another one than before knows
// nothing of what was asked of the last: every task that has not started is
// asked for anew, and whatever the old store decided about it is void.
func (j *Journal) Enter(ctx context.Context, epoch string) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		var had string
		if err := tx.QueryRow("SELECT value FROM meta WHERE key = 'epoch'").Scan(&had); err != nil || had == epoch {
			return err
		}
		if _, err := tx.Exec("UPDATE meta SET value = CASE key WHEN 'epoch' THEN ? ELSE '0' END WHERE key IN ('epoch','rev')", epoch); err != nil {
			return err
		}
		if had == "" {
			return nil
		}
		open, err := list(tx, "WHERE state IN ('pending','approved','claimed') AND id NOT IN (SELECT task FROM starts)")
		if err != nil {
			return err
		}
		for _, t := range open {
			from, rev := t.State, t.Rev
			t.State, t.Rev, t.Claim, t.Holder, t.By = task.Queued, 0, 0, "", ""
			if _, err := tx.Exec("DELETE FROM outbox WHERE task = ?", t.ID); err != nil {
				return err
			}
			// The other store counts its claims from one again, and those of
			// the last are worthless: the task is no longer approved.
			if _, err := tx.Exec("DELETE FROM voids WHERE task = ?", t.ID); err != nil {
				return err
			}
			if err := postOpen(tx, t); err != nil {
				return err
			}
			if err := j.save(tx, &t, from, rev, "requeue", j.proc, "the relay has another store", false); err != nil {
				return err
			}
		}
		return nil
	})
}

// Observe records a pushed task's state on the relay, and that everything up
// to its revision has been seen. Older news and tasks of other machines change
// nothing else.
func (j *Journal) Observe(ctx context.Context, w wire.Task) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE meta SET value = ? WHERE key = 'rev' AND CAST(value AS INTEGER) < ?", strconv.FormatInt(w.Rev, 10), w.Rev)
		if err != nil {
			return err
		}
		return ignore(errOld, j.observe(tx, w))
	})
}

// Heard records a task's state that came with an answer. It may overtake
// pushes of older revisions, so it says nothing of what has been seen.
func (j *Journal) Heard(ctx context.Context, w wire.Task) error {
	return ignore(errOld, j.db.Change(ctx, func(tx *db.Tx) error { return j.observe(tx, w) }))
}

// errOld ends a transaction that has nothing to record. Whoever asks again
// after every change would go round in circles if it were announced as one.
var errOld = errors.New("nothing new")

func ignore(one, err error) error {
	if errors.Is(err, one) {
		return nil
	}
	return err
}

func (j *Journal) observe(tx *db.Tx, w wire.Task) error {
	t, err := find(tx, w.Task)
	if errors.Is(err, ErrNoTask) {
		return errOld
	} else if err != nil {
		return err
	}
	if w.Rev <= t.Rev || w.Binding != t.Binding {
		return errOld
	}
	from, rev := t.State, t.Rev
	t.Rev, t.By = w.Rev, w.By
	// A claim that was given back here is news that the relay has yet to hear.
	void, err := isVoid(tx, t.ID, w.Claim)
	if err != nil {
		return err
	}
	if w.State != task.Claimed || !void {
		t.State = task.Observe(t.State, w.State)
	}
	if !t.State.Effect() {
		t.Claim, t.Holder = w.Claim, w.Holder
		if w.Reason != "" && from != task.Cancelled {
			t.Reason = w.Reason
		}
	}
	return j.save(tx, &t, from, rev, "observe", t.By, string(w.State), false)
}

// Letter is one message in the outbox.
type Letter struct {
	Seq   int64
	ID    string
	Task  string
	Kind  string
	Frame []byte
}

// Outbox returns the messages after seq that the relay has not acknowledged,
// in their order.
func (j *Journal) Outbox(ctx context.Context, seq int64, limit int) (all []Letter, err error) {
	err = j.db.Read(ctx, func(tx *db.Tx) error {
		all, err = db.All(tx, scanLetter, "SELECT seq, id, task, kind, frame FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
		return err
	})
	return all, err
}

func scanLetter(row db.Row) (l Letter, err error) {
	err = row.Scan(&l.Seq, &l.ID, &l.Task, &l.Kind, &l.Frame)
	return l, err
}

// Sending notes that a message is about to go out for the first time. It is
// false when the message is no longer wanted: its task was withdrawn meanwhile.
func (j *Journal) Sending(ctx context.Context, l Letter) (wanted bool, err error) {
	err = j.db.Write(ctx, func(tx *db.Tx) error {
		r, err := tx.Exec("UPDATE outbox SET sent = 1 WHERE seq = ?", l.Seq)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		wanted = n == 1
		return err
	})
	return wanted, err
}

// Acked removes a message that the relay has acknowledged, and records the
// task's state that came with the acknowledgement.
func (j *Journal) Acked(ctx context.Context, id string, w wire.Task) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("DELETE FROM outbox WHERE id = ?", id); err != nil {
			return err
		}
		return ignore(errOld, j.observe(tx, w))
	})
}

// Refused removes a message that the relay will never accept. A task that it
// refuses to open ends there: nothing ran.
func (j *Journal) Refused(ctx context.Context, id, msg string) error {
	return j.db.Change(ctx, func(tx *db.Tx) error {
		var taskID, kind string
		err := tx.QueryRow("DELETE FROM outbox WHERE id = ? RETURNING task, kind", id).Scan(&taskID, &kind)
		if errors.Is(err, sql.ErrNoRows) || err == nil && kind != "open" {
			return nil
		} else if err != nil {
			return err
		}
		t, err := find(tx, taskID)
		if err != nil || t.State.Ended() || t.State == task.Executing {
			return err
		}
		from := t.State
		t.State, t.Reason = task.Failed, "the relay refused the request: "+msg+"; nothing ran"
		return j.save(tx, &t, from, t.Rev, "refused", "relay", msg, false)
	})
}

// Reap settles what dead processes of this machine left behind: a start
// without an end becomes unknown, a claim without a start is given back, and a
// task that only its own session could run is withdrawn with it. It also gives
// back claims on tasks that were withdrawn: those can no longer start.
func (j *Journal) Reap(ctx context.Context) error {
	var open []Task
	err := j.db.Read(ctx, func(tx *db.Tx) (err error) {
		open, err = list(tx, `WHERE state IN ('queued','pending','approved','claimed','executing')
		 OR state = 'cancelled' AND claim <> 0 AND claim NOT IN (SELECT claim FROM voids WHERE task = id)`)
		return err
	})
	for _, t := range open {
		switch {
		case t.State == task.Executing && !j.Alive(t.Holder):
			err = errors.Join(err, j.Lose(ctx, t.ID, "the process that ran it ended before the outcome was known; it may have run and is not run again"))
		case t.State == task.Cancelled:
			err = errors.Join(err, ignore(ErrVoid, j.Void(ctx, t.ID, t.Claim, task.Withdrawn, "")))
		case t.State == task.Claimed && !j.Alive(t.Holder):
			err = errors.Join(err, ignore(ErrVoid, j.Void(ctx, t.ID, t.Claim, task.Dead, "")))
		case t.State != task.Executing && t.Scope == "session" && !j.Alive(t.Session):
			_, gone := j.Cancel(ctx, t.ID)
			err = errors.Join(err, gone)
		}
	}
	return err
}
