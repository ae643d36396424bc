package e2e

import (
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// lossy is a scene with a network that loses the relay's answers from one that
// holds text on.
func lossy(t *testing.T) (*scene, *rig.Wire) {
	s := newScene(t)
	wire := s.Wire()
	return s.up(), wire
}

// Every answer of the relay that can be lost, with the machine's process killed
// then or with the connection cut: the call runs once, and both sides know.
func TestApproveLostAnswers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"acknowledgement of the request": `"re":"open:`,
		"decision":                       `"state":"approved"`,
		"right to start":                 `"type":"grant"`,
		"acknowledgement of the start":   `"re":"started:ID`,
		"acknowledgement of the end":     `"re":"finished:ID`,
	} {
		for how, end := range map[string]func(*scene, *rig.Wire){
			"process killed": func(s *scene, _ *rig.Wire) {
				s.P.Kill()
				s.P = s.Proxy()
			},
			"connection cut": func(_ *scene, wire *rig.Wire) { wire.Cut() },
			"relay killed":   func(s *scene, _ *rig.Wire) { s.restart() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s, wire := lossy(t)
				s.onward() // it is connected
				var task rig.Task
				if early := name == "acknowledgement of the request"; early {
					wire.HoldAt(text)
					task = s.P.Ask("kit/append", s.Out.Args("once"))
				} else {
					// Of this very task: there may be more on the way of the last.
					task = s.ask("once")
					wire.HoldAt(strings.ReplaceAll(text, "ID", task.ID))
					s.R.Press(task.ID, "approve")
				}
				wire.AwaitHeld()
				if name == "acknowledgement of the start" {
					s.Out.Await("once") // or nobody could tell
					s.P.Await(task.ID, "completed")
				}
				wire.HoldAt("")
				end(s, wire)
				if name == "acknowledgement of the request" {
					s.R.Press(task.ID, "approve")
				}
				s.P.Await(task.ID, "completed")
				s.R.Await(task.ID, "completed")
				s.onward()
				s.Out.Want("once")
			})
		}
	}
}
