package task

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// want is the transition table written down a second time, by hand, from the
// package comment: state and event to the state that follows. What is not
// there must be refused or change nothing.
var want = map[State]map[Kind]State{
	Queued:    {Open: Pending, Cancel: Cancelled},
	Pending:   {Approve: Approved, Deny: Denied, Expire: Expired, Cancel: Cancelled},
	Approved:  {Claim: Claimed, Expire: Expired, Cancel: Cancelled},
	Claimed:   {Start: Executing, Finish: Completed, Fail: Failed, Lose: Unknown},
	Executing: {Finish: Completed, Fail: Failed, Lose: Unknown},
	Unknown:   {Finish: Completed, Fail: Failed},
}

// truths are reports of effects where none should be possible: accepted,
// because the journal knows, and marked.
var truths = map[Kind]State{Start: Executing, Finish: Completed, Fail: Failed, Lose: Unknown}

func TestEveryStateAndEvent(t *testing.T) {
	now := time.Unix(1000, 0)
	steps := 0
	for _, from := range States {
		for _, kind := range Kinds {
			if kind == Release {
				continue // below
			}
			for _, late := range []bool{false, true} {
				steps++
				before := Task{State: from, Deadline: now.Add(time.Minute)}
				if late {
					before.Deadline = now
				}
				if from == Claimed || from == Executing {
					before.Claim, before.Claims = 2, 2
				}
				e := Event{Kind: kind, Claim: before.Claim, Now: now}
				step, err := Next(before, e)
				to, listed := want[from][kind]
				if listed {
					// Answers must be in time, expiry must not.
					listed = kind == Expire && late || kind != Expire && !(late && (kind == Approve || kind == Deny || kind == Claim))
				}
				name := fmt.Sprintf("%s in %s, late %v", kind, from, late)
				truth, effect := truths[kind]
				switch {
				case listed:
					if err != nil || step.Task.State != to || !step.Changed || step.Anomaly {
						t.Errorf("%s: got %+v, %v; want %s", name, step, err, to)
					}
				case effect && !from.Effect():
					if err != nil || step.Task.State != truth || !step.Anomaly {
						t.Errorf("%s: got %+v, %v; want the journal's truth %s, marked", name, step, err, truth)
					}
				case effect:
					if err != nil || step.Changed || step.Task != before {
						t.Errorf("%s: got %+v, %v; want no change", name, step, err)
					}
				case err == nil:
					// Only a repetition is accepted in silence.
					if step.Changed || step.Task != before || from != map[Kind]State{Open: Pending, Approve: Approved, Deny: Denied, Expire: Expired, Cancel: Cancelled}[kind] {
						t.Errorf("%s: got %+v, want it refused", name, step)
					}
				default:
					if se := (*StateError)(nil); !errors.As(err, &se) || se.Error() == "" {
						t.Errorf("%s: error %v is not a StateError", name, err)
					}
				}
			}
		}
	}
	if steps != len(States)*(len(Kinds)-1)*2 {
		t.Fatalf("%d steps tried", steps)
	}
}

func TestRelease(t *testing.T) {
	to := map[Why]State{Dead: Approved, Child: Approved, Policy: Denied, Binding: Failed, Withdrawn: Cancelled}
	for _, from := range States {
		for _, why := range Whys {
			for _, claim := range []int64{1, 2, 3} {
				before := Task{State: from, Claims: 2}
				if from == Claimed || from == Executing {
					before.Claim = 2
				}
				step, err := Next(before, Event{Kind: Release, Claim: claim, Why: why})
				name := fmt.Sprintf("release %d (%s) in %s", claim, why, from)
				switch {
				case from == Claimed && claim == 2:
					if err != nil || !step.Changed || step.Task.State != to[why] || step.Task.Claim != 0 || step.Task.Claims != 2 {
						t.Errorf("%s: %+v, %v", name, step, err)
					}
				case err == nil && (step.Changed || step.Task != before):
					t.Errorf("%s changed something: %+v", name, step)
				}
			}
		}
	}
	if _, err := Next(Task{State: Claimed, Claim: 1, Claims: 1}, Event{Kind: Release, Claim: 1, Why: "whim"}); err == nil {
		t.Error("a release without a known reason was accepted")
	}
	if _, err := Next(Task{State: Pending}, Event{Kind: "bless"}); err == nil {
		t.Error("an unknown event was accepted")
	}
}

func TestClaimsAreBounded(t *testing.T) {
	task := Task{State: Approved}
	for i := range MaxClaims {
		step, err := Next(task, Event{Kind: Claim})
		if err != nil || step.Task.Claim != int64(i+1) {
			t.Fatalf("claim %d: %+v, %v", i+1, step, err)
		}
		if step, err = Next(step.Task, Event{Kind: Release, Claim: step.Task.Claim, Why: Dead}); err != nil {
			t.Fatal(err)
		}
		task = step.Task
	}
	if _, err := Next(task, Event{Kind: Claim}); err == nil {
		t.Error("claimed once more than allowed")
	}
}

// TestNothingRunsUnapproved walks every path of events: executing without an
// anomaly is reached only through approve and claim, and from every state that
// has not ended some event leads on.
func TestNothingRunsUnapproved(t *testing.T) {
	type node struct {
		Task
		approved, claimed bool
	}
	now := time.Unix(1000, 0)
	seen := map[node]bool{}
	var walk func(node)
	walk = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		leads := n.State.Ended()
		for _, kind := range Kinds {
			for _, why := range append(Whys, "") {
				if (why != "") != (kind == Release) {
					continue
				}
				step, err := Next(n.Task, Event{Kind: kind, Why: why, Claim: n.Claim, Now: now})
				if err != nil || !step.Changed || step.Anomaly {
					continue
				}
				leads = true
				next := node{step.Task, n.approved || kind == Approve, n.claimed || kind == Claim}
				if next.State.Effect() && next.State != Failed && !(next.approved && next.claimed) {
					t.Fatalf("%s reached unapproved from %+v", next.State, n)
				}
				walk(next)
			}
		}
		if !leads {
			t.Errorf("no way out of %+v", n)
		}
	}
	for _, deadline := range []time.Time{now.Add(time.Hour), now.Add(-time.Hour)} {
		walk(node{Task: Task{State: Queued, Deadline: deadline}})
	}
	if len(seen) < 50 {
		t.Fatalf("only %d states walked", len(seen))
	}
}

func TestObserve(t *testing.T) {
	for _, local := range States {
		for _, relay := range States {
			got := Observe(local, relay)
			switch {
			case local.Effect() && got != local:
				t.Errorf("the relay's %s overruled the journal's %s", relay, local)
			case local == Cancelled && got != Cancelled:
				t.Errorf("the relay's %s revived a withdrawn task", relay)
			case relay == Approved && !local.Effect() && local != Cancelled && got != Approved:
				t.Errorf("approval did not reach a task that is %s", local)
			case got == Executing && local != Executing:
				t.Errorf("the relay's %s made the journal believe it runs", relay)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	public := map[string]bool{}
	for _, s := range Statuses {
		public[s] = true
	}
	for _, s := range States {
		if !public[s.Status()] {
			t.Errorf("%s has the public name %q, which nobody can filter by", s, s.Status())
		}
	}
}
