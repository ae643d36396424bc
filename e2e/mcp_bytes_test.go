package e2e

import (
	"fmt"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// sentTo is the only line of a child's record that holds text, without what
// stands before its params.
func sentTo(w *rig.World, text string) string {
	w.T.Helper()
	line := w.Line(w.Path("record"), text)
	_, params, ok := strings.Cut(line, `"method":"tools/call","params":`)
	if !ok || !strings.HasSuffix(params, "}") {
		w.T.Fatalf("the child was sent %s", line)
	}
	return params[:len(params)-1]
}

// TestArgumentsKeepTheirBytes: only the tool's name differs at the child.
func TestArgumentsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	spellings := []string{`"kit/echo"`, `"kit\/echo"`, `"kit__echo"`, `"\u006bit/echo"`}
	for i, tc := range []string{ // @ is the tool's name
		`{"name":@,"arguments":{"n":9007199254740993,"f":1.0,"e":1e400,"m":-0,"x":1E+2,"t":0.10000000000000000001}}`,
		`{"name":@,"arguments":{"z":1,"a":2,"é":3,"":4,"A":5,"a ":6}}`,
		`{"name":@,"arguments":{"lone":"\ud800","pair":"\ud83d\ude00","raw":"😀","nul":"\u0000","slash":"\/"}}`,
		`{"name":@,"arguments":{"html":"<a>&'\u2028","name":"kit/echo"}}`,
		`{ "name" : @ , "arguments" : { "a" : [ 1 ,2,  3 ] , "b":{ } } }`,
		`{"arguments":{"a":1},"unknown":{"v":1.0,"w":[1e400]},"name":@,"task":{"ttl":60000},"Xname":"kit/fail"}`,
		`{"_meta":{"progressToken":"\u0074","own/key":{"n":9007199254740993},"io.modelcontextprotocol/related-task":{"taskId":"1"}},"name":@,"arguments":{}}`,
		`{"name":@}`,
		`{"name":@,"arguments":{"deep":` + strings.Repeat(`{"a":[`, 100) + strings.Repeat(`]}`, 100) + `}}`,
	} {
		tc = strings.TrimSuffix(tc, "}") + fmt.Sprintf(`,"mark":"%d."}`, i)
		answer := p.Expect("99")
		p.Send(`{"jsonrpc":"2.0","id":99,"method":"tools/call","params":` + strings.Replace(tc, "@", spellings[i%len(spellings)], 1) + `}`)
		said(t, p.Get(answer))
		if got, want := sentTo(w, fmt.Sprintf(`"mark":"%d."`, i)), strings.Replace(tc, "@", `"echo"`, 1); got != want {
			t.Errorf("the child was sent\n%s, want\n%s", got, want)
		}
	}
}

// TestResultsKeepTheirBytes: what a child answers arrives as it wrote it.
func TestResultsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	_, p := begin(t, childConfig(""))
	for _, tc := range []string{
		`"result":{"content":[{"type":"text","text":"<a>&\ud800 \/ \u00e9 é\u2028"}],"isError":false}`,
		`"result":{"content":[],"structuredContent":{"n":9007199254740993,"f":1.0,"e":1e400,"z":1,"a":2,"a":3,"A":4}}`,
		`"result":{"content":[{"type":"video","unknown":{"b":1,"a":2},"data":"not base64!"}],"content":[],"resultType":"odd","taskId":7}`,
		`"result":{ "content" : [ ] , "nextCursor":"" , "_meta":{"x":[1.50]} }`,
		`"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"}},"requestState":"\u0041"}`,
		`"result":{}`,
		`"error":{"code":-32050,"message":"<b>\u00e9 \"x\"","data":{"n":9007199254740993,"n":1.0,"z":[],"a":null},"more":true}`,
		`"error":{"code":-32601,"message":"no such thing here"}`,
		`"error":{"code":-32602,"message":"unknown tool: x","data":"d"}`,
		`"error":{"code":1,"message":""}`,
		`"error":{"message":"without a code"}`,
		`"error":{"code":-32042,"message":"URL elicitation required","data":{"elicitations":[{"mode":"url","url":"https://example.com/a?b=1&c=2"}]}}`,
	} {
		answer := p.Expect(`"x\u00e9"`)
		p.Send(`{"jsonrpc":"2.0","id":"x\u00e9","method":"tools/call","params":{"name":"kit/raw","arguments":{"silent":true,"lines":[` +
			quoted(`{"jsonrpc":"2.0","id":$ID,`+tc+`}`) + `]}}}`)
		if m, want := p.Get(answer), `{"jsonrpc":"2.0","id":"x\u00e9",`+tc+`}`; m.Raw != want {
			t.Errorf("the client was sent\n%s, want\n%s", m.Raw, want)
		}
	}
	// Key order of the envelope, unknown members and spaces there are the child's own affair.
	answer := p.Expect("1.50")
	p.Send(`{"jsonrpc":"2.0","id":1.50,"method":"tools/call","params":{"name":"kit/raw","arguments":{"silent":true,"lines":[` +
		quoted(` { "result" : {"a":1.0} , "extra":1, "id":$ID, "jsonrpc":"2.0" } `) + `]}}}`)
	if m := p.Get(answer); m.Raw != `{"jsonrpc":"2.0","id":1.50,"result":{"a":1.0}}` {
		t.Errorf("the client was sent %s", m.Raw)
	}
}

// TestRequestIDs: an id comes back as it was spelled, from every part of
// Portero that answers.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	_, p := begin(t, childConfig(""))
	for _, id := range []string{`9007199254740993`, `1.5`, `1.0`, `-0`, `1e2`, `-7`, `"x\u00e9"`, `"xé"`, `""`, `"1"`, `1`, `"` + strings.Repeat("long", 100) + `"`, `"a\/b"`, `12345678901234567890`} {
		for _, rest := range []string{`"method":"ping"`, `"method":"tools/list"`, `"method":"nonsense"`, `"method":"tools/call","params":{"name":"kit/echo"}`,
			`"method":"tools/call","params":{"name":"nobody/echo"}`, `"method":"tools/call"`} {
			answer := p.Expect(id)
			p.Send(`{"jsonrpc":"2.0",` + rest + `,"id":` + id + `}`)
			if m := p.Get(answer); !strings.HasPrefix(m.Raw, `{"jsonrpc":"2.0","id":`+id+`,`) {
				t.Errorf("%s of %s was answered %.300s", rest, id, m.Raw)
			}
		}
	}
}

// TestSameIDTwice: the second of two calls under way is refused, and the first
// is answered once it is done. Afterwards the id is free.
func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(""))
	call := func(name, args string) string {
		return `{"jsonrpc":"2.0","id":"same","method":"tools/call","params":{"name":"kit/` + name + `","arguments":` + args + `}}`
	}
	first := p.Expect(`"same"`)
	p.Send(call("append", `{"path":"`+w.Path("effect")+`","line":"once","wait_file":"`+w.Path("go")+`"}`))
	w.Line(w.Path("effect"), "once") // it runs
	p.Send(call("append", `{"path":"`+w.Path("effect")+`","line":"twice"}`))
	wantError(t, p.Get(first), -32600, "a request with this id is still under way")
	done := p.Expect(`"same"`)
	w.Touch("go")
	if got := said(t, p.Get(done)); got != "appended" {
		t.Errorf("said %s", got)
	}
	if lines := rig.Lines(t, w.Path("effect")); len(lines) != 1 {
		t.Errorf("effects: %v", lines)
	}
	again := p.Expect(`"same"`)
	p.Send(call("echo", `{}`))
	said(t, p.Get(again))
}

// TestProgress: before the result, in order, under the client's own token.
func TestProgress(t *testing.T) {
	t.Parallel()
	_, p := begin(t, childConfig(""))
	listed(t, p)
	for _, token := range []string{`"t\u00e9"`, `7`, `9007199254740993`, `"x"`} {
		before := len(p.Output())
		p.Must("tools/call", `{"name":"kit/progress","arguments":{"n":50},"_meta":{"progressToken":`+token+`}}`)
		var mine []string
		for _, line := range p.Output()[before:] {
			if !strings.Contains(line, "list_changed") {
				mine = append(mine, line)
			}
		}
		if len(mine) != 51 {
			t.Fatalf("%d messages", len(mine))
		}
		for i, line := range mine[:50] {
			if want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d,"total":50}}`, token, i+1); line != want {
				t.Fatalf("message %d is %s, want %s", i+1, line, want)
			}
		}
		mentions(t, mine[50], `"done"`)
	}
	before := len(p.Notifications("notifications/progress"))
	p.Must("tools/call", `{"name":"kit/progress","arguments":{"n":5}}`)
	if n := len(p.Notifications("notifications/progress")); n != before {
		t.Errorf("%d progress notifications that nobody asked for", n-before)
	}
}

// TestCancelled: the child is told, and the client hears no more of it.
func TestCancelled(t *testing.T) {
	t.Parallel()
	w, p := begin(t, childConfig(another("deaf", "-deaf", "-record", "{{dir}}/deaf")))
	listed(t, p)
	for _, id := range []string{`"slow one"`, `77`, `1.50`} {
		p.Send(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"kit/slow","arguments":{"ms":600000,"mark":` + quoted(id) + `}}}`)
		line := w.Line(w.Path("record"), `"mark":`+quoted(id))
		_, rest, _ := strings.Cut(line, `"id":`)
		child, _, _ := strings.Cut(rest, ",")
		p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `,"reason":"enough"}}`)
		w.Line(w.Path("record"), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+child+`}`)
		// The id is free again at once.
		answer := p.Expect(id)
		p.Send(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"kit/echo","arguments":{"after":1}}}`)
		if got := said(t, p.Get(answer)); got != `{"after":1}` {
			t.Errorf("said %s", got)
		}
	}
	for _, id := range []string{`"slow one"`, `77`, `1.50`} {
		n := 0
		for _, line := range answers(p) {
			if strings.HasPrefix(line, `{"jsonrpc":"2.0","id":`+id+`,`) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d answers to %s, want that of the call after it", n, id)
		}
	}
	// Other requests of the session can be cancelled too, without harm.
	p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"never was"}}`)
	alive(t, p)
}

// TestManyAtOnce: answers find their requests.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	_, p := begin(t, childConfig(another("other")))
	listed(t, p)
	var waiting []<-chan rig.Message
	const n = 200
	for i := range n {
		name := []string{"kit", "other"}[i%2]
		_, c := p.Go("tools/call", fmt.Sprintf(`{"name":"%s/echo","arguments":{"i":%d}}`, name, i))
		waiting = append(waiting, c)
	}
	for i, c := range waiting {
		if got := said(t, p.Get(c)); got != fmt.Sprintf(`{"i":%d}`, i) {
			t.Errorf("call %d said %s", i, got)
		}
	}
	// Over the limit a call is refused with the reason; the others are not hurt.
	waiting = nil
	var ids []string
	for range 260 {
		id, c := p.Go("tools/call", `{"name":"kit/slow","arguments":{"ms":600000}}`)
		waiting, ids = append(waiting, c), append(ids, id)
	}
	for _, c := range waiting[256:] {
		wantError(t, p.Get(c), -32000, "too many calls at once: wait for some of them to end")
	}
	for _, id := range ids {
		p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `}}`)
	}
	alive(t, p)
}
