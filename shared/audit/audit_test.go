package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portero/shared/db"
)

var ctx = context.Background()

func open(t *testing.T, lines int) *db.DB {
	t.Helper()
	d, err := db.Open(ctx, filepath.Join(t.TempDir(), "x.db"), []string{Schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for i := range lines {
		add(t, d, Entry{Event: "approve", Task: fmt.Sprintf("t_%d", i+1), Tool: "kit/<echo>", From: "pending", To: "approved", By: "Ana \"x\"\n", Digest: "b"})
	}
	return d
}

func add(t *testing.T, d *db.DB, e Entry) {
	t.Helper()
	if err := d.Write(ctx, func(tx *db.Tx) error { return Append(tx, e) }); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, d *db.DB) (good int64, err error) {
	t.Helper()
	_ = d.Read(ctx, func(tx *db.Tx) error { good, err = Verify(tx); return nil })
	return good, err
}

func do(t *testing.T, d *db.DB, query string, args ...any) {
	t.Helper()
	if err := d.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec(query, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestGoodChain(t *testing.T) {
	for _, n := range []int{0, 1, 2, 20} {
		if good, err := verify(t, open(t, n)); err != nil || good != int64(n) {
			t.Errorf("%d lines: %d good, %v", n, good, err)
		}
	}
}

func TestVerifyNamesTheFirstBadLine(t *testing.T) {
	for _, tc := range []struct {
		name, change string
		good         int64
		says         string
	}{
		{"altered line", "UPDATE audit SET line = replace(line, 'approve', 'denied!') WHERE seq = 4", 3, "line 4 was altered"},
		{"one letter of the first line", "UPDATE audit SET line = replace(line, 't_1', 't_7') WHERE seq = 1", 0, "line 1 was altered"},
		{"a space more in the last line", "UPDATE audit SET line = line || ' ' WHERE seq = 9", 8, "line 9 was altered"},
		{"altered hash", "UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", 4, "line 5 was altered"},
		{"hash cut to nothing", "UPDATE audit SET hash = x'' WHERE seq = 5", 4, "line 5 was altered"},
		{"two lines swapped", "UPDATE audit SET line = (SELECT line FROM audit b WHERE b.seq = 15 - audit.seq) WHERE seq IN (7, 8)", 6, "line 7 was altered"},
		{"missing line", "DELETE FROM audit WHERE seq = 4", 3, "line 4 is missing"},
		{"missing first line", "DELETE FROM audit WHERE seq = 1", 0, "line 1 is missing"},
		{"cut middle", "DELETE FROM audit WHERE seq BETWEEN 3 AND 7", 2, "line 3 is missing"},
		{"cut middle, closed up", "DELETE FROM audit WHERE seq BETWEEN 3 AND 7; UPDATE audit SET seq = seq - 5 WHERE seq > 7", 2, "line 3 was altered"},
		{"line put in with the hash before it", "INSERT INTO audit SELECT 10, line, hash FROM audit WHERE seq = 9", 9, "line 10 was altered"},
	} {
		d := open(t, 9)
		do(t, d, tc.change)
		good, err := verify(t, d)
		if good != tc.good || err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %d good, %v; want %d good, %q", tc.name, good, err, tc.good, tc.says)
		}
		// Going on appending must not heal it.
		add(t, d, Entry{Event: "later"})
		if again, err := verify(t, d); again != tc.good || err == nil {
			t.Errorf("%s, later: %d good, %v", tc.name, again, err)
		}
	}
}

func TestLinesAreReadable(t *testing.T) {
	d := open(t, 2)
	add(t, d, Entry{Seq: 99, Time: "never", Event: "x", Note: "n", Anomaly: true})
	var line string
	err := d.Read(ctx, func(tx *db.Tx) error { return tx.QueryRow("SELECT line FROM audit WHERE seq = 3").Scan(&line) })
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if e.Seq != 3 || e.Event != "x" || !e.Anomaly || !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(e.Time) {
		t.Errorf("line is %s", line)
	}
}

// TestNoChangeNoRecord: the entry lives and dies with its transaction.
func TestNoChangeNoRecord(t *testing.T) {
	d := open(t, 3)
	boom := errors.New("boom")
	err := d.Write(ctx, func(tx *db.Tx) error {
		for range 2 {
			if err := Append(tx, Entry{Event: "never"}); err != nil {
				return err
			}
		}
		if good, err := Verify(tx); good != 5 || err != nil {
			t.Errorf("inside the transaction: %d good, %v", good, err)
		}
		return boom
	})
	if err != boom {
		t.Fatal(err)
	}
	add(t, d, Entry{Event: "after"})
	if good, err := verify(t, d); good != 4 || err != nil {
		t.Errorf("%d good, %v", good, err)
	}
}

// TestNoRecordNoChange: what cannot be recorded does not happen.
func TestNoRecordNoChange(t *testing.T) {
	d := open(t, 1)
	do(t, d, "CREATE TABLE state (v TEXT)")
	do(t, d, "CREATE TRIGGER stop BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
	err := d.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("INSERT INTO state VALUES('approved')"); err != nil {
			return err
		}
		return Append(tx, Entry{Event: "approve"})
	})
	if err == nil || !strings.Contains(err.Error(), "append audit entry") {
		t.Errorf("error %v", err)
	}
	var n int
	err = d.Read(ctx, func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM state").Scan(&n) })
	if err != nil || n != 0 {
		t.Errorf("%d unrecorded changes, %v", n, err)
	}
}
