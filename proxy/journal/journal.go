// Package journal is the machine's durable memory, shared by every
// portero-stdio process of the machine: which calls wait for approval with
// their exact arguments in fake form, which have been started, how they ended,
// and what the relay has yet to be told.
//
// The journal owns effects. The row in starts is the one thing that lets a call
// reach a server: it is written before the first byte and there is at most one
// per task, ever. Everything the relay must know lies in outbox until it is
// acknowledged, in the same transaction as the change it tells of.
package journal

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"portero/shared/audit"
	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

var schema = []string{audit.Schema + `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE tasks (
  id TEXT PRIMARY KEY, tool TEXT NOT NULL, session TEXT NOT NULL, scope TEXT NOT NULL,
  args TEXT NOT NULL, salt BLOB NOT NULL, binding TEXT NOT NULL, code TEXT NOT NULL, rule TEXT NOT NULL, ttl INTEGER NOT NULL,
  state TEXT NOT NULL, status TEXT NOT NULL, rev INTEGER NOT NULL DEFAULT 0,
  claim INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '',
  created INTEGER NOT NULL, updated INTEGER NOT NULL, decider TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  result TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX tasks_state ON tasks(state);
CREATE INDEX tasks_created ON tasks(created);
CREATE TABLE starts (task TEXT PRIMARY KEY REFERENCES tasks(id), claim INTEGER NOT NULL, proc TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE voids (task TEXT NOT NULL REFERENCES tasks(id), claim INTEGER NOT NULL, PRIMARY KEY(task, claim)) STRICT;
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, task TEXT NOT NULL REFERENCES tasks(id),
  kind TEXT NOT NULL, frame TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_task ON outbox(task);
`, `ALTER TABLE tasks ADD COLUMN warn TEXT NOT NULL DEFAULT '';`}

// Task is one call that needs, or needed, approval.
type Task struct {
	ID      string
	Tool    string // child/tool
	Session string // process that asked
	Scope   string // "machine" or "session"
	Args    []byte // exact argument bytes, fake form
	Salt    []byte
	Binding string
	Code    string
	Rule    string
	Warn    string // told to the approver
	TTL     time.Duration
	State   task.State
	Rev     int64 // the relay's revision last seen
	Claim   int64 // claim in force on the relay, 0 = none
	Holder  string
	Created time.Time
	Updated time.Time
	By      string
	Reason  string
	Result  []byte // what the client gets, raw and in fake form; empty until it ended with one
}

// Journal is the open journal of one process. It is safe for concurrent use.
type Journal struct {
	db   *db.DB
	dir  string
	id   string
	proc string
	lock *os.File
}

// Open opens the machine's journal in dir, which must exist, and takes this
// process's own lock in it: others see by that lock whether this process lives.
func Open(ctx context.Context, dir string) (*Journal, error) {
	store, err := db.Open(ctx, filepath.Join(dir, "portero.db"), schema)
	if err != nil {
		return nil, err
	}
	j := &Journal{db: store, dir: dir, proc: rand.Text()}
	err = store.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("INSERT INTO meta VALUES('journal', ?), ('epoch', ''), ('rev', '0') ON CONFLICT DO NOTHING", rand.Text()); err != nil {
			return err
		}
		return tx.QueryRow("SELECT value FROM meta WHERE key = 'journal'").Scan(&j.id)
	})
	if err == nil {
		j.lock, err = lockProc(dir, j.proc)
	}
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j.sweep()
	return j, nil
}

// Close ends this process's use of the journal and frees its lock.
func (j *Journal) Close() error {
	os.Remove(j.lock.Name())
	return errors.Join(j.db.Close(), j.lock.Close())
}

// ID names the journal for as long as the machine keeps it.
func (j *Journal) ID() string { return j.id }

// Proc names this process: random, and never used by another.
func (j *Journal) Proc() string { return j.proc }

// Watch returns a channel that receives after every change made by this
// process, with several changes folded into one. Changes by other processes of
// the machine are not announced: look again now and then.
func (j *Journal) Watch() (changed <-chan struct{}, stop func()) { return j.db.Watch() }

// ErrNoTask says that the machine knows no such task.
var ErrNoTask = errors.New("no such task")

const columns = `id, tool, session, scope, args, salt, binding, code, rule, warn, ttl, state, rev, claim, holder, created, updated, decider, reason, result`

func scan(row db.Row) (Task, error) {
	var t Task
	var args, result string
	var ttl, created, updated int64
	err := row.Scan(&t.ID, &t.Tool, &t.Session, &t.Scope, &args, &t.Salt, &t.Binding, &t.Code, &t.Rule, &t.Warn, &ttl, &t.State, &t.Rev,
		&t.Claim, &t.Holder, &created, &updated, &t.By, &t.Reason, &result)
	if errors.Is(err, sql.ErrNoRows) {
		return t, ErrNoTask
	}
	t.Args, t.Result = []byte(args), []byte(result)
	t.TTL, t.Created, t.Updated = time.Duration(ttl)*time.Millisecond, db.Time(created), db.Time(updated)
	return t, err
}

func find(tx *db.Tx, id string) (Task, error) {
	return scan(tx.QueryRow("SELECT "+columns+" FROM tasks WHERE id = ?", id))
}

func list(tx *db.Tx, where string, args ...any) ([]Task, error) {
	return db.All(tx, scan, "SELECT "+columns+" FROM tasks "+where, args...)
}

// Get returns one task, or ErrNoTask.
func (j *Journal) Get(ctx context.Context, id string) (t Task, err error) {
	err = j.db.Read(ctx, func(tx *db.Tx) error {
		t, err = find(tx, id)
		return err
	})
	return t, err
}

// List returns the newest tasks, of one public status or (with "") of any.
func (j *Journal) List(ctx context.Context, status string, limit int) (all []Task, err error) {
	err = j.db.Read(ctx, func(tx *db.Tx) error {
		all, err = list(tx, "WHERE ? IN ('', status) ORDER BY created DESC, rowid DESC LIMIT ?", status, limit)
		return err
	})
	return all, err
}

// save writes t's present state by compare-and-set on the state it was read
// in, with its audit line.
func (j *Journal) save(tx *db.Tx, t *Task, from task.State, fromRev int64, event, by, note string, anomaly bool) error {
	t.Updated = tx.Now
	err := tx.One(`UPDATE tasks SET state=?, status=?, rev=?, claim=?, holder=?, updated=?, decider=?, reason=?, result=?
	 WHERE id=? AND state=? AND rev=?`, t.State, t.State.Status(), t.Rev, t.Claim, t.Holder, db.Millis(t.Updated), t.By, t.Reason,
		string(t.Result), t.ID, from, fromRev)
	if err != nil {
		return fmt.Errorf("update task: %w", err)
	}
	return audit.Append(tx, audit.Entry{Event: event, Task: t.ID, Tool: t.Tool, From: string(from), To: string(t.State), By: by, Note: note,
		Digest: t.Binding, Anomaly: anomaly})
}

// post puts a message for the relay into the outbox.
func post(tx *db.Tx, kind, id, taskID string, m wire.Message) error {
	frame, err := wire.Encode(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO outbox(id, task, kind, frame) VALUES(?,?,?,?) ON CONFLICT(id) DO NOTHING", id, taskID, kind, string(frame))
	if err != nil {
		return fmt.Errorf("queue %s: %w", kind, err)
	}
	return nil
}
