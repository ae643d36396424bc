package e2e

import (
	"fmt"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// badLines are what a client may not send, and the error that answers it: the
// raw id, the code and parts of the text. Id "" means no answer at all.
var badLines = []struct {
	name, line, id string
	code           int
	parts          string
}{
	{"broken JSON", `{"jsonrpc":"2.0","id":71,"method":"tools/call"`, "71", -32700, "invalid JSON: it ends too early"},
	{"half a word", `{"jsonrpc":"2.0","method":"ping","id":"a\u0062",`, `"a\u0062"`, -32700, "invalid JSON"},
	{"no JSON", `hello`, "null", -32700, "invalid JSON"},
	{"two messages on a line", `{"jsonrpc":"2.0","id":72,"method":"ping"}{"jsonrpc":"2.0","id":73,"method":"ping"}`, "null", -32700, "invalid JSON"},
	{"invalid UTF-8 outside the arguments", "{\"jsonrpc\":\"2.0\",\"id\":72,\"method\":\"ping\",\"x\":\"\xff\"}", "72", -32700, "UTF-8"},
	{"invalid UTF-8 in the arguments", "{\"jsonrpc\":\"2.0\",\"id\":72,\"method\":\"tools/call\",\"params\":{\"name\":\"kit/echo\",\"arguments\":{\"a\":\"\xc3\"}}}", "72", -32700, "UTF-8"},
	{"surrogates in UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":72,\"method\":\"tools/call\",\"params\":{\"name\":\"kit/echo\",\"arguments\":{\"a\":\"\xed\xa0\x80\"}}}", "72", -32700, "UTF-8"},
	{"id null", `{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"kit/echo"}}`, "null", -32600, "the id must be a string or a number"},
	{"id object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, "null", -32600, "the id must be a string or a number"},
	{"id true", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, "null", -32600, "the id must be a string or a number"},
	{"id beyond numbers", `{"jsonrpc":"2.0","id":1e999,"method":"ping"}`, "1e999", -32600, "the id is a number out of range"},
	{"batch", `[{"jsonrpc":"2.0","id":72,"method":"ping"}]`, "null", -32600, "not a JSON object"},
	{"a number", `42`, "null", -32600, "not a JSON object"},
	{"no version", `{"id":72,"method":"ping"}`, "72", -32600, `"jsonrpc" must be "2.0"`},
	{"another version", `{"jsonrpc":"1.0","id":72,"method":"ping"}`, "72", -32600, `"jsonrpc" must be "2.0"`},
	{"method twice", `{"jsonrpc":"2.0","id":72,"method":"ping","method":"tools/call"}`, "72", -32600, `the key "method" occurs twice`},
	{"method twice, escaped", `{"jsonrpc":"2.0","id":72,"method":"ping","m\u0065thod":"tools/call"}`, "72", -32600, `another spelling of "method"`},
	{"method in capitals", `{"jsonrpc":"2.0","id":72,"METHOD":"ping"}`, "72", -32600, `another spelling of "method"`},
	{"params twice", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo"},"params":{"name":"kit/fail"}}`, "72", -32600, `the key "params" occurs twice`},
	{"id twice", `{"jsonrpc":"2.0","id":72,"id":73,"method":"ping"}`, "null", -32600, `the key "id" occurs twice`},
	{"method is a number", `{"jsonrpc":"2.0","id":72,"method":1}`, "72", -32600, "method must be a string"},
	{"method is empty", `{"jsonrpc":"2.0","id":72,"method":""}`, "72", -32600, "method must not be empty"},
	{"params is a list", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":["kit/echo"]}`, "72", -32600, "params must be an object"},
	{"both question and answer", `{"jsonrpc":"2.0","id":72,"method":"ping","result":{}}`, "72", -32600, "both a method and a result"},
	{"neither", `{"jsonrpc":"2.0","id":72}`, "72", -32600, "no method, result or error"},
	{"no params", `{"jsonrpc":"2.0","id":72,"method":"tools/call"}`, "72", -32602, "params are missing"},
	{"no name", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"arguments":{}}}`, "72", -32602, "the tool's name is missing"},
	{"name is a list", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":["kit/echo"]}}`, "72", -32602, "the tool's name must be a string"},
	{"name holds half a surrogate pair", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/\ud800"}}`, "72", -32602, "half a surrogate pair"},
	{"name twice", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","name":"kit/fail"}}`, "72", -32602, `the key "name" occurs twice`},
	{"name twice, escaped", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","n\u0061me":"kit/fail"}}`, "72", -32602, `another spelling of "name"`},
	{"name in another case", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","Name":"kit/fail"}}`, "72", -32602, `another spelling of "name"`},
	{"arguments twice", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{},"arguments":{"a":1}}}`, "72", -32602, `the key "arguments" occurs twice`},
	{"arguments with a long s", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","argumentſ":{"a":1}}}`, "72", -32602, `another spelling of "arguments"`},
	{"arguments is a list", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":[1]}}`, "72", -32602, "arguments must be an object"},
	{"arguments is a text", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":"{}"}}`, "72", -32602, "arguments must be an object"},
	{"arguments is null", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":null}}`, "72", -32602, "arguments must be an object"},
	{"_meta is a list", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","_meta":[]}}`, "72", -32602, "_meta must be an object"},
	{"duplicate key in the arguments", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{"a":1,"a":2}}}`, "72", -32602, "a key occurs twice in the arguments"},
	{"duplicate key, escaped", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{"path":1,"p\u0061th":2}}}`, "72", -32602, "a key occurs twice in the arguments"},
	{"duplicate key, nested", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{"l":[{"o":{"a":1,"b":2,"a":3}}]}}}`, "72", -32602, "a key occurs twice in the arguments"},
	{"duplicate key after anonymization", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{"John Doe":1,"María Cárdenas":2}}}`, "72", -32602, "a key occurs twice in the arguments"},
	{"too deep", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"kit/echo","arguments":{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}}}`, "72", -32600, "nested"},
	{"portero/call without a tool", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero/call","arguments":{"args":{}}}}`, "72", -32602, `needs "tool"`},
	{"portero/call of itself", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero__call","arguments":{"tool":"portero/call","args":{}}}}`, "72", -32602, "cannot call itself"},
	{"portero/call with args that are a list", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero/call","arguments":{"tool":"kit/echo","args":[]}}}`, "72", -32602, `"args" must be an object`},
	{"portero/call with two tools", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero/call","arguments":{"tool":"kit/echo","Tool":"kit/fail"}}}`, "72", -32602, `another spelling of "tool"`},
	{"own tool with a misspelt argument", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero/list_tasks","arguments":{"limitt":1}}}`, "72", -32602, `unknown field "limitt"`},
	{"own tool with an argument out of range", `{"jsonrpc":"2.0","id":72,"method":"tools/call","params":{"name":"portero/search_tools","arguments":{"limit":0}}}`, "72", -32602, `"limit" is 1 to 100`},
	{"cursor", `{"jsonrpc":"2.0","id":72,"method":"tools/list","params":{"cursor":"x"}}`, "72", -32602, "the list of tools has one page"},
	{"params the session cannot read", `{"jsonrpc":"2.0","id":72,"method":"resources/read","params":{"uri":12,"x":"secret"}}`, "72", -32602, "resources/read"},
	{"a second initialize", `{"jsonrpc":"2.0","id":72,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, "72", -32600, "duplicate"},
	{"an initialize that cannot be read", `{"jsonrpc":"2.0","id":72,"method":"initialize","params":{"protocolVersion":9,"x":"secret"}}`, "72", -32602, "initialize"},
	{"an answer to nothing", `{"jsonrpc":"2.0","id":72,"result":{}}`, "", 0, ""},
	{"an unknown notification", `{"jsonrpc":"2.0","method":"notifications/nonsense","params":{"a":1}}`, "", 0, ""},
	{"a cancellation of nothing", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4711}}`, "", 0, ""},
	{"a cancellation without id", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`, "", 0, ""},
	{"a call without id", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"kit/append","arguments":{"path":"{{dir}}/effect","line":"x"}}}`, "", 0, ""},
	{"nothing", ``, "", 0, ""},
	{"a carriage return", "\r", "", 0, ""},
	{"spaces", " \t \r", "", 0, ""},
}

// TestBadLines sends them all to one session, which goes on after each.
func TestBadLines(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	listed(t, p)
	for _, tc := range badLines {
		before := len(answers(p))
		answer := p.Expect(tc.id)
		p.Send(strings.ReplaceAll(tc.line, "{{dir}}", w.Dir))
		if tc.id != "" {
			m := p.Get(answer)
			if m.Error == nil || m.Error.Code != tc.code || !strings.Contains(m.Error.Message, tc.parts) {
				t.Errorf("%s: want %d %q, got %.500s", tc.name, tc.code, tc.parts, m.Raw)
			}
			hides(t, m.Raw, "secret", "María")
		}
		alive(t, p)
		want := 1
		if tc.id != "" {
			want++
		}
		if all := answers(p)[before:]; len(all) != want {
			t.Errorf("%s: %d answers, want %d: %.1000s", tc.name, len(all), want, all)
		}
	}
	for _, line := range rig.Lines(t, w.Path("record")) {
		if strings.Contains(line, "tools/call") && !strings.Contains(line, `{"still":"there"}`) {
			t.Errorf("the child was sent %.500s", line)
		}
	}
	if rig.Lines(t, w.Path("effect")) != nil {
		t.Error("a call without an id was made")
	}
	hides(t, p.Stderr(), "secret")
}

// answers are the responses among what the proxy wrote.
func answers(p *rig.Proxy) (all []string) {
	for _, line := range p.Output() {
		if strings.HasPrefix(line, `{"jsonrpc":"2.0","id":`) {
			all = append(all, line)
		}
	}
	return all
}

// Windows line ends, and spaces where JSON allows them.
func TestLineEnds(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	listed(t, p)
	for i, format := range []string{
		"{\"jsonrpc\":\"2.0\",\"id\":\"%d\",\"method\":\"tools/call\",\"params\":{\"name\":\"kit/echo\",\"arguments\":{\"a\":1}}}\r",
		" \t{ \"jsonrpc\" : \"2.0\" , \"id\" : \"%d\" , \"method\" : \"tools/call\" , \"params\" : { \"name\" : \"kit/echo\" , \"arguments\" : {\"a\":1} } } \r",
		"\r\n\n\r\n{\"jsonrpc\":\"2.0\",\"id\":\"%d\",\"method\":\"tools/call\",\"params\":{\"arguments\":{\"a\":1},\"name\":\"kit\\/echo\"}}\n\n",
	} {
		answer := p.Expect(fmt.Sprintf(`"%d"`, i))
		p.Send(fmt.Sprintf(format, i))
		if got := said(t, p.Get(answer)); got != `{"a":1}` {
			t.Errorf("%d: %s", i, got)
		}
	}
	// The last line of a client that goes away may lack its end; that is no
	// reason to end in another way.
	p.CloseStdin()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := len(rig.Lines(t, w.Path("record"))); got != 6 {
		t.Errorf("%d lines reached the child", got)
	}
}

// TestMessageTooLarge: 65 MiB are refused under the message's own id, wherever
// that stands, and neither the session nor the memory suffer.
func TestMessageTooLarge(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	listed(t, p)
	alive(t, p)
	filler := strings.Repeat("x", 65<<20)
	for _, tc := range []struct{ id, before, after string }{
		{`"at the end"`, `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"kit/echo","id":5,"arguments":{"id":6,"a":"`, `"}},"id":"at the end"}`},
		{`9007199254740993`, `{"id":9007199254740993,"jsonrpc":"2.0","method":"tools/call","params":{"name":"kit/echo","arguments":{"a":"`, `"}}}`},
	} {
		answer := p.Expect(tc.id)
		p.Send(tc.before + filler + tc.after)
		wantError(t, p.Get(answer), -32600, "the message has more than 64 MiB: send less at a time")
		alive(t, p)
	}
	// One below the limit passes, both ways.
	size := 6 << 20
	if got := said(t, p.Call("kit/echo", `{"a":"`+filler[:size]+`"}`)); len(got) != size+8 {
		t.Errorf("%d bytes came back", len(got))
	}
	for _, line := range rig.Lines(t, w.Path("record")) {
		if len(line) > size+1000 {
			t.Errorf("the child was sent %d bytes", len(line))
		}
	}
	w.Eventually("the memory is given back", func() bool { return p.Resident() < 40<<20 })
	alive(t, p)
}
