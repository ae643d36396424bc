package e2e

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// (a) Killed between the pending answer and the relay's acknowledgement.
func TestApproveProxyKilledBeforeTheRelayKnew(t *testing.T) {
	s := newScene(t)
	first := s.Proxy()
	task := first.Ask("kit/append", s.Out.Args("Dear John Doe"))
	first.Kill()
	s.up()
	if page := s.R.Await(task.ID, "pending-approval"); !strings.Contains(page, task.Code) {
		t.Errorf("the page does not show the code %s that the client was told: %s", task.Code, page)
	}
	s.R.Press(task.ID, "approve")
	lacks(t, s.P.Await(task.ID, "completed"), "María")
	s.R.Await(task.ID, "completed")
	s.onward()
	s.Out.Want("Dear María Cárdenas")
}

// (b) Killed while the human thinks; approved while no process is there.
func TestApproveProxyKilledWhilePending(t *testing.T) {
	s := newScene(t).up()
	task, no := s.ask("pending"), s.ask("denied")
	s.P.Kill()
	s.R.Press(task.ID, "approve")
	s.R.Press(no.ID, "deny")
	s.R.Await(task.ID, "approved")
	s.P = s.Proxy()
	holds(t, s.P.Await(task.ID, "completed"), "appended")
	s.P.Await(no.ID, "denied")
	s.R.Await(task.ID, "completed")
	s.onward()
	s.Out.Want("pending")
}

// A result outlives the session that asked, and the process that ran it.
func TestApproveResultOutlivesTheProcess(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("done")
	s.R.Press(task.ID, "approve")
	result := s.P.Await(task.ID, "completed")
	s.P.Kill()
	s.P = s.Proxy()
	if again := s.P.Await(task.ID, "completed"); again != result {
		t.Errorf("the result is %s, and to a later session %s", result, again)
	}
	s.onward()
	s.Out.Want("done")
}

// (c) Killed while the call runs, with its effect done and its answer not: the
// journal cannot know, so it says so and never runs it again.
func TestApproveProxyKilledWhileExecuting(t *testing.T) {
	t.Parallel()
	gates := map[string]struct {
		gate string
		ran  []string
	}{
		"after the effect":  {"wait_file", []string{"executing"}},
		"before the effect": {"before_file", nil},
	}
	for name, g := range gates {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).up()
			task := s.ask("executing", g.gate, s.Path("go"))
			s.R.Press(task.ID, "approve")
			s.R.Await(task.ID, "executing")
			s.P.Await(task.ID, "executing")
			if g.ran != nil {
				s.Out.Await("executing")
			}
			s.P.Kill()
			s.P = s.Proxy()
			result := s.P.Await(task.ID, "unknown")
			holds(t, result, "may have run", "Do not retry", `"isError":true`)
			s.Touch("go") // were it run again, it would go through
			holds(t, s.R.Await(task.ID, "unknown"), "may have run")
			if list := s.P.Tasks(`{"status":"unknown"}`); len(list) != 1 || list[0].ID != task.ID {
				t.Errorf("list_tasks: %+v", list)
			}
			s.onward()
			s.P.Kill() // nor by any later process
			s.P = s.Proxy()
			s.onward()
			s.P.Await(task.ID, "unknown")
			s.Out.Want(g.ran...)
		})
	}
}

// (d) Killed after the approval and before the start: nothing was lost.
func TestApproveProxyKilledBeforeStart(t *testing.T) {
	s := newScene(t, append(stoppable, allowEnv...)...).up()
	task := s.ask("approved")
	s.stopKit()
	s.R.Press(task.ID, "approve")
	s.P.Await(task.ID, "approved")
	s.P.Kill()
	s.P = s.Proxy() // its server is down, too
	if now, _ := s.P.Check(task.ID, 0); now.Status != "approved" {
		t.Errorf("with its server down it is %s", now.Status)
	}
	s.Out.Want()
	s.startKit()
	s.P.Await(task.ID, "completed")
	s.onward()
	s.Out.Want("approved")
}

// Killed at any moment around the press: whatever comes of it, the effect
// happens at most once, and the status tells no lie about it.
func TestApproveProxyKilledAnywhere(t *testing.T) {
	s := newScene(t).up()
	ends := map[string]int{}
	for range 12 {
		line := rig.Name()
		task := s.ask(line)
		csrf := s.R.CSRF()
		dead := make(chan struct{})
		after := time.Duration(rand.IntN(30_000)) * time.Microsecond
		victim := s.P
		go func() {
			defer close(dead)
			time.Sleep(after) // the moment of the crash, not a wait for anything
			victim.Kill()
		}()
		if came := s.R.Post(task.ID, "approve", csrf); came != "approved" {
			t.Fatalf("the press came to %q", came)
		}
		<-dead
		s.P = s.Proxy()
		var now rig.Task
		s.Eventually("the task ends", func() bool {
			now, _ = s.P.Check(task.ID, 20)
			return now.Status != "approved" && now.Status != "pending-approval" && now.Status != "executing"
		})
		status := now.Status
		if status == "" {
			status = "completed"
		}
		ends[status]++
		s.R.Await(task.ID, status)
		runs := s.Out.Count(line)
		if status == "completed" && runs != 1 || status == "unknown" && runs > 1 || status != "completed" && status != "unknown" {
			t.Errorf("killed %v after the press: the task is %s and ran %d times", after, status, runs)
		}
	}
	s.onward()
	for _, line := range s.Out.Lines() {
		if s.Out.Count(line) > 1 {
			t.Errorf("%s ran twice in the end", line)
		}
	}
	t.Logf("ends: %v", ends)
}
