package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// persona are replacements of every sort, and kit, which speaks of them.
const persona = `
[[replacement]]
fake = "John Doe"
real = "María Cárdenas"
[[replacement]]
fake = "john@example.com"
real = "maria.cardenas@empresa.example"
case_sensitive = false
[[replacement]] # a number that its fake cannot stand in for
fake = "PHONE"
real = "5551234567"
[[replacement]]
fake = "123456789"
real = "987654321"
[[replacement]]
fake = "API-KEY-PLACEHOLDER"
real = "sk-live-very-secret"
bidirectional = false
response_replacement = "***API-KEY***"

[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-record", "{{dir}}/record", "-desc", "Finds María Cárdenas <maria.cardenas@empresa.example>."]
[policy]
default = "allow"
[policy.tools]
"kit/append" = "require-approval"
`

var realValues = regexp.MustCompile(`(?i)mar(í|\\u00ed)a c|c(á|\\u00e1)rdenas|maria\.cardenas|5551234567|987654321|sk-live`)

// clean fails when a real value has left the proxy, or rests in its state.
func clean(t *testing.T, w *rig.World, p *rig.Proxy) {
	t.Helper()
	for where, text := range map[string]string{"stdout": strings.Join(p.Output(), "\n"), "stderr": p.Stderr()} {
		if at := realValues.FindStringIndex(text); at != nil {
			t.Errorf("%s holds a real value: %s", where, text[max(0, at[0]-300):min(len(text), at[1]+100)])
		}
	}
	err := filepath.WalkDir(w.Path("state"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if at := realValues.FindIndex(text); at != nil {
			t.Errorf("%s holds a real value", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// raw calls kit/raw, which writes the lines to its stdout, and then answers
// unless one of them is the answer.
func raw(p *rig.Proxy, more string, lines ...string) rig.Message {
	for i, line := range lines {
		lines[i] = quoted(line)
	}
	return p.Do("tools/call", `{"name":"kit/raw","arguments":{`+more+`"lines":[`+strings.Join(lines, ",")+`]},"_meta":{"progressToken":"t"}}`)
}

// TestMaskedResults: the child works with real values, the client sees fakes.
func TestMaskedResults(t *testing.T) {
	t.Parallel()
	w, p := begin(t, persona)
	m := p.Call("kit/echo", `{"to":"Dear John Doe, ...","John Doe":[{"k":"<john@example.com>"}],"up":"JOHN@EXAMPLE.COM","n":123456789,"s":"tel:PHONE","key":"API-KEY-PLACEHOLDER","z":1.0}`)
	want := `{"to":"Dear John Doe, ...","John Doe":[{"k":"<john@example.com>"}],"up":"JOHN@EXAMPLE.COM","n":123456789,"s":"tel:PHONE","key":"***API-KEY***","z":1.0}`
	if got := string(m.Result); got != `{"content":[{"type":"text","text":`+quoted(want)+`}],"structuredContent":{"args":`+want+`}}` {
		t.Errorf("the client was sent %s", m.Raw)
	}
	if got := sentTo(w, `"z":1.0`); got != `{"name":"echo","arguments":{"to":"Dear María Cárdenas, ...","María Cárdenas":[{"k":"<maria.cardenas@empresa.example>"}],"up":"MARIA.CARDENAS@EMPRESA.EXAMPLE","n":987654321,"s":"tel:5551234567","key":"sk-live-very-secret","z":1.0}}` {
		t.Errorf("the child was sent %s", got)
	}
	// The other way to call it.
	m = p.Call("portero/call", `{"tool":"kit/echo","args":{"to":"John Doe","y":2}}`)
	mentions(t, m.Raw, `"structuredContent":{"args":{"to":"John Doe","y":2}}`)
	mentions(t, sentTo(w, `"y":2`), `"María Cárdenas"`)
	// What the child spells in its own way.
	m = raw(p, `"silent":true,`, `{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"Mar\u00eda C\u00e1rdenas \/ Maria.Cardenas@Empresa.Example"},{"type":"resource","resource":{"uri":"file:///John Doe","text":"John Doe"}}],"_meta":{"John Doe":"John Doe"},"Mar\u00eda C\u00e1rdenas":"\u004daría Cárdenas"}}`)
	if want := `{"content":[{"type":"text","text":"John Doe \/ John@Example.Com"},{"type":"resource","resource":{"uri":"file:///John Doe","text":"John Doe"}}],"_meta":{"John Doe":"John Doe"},"John Doe":"John Doe"}`; string(m.Result) != want {
		t.Errorf("the client was sent\n%s, want\n%s", m.Raw, want)
	}
	clean(t, w, p)
}

// TestMaskedErrors: message and data, of the child and of Portero itself.
func TestMaskedErrors(t *testing.T) {
	t.Parallel()
	w, p := begin(t, persona)
	m := p.Call("kit/fail", `{"code":-32050,"message":"no such user: John Doe","data":{"John Doe":["john@example.com",123456789],"z":1.0}}`)
	if want := `"error":{"code":-32050,"message":"no such user: John Doe","data":{"John Doe":["john@example.com",123456789],"z":1.0}}}`; !strings.HasSuffix(m.Raw, want) {
		t.Errorf("the client was sent %s", m.Raw)
	}
	mentions(t, sentTo(w, "no such user"), "no such user: María Cárdenas", `{"María Cárdenas":["maria.cardenas@empresa.example",987654321],"z":1.0}`)
	m = p.Call("kit/toolerror", `{"message":"John Doe is unknown"}`)
	mentions(t, m.Raw, `"text":"John Doe is unknown"}],"isError":true`)
	// A client may have read a real value elsewhere.
	for _, line := range []string{
		`"method":"María Cárdenas"`,
		`"method":"resources/read","params":{"uri":1,"x":"María Cárdenas"}`,
		`"method":"resources/read","params":{"uri":"file:///María Cárdenas"}`,
		`"method":"logging/setLevel","params":{"level":"María Cárdenas"}`,
		`"method":"completion/complete","params":{"ref":{"type":"María Cárdenas"}}`,
		`"method":"tools/call","params":{"name":"María Cárdenas"}`,
		`"method":"tools/call","params":{"name":"portero/María Cárdenas"}`,
		`"method":"tools/call","params":{"name":"portero/call","arguments":{"tool":"Mar\u00eda Cárdenas"}}`,
		`"method":"tools/call","params":{"name":"portero/check_task","arguments":{"task_id":"María Cárdenas"}}`,
		`"method":"tools/call","params":{"name":"portero/check_task","arguments":{"María Cárdenas":""}}`,
		`"method":"tools/call","params":{"name":"portero/list_tasks","arguments":{"status":"María Cárdenas"}}`,
		`"method":"tools/call","params":{"name":"portero/search_tools","arguments":{"query":"María Cárdenas","category":"María Cárdenas"}}`,
		`"method":"tools/list","params":{"cursor":"María Cárdenas"}`,
		`"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"9 María Cárdenas"}}`,
		`"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"María Cárdenas"}}`,
	} {
		answer := p.Expect("99")
		p.Send(`{"jsonrpc":"2.0","id":99,` + line + `}`)
		p.Get(answer)
	}
	p.Send(`{"jsonrpc":"2.0","method":"María Cárdenas","params":{"María Cárdenas":1}}`)
	p.Send(`{"jsonrpc":"2.0","id":{"María Cárdenas":1},"method":"ping","María Cárdenas`)
	alive(t, p)
	clean(t, w, p)
}

// TestMaskedWhatChildrenSayUnasked: progress, logs, stray lines, last words.
func TestMaskedWhatChildrenSayUnasked(t *testing.T) {
	t.Parallel()
	w, p := begin(t, persona)
	m := raw(p, "", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1,"message":"writing to John Doe","x":{"John Doe":1.0}}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":2,"message":"n","x":PHONE}}`, // cannot be masked
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"John Doe"}}`,
		`{"jsonrpc":"2.0","method":"notifications/John Doe","params":{}}`,
		`{"jsonrpc":"2.0","id":"John Doe","method":"sampling/createMessage","params":{"John Doe":1}}`,
		`Hello John Doe, I am ready`,
		`{"jsonrpc":"2.0","id":77,"result":{"half":"John Doe`)
	said(t, m)
	var progress []string
	for _, m := range p.Notifications("notifications/progress") {
		progress = append(progress, string(m.Params))
	}
	if want := `{"progressToken":"t","progress":1,"message":"writing to John Doe","x":{"John Doe":1.0}}`; len(progress) != 1 || progress[0] != want {
		t.Errorf("progress: %q", progress)
	}
	said(t, p.Call("kit/log", `{"data":{"John Doe":"john@example.com"}}`))
	said(t, p.Call("kit/stderr", `{"lines":["stderr speaks of John Doe and PHONE","MARIA","`+strings.Repeat("x ", 480)+`John Doe API-KEY-PLACEHOLDER"]}`))
	logs(t, p, "stderr speaks of John Doe and PHONE")
	logs(t, p, "Hello John Doe, I am ready", "notification withheld")
	wantError(t, p.Call("kit/crash", `{"code":1,"message":"fatal: John Doe <john@example.com> API-KEY-PLACEHOLDER"}`), -32002, `"fatal: John Doe <john@example.com> ***API-KEY***"`)
	w.Eventually("kit works again", func() bool { return p.Call("kit/echo", "{}").Error == nil })
	clean(t, w, p)
}

// TestMaskedTools: definitions, and what Portero's own tools tell.
func TestMaskedTools(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	defs := `[{"name":"mail María Cárdenas","title":"María Cárdenas","description":"To Mar\u00eda Cárdenas.","inputSchema":{"type":"object","$defs":{"María Cárdenas":{"type":"string"}},"properties":{"María Cárdenas":{"$ref":"#/$defs/María Cárdenas"},"to":{"enum":["maria.cardenas@empresa.example"],"default":"maria.cardenas@empresa.example"}},"required":["María Cárdenas"]},"annotations":{"title":"María Cárdenas"},"_meta":{"María Cárdenas":1}},
	 {"name":"withheld","description":"x","inputSchema":{"type":"object","properties":{"n":{"const":5551234567}}}},
	 {"name":"bad*María Cárdenas"},
	 {"name":"fine"}]`
	if err := os.WriteFile(w.Path("tools.json"), []byte(defs), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Write(alone + persona + another("defs", "-tools-json", "{{dir}}/tools.json", "-record", "{{dir}}/defs"))
	p := w.Proxy()
	list := p.Must("tools/list", "{}")
	mentions(t, list, `"description":"Finds John Doe <john@example.com>."`,
		`{"name":"defs/mail John Doe","title":"John Doe","description":"To John Doe.","inputSchema":{"type":"object","$defs":{"John Doe":{"type":"string"}},"properties":{"John Doe":{"$ref":"#/$defs/John Doe"},"to":{"enum":["john@example.com"],"default":"john@example.com"}},"required":["John Doe"]},"annotations":{"title":"John Doe"},"_meta":{"John Doe":1}}`,
		`"defs/fine"`)
	hides(t, list, "defs/withheld", "bad")
	logs(t, p, "tool not listed", "defs/withheld", "tool 3 of defs is left out")
	for _, name := range []string{"defs/mail John Doe", "defs__mail John Doe"} {
		said(t, p.Call(name, `{"John Doe":"x"}`))
		w.Line(w.Path("defs"), `{"name":"mail María Cárdenas","arguments":{"María Cárdenas":"x"}}`)
	}
	task := p.Ask("kit/append", `{"path":"`+w.Path("effect")+`","line":"to John Doe, PHONE, API-KEY-PLACEHOLDER; from María Cárdenas"}`)
	for _, call := range []string{`{"name":"portero/search_tools","arguments":{"query":"mail John Doe","schemas":"all"}}`,
		`{"name":"portero/search_tools","arguments":{"category":"defs"}}`, `{"name":"portero/list_tasks"}`,
		`{"name":"portero/check_task","arguments":{"task_id":"` + task.ID + `"}}`, `{"name":"portero/cancel_task","arguments":{"task_id":"` + task.ID + `"}}`} {
		mentions(t, p.Must("tools/call", call), `"structuredContent":{`)
	}
	mentions(t, p.Must("tools/call", `{"name":"portero/search_tools","arguments":{"query":"mail"}}`), `"name":"defs/mail John Doe","description":"To John Doe."`)
	// A real value in a place where no fake can stand: refused, and nothing is kept.
	wantError(t, p.Call("kit/append", `{"path":"x","line":"y","n":5551234567}`), -32000, "kit/append needs approval", "the real value of the replacement at portero.toml:", "write the fake value instead")
	clean(t, w, p)
}

// TestLeakGate: what cannot be rewritten does not leave; the error names the
// replacement, not the value.
func TestLeakGate(t *testing.T) {
	t.Parallel()
	w, p := begin(t, persona)
	where := `the real value of the replacement at portero.toml:13 was still in it`
	m := raw(p, `"silent":true,`, `{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"structuredContent":{"n":[PHONE]}}}`)
	wantError(t, m, -32001, "the answer of kit/raw was withheld: "+where, "The call was made.", "look at the replacements in portero.toml")
	m = raw(p, `"silent":true,`, `{"jsonrpc":"2.0","id":$ID,"error":{"code":1,"message":"m","data":PHONE}}`)
	wantError(t, m, -32001, "the answer of kit/raw was withheld: "+where)
	// The same digits inside a longer number are another number, and as text they are replaced.
	m = raw(p, `"silent":true,`, `{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"PHONE"}],"n":1PHONE0}}`)
	if m.Error != nil || !strings.HasSuffix(m.Raw, `"result":{"content":[{"type":"text","text":"PHONE"}],"n":155512345670}}`) {
		t.Errorf("the client was sent %s", m.Raw)
	}
	w.Line(w.Path("state", "audit.ndjson"), `"event":"withheld","tool":"kit/raw"`)
	logs(t, p, `leak gate: message withheld`, `replacement at portero.toml:13`)
	alive(t, p)
	hides(t, p.Stderr(), "5551234567")
}
