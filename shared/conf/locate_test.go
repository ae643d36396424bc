package conf

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// find walks a path such as mcp[1].env.FOO written as its steps.
func find(n *node, steps ...any) *node {
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			n = n.child(s)
		case int:
			n = n.item(s)
		}
	}
	return n
}

func TestLocate(t *testing.T) {
	src := "# a file\r\n" +
		"top = 1\n" +
		"a.b.\"c d\" = { x = 1, 'y.z' = [ 'p', # why ]\n" +
		"  \"\"\"q\n] = \"\" \\\" \"\"\"\"\", 'r' ], w.v = 2 } # end\n" +
		"[ link ]\n" +
		"url=\"é\" \n" +
		"[[mcp]]\n" +
		"name = \"one\"\n" +
		"[[ mcp ]]\n" +
		"  name = 'two'\n" +
		"env = { FOO = \"1\" }\n" +
		"[mcp.more]\n" +
		"when = 1979-05-27 07:32:00 # a date\n" +
		"\"\\u00e9\\\"\" = -1\n"
	l, root := newLines(src), locate(src)
	for _, tc := range []struct {
		steps    []any
		key, val string
	}{
		{[]any{"top"}, "2:1", "2:7"},
		{[]any{"a", "b"}, "3:3", "3:3"},
		{[]any{"a", "b", "c d"}, "3:5", "3:13"},
		{[]any{"a", "b", "c d", "x"}, "3:15", "3:19"},
		{[]any{"a", "b", "c d", "y.z", 0}, "3:32", "3:32"},
		{[]any{"a", "b", "c d", "y.z", 1}, "4:3", "4:3"},
		{[]any{"a", "b", "c d", "y.z", 2}, "5:18", "5:18"},
		{[]any{"a", "b", "c d", "w", "v"}, "5:27", "5:31"},
		{[]any{"link"}, "6:3", "6:3"},
		{[]any{"link", "url"}, "7:1", "7:5"},
		{[]any{"mcp", 0, "name"}, "9:1", "9:8"},
		{[]any{"mcp", 1}, "10:4", "10:4"},
		{[]any{"mcp", 1, "name"}, "11:3", "11:10"},
		{[]any{"mcp", 1, "env", "FOO"}, "12:9", "12:15"},
		{[]any{"mcp", 1, "more", "when"}, "14:1", "14:8"},
		{[]any{"mcp", 1, "more", "é\""}, "15:1", "15:14"},
		{[]any{"mcp", 1, "nothing"}, "10:4", "10:4"},
		{[]any{"mcp", 7, "nothing"}, "8:3", "8:3"},
	} {
		n := find(root, tc.steps...)
		kl, kc := l.at(n.key)
		vl, vc := l.at(n.val)
		if key, val := fmt.Sprintf("%d:%d", kl, kc), fmt.Sprintf("%d:%d", vl, vc); key != tc.key || val != tc.val {
			t.Errorf("%v: key at %s, value at %s; want %s and %s", tc.steps, key, val, tc.key, tc.val)
		}
	}
	if err := sameShape(src); err != nil {
		t.Error(err)
	}
}

// sameShape compares what the locator says of a source with what the decoder
// makes of it: the same tables, keys and arrays, and at every position text
// that decodes to that very key and value. A source the decoder refuses only
// has to be survived.
func sameShape(src string) error {
	root := locate(src)
	var vals map[string]any
	if err := decode(src, &vals); err != nil {
		return nil
	}
	if strings.HasPrefix(src, "\xff\xfe") || strings.HasPrefix(src, "\xfe\xff") || strings.HasPrefix(src, "\xef\xbb\xbf") {
		return nil // Load deals with these before the locator sees the source.
	}
	return compareTable(src, "", vals, root)
}

func compareTable(src, path string, vals map[string]any, n *node) error {
	if len(vals) != len(n.sub) || len(n.keys) != len(n.sub) {
		return fmt.Errorf("%s: decoded %d keys, located %d (%q)", path, len(vals), len(n.sub), n.keys)
	}
	for key, v := range vals {
		c := n.sub[key]
		if c == nil {
			return fmt.Errorf("%s: key %q not located (%q)", path, key, n.keys)
		}
		s := &scanner{src: src, pos: c.key}
		if p := s.path(); p[0].key != key {
			return fmt.Errorf("%s: at the key's position stands %q", path, src[c.key:])
		}
		if err := compare(src, path+"."+key, v, c); err != nil {
			return err
		}
	}
	return nil
}

func compare(src, path string, v any, n *node) error {
	switch v := v.(type) {
	case map[string]any:
		return compareTable(src, path, v, n)
	case []map[string]any:
		if len(v) != len(n.items) {
			return fmt.Errorf("%s: decoded %d tables, located %d", path, len(v), len(n.items))
		}
		for i := range v {
			if err := compareTable(src, fmt.Sprintf("%s[%d]", path, i), v[i], n.items[i]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if len(v) != len(n.items) {
			return fmt.Errorf("%s: decoded %d items, located %d", path, len(v), len(n.items))
		}
		for i := range v {
			if err := compare(src, fmt.Sprintf("%s[%d]", path, i), v[i], n.items[i]); err != nil {
				return err
			}
		}
		return nil
	default:
		var got struct{ X any }
		text := src[n.val:n.end]
		if _, err := toml.Decode("X="+text, &got); err != nil {
			return fmt.Errorf("%s: located text %q: %w", path, text, err)
		}
		if f, ok := v.(float64); ok && math.IsNaN(f) {
			return nil
		}
		if !reflect.DeepEqual(got.X, v) {
			return fmt.Errorf("%s: located %q = %v, decoded %v", path, text, got.X, v)
		}
		return nil
	}
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{
		"", "a=1", "[a.b]\nc.d={e=[1,{f='g'},[]],h=\"\\\"\"}\n[[x.y]]\nz=1\n[[x.y]]\n[x.y.w]\n",
		"a=\"\"\"\n x\\\n \"\"\"\"\"\nb='''''''\n'c d'.\"e\\t\" = 1979-05-27 07:32:00 # x\nf=[ # c\n1,\n]",
		"[a]\n[a.b.c]\n[a.b]\nk=inf\n\"\"=1\n", "[x.a]\n[[x.b]]\nq={ r = 1, }\n", "[[a]]\n[a.b]\n[[a]]\n[a.b]\n",
		"a = {\n # c\n b.c = 1,\n b.d = 0x_1\n}", "a=\"\\x41\\U0001F600\\e\"", "\"\"\"lol \\\"\"\"\"\"\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if err := sameShape(src); err != nil {
			t.Error(err)
		}
		l := newLines(src)
		for _, off := range []int{-1, 0, len(src) / 2, len(src), len(src) + 5} {
			if line, col := l.at(off); line < 1 || col < 1 {
				t.Errorf("offset %d of %d: %d:%d", off, len(src), line, col)
			}
		}
	})
}
