package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// childConfig is a good child between bad ones; everything is allowed.
func childConfig(more string) string {
	return `
[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-record", "{{dir}}/record"]
[policy]
default = "allow"
[[replacement]]
fake = "John Doe"
real = "María Cárdenas"
` + more
}

// another is one more child, run with args.
func another(name string, args ...string) string {
	return fmt.Sprintf("[[mcp]]\nname = %q\ncommand = \"{{kit}}\"\nargs = [\"%s\"]\n", name, strings.Join(args, `", "`))
}

// TestChildrenThatDoNotStart: each costs its own calls, and those say why.
func TestChildrenThatDoNotStart(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(`
[[mcp]]
name = "gone"
command = "no-such-command-here"
[[mcp]]
name = "moved"
command = "/no/such/path/María Cárdenas"
[[mcp]]
name = "folder"
command = "{{dir}}"
[[mcp]]
name = "homeless"
command = "{{kit}}"
cwd = "{{dir}}/missing"
`+another("early", "-exit-now", "7")+another("bare", "-no-tools")))
	names := strings.Join(listed(t, p), " ")
	mentions(t, names, "kit/echo")
	hides(t, names, "gone/", "moved/", "folder/", "homeless/", "early/", "bare/")
	for tool, why := range map[string][]string{
		"gone/x":     {`server "gone" is not available`, `command "no-such-command-here" is in no folder of its PATH`, `install it, or give its full path as command of [[mcp]] "gone"`},
		"moved__x":   {`server "moved" is not available`, "no such file", "John Doe", `command of [[mcp]] "moved"`},
		"folder/x":   {`command of [[mcp]] "folder" must be a program that you may execute`},
		"homeless/x": {"its cwd " + w.Path("missing") + ` is no folder: correct cwd of [[mcp]] "homeless"`},
		"early/x":    {`child "early" exited with status 7`, "kit: told to exit", "check that its command starts an MCP server over stdio"},
	} {
		wantError(t, p.Call(tool, "{}"), -32002, why...)
		wantError(t, p.Call("portero/call", `{"tool":"`+tool+`"}`), -32002, why...)
	}
	wantError(t, p.Call("bare/x", "{}"), -32602, `unknown tool "bare/x"`)
	alive(t, p)
	logs(t, p, "child=gone", "child=early", "exited with status 7", "told to exit")
	hides(t, p.Stderr()+strings.Join(p.Output(), ""), "María")
	p.CloseStdin()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestChildrenThatNeverAnswer: the tools of the others are listed and called
// while these are still awaited.
func TestChildrenThatNeverAnswer(t *testing.T) {
	t.Parallel()
	began := time.Now()
	_, p := begin(t, childConfig(another("mute", "-hang-init")+another("garbage", "-garbage")))
	muteID, mute := p.Go("tools/call", `{"name":"mute/echo","arguments":{}}`)
	_, list := p.Go("tools/list", "{}")
	alive(t, p)
	select {
	case m := <-list:
		t.Errorf("the list did not wait for the others: %.300s", m.Raw)
	default:
	}
	mentions(t, string(p.Get(list).Result), `"kit/echo"`)
	first := time.Since(began)
	if first > 20*time.Second {
		t.Errorf("the first list came after %v", first)
	}
	again := time.Now()
	listed(t, p)
	said(t, p.Call("portero/search_tools", `{"query":"echo"}`))
	if d := time.Since(again); d > first/2 {
		t.Errorf("the next list and a search took %v, the first list %v: waiting is for the start", d, first)
	}
	logs(t, p, "Welcome to the server!")
	select {
	case m := <-mute:
		t.Errorf("a child that never answered was answered for: %s", m.Raw)
	default:
	}
	// Its own call waits, and may be given up.
	p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + muteID + `}}`)
	alive(t, p)
	for _, line := range p.Output() {
		hides(t, line, `"id":`+muteID+`,`, "Welcome")
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestChildWritesGarbage: what it writes between its messages is passed over.
func TestChildWritesGarbage(t *testing.T) {
	t.Parallel()
	_, p := begin(t, childConfig(""))
	if got := said(t, p.Call("kit/junk", `{"n":3}`)); got != "after junk" {
		t.Errorf("said %q", got)
	}
	for name, line := range map[string]string{
		"is not JSON":             `{"jsonrpc":"2.0","id":$ID,"result":{"content":`,
		"has neither":             `{"jsonrpc":"2.0","id":$ID}`,
		"has both":                `{"jsonrpc":"2.0","id":$ID,"result":{},"error":{"code":1,"message":"x"}}`,
		"has another version":     `{"jsonrpc":"1.0","id":$ID,"result":{}}`,
		"says result twice":       `{"jsonrpc":"2.0","id":$ID,"result":{},"result":{"content":[]}}`,
		"spells a key its way":    `{"jsonrpc":"2.0","id":$ID,"Result":{},"result":{"content":[]}}`,
		"has an error of no form": `{"jsonrpc":"2.0","id":$ID,"error":"no"}`,
	} {
		m := p.Call("kit/raw", `{"silent":true,"lines":[`+quoted(line)+`]}`)
		if m.Error == nil || m.Error.Code != -32002 {
			t.Errorf("an answer that %s became %s", name, m.Raw)
			continue
		}
		mentions(t, m.Error.Message, `child "kit" wrote a line that is not JSON-RPC as its answer`, "may have run", "this is a fault of that server")
	}
	// Answers to nobody, and to a request of another one.
	said(t, p.Call("kit/raw", `{"lines":["{\"jsonrpc\":\"2.0\",\"id\":99999,\"result\":{}}","{\"jsonrpc\":\"2.0\",\"id\":\"$ID\",\"result\":{}}","[]","{}"]}`))
	// A result that is none at all.
	for result, want := range map[string]string{"null": "null", "[]": "[]", `"text"`: `"text"`, "{}": "{}"} {
		m := p.Call("kit/raw", `{"silent":true,"lines":[`+quoted(`{"jsonrpc":"2.0","id":$ID,"result":`+result+`}`)+`]}`)
		if string(m.Result) != want && !(result == "null" && strings.HasSuffix(m.Raw, `"result":null}`)) {
			t.Errorf("the result %s became %s", result, m.Raw)
		}
	}
	alive(t, p)
}

// TestChildDies: the call it had says so, with its last words; the others and
// its next life go on.
func TestChildDies(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(another("other", "-version-tag", "2")))
	listed(t, p)
	_, slow := p.Go("tools/call", `{"name":"kit/slow","arguments":{"ms":600000}}`)
	w.Line(w.Path("record"), `"name":"slow"`)
	m := p.Call("kit/crash", `{"code":3,"message":"panic: John Doe is missing"}`)
	wantError(t, m, -32002, `child "kit" exited with status 3`, "may have run", "check before you repeat it", "Portero restarts it", `"panic: John Doe is missing"`)
	wantError(t, p.Get(slow), -32002, `child "kit" exited with status 3`, "may have run")
	said(t, p.Call("other/echo", "{}"))
	w.Eventually("kit works again", func() bool {
		m := p.Call("kit/echo", "{}")
		if m.Error != nil {
			wantError(t, m, -32002, "the call was not sent")
		}
		return m.Error == nil
	})
	wantError(t, p.Call("other/crash", `{}`), -32002, `child "other" exited with status 0`)
	// Closing stdout is an end as well.
	wantError(t, p.Call("kit/close", `{}`), -32002, `child "kit" closed its output`)
	w.Eventually("kit works again", func() bool { return p.Call("kit/echo", "{}").Error == nil })
	hides(t, p.Stderr()+strings.Join(p.Output(), ""), "María")
}

// TestDeafChild: one that reads no more holds up nobody else, and what it
// cannot take fails with the reason.
func TestDeafChild(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(another("deaf", "-deaf")))
	listed(t, p)
	_, small := p.Go("tools/call", `{"name":"deaf/echo","arguments":{"small":true}}`)
	// More than any pipe holds.
	_, large := p.Go("tools/call", `{"name":"deaf/echo","arguments":{"a":"`+strings.Repeat("x", 4<<20)+`"}}`)
	for range 20 {
		alive(t, p)
	}
	wantError(t, p.Get(large), -32002, `child "deaf"`, "may have run", "Portero restarts it")
	wantError(t, p.Get(small), -32002, `child "deaf"`, "may have run")
	w.Eventually("deaf is started again", func() bool { return strings.Count(p.Stderr(), `msg="child is ready" child=deaf`) >= 2 })
	alive(t, p)
}

func TestUnknownTool(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	listed(t, p)
	for _, name := range []string{"kit/nonsense", "kit__nonsense", "nobody/echo", "echo", "kit", "kit/", "/echo", "KIT/echo", "kit/Echo", "kit//echo", "kit/ech*",
		"portero/nonsense", "portero__nonsense", "changed", " kit/echo", strings.Repeat("x", 5000)} {
		m := p.Call(name, "{}")
		wantError(t, m, -32602, "unknown tool", "portero/search_tools finds the names")
		if len(m.Raw) > 400 {
			t.Errorf("an answer of %d bytes", len(m.Raw))
		}
		wantError(t, p.Call("portero/call", `{"tool":"`+name+`"}`), -32602)
	}
	wantError(t, p.Call("María Cárdenas", "{}"), -32602, `unknown tool "John Doe"`)
	for _, line := range rig.Lines(t, w.Path("record")) {
		hides(t, line, "tools/call")
	}
	alive(t, p)
}
