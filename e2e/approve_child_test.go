package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// The server dies while it carries an approved call out: it may have run, so
// it is not run again, though the server comes back.
func TestApproveServerDiesMidCall(t *testing.T) {
	s := newScene(t, allowEnv...).up()
	task := s.ask("mid-call", "wait_file", s.Path("never"))
	pid := s.P.KitPID()
	s.R.Press(task.ID, "approve")
	s.Out.Await("mid-call")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	holds(t, s.P.Await(task.ID, "unknown"), "killed", "may have run", `"isError":true`)
	holds(t, s.R.Await(task.ID, "unknown"), "may have run")
	s.Eventually("the server is back", func() bool { return s.P.Call("kit/echo", `{}`).Error == nil })
	s.onward()
	s.P.Kill()
	s.P = s.Proxy()
	s.onward()
	s.P.Await(task.ID, "unknown")
	s.Out.Want("mid-call")
}

// The same by the server's own doing, with its last words in the answer.
func TestApproveServerExitsMidCall(t *testing.T) {
	record := []string{`command = "{{kit}}"`, "command = \"{{kit}}\"\nenv = { KIT_RECORD = \"{{dir}}/record\" }"}
	s := newScene(t, record...).up()
	task := s.P.Ask("kit/crash", `{"code":3,"message":"out of cheese, John Doe"}`)
	s.R.Press(task.ID, "approve")
	result := s.P.Await(task.ID, "unknown")
	holds(t, result, "status 3", "out of cheese, John Doe")
	lacks(t, result+s.R.Await(task.ID, "unknown"), "María")
	s.Eventually("the server is back", func() bool { return s.P.Call("kit/echo", `{}`).Error == nil })
	s.onward()
	text, err := os.ReadFile(s.Path("record"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"name":"crash"`); n != 1 {
		t.Errorf("the call was sent %d times", n)
	}
}

// Errors of the tool and of the protocol are ends that are known.
func TestApproveCallFails(t *testing.T) {
	s := newScene(t, `"kit/fail" = "deny"`, `"kit/fail" = "require-approval"`).up()
	tool := s.P.Ask("kit/toolerror", `{"message":"no such file, John Doe"}`)
	s.R.Press(tool.ID, "approve")
	holds(t, s.P.Await(tool.ID, "completed"), `"isError":true`, "no such file, John Doe")
	holds(t, s.R.Await(tool.ID, "completed"), "the tool reported an error")
	rpc := s.P.Ask("kit/fail", `{"code":-32050,"message":"quota of John Doe"}`)
	s.R.Press(rpc.ID, "approve")
	result := s.P.Await(rpc.ID, "error")
	holds(t, result, `"isError":true`, "-32050", "quota of John Doe")
	page := s.R.Await(rpc.ID, "error")
	holds(t, page, "the server refused the call", "quota of John Doe")
	lacks(t, page+result, "María")
}

// The server is down when the human approves: the call waits for it.
func TestApproveServerDownAtApproval(t *testing.T) {
	s := newScene(t, append(stoppable, allowEnv...)...).up()
	task := s.ask("waits")
	s.stopKit()
	s.R.Press(task.ID, "approve")
	if now, _ := s.P.Check(task.ID, 1); now.Status != "approved" {
		t.Errorf("with its server down it is %s", now.Status)
	}
	s.Out.Want()
	s.startKit()
	s.P.Await(task.ID, "completed")
	s.R.Await(task.ID, "completed")
	s.onward()
	s.Out.Want("waits")
}

// The server is no longer configured: nothing can run, and that is an end.
func TestApproveServerGone(t *testing.T) {
	s := newScene(t).up()
	task := s.ask("gone")
	s.P.Kill()
	s.R.Press(task.ID, "approve")
	s.Edit(`name = "kit"`, `name = "other"`)
	s.P = s.Proxy()
	holds(t, s.P.Await(task.ID, "error"), "no longer there", "nothing ran")
	holds(t, s.R.Await(task.ID, "error"), "no longer there")
	s.Out.Want()
}
