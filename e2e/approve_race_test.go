package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Several presses at once: one decides, the others are told so.
func TestApproveRacingPresses(t *testing.T) {
	s := newScene(t).up()
	var want []string
	for _, race := range [][]string{
		{"approve", "approve"},
		{"deny", "deny"},
		{"approve", "deny"},
		{"deny", "approve"},
		{"approve", "deny", "approve", "deny", "approve", "deny"},
	} {
		line := "effect of " + string(rune('A'+len(want)))
		task := s.ask(line)
		came := s.R.Race(task.ID, race...)
		decided := slices.DeleteFunc(slices.Clone(came), func(did string) bool { return did == "late" })
		if len(decided) != 1 {
			t.Fatalf("%v came to %v", race, came)
		}
		if decided[0] == "approved" {
			s.P.Await(task.ID, "completed")
			want = append(want, line)
		} else {
			s.P.Await(task.ID, "denied")
		}
		for _, button := range race { // and none of it later
			if did := s.R.Post(task.ID, button, s.R.CSRF()); did != "late" {
				t.Errorf("%s after the decision came to %s", button, did)
			}
		}
	}
	s.onward()
	s.Out.Want(want...)
}

// A press and a withdrawal at once: either it runs and the client knows, or it
// does not and both sides know.
func TestApproveRacingCancel(t *testing.T) {
	s := newScene(t).up()
	ends := map[string]int{}
	for i := range 10 {
		line := "effect " + string(rune('A'+i))
		task := s.ask(line)
		csrf := s.R.CSRF()
		pressed := make(chan string)
		go func() { pressed <- s.R.Post(task.ID, "approve", csrf) }()
		time.Sleep(time.Duration(rand.IntN(40_000)) * time.Microsecond) // the moment of the withdrawal
		s.P.Call("portero/cancel_task", `{"task_id":"`+task.ID+`"}`)
		<-pressed
		var status string
		s.Eventually("the task ends", func() bool {
			now, _ := s.P.Check(task.ID, 20)
			if status = now.Status; status == "" {
				status = "completed"
			}
			return status == "completed" || status == "cancelled"
		})
		ends[status]++
		s.R.Await(task.ID, status)
		if runs := s.Out.Count(line); status == "completed" && runs != 1 || status == "cancelled" && runs != 0 {
			t.Errorf("a task that is %s ran %d times", status, runs)
		}
	}
	s.onward()
	t.Logf("ends: %v", ends)
}
