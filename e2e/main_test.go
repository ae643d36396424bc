// Package e2e tests the built programs as their users run them: real
// processes, real servers, a real WebSocket, a Bot API over HTTP.
package e2e

import (
	"os"
	"testing"

	"portero/shared/porterotest/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// base is a configuration with the scripted server, everything asking for
// approval but echo.
const base = `
[proxy]
name = "test machine"
state_dir = "{{dir}}/state"

[[mcp]]
name = "kit"
command = "{{kit}}"

[policy]
default = "require-approval"
[policy.tools]
"kit/echo" = "allow"
"kit/fail" = "deny"

[[replacement]]
fake = "John Doe"
real = "María Cárdenas"

[relay]
listen = "127.0.0.1:{{port}}"
data_dir = "{{dir}}/relay"
`

// linked adds a link to the world's own relay.
func linked(w *rig.World) {
	w.T.Helper()
	w.Append("\n[link]\nurl = \"ws://127.0.0.1:{{port}}/link\"\ntoken = \"" + w.Token("machine") + "\"\n")
}
