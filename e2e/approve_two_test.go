package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"portero/shared/porterotest/rig"
)

// ran reports whether a proxy's log says that it carried a task out.
func ran(p *rig.Proxy, task rig.Task) bool {
	for line := range strings.Lines(p.Stderr()) {
		if strings.Contains(line, "approved call ended") && strings.Contains(line, task.ID) {
			return true
		}
	}
	return false
}

// Two sessions on one machine: the one that asked runs the call, the other one
// sees it, and takes over when the first is killed.
func TestApproveTwoProxies(t *testing.T) {
	s := newScene(t).up()
	other := s.Proxy()
	mine, theirs := s.ask("mine"), other.Ask("kit/append", s.Out.Args("theirs"))
	s.R.Press(theirs.ID, "approve")
	s.R.Press(mine.ID, "approve")
	for _, p := range []*rig.Proxy{s.P, other} {
		p.Await(mine.ID, "completed")
		p.Await(theirs.ID, "completed")
		if n := len(p.Tasks(`{}`)); n != 2 {
			t.Errorf("a session of the machine sees %d tasks", n)
		}
	}
	if !ran(s.P, mine) || ran(other, mine) || !ran(other, theirs) || ran(s.P, theirs) {
		t.Errorf("ran: mine %v %v, theirs %v %v", ran(s.P, mine), ran(other, mine), ran(s.P, theirs), ran(other, theirs))
	}

	left := s.ask("left behind")
	s.P.Kill()
	s.P = other
	s.R.Press(left.ID, "approve")
	other.Await(left.ID, "completed")
	s.onward()
	if got := slices.Sorted(slices.Values(s.Out.Lines())); !slices.Equal(got, []string{"left behind", "mine", "theirs"}) {
		t.Errorf("effects: %q", got)
	}
}

// The one that runs the call is killed: the other one must not run it again,
// and says so.
func TestApproveTwoProxiesOneKilledWhileExecuting(t *testing.T) {
	s := newScene(t).up()
	other := s.Proxy()
	task := s.ask("executing", "wait_file", s.Path("go"))
	s.R.Press(task.ID, "approve")
	s.Out.Await("executing")
	s.P.Kill()
	s.P = other
	other.Await(task.ID, "unknown")
	s.Touch("go")
	s.R.Await(task.ID, "unknown")
	s.onward()
	s.Out.Want("executing")
}

// Many tasks, several sessions that come and go: each call runs once.
func TestApproveTakenOverOnce(t *testing.T) {
	s := newScene(t).up()
	var tasks []rig.Task
	var want []string
	for range 6 {
		line := rig.Name()
		tasks = append(tasks, s.ask(line))
		want = append(want, line)
	}
	heirs := []*rig.Proxy{s.Proxy(), s.Proxy()}
	s.P.Kill() // both see its end at about the same time
	for _, task := range tasks {
		s.R.Press(task.ID, "approve")
	}
	for _, task := range tasks {
		heirs[0].Await(task.ID, "completed")
	}
	s.P = heirs[1]
	s.onward()
	got := s.Out.Lines()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("effects %q, want each of %q once", got, want)
	}
}

// A stateful server: what was asked for in a session dies with the session,
// however that ends.
func TestApproveSessionScope(t *testing.T) {
	t.Parallel()
	perSession := []string{`command = "{{kit}}"`, "command = \"{{kit}}\"\nscope = \"session\""}
	for name, end := range map[string]func(*rig.Proxy){
		"closed": func(p *rig.Proxy) { p.CloseStdin(); p.Wait() },
		"killed": func(p *rig.Proxy) { p.Kill() },
		"ended":  func(p *rig.Proxy) { p.Signal(syscall.SIGTERM); p.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, perSession...).up()
			pending, approved := s.ask("pending"), s.ask("approved")
			other := s.Proxy()
			own := other.Ask("kit/append", s.Out.Args("own"))
			end(s.P)
			s.R.Post(approved.ID, "approve", s.R.CSRF()) // may come after it was withdrawn
			for _, task := range []rig.Task{pending, approved} {
				holds(t, other.Await(task.ID, "cancelled"), "Nothing ran")
				s.R.Await(task.ID, "cancelled")
			}
			s.R.Press(own.ID, "approve")
			other.Await(own.ID, "completed")
			s.Out.Want("own")
		})
	}
}
