package page

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ünï, 漢字, שלום ☺️":         "plain, ünï, 漢字, שלום ☺️",
		"two\nlines\r\nand\ta tab":        "two\nlines\nand\ta tab",
		"a\u202egpj.exe":                  "a⟨U+202E⟩gpj.exe",
		"\u2066x\u2069":                   "⟨U+2066⟩x⟨U+2069⟩",
		"zero\u200bwidth\ufeff":           "zero⟨U+200B⟩width⟨U+FEFF⟩",
		"nul\x00 esc\x1b[2J \x7f":         "nul⟨U+0000⟩ esc⟨U+001B⟩[2J ⟨U+007F⟩",
		"lone\rreturn":                    "lone⟨U+000D⟩return",
		"soft\u00adhyphen":                "soft⟨U+00AD⟩hyphen",
		"tag\U000e0041":                   "tag⟨U+E0041⟩",
		"selector\U000e0100":              "selector⟨U+E0100⟩",
		"blank\u3164\u2800":               "blank⟨U+3164⟩⟨U+2800⟩",
		"line\u2028end":                   "line⟨U+2028⟩end",
		"private\ue000":                   "private⟨U+E000⟩",
		"\xff":                            "\ufffd",
		"o" + strings.Repeat("\u0301", 6): "o" + strings.Repeat("\u0301", 4) + "⟨U+0301⟩⟨U+0301⟩",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%+q) = %+q, want %+q", in, got, want)
		}
	}
	if got := line("a\nb" + strings.Repeat("x", 300)); !strings.HasPrefix(got, `a\nbxxx`) || !strings.HasSuffix(got, "… (103 more)") {
		t.Errorf("line: %q", got)
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\u202eb\x00\r\n\u0301\u0301\u0301\u0301\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if !utf8.ValidString(got) {
			t.Errorf("visible(%q) is not UTF-8", s)
		}
		for _, r := range got {
			if hidden(r) {
				t.Errorf("visible(%q) holds U+%04X", s, r)
			}
		}
		if visible(got) != got {
			t.Errorf("visible(%q) is not stable", s)
		}
	})
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in         string
		head, tail string
		cut        int
	}{
		{"", "", "", 0}, {"äöüß", "äöüß", "", 0}, {"äöüßé", "äöü", "é", 1}, {"0123456789", "012", "9", 6},
	} {
		head, tail, cut := clip(c.in, 3, 1)
		if head != c.head || tail != c.tail || cut != c.cut {
			t.Errorf("clip(%q) = %q, %q, %d", c.in, head, tail, cut)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 61 * time.Minute: "1 h 1 min", time.Minute: "1 min", 26 * time.Hour: "1 d 2 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q", d, got)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []arg
		more int
	}{
		{`{}`, nil, 0},
		{`{"b":"x","a":1.50,"a":true,"n":null,"e":""}`, []arg{{Name: "b", Text: "x"}, {Name: "a", Kind: "number", Text: "1.50"},
			{Name: "a", Kind: "true or false", Text: "true"}, {Name: "n", Text: "null"}, {Name: "e", Kind: "empty text"}}, 0},
		{`{"o":{"k":["\u00e9","\u202e","a\n\"b\\",{}],"z":[]}}`, []arg{{Name: "o", Kind: "object",
			Text: "{\n  \"k\": [\n    \"é\",\n    \"⟨U+202E⟩\",\n    \"a\\n\\\"b\\\\\",\n    {}\n  ],\n  \"z\": []\n}"}}, 0},
		{`[1,2]`, []arg{{Name: "arguments", Kind: "list", Text: "[\n  1,\n  2\n]"}}, 0},
		{`"text"`, []arg{{Name: "arguments", Text: "text"}}, 0},
		{`{"a":1,"b":2,"c":3,"d":{"x":[]}}`, []arg{{Name: "a", Kind: "number", Text: "1"}, {Name: "b", Kind: "number", Text: "2"}}, 2},
		{`{"s":"0123456789abcdef"}`, []arg{{Name: "s", Text: "01234567", Cut: 6, Tail: "ef"}}, 0},
		{`broken`, []arg{{Name: "arguments", Kind: "not JSON", Text: "broken"}}, 0},
	} {
		l := limits{first: 1000, last: 100}
		if c.more > 0 {
			l.args = 2
		}
		if strings.Contains(c.in, "0123") {
			l = limits{first: 8, last: 2}
		}
		got, more := arguments(json.RawMessage(c.in), l)
		if !reflect.DeepEqual(got, c.want) || more != c.more {
			t.Errorf("arguments(%s) = %+v, %d more", c.in, got, more)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}],"a":"\u202e"}`))
	f.Add([]byte(`[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, more := arguments(raw, onList)
		if len(all) > onList.args || more > 0 && len(all) < onList.args {
			t.Errorf("%d arguments, %d more", len(all), more)
		}
		var top map[string]json.RawMessage
		if json.Unmarshal(raw, &top) == nil && len(all)+more < len(top) {
			t.Errorf("%d arguments of %d are accounted for", len(all)+more, len(top))
		}
	})
}

// A short argument must not become an endless page.
func TestDeepArguments(t *testing.T) {
	const deep = 9999
	raw := `{"a":` + strings.Repeat("[", deep-1) + strings.Repeat("]", deep-1) + `}`
	all, _ := arguments(json.RawMessage(raw), limits{})
	if len(all) != 1 || len(all[0].Text) > 40*len(raw) {
		t.Errorf("%d bytes became %d", len(raw), len(all[0].Text))
	}
}

func TestHostileArguments(t *testing.T) {
	f := serve(t)
	args := map[string]string{
		"html":             `</pre><script>alert(1)</script><img src=x onerror=alert(2)>`,
		"attr":             `" onmouseover="alert(3)`,
		"bidi":             "invoice\u202efdp.exe",
		"big":              strings.Repeat("A", 250_000) + strings.Repeat("\u200b", 80_000),
		"</code><script>k": "v",
		"template":         "{{.CSRF}}",
	}
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	f.open("t_1", string(raw), time.Hour)
	many := &strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(many, `,"arg%d":%d`, i, i)
	}
	f.open("t_2", "{"+many.String()[1:]+"}", time.Hour)
	b := f.signedIn()
	list := b.get("/")
	list.want(t, 200, "&lt;/pre&gt;&lt;script&gt;alert(1)", "invoice⟨U+202E⟩fdp.exe", "&lt;/code&gt;&lt;script&gt;k", "{{.CSRF}}",
		"328,000 characters are left out here", "4,960 more arguments are left out here")
	if len(list.body) > 100_000 {
		t.Errorf("the list is %d bytes", len(list.body))
	}
	for _, a := range []answer{list, b.get("/tasks/t_1")} {
		a.lacks(t, "<script>alert", "<script>k", "<img", `" onmouseover`, "\u202e", "\u200b")
		if strings.Count(a.body, "<script>") != 1 {
			t.Error("more than the page's own script")
		}
	}
	b.get("/tasks/t_1").want(t, 200, strings.Repeat("A", 250_000), strings.Repeat("⟨U+200B⟩", 80_000))
	b.get("/tasks/t_2").want(t, 200, "arg4999")
	b.push(list, "/tasks/t_1/deny").want(t, 200, "❌ Denied")
}
