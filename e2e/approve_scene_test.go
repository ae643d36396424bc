package e2e

import (
	"flag"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// These tests wait for clocks, disks and other processes far more than they
// compute: two at once, as many as a small machine has cores, leave it idle.
// The command line's -parallel wins.
func init() {
	testing.Init()
	flag.Set("test.parallel", "6")
}

// scene is a world with a witness of effects and, once started, both programs.
type scene struct {
	*rig.World
	t   *testing.T
	R   *rig.Relay
	P   *rig.Proxy
	Out *rig.Effects
}

// newScene writes the base configuration with a link and starts nothing. edits
// are pairs of old and new text in it.
func newScene(t *testing.T, edits ...string) *scene {
	t.Helper()
	t.Parallel()
	w := rig.New(t)
	text := base
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("the configuration does not hold %q", edits[i])
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	w.Write(text)
	linked(w)
	return &scene{World: w, t: t, Out: w.Effects()}
}

// up starts the relay and a proxy.
func (s *scene) up() *scene {
	s.t.Helper()
	s.R = s.Relay()
	s.P = s.Proxy()
	return s
}

// allowEnv lets kit/env tell its process number without approval.
var allowEnv = []string{`"kit/echo" = "allow"`, "\"kit/echo\" = \"allow\"\n\"kit/env\" = \"allow\""}

// stoppable is a server that does not start while the file "down" exists.
var stoppable = []string{`command = "{{kit}}"`, `command = "/bin/sh"
args = ["-c", "[ -e '{{dir}}/down' ] && exit 7; exec '{{kit}}'"]`}

// ask asks for one kit/append and waits until the relay has it.
func (s *scene) ask(line string, more ...string) rig.Task {
	s.t.Helper()
	task := s.P.Ask("kit/append", s.Out.Args(line, more...))
	if s.R != nil {
		s.R.Await(task.ID, "pending-approval")
	}
	return task
}

// onward has one more call approved and run to its end. Whatever the proxy
// would still do about earlier tasks, which come first, it has done by then.
func (s *scene) onward() {
	s.t.Helper()
	out := s.Effects()
	task := s.P.Ask("kit/append", out.Args("onward"))
	s.R.Press(task.ID, "approve")
	s.P.Await(task.ID, "completed")
	out.Want("onward")
}

// holds complains about parts that text lacks.
func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in: %s", p, text)
		}
	}
}

// lacks complains about parts that text has.
func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%q is in: %s", p, text)
		}
	}
}
