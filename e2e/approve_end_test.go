package e2e

import (
	"os"
	"syscall"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// However the proxy ends, its servers and what they started end with it; asked
// politely it ends at once, with exit code 0.
func TestApproveNoProcessLeftBehind(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]string{
		"plain":    `command = "{{kit}}"`,
		"stubborn": "command = \"{{kit}}\"\nargs = [\"-stubborn\", \"-grandchild\", \"{{dir}}/grandchild\"]",
	} {
		for how, end := range map[string]func(*rig.Proxy){
			"end of stdin": func(p *rig.Proxy) { p.CloseStdin() },
			"SIGINT":       func(p *rig.Proxy) { p.Signal(syscall.SIGINT) },
			"SIGTERM":      func(p *rig.Proxy) { p.Signal(syscall.SIGTERM) },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := newScene(t, append([]string{`command = "{{kit}}"`, server}, allowEnv...)...).up()
				pids := []int{s.P.KitPID()}
				if name == "stubborn" {
					pids = append(pids, s.PIDFile("grandchild"))
				}
				s.ask("pending")
				began := time.Now()
				end(s.P)
				code := s.P.Wait()
				// Promised are 300 ms on an idle machine.
				if took := time.Since(began); code != 0 || took > time.Second {
					t.Errorf("it ended after %v with exit code %d", took, code)
				}
				for _, pid := range pids {
					if rig.Running(pid) {
						t.Errorf("process %d is still there", pid)
					}
				}
			})
		}
	}
}

// Killed, it cannot clean up any more; the kernel does.
func TestApproveKilledLeavesNoServer(t *testing.T) {
	s := newScene(t, append([]string{`command = "{{kit}}"`, "command = \"{{kit}}\"\nargs = [\"-stubborn\"]"}, allowEnv...)...).up()
	pid := s.P.KitPID()
	s.P.Kill()
	s.Eventually("the server is gone", func() bool { return !rig.Running(pid) })
}

// Asked to end while an approved call runs, it does not wait for the call; the
// journal says what can be known.
func TestApproveEndsWhileExecuting(t *testing.T) {
	s := newScene(t, allowEnv...).up()
	task := s.ask("executing", "wait_file", s.Path("never"))
	pid := s.P.KitPID()
	s.R.Press(task.ID, "approve")
	s.Out.Await("executing")
	began := time.Now()
	s.P.Signal(syscall.SIGINT)
	code := s.P.Wait()
	if took := time.Since(began); code != 0 || took > time.Second {
		t.Errorf("it ended after %v with exit code %d", took, code)
	}
	if rig.Running(pid) {
		t.Errorf("process %d is still there", pid)
	}
	s.P = s.Proxy()
	holds(t, s.P.Await(task.ID, "unknown"), "may have run")
	s.R.Await(task.ID, "unknown")
	s.onward()
	s.Out.Want("executing")
}

// A proxy that ends leaves no lock behind.
func TestApproveLockIsRemoved(t *testing.T) {
	s := newScene(t).up()
	s.ask("pending")
	if n := s.locks(); n != 1 {
		t.Errorf("%d locks while it runs", n)
	}
	s.P.CloseStdin()
	s.P.Wait()
	if n := s.locks(); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

func (s *scene) locks() int {
	s.t.Helper()
	files, err := os.ReadDir(s.Path("state", "run"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(files)
}
