package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"portero/shared/task"
	"portero/shared/wire"
)

func TestOpenTask(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	before := time.Now().Add(-time.Second)
	made := pending(t, d, "t1")
	got, err := other.Task(ctx, "t1")
	if err != nil || got.State != task.Pending || got.Machine != machine || got.Label != hello.Machine || got.Journal != hello.Journal ||
		got.Tool != "kit/echo" || string(got.Args) != `{"n":1.0}` || got.Rule != "require-approval default" || got.Session != "proc1" ||
		got.Code != "7K3F" || got.Binding != "binding-t1" || got.TTL != time.Hour || got.Rev != 1 {
		t.Errorf("on disk: %+v, %v", got, err)
	}
	if left := got.Deadline.Sub(got.Created); left != time.Hour || got.Created.Before(before) {
		t.Errorf("made %s, to be answered by %s", got.Created, got.Deadline)
	}
	again, err := other.OpenTask(ctx, machine, wire.Hello{Journal: hello.Journal, Proc: "proc2", Machine: "renamed"}, request("t1"))
	if err != nil || again.Rev != made.Rev || !again.Created.Equal(got.Created) || again.Label != hello.Machine {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	decide(t, d, "t1", true)
	if again, err = d.OpenTask(ctx, machine, hello, request("t1")); err != nil || again.State != task.Approved {
		t.Errorf("asked again after the decision: %s, %v", again.State, err)
	}
	if got := events(t, d, "t1"); got != "[open approve]" {
		t.Errorf("audited %s", got)
	}
}

func TestOpenTaskConflicts(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	rebound := request("t1")
	rebound.Binding = "another"
	elsewhere := hello
	elsewhere.Journal = "journal2"
	for name, f := range map[string]func() (Task, error){
		"another binding": func() (Task, error) { return d.OpenTask(ctx, machine, hello, rebound) },
		"another machine": func() (Task, error) { return d.OpenTask(ctx, "desktop", hello, request("t1")) },
		"another journal": func() (Task, error) { return d.OpenTask(ctx, machine, elsewhere, request("t1")) },
	} {
		if got, err := f(); !errors.Is(err, ErrConflict) || !reflect.DeepEqual(got, Task{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got := events(t, d, "t1"); got != "[open]" {
		t.Errorf("audited %s", got)
	}
}

func TestOpenTaskRejects(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for name, spoil := range map[string]func(*wire.Open){
		"no task":            func(o *wire.Open) { o.Task = "" },
		"a task with markup": func(o *wire.Open) { o.Task = "t<b>" },
		"a long task":        func(o *wire.Open) { o.Task = strings.Repeat("t", 129) },
		"no binding":         func(o *wire.Open) { o.Binding = "" },
		"no code":            func(o *wire.Open) { o.Code = "" },
		"no session":         func(o *wire.Open) { o.Session = "" },
		"no tool":            func(o *wire.Open) { o.Tool = "" },
		"a long tool":        func(o *wire.Open) { o.Tool = strings.Repeat("x", 513) },
		"a long rule":        func(o *wire.Open) { o.Rule = strings.Repeat("x", wire.MaxText+1) },
		"no time":            func(o *wire.Open) { o.TTLMS = 0 },
		"negative time":      func(o *wire.Open) { o.TTLMS = -1 },
		"time without end":   func(o *wire.Open) { o.TTLMS = 1 << 62 },
		"no arguments":       func(o *wire.Open) { o.Args = nil },
		"broken arguments":   func(o *wire.Open) { o.Args = json.RawMessage(`{"a"`) },
		"long arguments":     func(o *wire.Open) { o.Args = json.RawMessage(`"` + strings.Repeat("x", wire.MaxArgs-1) + `"`) },
	} {
		o := request("t1")
		spoil(&o)
		_, err := d.OpenTask(ctx, machine, hello, o)
		var rejected *Rejected
		if !errors.As(err, &rejected) || rejected.Code != wire.CodeInvalid || rejected.Error() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := d.Recent(ctx, 10); len(all) != 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	to(t, d, "t1", task.Approved)
	claim := task.Event{Kind: task.Claim}
	from := func(proc string) func(*Request) { return func(r *Request) { r.Proc = proc } }
	if got, err := do(d, "t1", claim, func(r *Request) { r.Binding = "another" }); !errors.Is(err, ErrConflict) {
		t.Errorf("claim with another binding: %+v, %v", got, err)
	}
	is(t, d, "t1", task.Approved)
	first, err := do(d, "t1", claim, from("procA"))
	if err != nil || first.State != task.Claimed || first.Claim != 1 || first.Holder != "procA" {
		t.Fatalf("claim: %+v, %v", first, err)
	}
	again, err := do(d, "t1", claim, from("procA"))
	if err != nil || again.Claim != 1 || again.Rev != first.Rev {
		t.Errorf("the same process again: claim %d at %d, %v", again.Claim, again.Rev, err)
	}
	other, err := do(d, "t1", claim, from("procB"))
	if !isStateError(err) || other.Holder != "procA" || other.Claim != 1 {
		t.Errorf("another process: %+v, %v", other, err)
	}
	if got, err := do(d, "t1", claim, from("procA"), func(r *Request) { r.Binding = "another" }); !errors.Is(err, ErrConflict) {
		t.Errorf("the same process with another binding: %+v, %v", got, err)
	}
	if got, err := do(d, "t1", task.Event{Kind: task.Cancel}); !isStateError(err) || got.State != task.Claimed {
		t.Errorf("withdrawn while claimed: %s, %v", got.State, err)
	}
	age(t, d, "t1") // a claimed task is the machine's: its time does not run out here
	if n, err := d.ExpireDue(ctx); n != 0 || err != nil {
		t.Errorf("%d expired, %v", n, err)
	}
	for _, s := range relayStates {
		id := "s-" + string(s)
		to(t, d, id, s)
		_, err := do(d, id, claim, from("procB"))
		if (err == nil) != (s == task.Approved) || err != nil && !isStateError(err) {
			t.Errorf("claim of a task that is %s: %v", s, err)
		}
	}
	to(t, d, "late", task.Approved)
	age(t, d, "late")
	if _, err := do(d, "late", claim); !isStateError(err) {
		t.Errorf("claim after the deadline: %v", err)
	}
}

// TestForeignMachine: what another machine asked does not exist for this one.
func TestForeignMachine(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, s := range relayStates {
		id := "s-" + string(s)
		was := to(t, d, id, s)
		for _, e := range []task.Event{{Kind: task.Claim}, {Kind: task.Cancel}, {Kind: task.Release, Claim: 1, Why: task.Dead}, {Kind: task.Start, Claim: 1},
			{Kind: task.Finish, Claim: 1}, {Kind: task.Fail, Claim: 1}, {Kind: task.Lose, Claim: 1}} {
			for name, foreign := range map[string]func(*Request){
				"machine": func(r *Request) { r.Machine = "desktop" },
				"journal": func(r *Request) { r.Journal = "journal2" },
			} {
				if got, err := do(d, id, e, foreign); !errors.Is(err, ErrNoTask) || !reflect.DeepEqual(got, Task{}) {
					t.Errorf("%s by a foreign %s: %+v, %v", e.Kind, name, got, err)
				}
			}
		}
		if now := is(t, d, id, s); now.Rev != was.Rev {
			t.Errorf("%s was changed", id)
		}
	}
	if got, err := do(d, "t_unknown", task.Event{Kind: task.Cancel}); !errors.Is(err, ErrNoTask) || !reflect.DeepEqual(got, Task{}) {
		t.Errorf("unknown task: %+v, %v", got, err)
	}
	for _, who := range [][2]string{{"desktop", hello.Journal}, {machine, "journal2"}} {
		if all, err := d.Since(ctx, who[0], who[1], 0, 100); len(all) != 0 || err != nil {
			t.Errorf("%v is told of %d tasks, %v", who, len(all), err)
		}
	}
	if all, err := d.Since(ctx, machine, hello.Journal, 0, 100); len(all) != len(relayStates) || err != nil {
		t.Errorf("the machine itself is told of %d tasks, %v", len(all), err)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	ends := map[task.Why]task.State{task.Dead: task.Approved, task.Child: task.Approved, task.Policy: task.Denied, task.Binding: task.Failed, task.Withdrawn: task.Cancelled}
	for why, want := range ends {
		id := "t-" + string(why)
		to(t, d, id, task.Claimed)
		release := task.Event{Kind: task.Release, Claim: 1, Why: why}
		note := func(r *Request) { r.Note = "the note" }
		got, err := do(d, id, release, note)
		if err != nil || got.State != want || got.Claim != 0 || got.Claims != 1 || got.Holder != "" || got.Note != "the note" || got.By != "Ana (page)" {
			t.Errorf("release %s: %+v, %v", why, got, err)
		}
		if got.State.Ended() == got.Ended.IsZero() {
			t.Errorf("release %s: %s, ended %s", why, got.State, got.Ended)
		}
		if left := time.Until(got.Deadline); want == task.Approved && (left < 50*time.Minute || left > time.Hour) {
			t.Errorf("release %s: %s left to run it", why, left)
		}
		again, err := do(d, id, release, note)
		if err != nil || again.Rev != got.Rev {
			t.Errorf("release %s twice: at %d, then %d, %v", why, got.Rev, again.Rev, err)
		}
		if want != task.Approved {
			continue
		}
		next, err := do(d, id, task.Event{Kind: task.Claim}, func(r *Request) { r.Proc = "procB" })
		if err != nil || next.Claim != 2 || next.Holder != "procB" {
			t.Errorf("claimed after release %s: %+v, %v", why, next, err)
		}
		if late, err := do(d, id, release); err != nil || late.State != task.Claimed || late.Claim != 2 || late.Holder != "procB" {
			t.Errorf("the old release once more: %+v, %v", late, err)
		}
	}
	to(t, d, "whim", task.Claimed)
	if got, err := do(d, "whim", task.Event{Kind: task.Release, Claim: 1, Why: "whim"}); !isStateError(err) || got.State != task.Claimed {
		t.Errorf("release without a known reason: %s, %v", got.State, err)
	}
}

func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	to(t, d, "t1", task.Approved)
	for i := range int64(task.MaxClaims) {
		got, err := do(d, "t1", task.Event{Kind: task.Claim})
		if err != nil || got.Claim != i+1 {
			t.Fatalf("claim %d: %+v, %v", i+1, got, err)
		}
		if _, err := do(d, "t1", task.Event{Kind: task.Release, Claim: i + 1, Why: task.Dead}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := do(d, "t1", task.Event{Kind: task.Claim}); !isStateError(err) || got.State != task.Approved {
		t.Errorf("claimed once more: %s, %v", got.State, err)
	}
}

func TestEffects(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	end := func(o wire.Outcome, note string) func(*Request) {
		return func(r *Request) { r.Outcome, r.Note = o, note }
	}
	for _, tc := range []struct {
		kind    task.Kind
		outcome wire.Outcome
		want    task.State
	}{
		{task.Finish, wire.OK, task.Completed}, {task.Finish, wire.ToolError, task.Completed}, {task.Fail, wire.RPCError, task.Failed},
		{task.Fail, wire.Unsent, task.Failed}, {task.Lose, "", task.Unknown},
	} {
		id := fmt.Sprintf("t-%s%s", tc.kind, tc.outcome)
		to(t, d, id, task.Executing)
		got, err := do(d, id, task.Event{Kind: tc.kind, Claim: 1}, end(tc.outcome, "the note"))
		if err != nil || got.State != tc.want || got.Outcome != tc.outcome || got.Note != "the note" || got.Ended.IsZero() || got.By != "Ana (page)" {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
		for _, late := range []task.Kind{tc.kind, task.Start, task.Cancel, task.Expire} {
			again, err := do(d, id, task.Event{Kind: late, Claim: 1}, end("ok", "later"))
			if err != nil && !isStateError(err) || again.Rev != got.Rev || again.Note != "the note" {
				t.Errorf("%s, then %s: %+v, %v", id, late, again, err)
			}
		}
	}
	// The machine finds its own record of what it had lost.
	got, err := do(d, "t-lose", task.Event{Kind: task.Finish, Claim: 1}, end(wire.OK, ""))
	if err != nil || got.State != task.Completed || got.Outcome != wire.OK {
		t.Errorf("lost and found: %+v, %v", got, err)
	}
	if got := events(t, d, "t-lose"); got != "[open approve claim start lose finish]" {
		t.Errorf("audited %s", got)
	}
}

// TestTheJournalIsRight: reports of effects are never refused, and marked where
// they should have been impossible.
func TestTheJournalIsRight(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, s := range []task.State{task.Pending, task.Approved, task.Denied, task.Expired, task.Cancelled} {
		id := "t-" + string(s)
		to(t, d, id, s)
		for _, step := range []struct {
			kind    task.Kind
			want    task.State
			anomaly bool
		}{{task.Start, task.Executing, true}, {task.Finish, task.Completed, false}} {
			if got, err := do(d, id, task.Event{Kind: step.kind, Claim: 1}); err != nil || got.State != step.want {
				t.Errorf("%s when %s: %s, %v", step.kind, s, got.State, err)
			}
			if all := record(t, d, id); all[len(all)-1].Anomaly != step.anomaly {
				t.Errorf("%s when %s: audited %+v", step.kind, s, all[len(all)-1])
			}
		}
	}
	// Two different outcomes: the first stands in every part, the second is on record.
	first := to(t, d, "two", task.Completed)
	got, err := do(d, "two", task.Event{Kind: task.Fail, Claim: 1}, func(r *Request) { r.Outcome, r.Note = wire.RPCError, "later" })
	if err != nil || got.State != task.Completed || got.Outcome != first.Outcome || got.Note != first.Note || got.Rev != first.Rev {
		t.Errorf("a second outcome: %+v, %v", got, err)
	}
	if now := is(t, d, "two", task.Completed); now.Outcome != first.Outcome || now.Note != "" || !now.Ended.Equal(first.Ended) {
		t.Errorf("a second outcome on disk: %+v", now)
	}
	if all := record(t, d, "two"); !all[len(all)-1].Anomaly || all[len(all)-1].Event != "fail" {
		t.Errorf("a second outcome is audited as %+v", all[len(all)-1])
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, s := range relayStates {
		id := "t-" + string(s)
		was := to(t, d, id, s)
		got, err := do(d, id, task.Event{Kind: task.Cancel})
		switch s {
		case task.Pending, task.Approved:
			if err != nil || got.State != task.Cancelled || got.Reason == "" || got.Ended.IsZero() {
				t.Errorf("withdrawn while %s: %+v, %v", s, got, err)
			}
		default:
			if (err == nil) != (s == task.Cancelled) || err != nil && !isStateError(err) || got.Rev != was.Rev {
				t.Errorf("withdrawn while %s: %+v, %v", s, got, err)
			}
		}
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	got := to(t, d, "t1", task.Claimed)
	want := wire.Task{Task: "t1", Rev: got.Rev, State: task.Claimed, Binding: "binding-t1", By: "Ana (page)", Claim: 1, Holder: "proc1"}
	if got.Wire() != want {
		t.Errorf("told as %+v, want %+v", got.Wire(), want)
	}
}

func TestQueuedRequestKeepsItsAge(t *testing.T) {
	d := open(t, t.TempDir())
	for age, want := range map[int64]time.Duration{(2 * time.Hour).Milliseconds(): 2 * time.Hour, -5: 0} {
		o := wire.Open{ID: "o", Task: fmt.Sprintf("t_%d", want), Binding: "b", Code: "7K3F", Tool: "kit/x", Args: []byte(`{}`), Session: "s", TTLMS: 60_000, AgeMS: age}
		got, err := d.OpenTask(t.Context(), "m", wire.Hello{Journal: "j"}, o)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Since(got.Created) - want; off < 0 || off > time.Minute {
			t.Errorf("asked %v ago by the machine, created %v ago", want, time.Since(got.Created))
		}
		if left := time.Until(got.Deadline); left < 50*time.Second || left > time.Minute {
			t.Errorf("the time to answer is %v, want a minute from receipt", left)
		}
	}
}
