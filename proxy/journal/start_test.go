package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

func TestStartAtMostOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	handles := []*Journal{open(t, dir), open(t, dir)}
	r := &relay{T: t, j: handles[0]}
	id := r.to(task.Approved, "a").ID
	for _, j := range handles { // a loaded machine may keep one of them waiting
		if err := j.db.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec("PRAGMA busy_timeout = 60000"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	var won, void atomic.Int32
	var winner atomic.Value
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			<-gate
			// Different claims too: not even a relay that hands out two of
			// them gets a second start.
			switch err := handles[i%2].Start(ctx, id, int64(1+i%3)); {
			case err == nil:
				won.Add(1)
				winner.Store(handles[i%2].Proc())
			case errors.Is(err, ErrVoid):
				void.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	close(gate)
	wg.Wait()
	if won.Load() != 1 || void.Load() != 999 {
		t.Fatalf("%d started it, %d were refused", won.Load(), void.Load())
	}
	got := get(t, handles[0], id)
	if got.State != task.Executing || got.Holder != winner.Load() {
		t.Errorf("%s by %s, started by %s", got.State, got.Holder, winner.Load())
	}
	wantLetters(t, handles[1], id, fmt.Sprintf("started(%d)", got.Claim))
	if events := audited(t, handles[0], id); !slices.Equal(events, []string{"create", "observe", "observe", "start"}) {
		t.Errorf("audited %v", events)
	}
}

func TestStartNeedsApproval(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	for _, s := range task.States {
		id := r.to(s, string(s)).ID
		before := letters(t, j, id)
		err := j.Start(ctx, id, 1)
		switch s {
		case task.Approved, task.Claimed:
			if err != nil {
				t.Errorf("start of a task that is %s: %v", s, err)
			}
			isIn(t, j, id, task.Executing)
			wantLetters(t, j, id, "started(1)")
		default:
			if !errors.Is(err, ErrVoid) {
				t.Errorf("start of a task that is %s: %v", s, err)
			}
			isIn(t, j, id, s)
			wantLetters(t, j, id, before...)
		}
	}
	if err := j.Start(ctx, "t_unknown", 1); !errors.Is(err, ErrNoTask) {
		t.Errorf("start of an unknown task: %v", err)
	}
}

func TestVoid(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	ends := map[task.Why]task.State{task.Dead: task.Claimed, task.Child: task.Claimed, task.Policy: task.Denied, task.Binding: task.Failed, task.Withdrawn: task.Cancelled}
	if len(ends) != len(task.Whys) {
		t.Fatal("not every reason is tried")
	}
	for why, want := range ends {
		id := r.to(task.Claimed, string(why)).ID
		if err := j.Void(ctx, id, 1, why, "the note"); err != nil {
			t.Fatal(err)
		}
		isIn(t, j, id, want)
		if got := get(t, j, id); want.Ended() && got.Reason != "the note" {
			t.Errorf("%s: reason %q", why, got.Reason)
		}
		if err := j.Start(ctx, id, 1); !errors.Is(err, ErrVoid) {
			t.Errorf("start with a claim given back for %s: %v", why, err)
		}
		// The relay may tell of the claim only now, or be asked again.
		r.says(id, task.Claimed, 1, j.Proc())
		isIn(t, j, id, want)
		events := audited(t, j, id)
		if err := j.Void(ctx, id, 1, task.Policy, "another note"); err != nil {
			t.Errorf("given back twice: %v", err)
		}
		isIn(t, j, id, want)
		wantLetters(t, j, id, fmt.Sprintf("release(1,%s)", why))
		if now := audited(t, j, id); !slices.Equal(now, events) {
			t.Errorf("given back twice, audited %v, then %v", events, now)
		}
		ack(t, j, "release:"+id+":1", wire.Task{})
		if err := j.Void(ctx, id, 1, why, ""); err != nil {
			t.Error(err)
		}
		wantLetters(t, j, id)
	}
}

// TestNextClaim: a claim that was given back says nothing about the next one.
func TestNextClaim(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	id := r.to(task.Claimed, "a").ID
	if err := j.Void(ctx, id, 1, task.Child, ""); err != nil {
		t.Fatal(err)
	}
	r.says(id, task.Approved, 0, "")
	r.says(id, task.Claimed, 2, j.Proc())
	if err := j.Start(ctx, id, 1); !errors.Is(err, ErrVoid) {
		t.Errorf("start with the old claim: %v", err)
	}
	if err := j.Start(ctx, id, 2); err != nil {
		t.Errorf("start with the new claim: %v", err)
	}
	for _, claim := range []int64{1, 2, 3} {
		if err := j.Void(ctx, id, claim, task.Dead, ""); !errors.Is(err, ErrVoid) {
			t.Errorf("claim %d given back after the start: %v", claim, err)
		}
	}
	isIn(t, j, id, task.Executing)
	wantLetters(t, j, id, "release(1,child)", "started(2)")
}

func TestStartOrVoidRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	r := &relay{T: t, j: a}
	for i := range 20 {
		id := r.to(task.Claimed, fmt.Sprint(i)).ID
		var started, voided error
		var wg sync.WaitGroup
		wg.Go(func() { started = a.Start(ctx, id, 1) })
		wg.Go(func() { voided = b.Void(ctx, id, 1, task.Dead, "") })
		wg.Wait()
		if (started == nil) == (voided == nil) {
			t.Fatalf("start: %v, give back: %v", started, voided)
		}
		if _, err := a.Cancel(ctx, id); started != nil && err != nil { // keep below the limit
			t.Fatal(err)
		}
		if started == nil {
			if err := a.Finish(ctx, id, wire.OK, nil, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	result := []byte(`{"content":[{"type":"text","text":"1.0 é"}]}`)
	for outcome, want := range map[wire.Outcome]task.State{wire.OK: task.Completed, wire.ToolError: task.Completed, wire.RPCError: task.Failed, wire.Unsent: task.Failed} {
		id := r.to(task.Executing, string(outcome)).ID
		if err := j.Finish(ctx, id, outcome, result, "the note"); err != nil {
			t.Fatal(err)
		}
		got := get(t, j, id)
		if got.State != want || string(got.Result) != string(result) || got.Reason != "the note" {
			t.Errorf("%s: %s, %s, %q", outcome, got.State, got.Result, got.Reason)
		}
		wantLetters(t, j, id, "started(1)", fmt.Sprintf("finished(1,%s)", outcome))
		// The first outcome stands, whatever is said later.
		if err := errors.Join(j.Finish(ctx, id, wire.OK, []byte(`{}`), "x"), j.Finish(ctx, id, wire.RPCError, nil, "x"), j.Lose(ctx, id, "x")); err != nil {
			t.Error(err)
		}
		if again := get(t, j, id); again.State != want || string(again.Result) != string(result) || again.Reason != "the note" {
			t.Errorf("%s, overwritten: %s, %s, %q", outcome, again.State, again.Result, again.Reason)
		}
		wantLetters(t, j, id, "started(1)", fmt.Sprintf("finished(1,%s)", outcome))
	}
}

// TestLostAndFound: unknown is settled only by a record of the outcome.
func TestLostAndFound(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	id := r.to(task.Unknown, "a").ID
	if got := get(t, j, id); got.Reason != "its process died" {
		t.Errorf("reason %q", got.Reason)
	}
	wantLetters(t, j, id, "started(1)", "lost(1)")
	if err := j.Lose(ctx, id, "again"); err != nil {
		t.Error(err)
	}
	if err := j.Start(ctx, id, 2); !errors.Is(err, ErrVoid) {
		t.Errorf("started again: %v", err)
	}
	for _, s := range task.States {
		r.says(id, s, 2, "p")
		isIn(t, j, id, task.Unknown)
	}
	if err := j.Finish(ctx, id, wire.OK, []byte(`{}`), ""); err != nil {
		t.Fatal(err)
	}
	isIn(t, j, id, task.Completed)
	wantLetters(t, j, id, "started(1)", "lost(1)", "finished(1,ok)")
}

func TestCancelInEveryState(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	for _, s := range task.States {
		id := r.to(s, string(s)).ID
		before := letters(t, j, id)
		got, err := j.Cancel(ctx, id)
		switch s {
		case task.Queued:
			// The relay has never heard of it and need not.
			if err != nil || got.State != task.Cancelled {
				t.Errorf("%s: %s, %v", s, got.State, err)
			}
			wantLetters(t, j, id)
		case task.Pending, task.Approved, task.Claimed:
			if err != nil || got.State != task.Cancelled || !strings.Contains(got.Reason, "nothing ran") {
				t.Errorf("%s: %s %q, %v", s, got.State, got.Reason, err)
			}
			wantLetters(t, j, id, "cancel")
		case task.Cancelled:
			if err != nil || got.State != s {
				t.Errorf("%s: %s, %v", s, got.State, err)
			}
			wantLetters(t, j, id, before...)
		default:
			if se := (*task.StateError)(nil); !errors.As(err, &se) || got.ID != id || got.State != s {
				t.Errorf("%s: %+v, %v", s, got, err)
			}
			isIn(t, j, id, s)
			wantLetters(t, j, id, before...)
			continue
		}
		isIn(t, j, id, task.Cancelled)
		if err := j.Start(ctx, id, 1); !errors.Is(err, ErrVoid) {
			t.Errorf("start after it was withdrawn while %s: %v", s, err)
		}
		if _, err := j.Cancel(ctx, id); err != nil {
			t.Errorf("withdrawn twice: %v", err)
		}
	}
	if _, err := j.Cancel(ctx, "t_unknown"); !errors.Is(err, ErrNoTask) {
		t.Errorf("unknown task: %v", err)
	}
}

// TestCancelOfARequestUnderWay: once it may have reached the relay, the relay
// must be told, and after the request.
func TestCancelOfARequestUnderWay(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	id := create(t, j, "a").ID
	letter := outbox(t, j)[0]
	if wanted, err := j.Sending(ctx, letter); !wanted || err != nil {
		t.Fatalf("%v, %v", wanted, err)
	}
	if _, err := j.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	wantLetters(t, j, id, "open", "cancel")

	// A request taken from the outbox before and sent after the withdrawal.
	id = create(t, j, "b").ID
	all := outbox(t, j)
	letter = all[len(all)-1]
	if _, err := j.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if wanted, err := j.Sending(ctx, letter); wanted || err != nil {
		t.Errorf("a withdrawn request is still wanted: %v, %v", wanted, err)
	}
}

// TestClaimOnWithdrawnTask: the relay hands out a task that was withdrawn here;
// the claim goes back as withdrawn, whatever reason the caller has.
func TestClaimOnWithdrawnTask(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	id := r.to(task.Cancelled, "a").ID
	r.says(id, task.Claimed, 1, "somebody")
	isIn(t, j, id, task.Cancelled)
	if err := j.Reap(ctx); err != nil {
		t.Fatal(err)
	}
	wantLetters(t, j, id, "cancel", "release(1,cancelled)")
	r.says(id, task.Claimed, 2, "somebody")
	if err := j.Void(ctx, id, 2, task.Dead, ""); err != nil {
		t.Fatal(err)
	}
	wantLetters(t, j, id, "cancel", "release(1,cancelled)", "release(2,cancelled)")
	isIn(t, j, id, task.Cancelled)
	if got := get(t, j, id); !strings.Contains(got.Reason, "withdrawn") {
		t.Errorf("reason %q", got.Reason)
	}
}

// TestSaveIsCompareAndSet: code that decided on an old row changes nothing.
func TestSaveIsCompareAndSet(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	old := r.to(task.Pending, "a")
	r.says(old.ID, task.Denied, 0, "")
	err := j.db.Write(ctx, func(tx *db.Tx) error {
		stale := old
		stale.State = task.Approved
		return j.save(tx, &stale, old.State, old.Rev, "approve", "x", "", false)
	})
	if !errors.Is(err, db.ErrChanged) {
		t.Errorf("a stale row was written: %v", err)
	}
	isIn(t, j, old.ID, task.Denied)
}

// TestTheFileRefusesASecondStart: even code that forgets to look cannot write
// two starts.
func TestTheFileRefusesASecondStart(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	id := r.to(task.Executing, "a").ID
	err := j.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO starts(task, claim, proc, at) VALUES(?, 2, 'p', 0)", id)
		return err
	})
	if err == nil {
		t.Error("a second row in starts")
	}
	// And not even a state set back by hand lets it run again.
	err = j.db.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec("UPDATE tasks SET state = 'approved'"); return err })
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(ctx, id, 2); !errors.Is(err, ErrVoid) {
		t.Errorf("start: %v", err)
	}
	if all, err := j.Startable(ctx); err != nil || len(all) != 0 {
		t.Errorf("startable: %v, %v", all, err)
	}
}
