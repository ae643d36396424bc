package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// quickly asks three times for different calls and returns the tasks; the
// pending answer must come within a second, on a busy machine at least once.
func (s *scene) quickly(name string) (tasks []rig.Task) {
	s.t.Helper()
	s.P.Must("tools/call", `{"name":"kit/echo","arguments":{}}`) // the server is up
	best := time.Hour
	for i := range 3 {
		began := time.Now()
		task := s.P.Ask("kit/append", s.Out.Args(fmt.Sprint(name, i)))
		best = min(best, time.Since(began))
		if !task.Queued {
			s.t.Errorf("the relay cannot know it, but it is not queued: %+v", task)
		}
		tasks = append(tasks, task)
	}
	if best > time.Second {
		s.t.Errorf("the pending answer took %v", best)
	}
	return tasks
}

// The relay is not there at the start: calls queue, allowed ones run, and all
// is delivered in order when it comes.
func TestApproveOfflineQueue(t *testing.T) {
	s := newScene(t)
	s.P = s.Proxy()
	tasks := s.quickly("offline ")
	holds(t, tasks[0].Message, "relay is not connected", "kept on this machine", "nothing runs until a human approves")
	if now, _ := s.P.Check(tasks[0].ID, 0); !now.Queued || now.Status != "pending-approval" {
		t.Errorf("check_task: %+v", now)
	}
	s.R = s.Relay()
	s.R.Await(tasks[2].ID, "pending-approval")
	page, at := s.R.Page(), 0
	for _, task := range tasks {
		i := strings.Index(page[at:], "/tasks/"+task.ID)
		if i < 0 {
			t.Fatalf("%s is not on the page, or not after the earlier ones: %s", task.ID, page)
		}
		at += i
	}
	if now, _ := s.P.Check(tasks[0].ID, 0); now.Queued {
		t.Errorf("delivered and still queued: %+v", now)
	}
	s.R.Press(tasks[1].ID, "deny")
	s.R.Press(tasks[0].ID, "approve")
	s.P.Await(tasks[0].ID, "completed")
	s.P.Await(tasks[1].ID, "denied")
	s.P.Kill()
	s.R.Press(tasks[2].ID, "approve")
	s.P = s.Proxy()
	s.P.Await(tasks[2].ID, "completed")
	s.onward()
	s.Out.Want("offline 0", "offline 2")
}

// The relay hangs without hanging up: the client is not kept waiting for it.
func TestApproveRelayHangs(t *testing.T) {
	s := newScene(t).up()
	s.onward()
	s.R.Signal(syscall.SIGSTOP)
	tasks := s.quickly("hanging ")
	holds(t, tasks[0].Message, "has not acknowledged")
	s.R.Signal(syscall.SIGCONT)
	s.R.Press(tasks[2].ID, "approve")
	s.P.Await(tasks[2].ID, "completed")
	s.onward()
	s.Out.Want("hanging 2")
}

// Without a relay in the configuration the call waits on the machine.
func TestApproveNoRelayConfigured(t *testing.T) {
	s := newScene(t)
	linkless := strings.Index(s.text(), "[link]")
	s.Edit(s.text()[linkless:], "")
	s.P = s.Proxy()
	tasks := s.quickly("alone ")
	holds(t, tasks[0].Message, "No relay is configured", "[link]")
	s.P.Cancel(tasks[0].ID)
	s.Out.Want()
}

func (s *scene) text() string {
	s.t.Helper()
	text, err := os.ReadFile(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// token is the link token in the configuration.
func (s *scene) token() string {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.text(), `token = "`)
	token, _, ok := strings.Cut(rest, `"`)
	if !ok || token == "" {
		s.t.Fatal("no token in the configuration")
	}
	return token
}

// A token that the relay does not take: everything works but approvals, and
// both the log and the client are told why.
func TestApproveWrongToken(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*scene) string{
		"wrong": func(*scene) string { return "prt_nobody-has-ever-made-this-one" },
		"teammate": func(s *scene) string {
			out, errs, code := s.Run("portero-relay", "token", "create", "--name", "bob", "--role", "teammate")
			if code != 0 {
				s.t.Fatal(errs)
			}
			return strings.TrimSpace(out)
		},
		"expired": func(s *scene) string {
			out, errs, code := s.Run("portero-relay", "token", "create", "--name", "old", "--role", "machine", "--expires", "1ms")
			if code != 0 {
				s.t.Fatal(errs)
			}
			return strings.TrimSpace(out)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			good, bad := s.token(), make(s)
			s.Edit(good, bad)
			s.up()
			s.Eventually("the log names the fault", func() bool { return strings.Contains(s.P.Stderr(), "401") })
			holds(t, s.P.Stderr(), "token create", "[link]")
			tasks := s.quickly("refused ")
			holds(t, tasks[0].Message, "401", "token create")
			if page := s.R.Page(); strings.Contains(page, tasks[0].Code) {
				t.Errorf("the relay took a task from a stranger: %s", page)
			}
			lacks(t, s.P.Stderr()+s.R.Stderr(), bad, good)
			// With the right token the same tasks get through.
			s.P.Kill()
			s.Edit(bad, good)
			s.P = s.Proxy()
			s.R.Press(tasks[1].ID, "approve")
			s.P.Await(tasks[1].ID, "completed")
			s.Out.Want("refused 1")
		})
	}
}

// No token, or another scheme, is refused before anything is upgraded.
func TestApproveLinkIsClosedToStrangers(t *testing.T) {
	s := newScene(t)
	s.R = s.Relay()
	for _, auth := range []string{"", "Bearer", "Bearer x", "Basic " + s.token(), s.token()} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.R.URL+"/link", nil)
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Authorization %.10q: %s, WWW-Authenticate %q", auth, resp.Status, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

// A token is revoked while its machine is connected: the link ends, calls
// queue, and with a new token of the same name they get through.
func TestApproveTokenRevoked(t *testing.T) {
	s := newScene(t).up()
	before := s.ask("before")
	if _, errs, code := s.Run("portero-relay", "token", "revoke", "machine"); code != 0 {
		t.Fatal(errs)
	}
	s.Eventually("the link ends for good", func() bool { return strings.Contains(s.P.Stderr(), "401") })
	tasks := s.quickly("revoked ")
	holds(t, tasks[0].Message, "401")
	s.R.Press(before.ID, "approve")
	s.R.Await(before.ID, "approved")
	s.P.Must("tools/call", `{"name":"kit/echo","arguments":{}}`)
	s.Out.Want()

	s.P.CloseStdin()
	s.P.Wait()
	s.Edit(s.token(), s.Token("machine"))
	s.P = s.Proxy()
	s.P.Await(before.ID, "completed")
	s.R.Press(tasks[0].ID, "approve")
	s.P.Await(tasks[0].ID, "completed")
	s.Out.Want("before", "revoked 0")
}
