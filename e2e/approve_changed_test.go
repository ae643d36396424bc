package e2e

import (
	"os"
	"strings"
	"testing"
)

// What runs is what was shown: whatever changes between the request and the
// start stops the call, with the reason on both sides.
func TestApproveSomethingChanged(t *testing.T) {
	t.Parallel()
	const server = `command = "{{kit}}"`
	const recorded = "command = \"{{kit}}\"\nenv = { KIT_RECORD = \"{{dir}}/record\", KIT_DESC = \"first words\" }"
	const binding = "not what was approved"
	for name, c := range map[string]struct {
		old, new string
		status   string
		reason   string
	}{
		"tool definition": {`KIT_DESC = "first words"`, `KIT_DESC = "other words"`, "error", binding},
		"launch line":     {"KIT_DESC = \"first words\" }", "KIT_DESC = \"first words\" }\nargs = [\"-version-tag\", \"2\"]", "error", binding},
		"environment":     {`KIT_DESC = "first words"`, `KIT_DESC = "first words", MORE = "x"`, "error", binding},
		"real value":      {`real = "María Cárdenas"`, `real = "Rosa Cárdenas"`, "error", binding},
		"replacement gone": {"[[replacement]]\nfake = \"John Doe\"\nreal = \"María Cárdenas\"", "# none",
			"error", binding},
		"another replacement": {`real = "María Cárdenas"`, "real = \"María Cárdenas\"\n\n[[replacement]]\nfake = \"Oslo\"\nreal = \"Quito\"",
			"error", binding},
		"scope":          {"env = { KIT_REC", "scope = \"session\"\nenv = { KIT_REC", "error", binding},
		"another rule":   {`"kit/fail" = "deny"`, "\"kit/fail\" = \"deny\"\n\"kit/l*\" = \"require-approval\"\n\"kit/echo\" = \"require-approval\"", "error", binding},
		"allowed by now": {`default = "require-approval"`, `default = "allow"`, "error", binding},
		"denied by now":  {`default = "require-approval"`, `default = "deny"`, "denied", "policy denies it by now"},
		"tool hidden":    {"env = { KIT_REC", "hidden_tools = [\"echo\"]\nenv = { KIT_REC", "error", "no longer there"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, server, recorded, `"kit/echo" = "allow"`, "").up()
			task := s.P.Ask("kit/echo", `{"to":"John Doe","city":"Oslo"}`)
			s.R.Await(task.ID, "pending-approval")
			s.P.CloseStdin()
			if code := s.P.Wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			s.R.Press(task.ID, "approve")
			s.Edit(c.old, c.new)
			s.P = s.Proxy()
			holds(t, s.P.Await(task.ID, c.status), c.reason, `"isError":true`)
			holds(t, s.R.Await(task.ID, c.status), c.reason)
			s.P.Kill()
			s.Edit(c.new, c.old) // and it stays so when all is as it was
			s.P = s.Proxy()
			s.onward()
			s.P.Await(task.ID, c.status)
			text, err := os.ReadFile(s.Path("record"))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), `"name":"echo"`) {
				t.Errorf("it ran: %s", text)
			}
		})
	}
}

// What says nothing about the call may change.
func TestApproveNothingRelevantChanged(t *testing.T) {
	s := newScene(t, `command = "{{kit}}"`, "command = \"{{kit}}\"\nenv = { KIT_VERSION_TAG = \"1\" }").up()
	task := s.ask("Dear John Doe")
	s.P.Kill()
	s.R.Press(task.ID, "approve")
	s.Edit("[policy]", "# a line more\n\n[policy]")
	s.Edit(`"kit/fail" = "deny"`, `"kit/fail" = "allow"`)
	s.Edit(`KIT_VERSION_TAG = "1"`, `KIT_VERSION_TAG = "2"`) // a rotated key is the same server
	s.Edit(`name = "test machine"`, `name = "another name"`)
	s.P = s.Proxy()
	s.P.Await(task.ID, "completed")
	s.Out.Want("Dear María Cárdenas")
}
