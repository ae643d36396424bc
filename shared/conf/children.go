package conf

import (
	"path/filepath"
	"regexp"
	"strings"
)

var childName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// children reads every [[mcp]].
func (l *loader) children(tables []*table) {
	first := map[string]int{}
	for _, t := range tables {
		var lacking []Problem
		t.lacking = &lacking
		m, x := l.child(t)
		line, col := l.lines.at(t.at.key)
		m.Line = line
		if m.Name != "" {
			if other, dup := first[m.Name]; dup {
				l.problem(x.at.val, "", "duplicate child name %q (first in line %d)", m.Name, other)
			} else {
				first[m.Name] = m.Line
			}
		}
		switch {
		case len(lacking) == 0:
			l.cfg.MCP = append(l.cfg.MCP, m)
		case m.Optional:
			l.cfg.Skipped = append(l.cfg.Skipped, SkippedChild{
				Name: x.raw, File: l.file, Line: line, Col: col, Reason: reasons(lacking),
			})
		default:
			l.problems = append(l.problems, lacking...)
		}
	}
}

// reasons are the messages of ps, each once.
func reasons(ps []Problem) string {
	var out []string
	seen := map[string]bool{}
	for _, p := range ps {
		if !seen[p.Msg] {
			seen[p.Msg] = true
			out = append(out, p.Msg)
		}
	}
	return strings.Join(out, ", ")
}

func (l *loader) child(t *table) (m MCP, name text) {
	t.need("name")
	name, ok := t.str("name")
	switch {
	case !ok:
	case name.s == "portero":
		l.problem(name.at.val, "", `the child name "portero" is taken by Portero's own tools`)
	case !childName.MatchString(name.s):
		l.problem(name.at.val, "", "bad child name %q: small letters, digits, - and _, a letter or digit first", name.raw)
	default:
		m.Name = name.s
	}

	if t.has("url") || t.has("headers") {
		t.refuse("children are started with command", "url", "headers")
	} else {
		t.need("command")
	}
	if x, ok := t.str("command"); ok {
		m.Command = l.command(t, x)
	}
	m.Args = t.strs("args")
	if env := t.table("env", t.mine); env != nil {
		m.Env = map[string]Secret{}
		env.each(func(key string, v any, at *node) {
			if key == "" || strings.ContainsAny(key, "=\x00") {
				l.problem(at.key, "", "bad variable name %q in %s", key, env.name)
			}
			if x, ok := env.text(key, v, at); ok {
				m.Env[key] = Secret(x.s)
			}
		})
	}
	m.Cwd = t.file("cwd")
	m.HiddenTools = t.strs("hidden_tools")
	m.Optional = t.bool("optional", true)
	m.Scope = Scope(t.choice("scope", string(ScopeMachine), string(ScopeMachine), string(ScopeSession)))
	t.noEffect("pinned_tools", "an array")
	t.noEffect("share", "an array")
	t.noEffect("categories", "an array", "a table")
	t.done()
	return m, name
}

// command makes a program's path absolute. A bare name stays: it is looked up
// in PATH, which is not the working directory's either.
func (l *loader) command(t *table, x text) string {
	if strings.TrimSpace(x.s) == "" {
		l.problem(x.at.val, "", "mcp.command is empty")
	}
	if !t.mine || !strings.ContainsRune(x.s, '/') && !strings.ContainsRune(x.s, filepath.Separator) {
		return x.s
	}
	return t.file("command")
}
