package desk

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portero/shared/db"
	"portero/shared/task"
)

func TestPress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	for _, tc := range []struct {
		approve bool
		want    task.State
		event   string
	}{{true, task.Approved, "approve"}, {false, task.Denied, "deny"}} {
		id := "t-" + tc.event
		was := pending(t, d, id)
		expires(t, d, id, time.Minute) // nearly over: the time to run it is another
		v, err := d.Press(ctx, id, tc.approve, "Ana (page)")
		if err != nil || !v.Changed || v.Refusal != "" || v.Task.State != tc.want || v.Task.By != "Ana (page)" || v.Task.Decided.IsZero() || v.Task.Rev <= was.Rev {
			t.Errorf("%s: %+v, %v", tc.event, v, err)
		}
		if tc.approve != v.Task.Ended.IsZero() {
			t.Errorf("%s: ended %s", tc.event, v.Task.Ended)
		}
		now := is(t, other, id, tc.want)
		if left := time.Until(now.Deadline); tc.approve && (left < 59*time.Minute || left > time.Hour) {
			t.Errorf("approved: %s left to run it", left)
		}
		// Whoever presses later, and whatever: the first press stands and is named.
		for _, approve := range []bool{true, false} {
			v, err := other.Press(ctx, id, approve, "Bob")
			if err != nil || v.Changed || v.Task.By != "Ana (page)" || v.Task.State != tc.want || !strings.Contains(v.Refusal, string(tc.want)) {
				t.Errorf("%s, then approve %v: %+v, %v", tc.event, approve, v, err)
			}
		}
		if got := events(t, d, id); got != "[open "+tc.event+"]" {
			t.Errorf("audited %s", got)
		}
		if all := record(t, d, id); all[1].By != "Ana (page)" || all[1].From != "pending" || all[1].To != string(tc.want) || all[1].Digest != was.Binding {
			t.Errorf("audited %+v", all[1])
		}
	}
	if v, err := d.Press(ctx, "t_unknown", true, "Ana"); !errors.Is(err, ErrNoTask) || v.Changed {
		t.Errorf("unknown task: %+v, %v", v, err)
	}
}

func TestPressInEveryState(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, s := range relayStates[1:] {
		id := "t-" + string(s)
		was := to(t, d, id, s)
		for _, approve := range []bool{true, false} {
			v, err := d.Press(ctx, id, approve, "Bob")
			if err != nil || v.Changed || v.Task.State != s || v.Task.Rev != was.Rev || !strings.Contains(v.Refusal, s.Status()) {
				t.Errorf("approve %v of a task that is %s: %+v, %v", approve, s, v, err)
			}
		}
	}
}

// TestPressRace: a hundred people press at once, on two desks over one file.
func TestPressRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	desks := []*Desk{open(t, dir), open(t, dir)}
	pending(t, desks[0], "t1")
	var decided atomic.Int32
	var first atomic.Value
	var wg sync.WaitGroup
	gate := make(chan struct{})
	losers := make(chan Verdict, 100)
	for i := range 100 {
		wg.Go(func() {
			<-gate
			who := fmt.Sprint("person ", i)
			v, err := desks[i%2].Press(ctx, "t1", i%4 < 2, who)
			switch {
			case err != nil:
				t.Error(err)
			case v.Changed:
				decided.Add(1)
				first.Store(v.Task)
			default:
				losers <- v
			}
		})
	}
	close(gate)
	wg.Wait()
	close(losers)
	if decided.Load() != 1 {
		t.Fatalf("%d presses decided", decided.Load())
	}
	winner := first.Load().(Task)
	for v := range losers {
		if v.Task.By != winner.By || v.Task.State != winner.State || v.Refusal == "" {
			t.Errorf("a loser is told %+v, the winner was %s", v, winner.By)
		}
	}
	if all := record(t, desks[1], "t1"); len(all) != 2 || all[1].By != winner.By || all[1].To != string(winner.State) {
		t.Errorf("audited %+v", all)
	}
	now := is(t, desks[1], "t1", winner.State)
	if now.By != winner.By || now.Rev != winner.Rev {
		t.Errorf("on disk: %s by %s", now.State, now.By)
	}
}

func TestPressAfterTheDeadline(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	age(t, d, "t1")
	for _, approve := range []bool{true, false} {
		v, err := d.Press(ctx, "t1", approve, "Ana")
		if err != nil || v.Changed || !strings.Contains(v.Refusal, "the time to answer is over") || v.Task.State != task.Pending {
			t.Errorf("approve %v: %+v, %v", approve, v, err)
		}
	}
	if n, err := d.ExpireDue(ctx); n != 1 || err != nil {
		t.Errorf("%d expired, %v", n, err)
	}
	v, err := d.Press(ctx, "t1", true, "Ana")
	if err != nil || v.Changed || v.Task.State != task.Expired || !strings.Contains(v.Refusal, "expired") {
		t.Errorf("after the sweep: %+v, %v", v, err)
	}
}

func TestExpireDue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	for _, s := range relayStates {
		to(t, d, "t-"+string(s), s)
	}
	if n, err := d.ExpireDue(ctx); n != 0 || err != nil {
		t.Errorf("before their time: %d, %v", n, err)
	}
	for _, s := range relayStates {
		age(t, d, "t-"+string(s))
	}
	changed, stop := d.Watch()
	defer stop()
	var n atomic.Int32
	var wg sync.WaitGroup
	for _, desk := range []*Desk{d, other} { // two relays sweep at once
		wg.Go(func() {
			some, err := desk.ExpireDue(ctx)
			if err != nil {
				t.Error(err)
			}
			n.Add(int32(some))
		})
	}
	wg.Wait()
	if n.Load() != 2 {
		t.Errorf("%d expired, want the pending and the approved one", n.Load())
	}
	for _, s := range relayStates {
		want := s
		if s == task.Pending || s == task.Approved {
			want = task.Expired
		}
		got := is(t, d, "t-"+string(s), want)
		switch s {
		case task.Pending:
			if got.By != "" || !strings.Contains(got.Reason, "nobody answered") {
				t.Errorf("%s: by %q, %q", s, got.By, got.Reason)
			}
		case task.Approved:
			if got.By != "Ana (page)" || !strings.Contains(got.Reason, "nothing ran") {
				t.Errorf("%s: by %q, %q", s, got.By, got.Reason)
			}
		}
	}
	// One of the desks did it; only a sweep that ended something is announced.
	for range 2 {
		select {
		case <-changed:
		default:
		}
		if n, err := d.ExpireDue(ctx); n != 0 || err != nil {
			t.Errorf("a second sweep: %d, %v", n, err)
		}
	}
	select {
	case <-changed:
		t.Error("a sweep that ended nothing was announced")
	default:
	}
}

// TestMoveIsCompareAndSet: code that decided on an old row changes nothing.
func TestMoveIsCompareAndSet(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	old := pending(t, d, "t1")
	decide(t, d, "t1", false)
	err := d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := move(tx, &old, task.Event{Kind: task.Approve}, "Bob", nil)
		return err
	})
	if !errors.Is(err, db.ErrChanged) {
		t.Errorf("a stale row was written: %v", err)
	}
	if now := is(t, d, "t1", task.Denied); now.By != "Ana (page)" || now.Rev != 2 {
		t.Errorf("on disk: by %s at %d", now.By, now.Rev)
	}
}

// TestRevisions: every change gets the next number, and nothing else does.
func TestRevisions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	epoch, rev, err := d.Head(ctx)
	if err != nil || epoch == "" || rev != 0 {
		t.Fatalf("%q at %d, %v", epoch, rev, err)
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			desk := []*Desk{d, other}[i%2]
			id := fmt.Sprint("t", i)
			if _, err := desk.OpenTask(ctx, machine, hello, request(id)); err != nil {
				t.Error(err)
			}
			for range 2 {
				if _, err := desk.Press(ctx, id, i%2 == 0, "Ana"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	same, rev, err := other.Head(ctx)
	if err != nil || same != epoch || rev != 20 {
		t.Errorf("%q at %d, %v; want %q at 20", same, rev, err, epoch)
	}
	all, err := d.Since(ctx, machine, hello.Journal, 0, 100)
	if err != nil || len(all) != 10 {
		t.Fatalf("%d tasks, %v", len(all), err)
	}
	var got []Task
	for at := int64(0); ; { // in bites, as the hub does
		some, err := other.Since(ctx, machine, hello.Journal, at, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			break
		}
		got, at = append(got, some...), some[len(some)-1].Rev
	}
	for i := range all {
		if got[i].ID != all[i].ID || i > 0 && all[i].Rev <= all[i-1].Rev {
			t.Errorf("%d: %s at %d, %s at %d", i, got[i].ID, got[i].Rev, all[i].ID, all[i].Rev)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
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
	for what, change := range map[string]func(){
		"a request":  func() { pending(t, d, "t1"); pending(t, d, "t2") },
		"a decision": func() { pending(t, d, "t3"); decide(t, d, "t3", true) },
	} {
		change()
		if !told(a) || !told(b) || told(a) || told(b) {
			t.Errorf("%s is not announced exactly once", what)
		}
	}
	if _, err := d.Press(ctx, "t_unknown", true, "Ana"); err == nil || told(a) {
		t.Error("a change that failed was announced")
	}
	stopA()
	pending(t, d, "t4")
	if told(a) || !told(b) {
		t.Error("the wrong watcher was told")
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, s := range relayStates {
		to(t, d, "t-"+string(s), s)
	}
	pending(t, d, "t-last")
	waiting, err := d.Pending(ctx, 10)
	if err != nil || len(waiting) != 2 || waiting[0].ID != "t-pending" || waiting[1].ID != "t-last" {
		t.Errorf("pending, oldest first: %v, %v", waiting, err)
	}
	if some, err := d.Pending(ctx, 1); err != nil || len(some) != 1 {
		t.Errorf("%v, %v", some, err)
	}
	newest, err := d.Recent(ctx, 2)
	if err != nil || len(newest) != 2 || newest[0].ID != "t-last" {
		t.Errorf("newest first: %v, %v", newest, err)
	}
	counts, err := d.Counts(ctx)
	want := map[string]int{"pending-approval": 2, "approved": 2, "executing": 1, "completed": 1, "error": 1, "denied": 1, "expired": 1, "cancelled": 1, "unknown": 1}
	if err != nil || fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("counts %v, %v; want %v", counts, err, want)
	}
	if _, err := d.Task(ctx, "t_unknown"); !errors.Is(err, ErrNoTask) {
		t.Errorf("unknown task: %v", err)
	}
}
