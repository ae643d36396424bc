package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestValidDepth(t *testing.T) {
	if err := Valid([]byte(nested(MaxDepth))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if err := Valid([]byte(nested(MaxDepth + 1))); !errors.Is(err, ErrInvalid) {
		t.Errorf("%d levels: %v", MaxDepth+1, err)
	}
	// The kind of each open container must survive a deeper neighbour.
	mixed := strings.Repeat(`[{"a":`, 200) + `{}` + strings.Repeat(`}]`, 200)
	if err := Valid([]byte(`[` + mixed + `,{"x":[]}]`)); err != nil {
		t.Error(err)
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range []string{
		``, ` `, `0`, `-0.1e+9`, `01`, `-`, `1.`, `1e`, `.5`, `+1`, `true`, `tru`, `nul`, `[]`, `[1,]`, `[,1]`, `{}`, `{"a":1,}`,
		`{"a"}`, `{"a":}`, `{,}`, `{"a":1 "b":2}`, `[1 2]`, `]`, `[}`, `{]`, `"\x"`, `"\u12g4"`, `"\u123`, `"abcdefgh"`, `"abcdefghi\n"`, "\"\x7f\"",
		"\"1234567\x1f\"", `"é漢😀"`, "\"\xff\xfe\"", `[[[{"a":[{}]}]]]`, "\v1", "1\x00", `{"a":1}}`, `"a"b`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Valid(data)
		if errors.Is(err, ErrInvalid) {
			return // deeper than encoding/json cares
		}
		if (err == nil) != json.Valid(data) {
			t.Fatalf("%v, but json.Valid says %v", err, json.Valid(data))
		}
	})
}

func TestMembersAndElements(t *testing.T) {
	obj := []byte(" { \"a\" : 1.0 ,\"\\u0062\":[ ],\"a\":{ \"c\" : null } } ")
	var got []string
	if err := Members(obj, func(k, v []byte) error {
		got = append(got, string(k)+"="+string(v))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := `"a"=1.0|"\u0062"=[ ]|"a"={ "c" : null }`; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = nil
	if err := Elements([]byte(` [ 1 , "a,]" ,[2,3], { } ] `), func(v []byte) error {
		got = append(got, string(v))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := `1|"a,]"|[2,3]|{ }`; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stop := errors.New("stop")
	if err := Members(obj, func(_, _ []byte) error { return stop }); err != stop {
		t.Errorf("Members returned %v", err)
	}
	if err := Elements([]byte(`[1]`), func([]byte) error { return stop }); err != stop {
		t.Errorf("Elements returned %v", err)
	}
	nothing := func([]byte) error { return nil }
	for _, s := range []string{``, `[`, `[1`, `[1,`, `[1,]`, `[,]`, `[1]]`, `[1 2]`, `{}`, `1`} {
		if Elements([]byte(s), nothing) == nil {
			t.Errorf("Elements accepts %q", s)
		}
	}
	if err := Elements([]byte(`[ ]`), nothing); err != nil {
		t.Error(err)
	}
	for _, s := range []string{``, `{`, `{"a":1`, `{"a":1,}`, `{"a":1}}`, `[]`, `1`} {
		if Members([]byte(s), func(_, _ []byte) error { return nil }) == nil {
			t.Errorf("Members accepts %q", s)
		}
	}
}

func TestSetGetDelete(t *testing.T) {
	tests := []struct{ obj, key, set, del, get string }{
		{`{}`, "a", `{"a":9}`, `{}`, ``},
		{` { } `, "a", ` {"a":9 } `, ` { } `, ``},
		{`{"a":1}`, "a", `{"a":9}`, `{}`, `1`},
		{`{"b":1}`, "a", `{"b":1,"a":9}`, `{"b":1}`, ``},
		{"{\n \"b\" : 1\n}", "a", "{\n \"b\" : 1,\"a\":9\n}", "{\n \"b\" : 1\n}", ``},
		{`{ "a" : 1 , "b":2 }`, "a", `{ "a" : 9 , "b":2 }`, `{ "b":2 }`, `1`},
		{`{"b":2, "a":1.0 }`, "a", `{"b":2, "a":9 }`, `{"b":2 }`, `1.0`},
		{`{"b":2,"a":1,"c":3}`, "a", `{"b":2,"a":9,"c":3}`, `{"b":2,"c":3}`, `1`},
		{`{"b":2,"a":1,"a":0, "c":3,"\u0061":4}`, "a", `{"b":2,"a":9,"a":9, "c":3,"\u0061":9}`, `{"b":2, "c":3}`, `4`},
		{`{"a":1,"a":2}`, "a", `{"a":9,"a":9}`, `{}`, `2`},
		{`{"x":{"a":1}}`, "a", `{"x":{"a":1},"a":9}`, `{"x":{"a":1}}`, ``},
		{`{"a\"b":1}`, `a"b`, `{"a\"b":9}`, `{}`, `1`},
		{`{}`, "a\"\n", `{"a\"\n":9}`, `{}`, ``},
		{`[1]`, "a", `[1]`, `[1]`, ``},
		{`{"a":1`, "a", `{"a":1`, `{"a":1`, ``},
	}
	for _, test := range tests {
		// A window into a larger buffer, as it is in a message.
		obj := []byte("xx" + test.obj + "yy")[2 : 2+len(test.obj)]
		if got := string(Set(obj, test.key, []byte("9"))); got != test.set {
			t.Errorf("Set(%s) = %s, want %s", test.obj, got, test.set)
		}
		if got := string(Delete(obj, test.key)); got != test.del {
			t.Errorf("Delete(%s) = %s, want %s", test.obj, got, test.del)
		}
		got, ok := Get(obj, test.key)
		if string(got) != test.get || ok != (test.get != "") {
			t.Errorf("Get(%s) = %q, %v, want %q", test.obj, got, ok, test.get)
		}
		if string(obj) != test.obj {
			t.Errorf("%s was changed to %s", test.obj, obj)
		}
	}
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(`{"a":1, "b" : [2],"\u0061":3}`), "a")
	f.Add([]byte(` { } `), "b\n")
	f.Fuzz(func(t *testing.T, obj []byte, key string) {
		var before map[string]json.RawMessage
		if json.Unmarshal(obj, &before) != nil || before == nil || Valid(obj) != nil || key != strings.ToValidUTF8(key, "\uFFFD") {
			return
		}
		set := Set(obj, key, []byte(`"new"`))
		var after map[string]json.RawMessage
		if err := json.Unmarshal(set, &after); err != nil || string(after[key]) != `"new"` {
			t.Fatalf("Set gave %s (%v)", set, err)
		}
		if got, ok := Get(set, key); !ok || string(got) != `"new"` {
			t.Fatalf("Get after Set gave %s", got)
		}
		deleted := Delete(set, key)
		after = nil
		if err := json.Unmarshal(deleted, &after); err != nil {
			t.Fatalf("Delete gave %s (%v)", deleted, err)
		}
		delete(before, key)
		if len(after) != len(before) {
			t.Fatalf("Delete gave %s, from %s", deleted, obj)
		}
		for k, v := range before {
			if !bytes.Equal(after[k], v) {
				t.Fatalf("%q became %s", k, after[k])
			}
		}
	})
}

func TestReplace(t *testing.T) {
	line := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b", "arguments":{}}}`)
	e, err := ParseEnvelope(line)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCall(e.Params)
	if err != nil {
		t.Fatal(err)
	}
	args, name := Edit{c.Args, []byte(`{"x":1}`)}, Edit{c.NameRaw, []byte(`"b"`)}
	if got := string(Replace(line, args, name)); got != `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b", "arguments":{"x":1}}}` {
		t.Error(got)
	}
	if got := string(Replace(e.Params, name)); got != `{"name":"b", "arguments":{}}` {
		t.Error(got)
	}
	if got := Replace(line); &got[0] != &line[0] {
		t.Error("copied without an edit")
	}
	defer func() {
		if recover() == nil {
			t.Error("a foreign slice was accepted")
		}
	}()
	Replace(line, Edit{Part: []byte(`"a__b"`)})
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":                           `""`,
		"<a>&é漢😀\u2028\x7f/":         `"<a>&é漢😀` + "\u2028\x7f" + `/"`,
		"q\"b\\n\nr\rt\tb\bf\fz\x00": `"q\"b\\n\nr\rt\tb\bf\fz\u0000"`,
		"\x1f\xffé\xe9":              `"\u001f` + "\uFFFDé\uFFFD\"",
	} {
		if got := string(Quote(nil, s)); got != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
	}
}

func FuzzQuoteUnquote(f *testing.F) {
	f.Add("a\"\\/\b\f\n\r\t\x00é😀\xff")
	f.Add(`\u00e9\ud83d\ude00\ud83d\ud83d\ude00\u0061\/\ud800x`)
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.ToValidUTF8(s, "\uFFFD")
		lit := Quote(nil, s)
		var decoded string
		if err := json.Unmarshal(lit, &decoded); err != nil {
			t.Fatalf("%s: %v", lit, err)
		}
		if got, err := Unquote(lit); err != nil || got != decoded {
			t.Fatalf("Unquote(%s) = %q, %v, want %q", lit, got, err, decoded)
		}
		if len([]rune(decoded)) != len([]rune(s)) || strings.ToValidUTF8(decoded, "") != decoded || s == want && decoded != s {
			t.Fatalf("%q came back as %q", s, decoded)
		}
		// The text itself as the inside of a literal.
		lit = []byte(`"` + s + `"`)
		got, err := Unquote(lit)
		if jsonErr := json.Unmarshal(lit, &decoded); (err == nil) != (jsonErr == nil) {
			t.Fatalf("Unquote says %v, encoding/json %v", err, jsonErr)
		}
		if err == nil && got != decoded {
			t.Fatalf("Unquote(%s) = %q, encoding/json %q", lit, got, decoded)
		}
	})
}
