package db

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMigrations(t *testing.T) {
	file := temp(t)
	d := open(t, file, steps[:1])
	do(t, d, "INSERT INTO ran VALUES('kept')")
	d.Close()
	d = open(t, file, steps)
	d.Close()
	d = open(t, file, steps) // nothing left to do
	if got := ask(t, d, "SELECT group_concat(step) FROM ran"); got != "one,kept,two,three" {
		t.Errorf("upgraded in steps: %s", got)
	}
	if got := ask(t, d, "PRAGMA user_version"); got != "3" {
		t.Errorf("schema %s", got)
	}
	fresh := open(t, temp(t), steps)
	if got := ask(t, fresh, "SELECT group_concat(step) FROM ran"); got != "one,two,three" {
		t.Errorf("made anew: %s", got)
	}
	const tables = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)"
	if a, b := ask(t, d, tables), ask(t, fresh, tables); a != b {
		t.Errorf("upgraded and new files differ:\n%s\n%s", a, b)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	file := temp(t)
	open(t, file, steps).Close()
	_, err := Open(ctx, file, steps[:2])
	mentions(t, err, file, "newer version", "schema 3", "knows 2", "upgrade this program")
	d := open(t, file, steps)
	if got := ask(t, d, "SELECT COUNT(*) FROM ran"); got != "3" {
		t.Errorf("the refused program changed the file: %s", got)
	}
}

func TestBrokenMigration(t *testing.T) {
	file := temp(t)
	broken := []string{steps[0], "CREATE TABLE half (a TEXT) STRICT; INSERT INTO ran VALUES('two'); INSERT INTO missing VALUES(1)"}
	_, err := Open(ctx, file, broken)
	mentions(t, err, file, "schema 2", "missing")
	d := open(t, file, steps) // as if the broken one had never been tried
	if got := ask(t, d, "SELECT group_concat(step) FROM ran"); got != "one,two,three" {
		t.Errorf("after a broken migration: %s", got)
	}
	if got := ask(t, d, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'half'"); got != "0" {
		t.Error("half of it stayed")
	}
}

func TestManyHandlesMigrateAtOnce(t *testing.T) {
	file := temp(t)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			d, err := Open(ctx, file, steps)
			if err != nil {
				t.Error(err)
				return
			}
			d.Close()
		})
	}
	wg.Wait()
	if got := ask(t, open(t, file, steps), "SELECT group_concat(step) FROM ran"); got != "one,two,three" {
		t.Errorf("migrated as %s", got)
	}
}

func TestManyProcessesMigrateAtOnce(t *testing.T) {
	file := temp(t)
	open(t, file, steps[:1]).Close()
	var procs []*exec.Cmd
	var doors []io.WriteCloser
	outs := make([]strings.Builder, 4)
	for i := range outs {
		cmd := another(t, "migrate", file)
		cmd.Stdout = &outs[i]
		door, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		procs, doors = append(procs, cmd), append(doors, door)
	}
	for _, door := range doors {
		fmt.Fprintln(door, "go")
	}
	for i, cmd := range procs {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, outs[i].String())
		}
	}
	if got := ask(t, open(t, file, steps), "SELECT group_concat(step) FROM ran"); got != "one,two,three" {
		t.Errorf("migrated as %s", got)
	}
}

// TestFullDisk stands in for a full disk with SQLite's own limit of pages: the
// error is the one that a full disk gives.
func TestFullDisk(t *testing.T) {
	file := temp(t)
	d := open(t, file, steps)
	if _, err := d.sql.Exec("PRAGMA max_page_count = 10"); err != nil {
		t.Fatal(err)
	}
	err := d.Write(ctx, func(tx *Tx) error {
		if err := tx.One("INSERT INTO things(v) VALUES(7)"); err != nil {
			return fmt.Errorf("too early: %w", err)
		}
		return tx.One("INSERT INTO things(v, b) VALUES(8, zeroblob(200000))")
	})
	mentions(t, err, file, "full", "free space")
	if strings.Contains(fmt.Sprint(err), "too early") || strings.Count(fmt.Sprint(err), file) != 1 {
		t.Errorf("error %v", err)
	}
	if got := ask(t, d, "SELECT COUNT(*) FROM things"); got != "0" {
		t.Errorf("%s rows of the failed transaction stayed", got)
	}
	if got := ask(t, open(t, file, steps), "SELECT COUNT(*) FROM things"); got != "0" {
		t.Errorf("%s rows of the failed transaction are seen by others", got)
	}
	do(t, d, "PRAGMA max_page_count = 1000", "INSERT INTO things(v, b) VALUES(8, zeroblob(200000))")
}

func TestLocked(t *testing.T) {
	file := temp(t)
	d, holder := open(t, file, steps), open(t, file, steps)
	if _, err := d.sql.Exec("PRAGMA busy_timeout = 20"); err != nil {
		t.Fatal(err)
	}
	err := holder.Write(ctx, func(*Tx) error {
		return d.Write(ctx, func(tx *Tx) error { return tx.One("INSERT INTO things(v) VALUES(1)") })
	})
	mentions(t, err, file, "locked", "end that program")
	// Reading needs no lock.
	if err := holder.Write(ctx, func(*Tx) error { ask(t, d, "SELECT COUNT(*) FROM things"); return nil }); err != nil {
		t.Error(err)
	}
}

func TestNotOurFile(t *testing.T) {
	file := temp(t)
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(ctx, file, steps)
	mentions(t, err, file, "not a database", "backup")
	if strings.Count(fmt.Sprint(err), file) != 1 {
		t.Errorf("the file is named more than once: %v", err)
	}
}

func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing", "x.db")
	_, err := Open(ctx, file, steps)
	mentions(t, err, file, "no such file", "must exist and be writable")
	if strings.Count(fmt.Sprint(err), file) != 1 {
		t.Errorf("the file is named more than once: %v", err)
	}
}

// TestReadOnlyDirectory runs in a process without root's rights: root may
// write anywhere.
func TestReadOnlyDirectory(t *testing.T) {
	for _, tc := range []struct {
		name       string
		make       bool // the file is there, from a time when it could be written
		file, dir  os.FileMode
		word, hint string
	}{
		{"nothing there yet", false, 0, 0o555, "permission denied", "must exist and be writable"},
		{"file of another user", true, 0o600, 0o777, "permission denied", "must exist and be writable"},
		{"directory without write", true, 0o666, 0o555, "", "must be writable by this user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := openDir(t)
			file := filepath.Join(dir, "x.db")
			if tc.make {
				if os.Geteuid() != 0 && tc.file == 0o600 {
					t.Skip("needs a second user")
				}
				open(t, file, steps).Close()
				if err := os.Chmod(file, tc.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, tc.dir); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(dir, 0o755)
			cmd := another(t, "write", file)
			asNobody(t, cmd)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("it was written")
			} else if _, ok := err.(*exec.ExitError); !ok {
				t.Skipf("cannot run as another user here: %v", err)
			}
			mentions(t, fmt.Errorf("%s", out), file, tc.word, tc.hint)
		})
	}
}
