package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"portero/proxy/mask"
)

func TestSeparatorFor(t *testing.T) {
	for name, want := range map[string]string{
		"claude-code": "__", "Claude Code": "__", "claude-ai": "__", "cursor-vscode": "__", "Cursor": "__", "Visual Studio Code - Insiders": "__",
		"vscode-copilot": "__", "codex-mcp-client": "__", "gemini-cli-mcp-client": "__", "windsurf-client": "__", "Cline": "__", "Zed": "__",
		"": "/", "rig": "/", "mcp-inspector": "/", "portero-demo": "/", "goose": "/",
	} {
		if got := separatorFor(name); got != want {
			t.Errorf("%q gets %q, want %q", name, got, want)
		}
	}
}

// TestWho: an older client has said who it is in initialize, a modern one says
// so each time.
func TestWho(t *testing.T) {
	p := anonymous(t)
	p.opt.Separator = "auto"
	f := newFront(p, &bytes.Buffer{})
	defer f.calm.Stop()
	meta := func(version, name string) string {
		return fmt.Sprintf(`{"_meta":{"io.modelcontextprotocol/protocolVersion":%q,"io.modelcontextprotocol/clientInfo":{"name":%q,"version":"1"}}}`, version, name)
	}
	for _, tc := range []struct {
		met, params string
		want        client
	}{
		{"", `{}`, client{separator: "/"}},
		{"claude-code", `{}`, client{separator: "__"}},
		{"claude-code", ``, client{separator: "__"}},
		{"rig", meta("2026-07-28", "claude-code"), client{separator: "__", modern: true, version: "2026-07-28"}},
		{"claude-code", meta("2026-07-28", "rig"), client{separator: "/", modern: true, version: "2026-07-28"}},
		{"claude-code", meta("2025-11-25", "rig"), client{separator: "__"}},
		{"claude-code", `{"_meta":{"progressToken":1}}`, client{separator: "__"}},
		{"claude-code", `{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}`, client{separator: "__"}},
		{"rig", meta("2099-01-01", "rig"), client{separator: "/", modern: true, version: "2099-01-01"}},
	} {
		f.meet([]byte(`{"clientInfo":{"name":"` + tc.met + `"}}`))
		if got := f.who([]byte(tc.params)); got != tc.want {
			t.Errorf("%s, %s: %+v, want %+v", tc.met, tc.params, got, tc.want)
		}
	}
	p.opt.Separator = "/"
	if got := f.who([]byte(meta("2026-07-28", "claude-code"))).separator; got != "/" {
		t.Errorf("the configured separator is / and %s is used", got)
	}
}

func TestDated(t *testing.T) {
	old, modern := client{}, client{modern: true}
	for _, tc := range []struct {
		result, want string
		who          client
	}{
		{`{"content":[]}`, `{"content":[]}`, old},
		{`{"content":[]}`, `{"content":[],"resultType":"complete"}`, modern},
		{`{}`, `{"resultType":"complete"}`, modern},
		{` { "a":1.0 } `, ` { "a":1.0,"resultType":"complete" } `, modern},
		{`{"resultType":"input_required","a":1}`, `{"resultType":"input_required","a":1}`, modern},
		{`{"resultType":"complete"}`, `{"resultType":"complete"}`, old},
		{`[1]`, `[1]`, modern},
		{`null`, `null`, modern},
	} {
		if got := dated([]byte(tc.result), tc.who); string(got) != tc.want {
			t.Errorf("%s became %s, want %s", tc.result, got, tc.want)
		}
	}
}

// TestReply writes every kind of answer: one line, the id as it was spelled.
func TestReply(t *testing.T) {
	p := anonymous(t, person, mask.Pair{Fake: "PHONE", Real: "5551234", Label: "replacement at portero.toml:9"})
	var out bytes.Buffer
	f := newFront(p, &out)
	defer f.calm.Stop()
	for _, tc := range []struct {
		reply reply
		want  string
	}{
		{reply{result: []byte(`{"a":1.0}`)}, `"result":{"a":1.0}}`},
		{reply{failed: []byte(`{"code":1,"message":"m","data":1.0}`)}, `"error":{"code":1,"message":"m","data":1.0}}`},
		{refused(-32000, "%s & <%d>", "a", 7), `"error":{"code":-32000,"message":"a & <7>"}}`},
		{refused(-32000, "to María Cárdenas"), `"error":{"code":-32000,"message":"to John Doe"}}`},
		{reply{err: &rpcError{Code: -32000, Message: "m", Data: map[string]any{"tool": "kit/María Cárdenas"}}}, `"error":{"code":-32000,"message":"m","data":{"tool":"kit/John Doe"}}}`},
		{reply{err: fmt.Errorf("find: %w", &rpcError{Code: -32602, Message: "m"})}, `"error":{"code":-32602,"message":"m"}}`},
		{reply{err: errors.New("about María Cárdenas\nand more")}, `"error":{"code":-32002,"message":"about John Doe\nand more"}}`},
		{reply{err: &rpcError{Code: -32000, Message: "m", Data: map[string]any{"n": 5551234}}}, `"error":{"code":-32001,"message":"the error was withheld: the real value of the replacement at portero.toml:9 was still in it"}}`},
	} {
		out.Reset()
		f.reply([]byte(`"x\u00e9"`), client{}, tc.reply)
		if want := `{"jsonrpc":"2.0","id":"x\u00e9",` + tc.want + "\n"; out.String() != want {
			t.Errorf("wrote %swant  %s", out.String(), want)
		}
	}
	out.Reset()
	f.refuse(nil, -32600, "not a message")
	if want := `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a message"}}` + "\n"; out.String() != want {
		t.Errorf("wrote %s", out.String())
	}
}

// TestTidy: the SDK's errors have a code, no params in them and no real value.
func TestTidy(t *testing.T) {
	p := anonymous(t, person)
	f := newFront(p, &bytes.Buffer{})
	defer f.calm.Stop()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&jsonrpc.Error{Code: -32601, Message: `method not found: "x"`}, `{"code":-32601,"message":"method not found: \"x\""}`},
		{errors.New(`duplicate "initialize" received`), `{"code":-32600,"message":"duplicate \"initialize\" received"}`},
		{fmt.Errorf("handling: %w", &jsonrpc.Error{Code: -32022, Message: "m", Data: []byte(`{"z":1.0,"a":"María Cárdenas"}`)}), `{"code":-32022,"message":"handling: m","data":{"z":1.0,"a":"John Doe"}}`},
		{fmt.Errorf("handling 'x': %w: unmarshaling %q", errors.New("invalid params"), `{"a":"secret"}`), `{"code":-32602,"message":"handling 'x': invalid params: they are not what the method takes"}`},
		{errors.New("about María Cárdenas"), `{"code":-32600,"message":"about John Doe"}`},
	} {
		r := f.tidy(tc.err)
		if got := string(r.failed); got != tc.want || r.err != nil {
			t.Errorf("%v became %s, %v", tc.err, got, r.err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	p := anonymous(t, person)
	raw := p.ownError(unsupported("2099-01-01 María Cárdenas"))
	sees(t, string(raw), `"requested":"2099-01-01 John Doe"`, `"supported":["2026-07-28"]`, "-32022")
	if got := member(t, p.ownError(unsupported(strings.Repeat("9", 1<<20))), "data"); len(got) > 300 {
		t.Errorf("data of %d bytes", len(got))
	}
}
