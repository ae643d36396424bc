package db

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var ctx = context.Background()

// steps are three schemas; each leaves a row each time that it is applied.
var steps = []string{
	"CREATE TABLE ran (step TEXT NOT NULL) STRICT; INSERT INTO ran VALUES('one')",
	"CREATE TABLE things (id INTEGER PRIMARY KEY, v INTEGER NOT NULL, b BLOB, up INTEGER REFERENCES things(id)) STRICT; INSERT INTO ran VALUES('two')",
	"ALTER TABLE things ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'; INSERT INTO ran VALUES('three')",
}

func open(t *testing.T, file string, migrations []string) *DB {
	t.Helper()
	d, err := Open(ctx, file, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func temp(t *testing.T) string { return filepath.Join(t.TempDir(), "x.db") }

// ask returns one value as text.
func ask(t *testing.T, d *DB, query string) string {
	t.Helper()
	var v string
	if err := d.Read(ctx, func(tx *Tx) error { return tx.QueryRow(query).Scan(&v) }); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func do(t *testing.T, d *DB, statements ...string) {
	t.Helper()
	err := d.Write(ctx, func(tx *Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mentions fails the test unless err says all of it.
func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v does not mention %q", err, w)
		}
	}
}

// TestPragmas reads back what the promises rest on, also on connections that
// database/sql opens later in place of a broken one.
func TestPragmas(t *testing.T) {
	d := open(t, temp(t), steps)
	for round := range 2 {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
			if got := ask(t, d, "PRAGMA "+pragma); got != want {
				t.Errorf("round %d: %s is %s, want %s", round, pragma, got, want)
			}
		}
		d.sql.SetMaxIdleConns(0) // from here on every use is a new connection
	}
	err := d.Write(ctx, func(tx *Tx) error { return tx.One("INSERT INTO things(id, v, up) VALUES(1, 1, 99)") })
	if err == nil {
		t.Error("a reference to a row that is not there was accepted")
	}
}

func TestCompareAndSet(t *testing.T) {
	d := open(t, temp(t), steps)
	do(t, d, "INSERT INTO things(id, v) VALUES(1, 0), (2, 0)")
	one := func(query string, args ...any) error {
		return d.Write(ctx, func(tx *Tx) error { return tx.One(query, args...) })
	}
	if err := one("UPDATE things SET v = 1 WHERE id = 1 AND v = 0"); err != nil {
		t.Error(err)
	}
	if err := one("UPDATE things SET v = 2 WHERE id = 1 AND v = 0"); !errors.Is(err, ErrChanged) {
		t.Errorf("another row than was read: %v", err)
	}
	if err := one("UPDATE things SET v = 3"); !errors.Is(err, ErrChanged) {
		t.Errorf("two rows: %v", err)
	}
	if err := one("INSERT INTO things(id, v) VALUES(1, 9) ON CONFLICT DO NOTHING"); !errors.Is(err, ErrChanged) {
		t.Errorf("an insert that did nothing, after one that did something: %v", err)
	}
	if err := one("UPDATE nothing SET v = 3"); err == nil || errors.Is(err, ErrChanged) {
		t.Errorf("a statement that cannot run: %v", err)
	}
	if got := ask(t, d, "SELECT group_concat(v) FROM things"); got != "1,0" {
		t.Errorf("values are %s", got)
	}
}

// TestRace has writers on three handles compete for the same change.
func TestRace(t *testing.T) {
	file := temp(t)
	handles := []*DB{open(t, file, steps), open(t, file, steps), open(t, file, steps)}
	do(t, handles[0], "INSERT INTO things(id, v) VALUES(1, 0)")
	var wg sync.WaitGroup
	won := make(chan int, 30)
	for i := range 30 {
		wg.Go(func() {
			err := handles[i%3].Write(ctx, func(tx *Tx) error {
				if err := tx.One("UPDATE things SET v = v + 1 WHERE id = 1 AND v = 0"); err != nil {
					return err
				}
				return tx.One("INSERT INTO things(v) VALUES(?)", i)
			})
			if err == nil {
				won <- i
			} else if !errors.Is(err, ErrChanged) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d writers made the same change", len(won))
	}
	if got := ask(t, handles[2], "SELECT group_concat(v) FROM things WHERE id <> 1"); got != fmt.Sprint(<-won) {
		t.Errorf("the losers left %s", got)
	}
}

func TestFailureLeavesNoTrace(t *testing.T) {
	d := open(t, temp(t), steps)
	boom := errors.New("boom")
	insert := func(tx *Tx) { _ = tx.One("INSERT INTO things(v) VALUES(1)") }
	if err := d.Write(ctx, func(tx *Tx) error { insert(tx); return boom }); err != boom {
		t.Errorf("the caller's error comes back as %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = d.Write(ctx, func(tx *Tx) error { insert(tx); panic("boom") })
	}()
	short, cancel := context.WithCancel(ctx)
	if err := d.Write(short, func(tx *Tx) error { insert(tx); cancel(); return nil }); err == nil {
		t.Error("committed after its context had ended")
	}
	_ = d.Read(ctx, func(tx *Tx) error { insert(tx); return nil }) // reading never keeps anything
	if got := ask(t, d, "SELECT COUNT(*) FROM things"); got != "0" {
		t.Errorf("%s rows are left", got)
	}
	do(t, d, "INSERT INTO things(v) VALUES(1)") // and it still works
}

func TestOneInstantPerTransaction(t *testing.T) {
	d := open(t, temp(t), steps)
	before := time.Now()
	err := d.Write(ctx, func(tx *Tx) error {
		if tx.Now.Before(before) || time.Since(tx.Now) > time.Minute {
			t.Errorf("Now is %s", tx.Now)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{{}, time.UnixMilli(1), time.Date(2026, 11, 22, 1, 2, 3, 4e6, time.UTC), time.UnixMilli(-5)} {
		if got := Time(Millis(at)); !got.Equal(at) {
			t.Errorf("%s became %s", at, got)
		}
	}
	if Millis(time.Time{}) != 0 || !Time(0).IsZero() {
		t.Error("zero is not zero")
	}
}

func TestFileModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	file := temp(t)
	d := open(t, file, steps)
	do(t, d, "INSERT INTO things(v) VALUES(1)")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(file + suffix)
		if err != nil {
			t.Errorf("%s: %v", suffix, err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%q has mode %o", suffix, info.Mode().Perm())
		}
	}
}

// TestOddPaths must find each file where its name says, not where SQLite's URI
// syntax would put it.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space", "per%41cent", "what?mode=memory", "hash#tag", "ünï", "a&b=c;d", "file:x"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		d := open(t, filepath.Join(dir, "x.db"), steps)
		do(t, d, "INSERT INTO things(v) VALUES(1)")
		if info, err := os.Stat(filepath.Join(dir, "x.db")); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v, %v", name, info, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "x.db-wal")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestKilledWriter kills a process between two transactions' commits: the
// first one is there, the second one is not, and the file is not locked.
func TestKilledWriter(t *testing.T) {
	file := temp(t)
	cmd := another(t, "commit", file)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "committed\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	d := open(t, file, steps)
	if got := ask(t, d, "SELECT group_concat(step) FROM ran"); got != "one,two,three,committed" {
		t.Errorf("after the kill: %s", got)
	}
	do(t, d, "INSERT INTO things(v) VALUES(1)")
}
