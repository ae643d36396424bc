package db

import (
	"errors"
	"sync"
	"testing"
)

func TestWatch(t *testing.T) {
	file := temp(t)
	d, other := open(t, file, steps), open(t, file, steps)
	a, stopA := d.Watch()
	b, stopB := d.Watch()
	defer stopB()
	told := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	add := func(tx *Tx) error { return tx.One("INSERT INTO things(v) VALUES(1)") }
	for range 3 {
		if err := d.Change(ctx, add); err != nil {
			t.Fatal(err)
		}
	}
	if !told(a) || !told(b) || told(a) || told(b) {
		t.Error("three changes are not announced as one")
	}
	boom := errors.New("boom")
	if err := d.Change(ctx, func(tx *Tx) error { _ = add(tx); return boom }); err != boom || told(a) {
		t.Errorf("%v; a change that failed was announced", err)
	}
	if err := errors.Join(d.Write(ctx, add), other.Change(ctx, add)); err != nil || told(a) {
		t.Errorf("%v; a write, or another handle's change, was announced", err)
	}
	// What is announced is on disk: whoever looks then finds it.
	if err := d.Change(ctx, add); err != nil || !told(a) || ask(t, other, "SELECT COUNT(*) FROM things") != "6" {
		t.Errorf("%v; announced before it could be seen", err)
	}
	stopA()
	stopA()
	_ = told(b)
	if err := d.Change(ctx, add); err != nil || told(a) || !told(b) {
		t.Errorf("%v; the wrong watcher was told", err)
	}
}

func TestWatchersComeAndGo(t *testing.T) {
	d := open(t, temp(t), steps)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				changed, stop := d.Watch()
				if err := d.Change(ctx, func(tx *Tx) error { return tx.One("INSERT INTO things(v) VALUES(1)") }); err != nil {
					t.Error(err)
				}
				<-changed
				stop()
			}
		})
	}
	wg.Wait()
}

func TestAll(t *testing.T) {
	d := open(t, temp(t), steps)
	do(t, d, "INSERT INTO things(v) VALUES(3), (1), (2)")
	scan := func(r Row) (v int, err error) { return v, r.Scan(&v) }
	list := func(query string, args ...any) (all []int, err error) {
		err = d.Read(ctx, func(tx *Tx) error { all, err = All(tx, scan, query, args...); return err })
		return all, err
	}
	if all, err := list("SELECT v FROM things WHERE v > ? ORDER BY v", 1); err != nil || len(all) != 2 || all[0] != 2 || all[1] != 3 {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := list("SELECT v FROM things WHERE v > 9"); err != nil || len(all) != 0 {
		t.Errorf("none: %v, %v", all, err)
	}
	for what, query := range map[string]string{"a broken query": "SELECT nothing FROM things", "a value of another type": "SELECT 'x' FROM things"} {
		if all, err := list(query); err == nil || len(all) != 0 {
			t.Errorf("%s: %v, %v", what, all, err)
		}
	}
	do(t, d, "INSERT INTO things(v) VALUES(4)") // the rows were closed: nothing is locked
}
