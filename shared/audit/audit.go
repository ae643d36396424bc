// Package audit keeps the record of every change of a task: rows that are
// written in the very transaction that makes the change (no record, no
// change), each chained to the one before by a hash.
package audit

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"portero/shared/db"
)

// Schema creates the table; it is part of its owner's first migration.
const Schema = `
CREATE TABLE audit (
  seq  INTEGER PRIMARY KEY,
  line TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;`

// Entry is one line of the audit log. It never holds a real value: whatever
// text it carries is in fake form.
type Entry struct {
	Seq    int64  `json:"seq"`
	Time   string `json:"time"` // RFC 3339, UTC, milliseconds
	Event  string `json:"event"`
	Task   string `json:"task,omitempty"`
	Tool   string `json:"tool,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	By     string `json:"by,omitempty"`
	Note   string `json:"note,omitempty"`
	Digest string `json:"binding,omitempty"`
	// Anomaly marks what should have been impossible.
	Anomaly bool `json:"anomaly,omitempty"`
}

// Append writes e in tx. It sets Seq and Time.
func Append(tx *db.Tx, e Entry) error {
	var prev []byte
	err := tx.QueryRow("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").Scan(&e.Seq, &prev)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read audit head: %w", err)
	}
	e.Seq++
	e.Time = tx.Now.UTC().Format("2006-01-02T15:04:05.000Z")
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode audit entry: %w", err)
	}
	hash := chain(prev, line)
	if _, err := tx.Exec("INSERT INTO audit(seq, line, hash) VALUES(?,?,?)", e.Seq, string(line), hash); err != nil {
		return fmt.Errorf("append audit entry: %w", err)
	}
	return nil
}

// Verify walks the chain and returns the number of good lines; the error names
// the first bad one.
func Verify(tx *db.Tx) (int64, error) {
	rows, err := tx.Query("SELECT seq, line, hash FROM audit ORDER BY seq")
	if err != nil {
		return 0, fmt.Errorf("read audit: %w", err)
	}
	defer rows.Close()
	var good int64
	var prev []byte
	for rows.Next() {
		var seq int64
		var line string
		var hash []byte
		if err := rows.Scan(&seq, &line, &hash); err != nil {
			return good, fmt.Errorf("read audit: %w", err)
		}
		if seq != good+1 {
			return good, fmt.Errorf("audit line %d is missing", good+1)
		}
		if prev = chain(prev, []byte(line)); string(prev) != string(hash) {
			return good, fmt.Errorf("audit line %d was altered", seq)
		}
		good = seq
	}
	return good, rows.Err()
}

func chain(prev, line []byte) []byte {
	h := sha256.New()
	h.Write(prev)
	h.Write(line)
	return h.Sum(nil)
}
