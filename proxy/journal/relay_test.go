package journal

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"portero/shared/db"
	"portero/shared/task"
	"portero/shared/wire"
)

func position(t *testing.T, j *Journal) Position {
	t.Helper()
	at, err := j.Position(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestObserve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	made := create(t, j, "a")
	news := func(rev int64, s task.State) wire.Task {
		return wire.Task{Task: made.ID, Rev: rev, State: s, Binding: made.Binding, By: "Ana", Claim: rev, Holder: "p"}
	}
	check := func(what string, want task.State, rev, seen int64) {
		t.Helper()
		got := get(t, other, made.ID)
		if got.State != want || got.Rev != rev {
			t.Errorf("%s: %s at %d, want %s at %d", what, got.State, got.Rev, want, rev)
		}
		if at := position(t, other); at.Rev != seen {
			t.Errorf("%s: seen up to %d, want %d", what, at.Rev, seen)
		}
	}
	hear := func(f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	hear(func() error { return j.Observe(ctx, news(10, task.Pending)) })
	check("first news", task.Pending, 10, 10)
	hear(func() error { return j.Observe(ctx, news(9, task.Denied)) })
	check("older news", task.Pending, 10, 10)
	hear(func() error { return j.Observe(ctx, news(10, task.Denied)) })
	check("the same revision", task.Pending, 10, 10)

	foreign := news(11, task.Approved)
	foreign.Binding = "of something else"
	hear(func() error { return j.Observe(ctx, foreign) })
	check("another binding", task.Pending, 10, 11)
	foreign.Task, foreign.Rev = "t_unknown", 12
	hear(func() error { return j.Observe(ctx, foreign) })
	check("another machine's task", task.Pending, 10, 12)

	// An answer may overtake pushes: it counts, and says nothing of what was
	// seen of other tasks.
	hear(func() error { return j.Heard(ctx, news(20, task.Approved)) })
	check("an answer", task.Approved, 20, 12)
	hear(func() error { return j.Acked(ctx, "open:"+made.ID, news(21, task.Claimed)) })
	check("an acknowledgement", task.Claimed, 21, 12)
	wantLetters(t, j, made.ID)
	hear(func() error { return j.Observe(ctx, news(13, task.Pending)) })
	check("the push that was overtaken", task.Claimed, 21, 13)

	got := get(t, j, made.ID)
	if got.By != "Ana" || got.Claim != 21 || got.Holder != "p" {
		t.Errorf("decided by %q, claim %d of %q", got.By, got.Claim, got.Holder)
	}
	if events := audited(t, j, made.ID); !slices.Equal(events, []string{"create", "observe", "observe", "observe"}) {
		t.Errorf("audited %v", events)
	}
}

// TestJournalOutranksRelay walks every pair of what the journal knows and what
// the relay says next.
func TestJournalOutranksRelay(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	for _, local := range task.States {
		was := r.to(local, string(local))
		for _, said := range task.States {
			r.says(was.ID, said, 7, "somebody")
			got := get(t, j, was.ID)
			switch {
			case local.Effect():
				if got.State != local || string(got.Result) != string(was.Result) || got.Reason != was.Reason || got.Claim != was.Claim || got.Holder != was.Holder {
					t.Errorf("%s, the relay says %s: now %+v", local, said, got)
				}
			case local == task.Cancelled && got.State != task.Cancelled:
				t.Errorf("withdrawn, the relay says %s: now %s", said, got.State)
			case got.State == task.Executing:
				t.Errorf("%s, the relay says %s: believes that it runs", local, said)
			case got.State != task.Observe(local, said):
				t.Errorf("%s, the relay says %s: now %s", local, said, got.State)
			}
			if got.State != local { // back to the start, for the next
				err := j.db.Write(ctx, func(tx *db.Tx) error {
					return tx.One("UPDATE tasks SET state = ?, claim = ?, holder = ? WHERE id = ?", local, was.Claim, was.Holder, was.ID)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestReasonOfTheRelay(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	made := r.to(task.Pending, "a")
	r.rev++
	err := j.Observe(ctx, wire.Task{Task: made.ID, Rev: r.rev, State: task.Expired, Binding: made.Binding, Reason: "nobody answered in time"})
	if got := get(t, j, made.ID); err != nil || got.Reason != "nobody answered in time" || got.State != task.Expired {
		t.Errorf("%s: %q, %v", got.State, got.Reason, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir())
	r := &relay{T: t, j: j}
	made := create(t, j, "a")
	if err := j.Refused(ctx, "open:"+made.ID, "no such tool"); err != nil {
		t.Fatal(err)
	}
	got := get(t, j, made.ID)
	if got.State != task.Failed || !strings.Contains(got.Reason, "no such tool") || !strings.Contains(got.Reason, "nothing ran") {
		t.Errorf("%s: %q", got.State, got.Reason)
	}
	wantLetters(t, j, made.ID)
	// Other messages that it does not want are no reason to doubt the task.
	for _, s := range []task.State{task.Executing, task.Completed, task.Unknown} {
		id := r.to(s, "refuse "+string(s)).ID
		for _, l := range outbox(t, j) {
			if l.Task == id {
				if err := j.Refused(ctx, l.ID, "no"); err != nil {
					t.Fatal(err)
				}
			}
		}
		isIn(t, j, id, s)
		wantLetters(t, j, id)
	}
	// A request that was withdrawn while it was under way.
	id := create(t, j, "b").ID
	if _, err := j.Sending(ctx, outbox(t, j)[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Refused(ctx, "open:"+id, "no"), j.Refused(ctx, "open:"+id, "no"), j.Refused(ctx, "unknown", "no")); err != nil {
		t.Fatal(err)
	}
	isIn(t, j, id, task.Cancelled)
}

func TestOutboxOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	r := &relay{T: t, j: j}
	first := r.to(task.Completed, "a").ID
	second := create(t, other, "b").ID
	all := outbox(t, j)
	var ids []string
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	if want := []string{"started:" + first, "finished:" + first, "open:" + second}; !slices.Equal(ids, want) {
		t.Fatalf("outbox is %v, want %v", ids, want)
	}
	if rest, err := j.Outbox(ctx, all[0].Seq, 1); err != nil || len(rest) != 1 || rest[0].ID != all[1].ID {
		t.Errorf("the one behind the first: %v, %v", rest, err)
	}
	ack(t, j, all[1].ID, wire.Task{})
	ack(t, j, "unknown", wire.Task{})
	if rest := outbox(t, other); len(rest) != 2 || rest[0].ID != all[0].ID || rest[1].ID != all[2].ID {
		t.Errorf("after an acknowledgement: %v", rest)
	}
	if wanted, err := j.Sending(ctx, all[1]); wanted || err != nil {
		t.Errorf("an acknowledged message is still wanted: %v, %v", wanted, err)
	}
}

func TestEnterAnotherStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, other := open(t, dir), open(t, dir)
	if at := position(t, j); at != (Position{}) {
		t.Errorf("a new journal is at %+v", at)
	}
	if err := j.Enter(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	r := &relay{T: t, j: j}
	ids := map[task.State]string{}
	letter := map[task.State][]string{}
	for _, s := range task.States {
		ids[s] = r.to(s, string(s)).ID
		letter[s] = letters(t, j, ids[s])
	}
	// A claim that was given back, and the release not yet heard.
	if err := j.Void(ctx, ids[task.Claimed], 1, task.Child, ""); err != nil {
		t.Fatal(err)
	}
	seen := position(t, j)
	if seen.Epoch != "first" || seen.Rev != r.rev {
		t.Errorf("at %+v, the relay is at %d", seen, r.rev)
	}
	if err := j.Enter(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	if again := position(t, j); again != seen {
		t.Errorf("the same store again: at %+v, was %+v", again, seen)
	}
	isIn(t, j, ids[task.Approved], task.Approved)

	for range 2 { // both processes of the machine notice
		if err := other.Enter(ctx, "second"); err != nil {
			t.Fatal(err)
		}
		if at := position(t, j); at != (Position{Epoch: "second"}) {
			t.Errorf("in the second store at %+v", at)
		}
		for _, s := range task.States {
			switch s {
			case task.Queued, task.Pending, task.Approved, task.Claimed:
				got := get(t, j, ids[s])
				if got.State != task.Queued || got.Rev != 0 || got.Claim != 0 || got.Holder != "" || got.By != "" {
					t.Errorf("a task that was %s is now %+v", s, got)
				}
				wantLetters(t, j, ids[s], "open")
			default:
				isIn(t, j, ids[s], s)
				wantLetters(t, j, ids[s], letter[s]...)
			}
		}
		j, other = other, j
	}
	if err := j.Start(ctx, ids[task.Approved], 1); !errors.Is(err, ErrVoid) {
		t.Errorf("the old store's approval still counts: %v", err)
	}
	// What the new store decides counts, from its first revision and claim on.
	r = &relay{T: t, j: j}
	for _, s := range []task.State{task.Approved, task.Claimed} {
		r.says(ids[s], task.Pending, 0, "")
		r.says(ids[s], task.Approved, 0, "")
		r.says(ids[s], task.Claimed, 1, j.Proc())
		if err := j.Start(ctx, ids[s], 1); err != nil {
			t.Errorf("approved anew after it was %s: %v", s, err)
		}
	}
}
