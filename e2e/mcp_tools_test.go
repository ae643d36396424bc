package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// TestNamesPerClient: who rewrites or refuses "/" is not given any.
func TestNamesPerClient(t *testing.T) {
	t.Parallel()
	for client, separator := range map[string]string{
		"claude-code": "__", "claude-ai": "__", "Claude Desktop": "__", "Cursor": "__", "cursor-vscode": "__", "Visual Studio Code": "__",
		"codex-mcp-client": "__", "gemini-cli-mcp-client": "__", "rig": "/", "mcp-inspector": "/", "": "/",
	} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			w.Write(alone + childConfig(""))
			p, _ := w.ProxyFor(client, "2025-11-25")
			names := listed(t, p)
			if !slices.Contains(names, "kit"+separator+"echo") || !slices.Contains(names, "portero"+separator+"call") {
				t.Errorf("listed are %v", names)
			}
			for _, name := range names {
				if (separator == "__") == strings.Contains(name, "/") {
					t.Errorf("listed is %s", name)
				}
			}
			// All spellings are understood, whatever is listed.
			for _, call := range []string{`{"name":"kit/echo"}`, `{"name":"kit__echo"}`, `{"name":"portero/call","arguments":{"tool":"kit/echo"}}`,
				`{"name":"portero__call","arguments":{"tool":"kit__echo","args":{}}}`} {
				if got := p.Must("tools/call", call); got != `{"content":[{"type":"text","text":"{}"}],"structuredContent":{"args":{}}}` {
					t.Errorf("%s was answered %s", call, got)
				}
			}
		})
	}
}

func TestSeparatorForced(t *testing.T) {
	t.Parallel()
	for _, separator := range []string{"/", "__"} {
		for _, client := range []string{"claude-code", "rig"} {
			w := rig.New(t)
			w.Write(strings.Replace(alone, "\nstate_dir", "\ntool_separator = \""+separator+"\"\nstate_dir", 1) + childConfig(""))
			p, _ := w.ProxyFor(client, "2025-11-25")
			if names := listed(t, p); !slices.Contains(names, "kit"+separator+"echo") || !slices.Contains(names, "portero"+separator+"call") {
				t.Errorf("%s with %s: %v", client, separator, names)
			}
		}
	}
}

// TestListing: Portero's own first, then the children as configured, each
// one's tools by name; the same bytes at every start.
func TestListing(t *testing.T) {
	t.Parallel()
	w, p := begin(t, `
[[mcp]]
name = "zeta"
command = "{{kit}}"
args = ["-tools", "slow,echo,append,notool", "-pages", "1"]
[[mcp]]
name = "alpha"
command = "{{kit}}"
args = ["-tools", "raw,echo", "-init-delay", "300ms"]
[policy]
default = "require-approval"
`)
	want := []string{"portero/search_tools", "portero/call", "portero/check_task", "portero/list_tasks", "portero/cancel_task",
		"zeta/append", "zeta/echo", "zeta/notool", "zeta/slow", "alpha/echo", "alpha/raw"}
	if names := listed(t, p); !slices.Equal(names, want) {
		t.Errorf("listed are\n%v, want\n%v", names, want)
	}
	list := p.Must("tools/list", "{}")
	if again := p.Must("tools/list", `{"cursor":null}`); again != list {
		t.Error("the second list differs")
	}
	if other := w.Proxy().Must("tools/list", "{}"); other != list {
		t.Errorf("after another start\n%s\nis\n%s", list, other)
	}
	// A definition that nothing has to be changed in is the child's own.
	mentions(t, list, `{"name":"zeta/append","description":"Appends a line to a file: proves how often a call ran.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},`)
}

func TestHiddenTools(t *testing.T) {
	t.Parallel()
	w, p := begin(t, `
[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-record", "{{dir}}/record"]
hidden_tools = ["a*", "slow", "tool*r"]
[policy]
default = "allow"
[policy.tools]
"kit/append" = "allow"
`)
	list := p.Must("tools/list", "{}")
	hides(t, list, "append", `"kit/ask"`, "slow", "toolerror")
	mentions(t, list, `"kit/echo"`, `"kit/fail"`)
	search := p.Must("tools/call", `{"name":"portero/search_tools","arguments":{"query":"append a line to a file slow ask","limit":100,"schemas":"all"}}`)
	hides(t, search, "append", `kit/ask`, "slow", "toolerror")
	for _, tool := range []string{"append", "ask", "slow", "toolerror"} {
		for _, name := range []string{"kit/" + tool, "kit__" + tool} {
			wantError(t, p.Call(name, `{}`), -32602, `unknown tool "`+name+`"`)
			wantError(t, p.Call("portero/call", `{"tool":"`+name+`","args":{}}`), -32602, `unknown tool "`+name+`"`)
		}
	}
	alive(t, p)
	for _, line := range rig.Lines(t, w.Path("record")) {
		if strings.Contains(line, "tools/call") && !strings.Contains(line, "still") {
			t.Errorf("the child was sent %s", line)
		}
	}
}

// TestDefinitions: what is odd in one tool's definition costs that tool at
// most, and an output schema admits the answer that waits.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	defs := `[
	 {"name":"waits","description":"<a> & \u00e9","inputSchema":{"type":"object","properties":{"n":{"maximum":9007199254740993,"default":1.0}},"x-odd":null},"outputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"r":{"type":"string"}},"required":["r"],"additionalProperties":false},"annotations":{"readOnlyHint":true},"unknown":{"b":1.50,"a":2}},
	 {"name":"may","inputSchema":{"type":"object"},"outputSchema":{"type":"object","required":["r"]}},
	 {"name":"schemaless"},
	 {"name":"wrong","inputSchema":{"type":"array"}},
	 {"name":"null","inputSchema":null},
	 {"name":"slash/and space.dot","inputSchema":{"type":"object"}},
	 {"name":"may","description":"a second one","inputSchema":{"type":"object"}},
	 {"name":"","inputSchema":{"type":"object"}},
	 {"name":"with*star","inputSchema":{"type":"object"}},
	 {"name":7}, {"inputSchema":{"type":"object"}}, 42
	]`
	if err := os.WriteFile(w.Path("tools.json"), []byte(defs), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Write(alone + `
[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-tools-json", "{{dir}}/tools.json"]
[policy]
default = "require-approval"
[policy.tools]
"kit/may" = "allow"
"kit/slash*" = "allow"
`)
	p := w.Proxy()
	if names := listed(t, p)[5:]; !slices.Equal(names, []string{"kit/may", "kit/null", "kit/schemaless", "kit/slash/and space.dot", "kit/waits", "kit/wrong"}) {
		t.Errorf("listed are %v", names)
	}
	list := p.Must("tools/list", "{}")
	mentions(t, list,
		`{"name":"kit/waits","description":"<a> & \u00e9","inputSchema":{"type":"object","properties":{"n":{"maximum":9007199254740993,"default":1.0}},"x-odd":null},"outputSchema":{"type":"object","anyOf":[`,
		`"annotations":{"readOnlyHint":true},"unknown":{"b":1.50,"a":2}}`,
		`{"name":"kit/may","inputSchema":{"type":"object"},"outputSchema":{"type":"object","required":["r"]}}`,
		`{"name":"kit/schemaless","inputSchema":{"type":"object"}}`,
		`{"name":"kit/wrong","inputSchema":{"type":"object"}}`,
		`{"name":"kit/null","inputSchema":{"type":"object"}}`)
	hides(t, list, "a second one", "with*star")
	logs(t, p, `a second tool \"may\" of kit is left out`, "tool 12 of kit is left out")
	said(t, p.Call("kit/slash/and space.dot", "{}"))
	said(t, p.Call("kit__slash_and_space_dot", "{}"))
	if got := p.Ask("kit/waits", "{}"); got.Status != "pending-approval" {
		t.Errorf("%+v", got)
	}
	claude, _ := w.ProxyFor("claude-code", "2025-11-25")
	if names := listed(t, claude); !slices.Contains(names, "kit__slash_and_space_dot") {
		t.Errorf("listed are %v", names)
	}
}

// TestPolicyOverTheWire: exact names before patterns before the default, on
// every way to a tool.
func TestPolicyOverTheWire(t *testing.T) {
	t.Parallel()
	w, p := begin(t, `
[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-record", "{{dir}}/record"]
[[mcp]]
name = "other"
command = "{{kit}}"
args = ["-tools", "echo,env"]
[policy]
default = "require-approval"
[policy.tools]
"kit/*" = "deny"
"kit/e*" = "allow"
"kit/env" = "require-approval"
"*/env" = "deny"
`)
	said(t, p.Call("kit/echo", "{}"))
	m := p.Call("kit/slow", `{"ms":0}`)
	wantError(t, m, -32000, `kit/slow is denied by policy: rule "kit/*" (portero.toml:`, "Do not retry")
	var data struct{ Tool, Rule, Decision string }
	if err := json.Unmarshal(m.Error.Data, &data); err != nil || data.Tool != "kit/slow" || data.Decision != "deny" || !strings.HasPrefix(data.Rule, `"kit/*" (portero.toml:`) {
		t.Errorf("data %s", m.Error.Data)
	}
	wantError(t, p.Call("kit__slow", `{"ms":0}`), -32000, `rule "kit/*"`)
	wantError(t, p.Call("portero/call", `{"tool":"kit__slow","args":{"ms":0}}`), -32000, `rule "kit/*"`)
	wantError(t, p.Call("other/env", `{}`), -32000, `rule "*/env"`)
	first := p.Ask("other/echo", "{}")
	p.Ask("kit/env", "{}")
	m = p.Call("portero/call", `{"tool":"other__echo","args":{}}`)
	mentions(t, m.Raw, first.ID) // the same call, the same task
	found := p.Must("tools/call", `{"name":"portero/search_tools","arguments":{"limit":100,"schemas":"none"}}`)
	mentions(t, found, `{"name":"kit/echo","description":"Returns its arguments.","decision":"allow"}`, `"decision":"deny"`, `"decision":"require-approval"`)
	for _, line := range rig.Lines(t, w.Path("record")) {
		if strings.Contains(line, "tools/call") && !strings.Contains(line, `"name":"echo"`) {
			t.Errorf("the child was sent %s", line)
		}
	}
	for _, event := range []string{`"event":"allowed","tool":"kit/echo","rule":"\"kit/e*\" (portero.toml:`, `"event":"denied","tool":"kit/slow"`, `"event":"done","tool":"kit/echo"`} {
		w.Line(w.Path("state", "audit.ndjson"), event)
	}
}
