// Package desk is where tasks change state on the relay, and nowhere else.
// Every change is one SQLite transaction that holds the new state (a
// compare-and-set on the task's revision), its audit line and, where the change
// came from Telegram, the update that caused it. What the desk has answered is
// on disk.
//
// Everybody else looks at the desk: the hub pushes tasks whose revision is
// newer than the last one it sent, Telegram sends and edits the cards that do
// not show the present state, the page renders what it finds. So a crash loses
// nothing and there is no event to replay.
package desk

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"portero/shared/audit"
	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

var schema = []string{audit.Schema + `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE tokens (
  name TEXT PRIMARY KEY, role TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, tools TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE machines (
  name TEXT PRIMARY KEY, label TEXT NOT NULL, app TEXT NOT NULL, seen INTEGER NOT NULL
) STRICT;
CREATE TABLE tasks (
  id TEXT PRIMARY KEY, machine TEXT NOT NULL, journal TEXT NOT NULL, label TEXT NOT NULL,
  tool TEXT NOT NULL, args TEXT NOT NULL, rule TEXT NOT NULL, session TEXT NOT NULL,
  code TEXT NOT NULL, binding TEXT NOT NULL, ttl INTEGER NOT NULL,
  state TEXT NOT NULL, status TEXT NOT NULL, rev INTEGER NOT NULL UNIQUE,
  claim INTEGER NOT NULL DEFAULT 0, claims INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '',
  created INTEGER NOT NULL, deadline INTEGER NOT NULL, decided INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
  decider TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX tasks_journal ON tasks(machine, journal, rev);
CREATE INDEX tasks_state ON tasks(state, deadline);
CREATE TABLE cards (
  nonce TEXT PRIMARY KEY, task TEXT NOT NULL REFERENCES tasks(id), chat INTEGER NOT NULL,
  message INTEGER NOT NULL DEFAULT 0, shown TEXT NOT NULL DEFAULT '', UNIQUE(task, chat)
) STRICT;
CREATE TABLE updates (id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE signins (hash BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT;
CREATE TABLE sessions (hash BLOB PRIMARY KEY, csrf TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
`, `ALTER TABLE tasks ADD COLUMN warn TEXT NOT NULL DEFAULT '';`}

// Task is one request for approval as the relay keeps it. Args, Rule, Warn,
// Reason and Note come from a machine and are in fake form; they are untrusted text.
type Task struct {
	task.Task
	ID      string
	Machine string // name of the machine's token
	Journal string
	Label   string // the name the machine gives itself
	Tool    string // child/tool
	Args    json.RawMessage
	Rule    string // the policy rule that asked
	Warn    string // what the machine wants the approver to know
	Session string // process that asked
	Code    string // short code, the same on the machine and on the card
	Binding string
	TTL     time.Duration
	Rev     int64
	Holder  string // process that holds the claim
	Created time.Time
	Decided time.Time
	Ended   time.Time
	By      string // who decided
	Reason  string
	Outcome wire.Outcome
	Note    string
}

// Desk is the relay's store. It is safe for concurrent use, also by several
// processes on one file (the command line beside the server).
type Desk struct {
	db *db.DB

	mu        sync.Mutex
	connected map[string]int
}

// Open opens the store in dir, which must exist.
func Open(ctx context.Context, dir string) (*Desk, error) {
	store, err := db.Open(ctx, filepath.Join(dir, "relay.db"), schema)
	if err != nil {
		return nil, err
	}
	d := &Desk{db: store, connected: map[string]int{}}
	err = store.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO meta VALUES('epoch', ?), ('rev', '0'), ('offset', '0') ON CONFLICT DO NOTHING", rand.Text())
		return err
	})
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return d, nil
}

// Close releases the store.
func (d *Desk) Close() error { return d.db.Close() }

// Watch returns a channel that receives after every change of a task, with
// several changes folded into one. Call stop to end it.
func (d *Desk) Watch() (changed <-chan struct{}, stop func()) { return d.db.Watch() }

// Errors of the desk.
var (
	ErrNoTask   = errors.New("no such task")
	ErrNoCard   = errors.New("no such card")
	ErrConflict = errors.New("the task is known with other contents")
)

const columns = `id, machine, journal, label, tool, args, rule, warn, session, code, binding, ttl, state, rev, claim, claims,
 holder, created, deadline, decided, ended, decider, reason, outcome, note`

func scan(row db.Row) (Task, error) {
	var t Task
	var args string
	var ttl, created, deadline, decided, ended int64
	err := row.Scan(&t.ID, &t.Machine, &t.Journal, &t.Label, &t.Tool, &args, &t.Rule, &t.Warn, &t.Session, &t.Code, &t.Binding, &ttl,
		&t.State, &t.Rev, &t.Claim, &t.Claims, &t.Holder, &created, &deadline, &decided, &ended, &t.By, &t.Reason, &t.Outcome, &t.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return t, ErrNoTask
	}
	t.Args = json.RawMessage(args)
	t.TTL = time.Duration(ttl) * time.Millisecond
	t.Created, t.Deadline, t.Decided, t.Ended = db.Time(created), db.Time(deadline), db.Time(decided), db.Time(ended)
	return t, err
}

func find(tx *db.Tx, id string) (Task, error) {
	return scan(tx.QueryRow("SELECT "+columns+" FROM tasks WHERE id = ?", id))
}

func list(tx *db.Tx, where string, args ...any) ([]Task, error) {
	return db.All(tx, scan, "SELECT "+columns+" FROM tasks "+where, args...)
}

// nextRev numbers a change. Revisions are handed out under the write lock, so
// their order is the order of the commits.
func nextRev(tx *db.Tx) (rev int64, err error) {
	err = tx.QueryRow("UPDATE meta SET value = value + 1 WHERE key = 'rev' RETURNING CAST(value AS INTEGER)").Scan(&rev)
	return rev, err
}

// move applies one event to t by the transition table and writes the result
// with its audit line. t is updated in place; step.Changed tells whether
// anything happened.
func move(tx *db.Tx, t *Task, e task.Event, by string, edit func(*Task)) (task.Step, error) {
	e.Now = tx.Now
	step, err := task.Next(t.Task, e)
	if err != nil || !step.Changed && !step.Anomaly {
		return step, err
	}
	from, rev := t.State, t.Rev
	record := audit.Entry{Event: string(e.Kind), Task: t.ID, Tool: t.Tool, From: string(from), To: string(step.Task.State),
		By: by, Note: string(e.Why), Digest: t.Binding, Anomaly: step.Anomaly}
	if !step.Changed {
		return step, audit.Append(tx, record) // what is known of its end stays
	}
	t.Task = step.Task
	if t.State == task.Approved {
		t.Deadline = tx.Now.Add(t.TTL) // time left to run what was approved
	}
	if t.State.Ended() {
		t.Ended = tx.Now
	}
	if edit != nil {
		edit(t)
	}
	if t.Rev, err = nextRev(tx); err != nil {
		return step, err
	}
	err = tx.One(`UPDATE tasks SET state=?, status=?, rev=?, claim=?, claims=?, holder=?, deadline=?, decided=?, ended=?,
	 decider=?, reason=?, outcome=?, note=? WHERE id=? AND rev=? AND state=?`,
		t.State, t.State.Status(), t.Rev, t.Claim, t.Claims, t.Holder, db.Millis(t.Deadline), db.Millis(t.Decided), db.Millis(t.Ended),
		t.By, t.Reason, t.Outcome, t.Note, t.ID, rev, from)
	if err != nil {
		return step, fmt.Errorf("update task: %w", err)
	}
	return step, audit.Append(tx, record)
}
