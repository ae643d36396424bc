package db

import (
	"context"
	"sync"
)

// bells are the channels that hear of changes.
type bells struct {
	mu  sync.Mutex
	all map[chan struct{}]struct{}
}

// Watch returns a channel that receives after every Change made through this
// handle, with several folded into one. Other processes' changes are not
// announced. Call stop to end it.
func (d *DB) Watch() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	d.bells.mu.Lock()
	defer d.bells.mu.Unlock()
	if d.bells.all == nil {
		d.bells.all = map[chan struct{}]struct{}{}
	}
	d.bells.all[c] = struct{}{}
	return c, func() {
		d.bells.mu.Lock()
		defer d.bells.mu.Unlock()
		delete(d.bells.all, c)
	}
}

// Change is Write for what others wait to hear of: once it is on disk, every
// watcher is told to look.
func (d *DB) Change(ctx context.Context, f func(*Tx) error) error {
	if err := d.Write(ctx, f); err != nil {
		return err
	}
	d.bells.mu.Lock()
	defer d.bells.mu.Unlock()
	for c := range d.bells.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

// Row is one row, to be scanned.
type Row interface{ Scan(...any) error }

// All runs a query and scans every row of it.
func All[T any](tx *Tx, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
