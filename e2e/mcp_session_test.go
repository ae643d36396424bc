package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// TestRevisions: a session of every revision that begins with initialize.
func TestRevisions(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"2024-11-05": "2024-11-05", "2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"2099-01-01": "2025-11-25", "1.0": "2025-11-25",
	} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			w.Write(alone + childConfig(""))
			p, result := w.ProxyFor("rig", asked)
			var hello struct {
				ProtocolVersion string
				Capabilities    map[string]json.RawMessage
				ServerInfo      struct{ Name, Version string }
				Instructions    string
			}
			if err := json.Unmarshal([]byte(result), &hello); err != nil {
				t.Fatal(err)
			}
			if hello.ProtocolVersion != want || hello.ServerInfo.Name != "portero" || hello.ServerInfo.Version == "" {
				t.Errorf("answered %s", result)
			}
			if string(hello.Capabilities["tools"]) != `{"listChanged":true}` {
				t.Errorf("tools: %s", hello.Capabilities["tools"])
			}
			mentions(t, hello.Instructions, `"John Doe"`, "pending-approval", "portero/check_task", "portero/search_tools")
			hides(t, hello.Instructions, "María")
			if len(hello.Instructions) > 2048 {
				t.Errorf("instructions of %d bytes", len(hello.Instructions))
			}
			for _, result := range []string{p.Must("tools/list", "{}"), p.Must("tools/call", `{"name":"kit/echo"}`)} {
				hides(t, result, "resultType", "ttlMs", "cacheScope")
			}
			if got := p.Must("ping", "{}"); got != "{}" {
				t.Errorf("ping was answered %s", got)
			}
			wantError(t, p.Do("nonsense/method", "{}"), -32601, "nonsense/method")
			wantError(t, p.Do("tasks/get", "{}"), -32601)
		})
	}
}

// TestBeforeInitialize: what asks before its turn is answered, not hung up on.
func TestBeforeInitialize(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(alone + childConfig(""))
	p := w.StartProxy()
	if got := p.Must("ping", "{}"); got != "{}" {
		t.Errorf("ping was answered %s", got)
	}
	wantError(t, p.Do("resources/list", "{}"), -32600, "initialization")
	wantError(t, p.Do("server/discover", "{}"), -32601)
	p.Must("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"rig","version":"1"}}`)
	alive(t, p)
}

// TestListChanged: a change of a child's tools reaches a session of the older
// revisions, and the list has it.
func TestListChanged(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig("")+`
[[mcp]]
name = "moody"
command = "{{kit}}"
args = ["-list-changed", "-tools", "echo"]
`)
	before := strings.Join(listed(t, p), " ")
	hides(t, before, "moody/late")
	seen := len(p.Notifications("notifications/tools/list_changed"))
	said(t, p.Call("moody/echo", "{}"))
	w.Eventually("the client is told", func() bool { return len(p.Notifications("notifications/tools/list_changed")) > seen })
	// That may have been a late word about the start.
	w.Eventually("the tool is listed", func() bool { return slices.Contains(listed(t, p), "moody/late") })
	if after := strings.Join(listed(t, p), " "); after != strings.Replace(before, "moody/echo", "moody/echo moody/late", 1) {
		t.Errorf("before %s\nafter %s", before, after)
	}
	if got := said(t, p.Call("moody__late", `{"a":1}`)); got != `{"a":1}` {
		t.Errorf("late said %s", got)
	}
}

// modern is the _meta that a client of 2026-07-28 sends with each request.
func modern(client string, more ...string) string {
	return fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":%q,"version":"2.1.330"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}%s}`,
		client, strings.Join(more, ""))
}

// TestModernSession: the order in which Claude Code speaks 2026-07-28.
func TestModernSession(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(alone + childConfig("\n[policy.tools]\n\"kit/append\" = \"require-approval\"\n"+`
[[mcp]]
name = "moody"
command = "{{kit}}"
args = ["-list-changed", "-tools", "echo"]
`))
	p := w.StartProxy()
	meta := modern("claude-code")
	probe := p.Expect(`"server-discover-probe-1"`)
	p.Send(`{"jsonrpc":"2.0","id":"server-discover-probe-1","method":"server/discover","params":{` + meta + `}}`)
	var found struct {
		ResultType        string
		SupportedVersions []string
		Capabilities      map[string]json.RawMessage
		Instructions      string
	}
	if err := json.Unmarshal(p.Get(probe).Result, &found); err != nil {
		t.Fatal(err)
	}
	if found.ResultType != "complete" || len(found.SupportedVersions) == 0 || found.SupportedVersions[0] != "2026-07-28" ||
		string(found.Capabilities["tools"]) != `{"listChanged":true}` || !strings.Contains(found.Instructions, "John Doe") {
		t.Errorf("discovered %+v", found)
	}
	p.Send(`{"jsonrpc":"2.0","id":"listen","method":"subscriptions/listen","params":{` + meta + `,"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}}}`)
	w.Eventually("the subscription is acknowledged", func() bool { return len(p.Notifications("notifications/subscriptions/acknowledged")) == 1 })
	p.Must("server/discover", `{`+meta+`}`)

	list := p.Must("tools/list", `{`+meta+`}`)
	var tools struct {
		ResultType, CacheScope string
		TTLMs                  *int
		Tools                  []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(list), &tools); err != nil || tools.ResultType != "complete" || tools.CacheScope != "private" || tools.TTLMs == nil {
		t.Errorf("the list ends in %s (%v)", list[max(0, len(list)-200):], err)
	}
	for _, tool := range tools.Tools {
		hides(t, tool.Name, "/")
	}
	mentions(t, list, `"kit__echo"`, `"portero__check_task"`)

	for _, tc := range []struct{ call, want string }{
		{`{"name":"kit__echo","arguments":{"a":1},` + meta + `}`, `{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"args":{"a":1}},"resultType":"complete"}`},
		{`{"name":"portero__call","arguments":{"tool":"kit__echo","args":{"a":1}},` + meta + `}`, `{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"args":{"a":1}},"resultType":"complete"}`},
	} {
		if got := p.Must("tools/call", tc.call); got != tc.want {
			t.Errorf("%s\nbecame %s", tc.call, got)
		}
	}
	asked := p.Must("tools/call", `{"name":"kit__append","arguments":{"path":"/nowhere","line":"x"},`+meta+`}`)
	var pending struct {
		ResultType        string
		StructuredContent struct{ Status, TaskID string }
	}
	if err := json.Unmarshal([]byte(asked), &pending); err != nil || pending.ResultType != "complete" || pending.StructuredContent.Status != "pending-approval" {
		t.Errorf("asked: %s", asked)
	}
	checked := p.Must("tools/call", `{"name":"portero__check_task","arguments":{"task_id":"`+pending.StructuredContent.TaskID+`"},`+meta+`}`)
	mentions(t, checked, `"resultType":"complete"`, `"status":"pending-approval"`)

	// The child is told nothing of the client's session, and everything else.
	p.Must("tools/call", `{"name":"kit__echo","arguments":{"b":2},`+modern("claude-code", `,"traceparent":"00-1","progressToken":5`)+`}`)
	if line := w.Line(w.Path("record"), `{"b":2}`); !strings.Contains(line, `"_meta":{"traceparent":"00-1","progressToken":5}`) {
		t.Errorf("the child was sent %s", line)
	}

	p.Must("tools/call", `{"name":"moody__echo",`+meta+`}`)
	w.Eventually("the subscriber is told of the change", func() bool {
		for _, m := range p.Notifications("notifications/tools/list_changed") {
			if strings.Contains(string(m.Params), `"io.modelcontextprotocol/subscriptionId":"listen"`) &&
				strings.Contains(p.Must("tools/list", `{`+meta+`}`), `"moody__late"`) {
				return true
			}
		}
		return false
	})
	wantError(t, p.Do("ping", `{`+meta+`}`), -32601)
	wantError(t, p.Do("nonsense/method", `{`+meta+`}`), -32601)
	for _, method := range []string{"tools/list", "tools/call", "server/discover"} {
		m := p.Do(method, `{"name":"kit__echo",`+strings.Replace(meta, "2026-07-28", "2099-01-01", 1)+`}`)
		wantError(t, m, -32022, "unsupported protocol version")
		if m.Error != nil {
			mentions(t, string(m.Error.Data), `"requested":"2099-01-01"`, `"2026-07-28"`)
		}
	}
	// Without a subscription there is nothing unasked.
	if n := len(p.Notifications("notifications/progress")) + len(p.Notifications("notifications/message")); n > 0 {
		t.Errorf("%d notifications unasked", n)
	}
}

// TestModernUnsubscribed: a client that has not asked for changes is told none.
func TestModernUnsubscribed(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(alone + childConfig(another("moody", "-list-changed", "-tools", "echo")))
	p := w.StartProxy()
	meta := modern("rig")
	p.Must("server/discover", `{`+meta+`}`)
	p.Must("tools/call", `{"name":"moody/echo",`+meta+`}`)
	w.Eventually("the tool is there", func() bool { return strings.Contains(p.Must("tools/list", `{`+meta+`}`), `"moody/late"`) })
	p.Must("server/discover", `{`+meta+`}`)
	for _, line := range p.Output() {
		if strings.Contains(line, `"method"`) && !strings.Contains(line, `"id"`) {
			t.Errorf("unasked: %s", line)
		}
	}
}
