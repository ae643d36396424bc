package proxy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// callLog is audit.ndjson: one line when a call is decided, one when it ended.
// It holds no arguments and no results. (What happens to tasks is in the
// journal's own audit table, in the transactions that change them.)
type callLog struct {
	file *os.File
	proc string
}

// callEntry is one line.
type callEntry struct {
	Time   string `json:"time"`
	Proc   string `json:"proc"`
	Event  string `json:"event"` // allowed, denied, done, failed, withheld
	Tool   string `json:"tool"`
	Rule   string `json:"rule,omitempty"`
	Millis int64  `json:"ms,omitempty"`
}

func openCallLog(dir, proc string) (*callLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, "audit.ndjson"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w; the state directory must be writable by this user", err)
	}
	return &callLog{f, proc}, nil
}

// record appends e in one write, so that the lines of several processes do not
// mix. No record, no call: an error here stops the call.
func (l *callLog) record(e callEntry) error {
	e.Time, e.Proc = time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), l.proc
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode audit line: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *callLog) Close() error { return l.file.Close() }
