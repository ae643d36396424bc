package task

import (
	"fmt"
	"time"
)

// Kind names what happened.
type Kind string

// The kinds of event. Release carries a Why; Claim, Release, Start, Finish,
// Fail and Lose carry the number of the claim they speak for.
const (
	Open    Kind = "open"
	Approve Kind = "approve"
	Deny    Kind = "deny"
	Expire  Kind = "expire"
	Cancel  Kind = "cancel"
	Claim   Kind = "claim"
	Release Kind = "release"
	Start   Kind = "start"
	Finish  Kind = "finish"
	Fail    Kind = "fail"
	Lose    Kind = "lose"
)

// Kinds lists every kind of event.
var Kinds = []Kind{Open, Approve, Deny, Expire, Cancel, Claim, Release, Start, Finish, Fail, Lose}

// Why says for what reason a claim was given back unused.
type Why string

// The reasons of a release. Dead: the process that held the claim is gone and
// had not started. Child: the server could not be reached, nothing was sent.
// Policy: the rules deny the call by now. Binding: what would run is not what
// was shown. Withdrawn: the asking side cancelled it.
const (
	Dead      Why = "dead"
	Child     Why = "child"
	Policy    Why = "policy"
	Binding   Why = "binding"
	Withdrawn Why = "cancelled"
)

// Whys lists every reason of a release.
var Whys = []Why{Dead, Child, Policy, Binding, Withdrawn}

// Event is one thing that happened to a task.
type Event struct {
	Kind  Kind
	Claim int64
	Why   Why
	// Now is the time of the event on the clock that owns the task.
	Now time.Time
}

// Step is the outcome of a transition.
type Step struct {
	Task Task
	// Changed is false for a repeated event that had its effect before.
	Changed bool
	// Anomaly is set when the machine reports an effect in a state that
	// should have made it impossible.
	Anomaly bool
}

// StateError says that an event does not apply in the state a task is in.
type StateError struct {
	State State
	Event Kind
	Msg   string
}

// Error implements error.
func (e *StateError) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return fmt.Sprintf("%s does not apply to a task that is %s", e.Event, e.State)
}

// Next is the whole transition table. It is pure: the same task and event give
// the same step, and a refused event returns a *StateError and no change.
func Next(t Task, e Event) (Step, error) {
	switch e.Kind {
	case Open, Approve, Deny, Expire, Cancel:
		return decide(t, e)
	case Claim, Release:
		return hold(t, e)
	case Start, Finish, Fail, Lose:
		return effect(t, e)
	}
	return Step{}, &StateError{State: t.State, Event: e.Kind, Msg: "no such event"}
}

// decide moves a task that nobody holds.
func decide(t Task, e Event) (Step, error) {
	to := map[Kind]State{Open: Pending, Approve: Approved, Deny: Denied, Expire: Expired, Cancel: Cancelled}[e.Kind]
	if t.State == to {
		return Step{Task: t}, nil
	}
	late := !t.Deadline.IsZero() && !e.Now.Before(t.Deadline)
	switch {
	case e.Kind == Open && t.State == Queued,
		(e.Kind == Approve || e.Kind == Deny) && t.State == Pending && !late,
		e.Kind == Expire && (t.State == Pending || t.State == Approved) && late,
		e.Kind == Cancel && (t.State == Queued || t.State == Pending || t.State == Approved):
		t.State = to
		return Step{Task: t, Changed: true}, nil
	case late && t.State == Pending:
		return Step{}, &StateError{State: t.State, Event: e.Kind, Msg: "the time to answer is over"}
	}
	return Step{}, &StateError{State: t.State, Event: e.Kind}
}

// hold hands the right to start a task out and takes it back.
func hold(t Task, e Event) (Step, error) {
	if e.Kind == Claim {
		late := !t.Deadline.IsZero() && !e.Now.Before(t.Deadline)
		switch {
		case t.State != Approved || late:
			return Step{}, &StateError{State: t.State, Event: e.Kind}
		case t.Claims >= MaxClaims:
			return Step{}, &StateError{State: t.State, Event: e.Kind, Msg: fmt.Sprintf("it was handed out %d times and never started", t.Claims)}
		}
		t.Claims++
		t.State, t.Claim = Claimed, t.Claims
		return Step{Task: t, Changed: true}, nil
	}
	to, ok := map[Why]State{Dead: Approved, Child: Approved, Policy: Denied, Binding: Failed, Withdrawn: Cancelled}[e.Why]
	switch {
	case !ok:
		return Step{}, &StateError{State: t.State, Event: e.Kind, Msg: "no such reason"}
	case e.Claim < t.Claim || (e.Claim == t.Claims && t.Claim == 0):
		return Step{Task: t}, nil // an older claim, or one given back before
	case t.State != Claimed || e.Claim != t.Claim:
		return Step{}, &StateError{State: t.State, Event: e.Kind}
	}
	t.State, t.Claim = to, 0
	return Step{Task: t, Changed: true}, nil
}

// effect records what the machine did. It is never refused: the machine's
// journal is the truth about effects.
func effect(t Task, e Event) (Step, error) {
	to := map[Kind]State{Start: Executing, Finish: Completed, Fail: Failed, Lose: Unknown}[e.Kind]
	var expected bool
	switch {
	case t.State == to:
		return Step{Task: t}, nil
	case e.Kind == Start:
		if t.State == Completed || t.State == Failed || t.State == Unknown {
			return Step{Task: t}, nil // a report that was overtaken
		}
		expected = t.State == Claimed && t.Claim == e.Claim
	case e.Kind == Lose:
		if t.State == Completed || t.State == Failed {
			return Step{Task: t}, nil
		}
		expected = t.State == Claimed || t.State == Executing
	case t.State == Completed || t.State == Failed:
		// Two different outcomes for one task: keep the first, say so.
		return Step{Task: t, Anomaly: true}, nil
	default:
		expected = t.State == Claimed || t.State == Executing || t.State == Unknown
	}
	t.State, t.Claim = to, max(t.Claim, e.Claim)
	return Step{Task: t, Changed: true, Anomaly: !expected}, nil
}

// Observe merges what the relay says of a task into what the machine has:
// decisions come from the relay, effects stay with the journal, and a task
// that the machine withdrew stays withdrawn.
func Observe(local, relay State) State {
	if local.Effect() || local == Cancelled || relay == Executing || relay == Queued {
		return local
	}
	if relay.Effect() && local.Ended() {
		return local
	}
	return relay
}
