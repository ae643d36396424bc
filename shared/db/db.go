// Package db opens the SQLite files that Portero keeps its promises in: one
// writer at a time, write-ahead log, every commit on disk before it returns.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"modernc.org/sqlite" // also registers the pure Go driver
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is one open SQLite file. It is safe for concurrent use.
type DB struct {
	sql   *sql.DB
	file  string
	bells bells
}

// Open opens or creates the file at path (mode 0600) and brings its schema to
// the newest of migrations, which are applied in order, each in a transaction
// of its own. A file written by a newer program is refused.
func Open(ctx context.Context, path string, migrations []string) (*DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err // it would name the file a second time
		}
		return nil, fmt.Errorf("open %s: %w; its directory must exist and be writable by this user", path, err)
	}
	f.Close()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-512)",
	}}
	s, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	// One connection: SQLite has one writer, and a second connection would
	// only wait for the first one's lock instead of for Go's.
	s.SetMaxOpenConns(1)
	d := &DB{sql: s, file: path}
	if err := d.migrate(ctx, migrations); err != nil {
		s.Close()
		return nil, fmt.Errorf("open %s: %w%s", path, err, remedy(err))
	}
	return d, nil
}

// Close releases the file. Nothing is lost by not calling it.
func (d *DB) Close() error { return d.sql.Close() }

func (d *DB) migrate(ctx context.Context, migrations []string) error {
	for {
		var have int
		if err := d.sql.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		switch {
		case have > len(migrations):
			return fmt.Errorf("it was written by a newer version (schema %d, this program knows %d): upgrade this program", have, len(migrations))
		case have == len(migrations):
			return nil
		}
		err := d.write(ctx, func(tx *Tx) error {
			// Another process may have migrated while this one waited.
			var now int
			if err := tx.QueryRow("PRAGMA user_version").Scan(&now); err != nil || now != have {
				return err
			}
			if _, err := tx.Exec(migrations[have]); err != nil {
				return err
			}
			_, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", have+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", have+1, err)
		}
	}
}

// remedies say what a person can do about an error, by SQLite's result code.
var remedies = map[int]string{
	sqlite3.SQLITE_BUSY:     "another program keeps it locked: end that program",
	sqlite3.SQLITE_CANTOPEN: "it and its directory must be writable by this user",
	sqlite3.SQLITE_CORRUPT:  "it is damaged: put a backup in its place, or move it away to start with an empty one",
	sqlite3.SQLITE_FULL:     "free space on its disk",
	sqlite3.SQLITE_IOERR:    "its disk does not work as it should: check it",
	sqlite3.SQLITE_NOTADB:   "it is damaged or not Portero's: put a backup in its place, or move it away to start with an empty one",
	sqlite3.SQLITE_PERM:     "it and its directory must be writable by this user",
	sqlite3.SQLITE_READONLY: "it and its directory must be writable by this user",
}

func remedy(err error) string {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		if text, ok := remedies[e.Code()&0xff]; ok {
			return "; " + text
		}
	}
	return ""
}

// explain names the file in errors that have a remedy, and the remedy.
func (d *DB) explain(err error) error {
	if text := remedy(err); text != "" {
		return fmt.Errorf("%s: %w%s", d.file, err, text)
	}
	return err
}

// Tx is a transaction. Now is one instant for all of its rows.
type Tx struct {
	ctx context.Context
	tx  *sql.Tx
	Now time.Time
}

// Exec runs a statement.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(t.ctx, query, args...)
}

// Query reads rows.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, query, args...)
}

// QueryRow reads one row.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, query, args...)
}

// ErrChanged is returned by One when a compare-and-set found another row than
// the one that was read.
var ErrChanged = errors.New("the row changed meanwhile")

// One runs a compare-and-set: a statement that must change exactly one row.
func (t *Tx) One(query string, args ...any) error {
	r, err := t.Exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(ErrChanged, err)
	}
	return nil
}

// Write runs f in one transaction that holds the write lock from its start.
// It is on disk when Write returns nil, and has left no trace otherwise.
func (d *DB) Write(ctx context.Context, f func(*Tx) error) error {
	return d.explain(d.write(ctx, f))
}

func (d *DB) write(ctx context.Context, f func(*Tx) error) error {
	tx, err := d.sql.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if err := f(&Tx{ctx: ctx, tx: tx, Now: time.Now()}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Read runs f over one snapshot.
func (d *DB) Read(ctx context.Context, f func(*Tx) error) error {
	tx, err := d.sql.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return d.explain(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback()
	return d.explain(f(&Tx{ctx: ctx, tx: tx, Now: time.Now()}))
}

// Millis and Time convert instants to and from the store's integers
// (milliseconds since 1970; 0 is the zero time).
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time is the inverse of Millis.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
