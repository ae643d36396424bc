package desk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"portero/shared/audit"
	"portero/shared/db"
)

// Handled reports whether an update had its effect before. Update numbers are
// compared for equality only: after a week of silence Telegram may start them
// anew, lower.
func (d *Desk) Handled(ctx context.Context, update int) (yes bool, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		return tx.QueryRow("SELECT EXISTS(SELECT 1 FROM updates WHERE id = ?)", update).Scan(&yes)
	})
	return yes, err
}

// Confirm records that an update is dealt with; the next poll may confirm it
// to Telegram.
func (d *Desk) Confirm(ctx context.Context, update int) error {
	return d.db.Write(ctx, func(tx *db.Tx) error { return confirm(tx, update) })
}

func confirm(tx *db.Tx, update int) error {
	if _, err := tx.Exec("INSERT INTO updates(id, at) VALUES(?,?) ON CONFLICT DO NOTHING", update, db.Millis(tx.Now)); err != nil {
		return err
	}
	// Telegram keeps an update for a day; nothing older can come again.
	if _, err := tx.Exec("DELETE FROM updates WHERE at < ?", db.Millis(tx.Now.AddDate(0, 0, -8))); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE meta SET value = ? WHERE key = 'offset'", strconv.Itoa(update+1))
	return err
}

// Offset is the update number to poll from: one past the last one confirmed.
func (d *Desk) Offset(ctx context.Context) (offset int, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		return tx.QueryRow("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'offset'").Scan(&offset)
	})
	return offset, err
}

// Admin is the chat that was paired with /pair and the user who did it.
type Admin struct {
	Chat int64
	User int64
}

// Paired returns the paired admin; ok is false when nobody has paired.
func (d *Desk) Paired(ctx context.Context) (a Admin, ok bool, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		var value string
		err := tx.QueryRow("SELECT value FROM meta WHERE key = 'admin'").Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		ok = true
		_, err = fmt.Sscanf(value, "%d %d", &a.Chat, &a.User)
		return err
	})
	return a, ok, err
}

// Pair makes a the admin, if nobody is yet, and confirms the update that asked
// for it. ok is false when somebody has paired before.
func (d *Desk) Pair(ctx context.Context, update int, a Admin) (ok bool, err error) {
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		if err := confirm(tx, update); err != nil {
			return err
		}
		r, err := tx.Exec("INSERT INTO meta(key, value) VALUES('admin', ?) ON CONFLICT DO NOTHING", fmt.Sprintf("%d %d", a.Chat, a.User))
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if ok = n == 1; !ok || err != nil {
			return err
		}
		return audit.Append(tx, audit.Entry{Event: "pair", By: fmt.Sprintf("telegram:%d", a.User), Note: fmt.Sprintf("chat %d", a.Chat)})
	})
	return ok, err
}

// Alert records something that an admin should know of and that changed no
// task: a stranger's press, a wrong pairing code.
func (d *Desk) Alert(ctx context.Context, event, by, note string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		return audit.Append(tx, audit.Entry{Event: event, By: by, Note: note})
	})
}
