// Package task is the life of one call that needs approval: its states, and
// the only function that may move it from one to the next.
//
//	queued ──open──▶ pending ──approve──▶ approved ──claim──▶ claimed ──start──▶ executing ──finish──▶ completed
//	   │               │ │ │                 │  ▲                │  │                │ │──────fail────▶ failed
//	   │               │ │ └─deny──▶ denied  │  └────release─────┘  │                │ └──────lose────▶ unknown
//	   └────cancel─────┴─┼─cancel─────────────┤   (dead, child)      │
//	                     └─expire─────────────┘                      └─release─▶ denied (policy), failed (binding),
//	                                                                             cancelled (cancelled)
//
// The relay owns decisions (pending, approved, denied, expired, claimed); the
// machine's journal owns effects (executing, completed, failed, unknown) and
// whether a task was withdrawn before it started. Where the two disagree about
// an effect, the journal is right: start, finish, fail and lose are accepted
// from any state, and a state that they should not have been able to come
// from marks the step as an anomaly for the audit log.
//
// Nothing leaves unknown by itself: the call may have run, so it is never run
// again. Only the machine finding its own record of an outcome (finish, fail)
// settles it.
package task

import "time"

// State is where a task stands.
type State string

// The states. Queued exists on the machine only: the relay has not
// acknowledged the task yet. Claimed means that one process of the machine
// holds the exclusive right to start it.
const (
	Queued    State = "queued"
	Pending   State = "pending"
	Approved  State = "approved"
	Claimed   State = "claimed"
	Executing State = "executing"
	Completed State = "completed"
	Failed    State = "failed"
	Denied    State = "denied"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
)

// States lists every state, in the order of the diagram.
var States = []State{Queued, Pending, Approved, Claimed, Executing, Completed, Failed, Denied, Expired, Cancelled, Unknown}

// Ended reports whether nothing more will happen to the task by itself.
func (s State) Ended() bool {
	switch s {
	case Completed, Failed, Denied, Expired, Cancelled, Unknown:
		return true
	}
	return false
}

// Effect reports whether the state tells of something the machine did, which
// only the machine's journal knows.
func (s State) Effect() bool {
	switch s {
	case Executing, Completed, Failed, Unknown:
		return true
	}
	return false
}

// Status is the state's public name, the one that MCP clients, Telegram and
// scripts see.
func (s State) Status() string {
	switch s {
	case Queued, Pending:
		return "pending-approval"
	case Approved, Claimed:
		return "approved"
	case Failed:
		return "error"
	}
	return string(s)
}

// Statuses lists the public names that a caller may filter by.
var Statuses = []string{"pending-approval", "approved", "executing", "completed", "denied", "expired", "cancelled", "error", "unknown"}

// Task is the part of a task that Step reads and writes.
type Task struct {
	State State
	// Claim numbers the claim in force; 0 when nobody holds one.
	Claim int64
	// Claims counts the claims handed out so far.
	Claims int64
	// Deadline is when the task expires in its present state (pending: no
	// answer; approved: nobody ran it). The clock is the relay's.
	Deadline time.Time
}

// MaxClaims bounds how often an approved task is handed out: a machine that
// dies this often between claim and start needs a human, not another try.
const MaxClaims = 5
