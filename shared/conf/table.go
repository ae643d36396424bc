package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// table reads one table of the file. Its readers each check the type of a key,
// report what is wrong and remember the key as a known one; done reports the
// keys that nothing asked for. So what the code reads and what the file may
// hold cannot drift apart.
type table struct {
	l    *loader
	name string // as messages write it: "" for the file, "[proxy]", "[[mcp]]"
	path string // of a key's label: "", "proxy.", "mcp."
	vals map[string]any
	at   *node

	// mine: the program that loads acts on this table. In the other program's
	// tables only the file itself is judged, never the environment.
	mine bool
	// lacking collects references without a value, for an entry that may be
	// left out because of them; nil reports them at once.
	lacking *[]Problem
	known   []string
}

// text is a string of the file.
type text struct {
	s   string // expanded
	raw string // as it stands in the file; messages quote only this
	at  *node
}

func (t *table) get(key string) (v any, at *node, ok bool) {
	if !slices.Contains(t.known, key) {
		t.known = append(t.known, key)
	}
	v, ok = t.vals[key]
	return v, t.at.child(key), ok
}

// has reports whether the key is there, whatever its value.
func (t *table) has(key string) bool {
	_, _, ok := t.get(key)
	return ok
}

// need reports the key when it is absent.
func (t *table) need(key string) {
	if !t.has(key) {
		t.l.problem(t.at.key, "", "%s lacks %q", t.name, key)
	}
}

func (t *table) mismatch(at *node, key, want string, v any) {
	hint := ""
	if _, ok := v.(map[string]any); ok && want == "a string" {
		hint = "a key that holds a dot needs quotes"
	}
	t.l.problem(at.val, hint, "%s%s must be %s, not %s", t.path, key, want, typeName(v))
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	default:
		return "an array"
	}
}

// str reads a string. ok is false when there is none to go on with: it is
// absent, it was reported, or it refers to what is not known here.
func (t *table) str(key string) (x text, ok bool) {
	v, at, ok := t.get(key)
	if !ok {
		return text{at: at}, false
	}
	return t.text(key, v, at)
}

func (t *table) text(key string, v any, at *node) (text, bool) {
	raw, ok := v.(string)
	x := text{raw: raw, at: at}
	if !ok {
		t.mismatch(at, key, "a string", v)
		return x, false
	}
	if !t.mine {
		x.s = raw
		return x, !strings.Contains(raw, "${")
	}
	e, err := t.l.env.expand(raw)
	if err != nil {
		t.l.problem(at.val, "write $${ for a literal ${", "%s%s: %v", t.path, key, err)
		return x, false
	}
	lack := e.lack
	if t.lacking != nil {
		lack = append(lack, e.empty...)
	}
	for _, reason := range lack {
		p := t.l.newProblem(at.val, setVariable, "%s", reason)
		if t.lacking != nil {
			*t.lacking = append(*t.lacking, p)
		} else {
			t.l.problems = append(t.l.problems, p)
		}
	}
	if len(lack) > 0 {
		return x, false
	}
	if x.s = e.text; strings.Contains(x.s, "\x00") || !utf8.ValidString(x.s) {
		t.l.problem(at.val, "", "%s%s holds a NUL character or invalid UTF-8", t.path, key)
		return x, false
	}
	return x, true
}

const setVariable = "set it in the environment or in the env_file, or give it a default: ${NAME:-default}"

// choice reads a string that is one of a few.
func (t *table) choice(key, def string, allowed ...string) string {
	x, ok := t.str(key)
	if !ok {
		return def
	}
	if !slices.Contains(allowed, x.s) {
		t.l.problem(x.at.val, "", "unknown %s%s %q (allowed: %s)", t.path, key, x.raw, oneOf(allowed))
		return def
	}
	return x.s
}

// token reads a secret that is sent in a header or an address: spaces around
// it are dropped, within it they are an error.
func (t *table) token(key string) (Secret, bool) {
	x, ok := t.str(key)
	s := strings.TrimSpace(x.s)
	if ok && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		t.l.problem(x.at.val, "", "%s%s holds a blank or a character that no token has", t.path, key)
		return "", false
	}
	return Secret(s), ok
}

// file reads a path and makes it absolute.
func (t *table) file(key string) string {
	x, ok := t.str(key)
	if !ok || !t.mine || x.s == "" {
		return ""
	}
	p, err := t.l.env.abs(x.s)
	if err != nil {
		t.l.problem(x.at.val, "set HOME, or write the whole path", "%s%s: %v", t.path, key, err)
	}
	return p
}

func (t *table) bool(key string, def bool) bool {
	v, at, ok := t.get(key)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		t.mismatch(at, key, "true or false", v)
		return def
	}
	return b
}

// list hands every element of an array to f.
func (t *table) list(key, want string, f func(label string, v any, at *node)) {
	v, at, ok := t.get(key)
	if !ok {
		return
	}
	items, ok := v.([]any)
	if !ok {
		t.mismatch(at, key, want, v)
		return
	}
	for i, item := range items {
		f(fmt.Sprintf("%s[%d]", key, i), item, at.item(i))
	}
}

func (t *table) strs(key string) (out []string) {
	t.list(key, "an array of strings", func(label string, v any, at *node) {
		if x, ok := t.text(label, v, at); ok {
			out = append(out, x.s)
		}
	})
	return out
}

// each hands the keys of a free-form table to f, in the order of the file.
func (t *table) each(f func(key string, v any, at *node)) {
	keys := slices.Sorted(maps.Keys(t.vals))
	slices.SortStableFunc(keys, func(a, b string) int { return t.at.child(a).key - t.at.child(b).key })
	for _, key := range keys {
		f(key, t.vals[key], t.at.child(key))
	}
}

// table is the table of that name, or nil.
func (t *table) table(key string, mine bool) *table {
	v, at, ok := t.get(key)
	if !ok {
		return nil
	}
	vals, ok := v.(map[string]any)
	if !ok {
		t.mismatch(at, key, "a table", v)
		return nil
	}
	return &table{l: t.l, name: "[" + t.path + key + "]", path: t.path + key + ".", vals: vals, at: at, mine: mine, lacking: t.lacking}
}

// section is the table of that name, or one without values.
func (t *table) section(key string, mine bool) *table {
	if s := t.table(key, mine); s != nil {
		return s
	}
	return &table{l: t.l, name: "[" + key + "]", path: key + ".", at: t.at.child(key), mine: mine}
}

// tables are the tables of an array [[key]].
func (t *table) tables(key string, mine bool) (out []*table) {
	v, at, ok := t.get(key)
	if !ok {
		return nil
	}
	add := func(vals map[string]any, at *node) {
		out = append(out, &table{l: t.l, name: "[[" + t.path + key + "]]", path: t.path + key + ".", vals: vals, at: at, mine: mine})
	}
	switch v := v.(type) {
	case []map[string]any:
		for i, vals := range v {
			add(vals, at.item(i))
		}
	case []any:
		for i, item := range v {
			if vals, ok := item.(map[string]any); ok {
				add(vals, at.item(i))
			} else {
				t.mismatch(at.item(i), fmt.Sprintf("%s[%d]", key, i), "a table", item)
			}
		}
	case map[string]any:
		t.l.problem(at.key, "", "%s%s is a list: write [[%s%s]]", t.path, key, t.path, key)
	default:
		t.mismatch(at, key, "an array of tables", v)
	}
	return out
}

// warn reports what is merely without effect, to the program it concerns.
func (t *table) warn(at *node, format string, args ...any) {
	if t.mine {
		t.l.cfg.Warnings = append(t.l.cfg.Warnings, t.l.newProblem(at.key, "", format, args...))
	}
}

// noEffect accepts a key whose meaning this version lacks, where that harms
// nobody, with a warning.
func (t *table) noEffect(key string, types ...string) {
	v, at, ok := t.get(key)
	switch {
	case !ok:
	case !slices.Contains(types, typeName(v)):
		t.mismatch(at, key, strings.Join(types, " or "), v)
	default:
		t.warn(at, "%s%s has no effect in this version", t.path, key)
	}
}

// refuse reports a key whose meaning this version lacks, where going on
// without it would be unsafe.
func (t *table) refuse(why string, keys ...string) {
	for _, key := range keys {
		if _, at, ok := t.get(key); ok && t.mine {
			t.l.problem(at.key, "remove it", "%s%s is not supported by this version: %s", t.path, key, why)
		}
	}
}

// done reports the keys that nothing has asked for.
func (t *table) done() {
	in := ""
	if t.name != "" {
		in = " in " + t.name
	}
	t.each(func(key string, _ any, at *node) {
		if !slices.Contains(t.known, key) {
			t.l.problem(at.key, "", "unknown key %q%s%s", key, in, instead(key, t.known))
		}
	})
}
