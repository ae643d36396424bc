package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// restart kills the relay as a power cut would and starts it on the same port
// and store.
func (s *scene) restart() {
	s.t.Helper()
	s.R.Kill()
	s.R = s.Relay()
}

// (a) Killed after the acknowledgement, while the call waits.
func TestApproveRelayKilledWhilePending(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("pending")
	s.restart()
	page := s.R.Await(task.ID, "pending-approval")
	holds(t, page, task.Code)
	s.R.Press(task.ID, "approve")
	s.P.Await(task.ID, "completed")
	s.R.Await(task.ID, "completed")
	s.onward()
	s.Out.Want("pending")
}

// (b) Killed right after the press was answered, with the machine there or away.
func TestApproveRelayKilledAfterThePress(t *testing.T) {
	t.Parallel()
	t.Run("machine connected", func(t *testing.T) {
		s := newScene(t).up()
		task, no := s.ask("yes"), s.ask("no")
		s.R.Press(no.ID, "deny")
		s.R.Press(task.ID, "approve")
		s.restart()
		s.P.Await(task.ID, "completed")
		s.P.Await(no.ID, "denied")
		s.R.Await(task.ID, "completed")
		s.onward()
		s.Out.Want("yes")
	})
	t.Run("machine away", func(t *testing.T) {
		s := newScene(t).up()
		task := s.ask("yes")
		s.P.Kill()
		s.R.Press(task.ID, "approve")
		s.restart()
		holds(t, s.R.Await(task.ID, "approved"), "page")
		s.P = s.Proxy()
		s.P.Await(task.ID, "completed")
		s.onward()
		s.Out.Want("yes")
	})
}

// (c) Killed while the machine runs the call: it goes on, the client gets its
// result meanwhile, and the relay hears of it later.
func TestApproveRelayKilledWhileExecuting(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("executing", "wait_file", s.Path("go"))
	s.R.Press(task.ID, "approve")
	s.Out.Await("executing")
	s.R.Kill()
	s.Touch("go")
	s.P.Await(task.ID, "completed")
	s.R = s.Relay()
	holds(t, s.R.Await(task.ID, "completed"), "the tool answered")
	s.onward()
	s.Out.Want("executing")
}

// Both killed while the call runs.
func TestApproveBothKilledWhileExecuting(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("executing", "wait_file", s.Path("go"))
	s.R.Press(task.ID, "approve")
	s.Out.Await("executing")
	s.R.Kill()
	s.P.Kill()
	s.Touch("go")
	s.up()
	s.P.Await(task.ID, "unknown")
	s.R.Await(task.ID, "unknown")
	s.onward()
	s.Out.Want("executing")
}

// Killed at any moment around the press: pressed again where the press was
// lost, the call runs, and once.
func TestApproveRelayKilledAnywhere(t *testing.T) {
	s := newScene(t).up()
	lost := 0
	for range 8 {
		line := rig.Name()
		task := s.ask(line)
		csrf := s.R.CSRF()
		dead := make(chan struct{})
		after := time.Duration(rand.IntN(5_000)) * time.Microsecond
		victim := s.R
		go func() {
			defer close(dead)
			time.Sleep(after) // the moment of the crash, not a wait for anything
			victim.Kill()
		}()
		came := s.R.Post(task.ID, "approve", csrf)
		<-dead
		s.R = s.Relay()
		if page := s.R.Show(task.ID); page == "" {
			t.Fatalf("killed %v after the press: the relay forgot the task", after)
		} else if again := s.R.Post(task.ID, "approve", s.R.CSRF()); again == "approved" {
			lost++
			if came == "approved" {
				t.Errorf("killed %v after the press: it was confirmed and forgotten", after)
			}
		}
		s.P.Await(task.ID, "completed")
		s.R.Await(task.ID, "completed")
		if runs := s.Out.Count(line); runs != 1 {
			t.Errorf("killed %v after the press: it ran %d times", after, runs)
		}
		// A process that lost its relay often waits ever longer before it
		// tries again; a new one does not.
		s.P.Kill()
		s.P = s.Proxy()
	}
	s.onward()
	t.Logf("%d presses lost and repeated", lost)
}
