// Package auditlog reads a store's audit lines back for tests.
package auditlog

import (
	"encoding/json"

	"portero/shared/audit"
	"portero/shared/db"
)

// Entries checks the chain and returns every entry in order.
func Entries(tx *db.Tx) ([]audit.Entry, error) {
	if _, err := audit.Verify(tx); err != nil {
		return nil, err
	}
	return db.All(tx, entry, "SELECT line FROM audit ORDER BY seq")
}

func entry(row db.Row) (e audit.Entry, err error) {
	var line string
	if err := row.Scan(&line); err != nil {
		return e, err
	}
	err = json.Unmarshal([]byte(line), &e)
	return e, err
}
