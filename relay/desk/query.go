package desk

import (
	"context"
	"time"

	"portero/shared/db"
)

// Task returns one task; ErrNoTask when there is none.
func (d *Desk) Task(ctx context.Context, id string) (t Task, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		t, err = find(tx, id)
		return err
	})
	return t, err
}

// Pending returns the tasks that wait for a human in the order in which they
// came, which is the one that each machine asked in.
func (d *Desk) Pending(ctx context.Context, limit int) (all []Task, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		all, err = list(tx, "WHERE state = 'pending' ORDER BY rev LIMIT ?", limit)
		return err
	})
	return all, err
}

// Recent returns the newest tasks in any state.
func (d *Desk) Recent(ctx context.Context, limit int) (all []Task, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		all, err = list(tx, "ORDER BY created DESC, rev DESC LIMIT ?", limit)
		return err
	})
	return all, err
}

// Counts returns the number of tasks by public status.
func (d *Desk) Counts(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := d.db.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query("SELECT status, COUNT(*) FROM tasks GROUP BY status")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var status string
			var n int
			if err := rows.Scan(&status, &n); err != nil {
				return err
			}
			counts[status] = n
		}
		return rows.Err()
	})
	return counts, err
}

// Since returns up to limit tasks of a journal that changed after rev, in the
// order of their revisions.
func (d *Desk) Since(ctx context.Context, machine, journal string, rev int64, limit int) (all []Task, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		all, err = list(tx, "WHERE machine = ? AND journal = ? AND rev > ? ORDER BY rev LIMIT ?", machine, journal, rev, limit)
		return err
	})
	return all, err
}

// Head returns the store's epoch and newest revision.
func (d *Desk) Head(ctx context.Context) (epoch string, rev int64, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		if err := tx.QueryRow("SELECT value FROM meta WHERE key = 'epoch'").Scan(&epoch); err != nil {
			return err
		}
		return tx.QueryRow("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'rev'").Scan(&rev)
	})
	return epoch, rev, err
}

// Machine is a computer that has linked to this relay.
type Machine struct {
	Name  string // its token
	Label string // the name it gives itself; untrusted text
	App   string // version it runs; untrusted text
	Seen  time.Time
	// Procs is the number of its processes connected to this relay now.
	Procs int
}

// SawMachine records a machine's introduction.
func (d *Desk) SawMachine(ctx context.Context, name, label, app string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO machines(name, label, app, seen) VALUES(?,?,?,?)
		 ON CONFLICT(name) DO UPDATE SET label = excluded.label, app = excluded.app, seen = excluded.seen`,
			name, label, app, db.Millis(tx.Now))
		return err
	})
}

// Connected counts a machine's live connections up (+1) or down (-1).
func (d *Desk) Connected(machine string, delta int) {
	d.mu.Lock()
	d.connected[machine] += delta
	d.mu.Unlock()
}

// Machines returns every machine that ever linked, by name.
func (d *Desk) Machines(ctx context.Context) (all []Machine, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		all, err = db.All(tx, scanMachine, "SELECT name, label, app, seen FROM machines ORDER BY name")
		return err
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range all {
		all[i].Procs = d.connected[all[i].Name]
	}
	return all, err
}

func scanMachine(row db.Row) (m Machine, err error) {
	var seen int64
	err = row.Scan(&m.Name, &m.Label, &m.App, &seen)
	m.Seen = db.Time(seen)
	return m, err
}
