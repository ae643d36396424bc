package e2e

import (
	"os"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// A script that pipes its requests in gets all of its answers.
func TestPipedRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(base)
	p := w.StartProxy()
	p.Send(`{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"script","version":"1"}}}`)
	p.Send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	p.Send(`{"jsonrpc":"2.0","id":"b","method":"tools/list"}`)
	p.Send(`{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"kit/echo","arguments":{"text":"last words"}}}`)
	p.CloseStdin()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	all := strings.Join(p.Output(), "\n")
	for _, want := range []string{`"id":"a","result"`, `"id":"b","result"`, `"id":"c","result"`, "last words"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in:\n%.2000s", want, all)
		}
	}
}

// One server must not report progress in the name of another's call.
func TestForgedProgress(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(strings.Replace(base, `"kit/echo" = "allow"`, `"*" = "allow"`, 1) + `
[[mcp]]
name = "other"
command = "{{kit}}"
`)
	p := w.Proxy()
	gate := w.Path("gate")
	_, slow := p.Go("tools/call", `{"name":"kit/append","arguments":{"path":"`+w.Path("out")+`","line":"x","wait_file":"`+gate+`"},"_meta":{"progressToken":"mine"}}`)
	p.Must("tools/call", `{"name":"other/raw","arguments":{"lines":["{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"mine\",\"progress\":1}}","{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}"]}}`)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Get(slow)
	if got := p.Notifications("notifications/progress"); len(got) != 0 {
		t.Errorf("the client was told %v", got[0].Raw)
	}
}
