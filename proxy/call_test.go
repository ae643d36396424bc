package proxy

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"portero/shared/rawjson"
)

func TestChildParams(t *testing.T) {
	for _, tc := range []struct{ in, real, want string }{
		{`{"name":"kit/echo"}`, ``, `{"name":"own"}`},
		{`{"name":"kit/echo","arguments":{}}`, ``, `{"name":"own","arguments":{}}`},
		{`{"name":"kit/echo","arguments":{"a":"fake"}}`, `{"a":"a longer real"}`, `{"name":"own","arguments":{"a":"a longer real"}}`},
		{`{"arguments":{"a":"fake"},"x":1.0,"name":"kit\/echo"}`, `{}`, `{"arguments":{},"x":1.0,"name":"own"}`},
		{` { "name" : "k" , "arguments" : {"a":1} , "z" : [ ] } `, `{"a":2}`, ` { "name" : "own" , "arguments" : {"a":2} , "z" : [ ] } `},
		// What speaks for the client's session stays with it, all else passes.
		{`{"name":"k","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"debug"}}`, ``,
			`{"name":"own","_meta":{}}`},
		{`{"_meta":{"a":1.50,"io.modelcontextprotocol/clientInfo":{},"progressToken":"t","io.modelcontextprotocol/related-task":{"taskId":"x"}},"name":"k","arguments":{"b":1}}`, `{"b":2}`,
			`{"_meta":{"a":1.50,"progressToken":"t","io.modelcontextprotocol/related-task":{"taskId":"x"}},"name":"own","arguments":{"b":2}}`},
		{`{"name":"k","_meta":{"io.modelcontextprotocol\/clientInfo":{},"x":{"io.modelcontextprotocol/clientInfo":1}}}`, ``, `{"name":"own","_meta":{"x":{"io.modelcontextprotocol/clientInfo":1}}}`},
		{`{"name":"k","_meta":{}}`, ``, `{"name":"own","_meta":{}}`},
	} {
		params := []byte(tc.in)
		call, err := rawjson.ParseCall(params)
		if err != nil {
			t.Fatalf("%s: %v", tc.in, err)
		}
		real := call.Args
		if tc.real != "" {
			real = []byte(tc.real)
		}
		if got := childParams(params, call, "own", real); string(got) != tc.want {
			t.Errorf("%s\nbecame %s\nwant   %s", tc.in, got, tc.want)
		}
		if string(params) != tc.in {
			t.Errorf("the input was changed to %s", params)
		}
	}
	params := []byte(`{"name":"k","arguments":{}}`)
	call, _ := rawjson.ParseCall(params)
	if got := childParams(params, call, "q\"\\\n<é>", call.Args); string(got) != `{"name":"q\"\\\n<é>","arguments":{}}` {
		t.Errorf("odd name: %s", got)
	}
}

// decoded reads an object with numbers as they are spelled.
func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	m := map[string]any{}
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}

// FuzzChildParams compares with the same change made to a decoded object.
func FuzzChildParams(f *testing.F) {
	f.Add([]byte(`{"name":"kit/echo","arguments":{"a":1},"_meta":{"io.modelcontextprotocol/logLevel":"x","b":2},"z":1.0}`), []byte(`{"a":2}`), "own")
	f.Add([]byte(`{"_meta":{"io.modelcontextprotocol/clientInfo":1},"name":"\u006b"}`), []byte(`{}`), "o\"wn")
	f.Fuzz(func(t *testing.T, params, real []byte, own string) {
		call, err := rawjson.ParseCall(params)
		if err != nil || rawjson.CheckArgs(params) != nil || rawjson.CheckArgs(real) != nil || len(real) == 0 || real[0] != '{' || rawjson.Valid(real) != nil || own == "" {
			return
		}
		want := decoded(t, params)
		want["name"] = own
		if call.Args != nil {
			want["arguments"] = decoded(t, real)
		}
		if meta, ok := want["_meta"].(map[string]any); ok {
			for _, key := range sessionMeta {
				delete(meta, key)
			}
		}
		out := childParams(params, call, own, real)
		name, err := rawjson.Unquote(rawjson.Quote(nil, own))
		if err != nil {
			t.Fatal(err)
		}
		want["name"] = name // as it can be written at all
		if got := decoded(t, out); !reflect.DeepEqual(got, want) {
			t.Errorf("%s with %s\nbecame %s", params, real, out)
		}
	})
}

func TestTaskParams(t *testing.T) {
	real := []byte(`{"z":1.0,"a":"<é>"}`)
	got := taskParams(`o"wn`, real)
	if want := `{"name":"o\"wn","arguments":{"z":1.0,"a":"<é>"}}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	call, err := rawjson.ParseCall(got)
	if err != nil || call.Name != `o"wn` || string(call.Args) != string(real) || call.Meta != nil {
		t.Errorf("read back as %+v, %v", call, err)
	}
}

func TestSame(t *testing.T) {
	a, b := []byte("abc"), []byte("abc")
	for _, tc := range []struct {
		a, b []byte
		want bool
	}{{a, a, true}, {a, b, false}, {a[:2], a, false}, {a[1:], a[1:], true}, {nil, nil, true}, {nil, []byte{}, true}, {a[:0], b[:0], true}} {
		if same(tc.a, tc.b) != tc.want {
			t.Errorf("same(%q, %q) is not %v", tc.a, tc.b, tc.want)
		}
	}
}

func TestMarshal(t *testing.T) {
	if got := string(marshal(&rpcError{Code: 7, Message: "<a> & \"b\""})); got != `{"code":7,"message":"<a> & \"b\""}` {
		t.Error(got)
	}
	defer func() {
		if recover() == nil {
			t.Error("what cannot be encoded went through")
		}
	}()
	marshal(func() {})
}

func TestOwnName(t *testing.T) {
	for name, want := range map[string]string{"portero/call": "call", "portero__check_task": "check_task", "portero/": "", "portero": "", "Portero/call": "", "kit/portero/call": "", "portero_call": ""} {
		if got := ownName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if len(ownTools) != len(ownDefs) {
		t.Errorf("%d own tools, %d definitions", len(ownTools), len(ownDefs))
	}
	for _, def := range ownDefs {
		if ownTools[def.name] == nil {
			t.Errorf("%s is listed and cannot be called", def.name)
		}
		raw := []byte(`{"name":"x",` + def.rest + `}`)
		if err := rawjson.Valid(raw); err != nil {
			t.Errorf("the definition of %s: %v", def.name, err)
		}
		if schema, _ := rawjson.Get(raw, "inputSchema"); !strings.HasPrefix(string(schema), `{"type":"object"`) {
			t.Errorf("the input schema of %s is %s", def.name, schema)
		}
	}
}
