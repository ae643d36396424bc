package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestApproveDenied(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("never")
	s.R.Press(task.ID, "deny")
	result := s.P.Await(task.ID, "denied")
	holds(t, result, `"isError":true`, "Nothing ran", `"decidedBy":"page"`)
	holds(t, s.R.Await(task.ID, "denied"), "page")
	s.onward()
	s.Out.Want()
}

// Portero's own tool is the same door: same policy, same task.
func TestApproveThroughPorteroCall(t *testing.T) {
	s := newScene(t).up()
	args := s.Out.Args("by name")
	task := s.P.Ask("portero/call", `{"tool":"kit__append","args":`+args+`}`)
	if direct := s.P.Ask("kit/append", args); direct.ID != task.ID {
		t.Errorf("the same call is task %s directly and %s through portero/call", direct.ID, task.ID)
	}
	s.R.Press(task.ID, "approve")
	s.P.Await(task.ID, "completed")
	s.Out.Want("by name")
}

func TestApproveCancel(t *testing.T) {
	t.Parallel()
	t.Run("queued", func(t *testing.T) {
		s := newScene(t)
		s.P = s.Proxy()
		task := s.ask("queued")
		if got := s.P.Cancel(task.ID); got.Status != "cancelled" {
			t.Fatalf("withdrawn: %+v", got)
		}
		s.R = s.Relay()
		s.onward()
		if page := s.R.Show(task.ID); page != "" {
			t.Errorf("the relay was told of a call that nobody wants: %s", page)
		}
		s.Out.Want()
	})
	t.Run("pending", func(t *testing.T) {
		s := newScene(t).up()
		task := s.ask("pending")
		csrf := s.R.CSRF()
		if got := s.P.Cancel(task.ID); got.Status != "cancelled" {
			t.Fatalf("withdrawn: %+v", got)
		}
		s.R.Await(task.ID, "cancelled")
		if came := s.R.Post(task.ID, "approve", csrf); came != "late" {
			t.Errorf("a press after it was withdrawn: %s", came)
		}
		if got := s.P.Cancel(task.ID); got.Status != "cancelled" {
			t.Errorf("withdrawn twice: %+v", got)
		}
		s.onward()
		s.Out.Want()
	})
	t.Run("approved", func(t *testing.T) {
		s := newScene(t, append(stoppable, allowEnv...)...).up()
		task := s.ask("approved")
		s.stopKit()
		s.R.Press(task.ID, "approve")
		s.P.Await(task.ID, "approved")
		if got := s.P.Cancel(task.ID); got.Status != "cancelled" {
			t.Fatalf("withdrawn: %+v", got)
		}
		s.R.Await(task.ID, "cancelled")
		s.startKit()
		s.onward()
		s.Out.Want()
	})
	t.Run("executing", func(t *testing.T) {
		s := newScene(t).up()
		task := s.ask("executing", "wait_file", s.Path("go"))
		s.R.Press(task.ID, "approve")
		s.Out.Await("executing")
		if got := s.P.Cancel(task.ID); got.Status != "executing" {
			t.Fatalf("what runs cannot be withdrawn: %+v", got)
		}
		s.Touch("go")
		s.P.Await(task.ID, "completed")
		m := s.P.Call("portero/cancel_task", `{"task_id":"`+task.ID+`"}`)
		holds(t, m.Raw, `"status":"completed"`, `"isError":true`)
		s.Out.Want("executing")
	})
	t.Run("unknown task", func(t *testing.T) {
		s := newScene(t)
		s.P = s.Proxy()
		holds(t, s.P.Call("portero/cancel_task", `{"task_id":"nonsense"}`).Raw, "Task not found", `"isError":true`)
		holds(t, s.P.Call("portero/check_task", `{"task_id":"nonsense"}`).Raw, "Task not found", `"isError":true`)
	})
}

// stopKit kills the stoppable server and keeps it from starting again.
func (s *scene) stopKit() {
	s.t.Helper()
	pid := s.P.KitPID()
	s.Touch("down")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.Eventually("the server is down", func() bool { return strings.Contains(s.P.Stderr(), "child is down") })
}

// startKit lets it start again and waits for that.
func (s *scene) startKit() {
	s.t.Helper()
	if err := os.Remove(s.Path("down")); err != nil {
		s.t.Fatal(err)
	}
	s.Eventually("the server is back", func() bool { return s.P.Call("kit/echo", `{}`).Error == nil })
}

func TestApproveExpires(t *testing.T) {
	t.Parallel()
	const soon = "[relay]"
	expire := []string{soon, "[approvals]\nexpire_after = \"1s\"\n\n[relay]"}
	t.Run("nobody answers", func(t *testing.T) {
		s := newScene(t, expire...).up()
		task := s.P.Ask("kit/append", s.Out.Args("late"))
		csrf := s.R.CSRF()
		_, result := s.P.Check(task.ID, 20)
		holds(t, result, `"status":"expired"`, `"isError":true`, "Nothing ran", "nobody answered")
		lacks(t, s.R.Await(task.ID, "expired"), "/approve")
		if came := s.R.Post(task.ID, "approve", csrf); came != "late" {
			t.Errorf("a press after the end: %s", came)
		}
		if now, _ := s.P.Check(task.ID, 0); now.Status != "expired" {
			t.Errorf("after a late press it is %s", now.Status)
		}
		again := s.P.Ask("kit/append", s.Out.Args("late"))
		if again.ID == task.ID {
			t.Error("an expired task was handed out again")
		}
		s.R.Press(again.ID, "approve")
		s.P.Await(again.ID, "completed")
		s.Out.Want("late")
	})
	t.Run("nobody runs it", func(t *testing.T) {
		s := newScene(t, append(append(expire, stoppable...), allowEnv...)...).up()
		task := s.P.Ask("kit/append", s.Out.Args("late"))
		s.stopKit()
		s.R.Press(task.ID, "approve")
		holds(t, s.P.Await(task.ID, "expired"), "nothing ran")
		s.startKit()
		s.Out.Want()
	})
}

func TestApproveSameCallSameTask(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("same")
	again := s.P.Ask("kit/append", s.Out.Args("same"))
	if again.ID != task.ID || again.Code != task.Code || again.Queued {
		t.Errorf("asked twice: %+v and %+v", task, again)
	}
	if other := s.ask("other"); other.ID == task.ID {
		t.Error("other arguments got the same task")
	}
	session := s.Proxy()
	if other := session.Ask("kit/append", s.Out.Args("same")); other.ID == task.ID {
		t.Error("another session's call got the same task")
	}
	s.R.Press(task.ID, "approve")
	s.P.Await(task.ID, "completed")
	if next := s.P.Ask("kit/append", s.Out.Args("same")); next.ID == task.ID {
		t.Error("a call after the end got the ended task")
	}
	s.Out.Want("same")
}

func TestApproveListTasks(t *testing.T) {
	s := newScene(t).up()
	denied, open, done := s.ask("denied"), s.ask("open"), s.ask("done")
	s.R.Press(denied.ID, "deny")
	s.R.Press(done.ID, "approve")
	s.P.Await(denied.ID, "denied")
	s.P.Await(done.ID, "completed")
	want := func(args, list string) {
		t.Helper()
		var got []string
		for _, task := range s.P.Tasks(args) {
			got = append(got, task.ID+" "+task.Status)
		}
		if all := strings.Join(got, ", "); all != list {
			t.Errorf("list_tasks %s: %s, want %s", args, all, list)
		}
	}
	want(`{}`, done.ID+" completed, "+open.ID+" pending-approval, "+denied.ID+" denied")
	want(`{"limit":1}`, done.ID+" completed")
	want(`{"status":"denied"}`, denied.ID+" denied")
	want(`{"status":"pending-approval"}`, open.ID+" pending-approval")
	want(`{"status":"expired"}`, "")
	for _, args := range []string{`{"limit":0}`, `{"limit":101}`, `{"state":"denied"}`} {
		if m := s.P.Call("portero/list_tasks", args); m.Error == nil {
			t.Errorf("list_tasks %s was answered %s", args, m.Raw)
		}
	}
}

func TestApproveOpenTasksAreBounded(t *testing.T) {
	s := newScene(t)
	s.P = s.Proxy()
	first := s.P.Ask("kit/append", s.Out.Args("call 1"))
	for i := 2; i <= 20; i++ {
		s.P.Ask("kit/append", s.Out.Args(fmt.Sprintf("call %d", i)))
	}
	m := s.P.Call("kit/append", s.Out.Args("call 21"))
	if m.Error == nil {
		t.Fatalf("the 21st open task: %s", m.Raw)
	}
	holds(t, m.Error.Message, "20 open tasks", "portero/cancel_task")
	if same := s.P.Ask("kit/append", s.Out.Args("call 1")); same.ID != first.ID {
		t.Error("at the limit the same call is another task")
	}
	s.P.Must("tools/call", `{"name":"kit/echo","arguments":{}}`)
	s.P.Cancel(first.ID)
	s.P.Ask("kit/append", s.Out.Args("call 21"))
}
