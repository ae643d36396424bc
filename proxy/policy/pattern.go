package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pattern is a compiled tool name or pattern. The zero value matches nothing.
type Pattern struct {
	text  string
	exact bool
	whole bool // rest is matched against the whole name
	child glob
	rest  glob
}

// ParsePattern compiles a name or pattern; the package comment has the rules.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	if err := checkText(text); err != nil {
		return Pattern{}, fmt.Errorf("pattern %q %w", text, err)
	}
	child, rest, slash := strings.Cut(text, "/")
	switch {
	case text == "*" || text == "**":
		p.child, p.rest = parseGlob("*"), parseGlob("*")
	case strings.Contains(child, "**"):
		if strings.Contains(strings.ReplaceAll(child, "**", ""), "*") {
			return Pattern{}, fmt.Errorf("pattern %q mixes * and ** before its first /; use one of them", text)
		}
		p.whole, p.rest = true, parseGlob(text)
	case !slash:
		return Pattern{}, fmt.Errorf("pattern %q names no tool; write %q for all tools of a child", text, text+"/*")
	case child == "" || rest == "":
		return Pattern{}, fmt.Errorf("pattern %q has nothing on one side of its /", text)
	default:
		p.exact = !strings.Contains(text, "*")
		p.child, p.rest = parseGlob(child), parseGlob(rest)
	}
	return p, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Exact reports whether the pattern is a plain name.
func (p Pattern) Exact() bool { return p.exact }

// Match reports whether the pattern covers the tool name, in time linear in
// the length of the name. An invalid name matches nothing.
func (p Pattern) Match(name string) bool {
	return ValidName(name) == nil && p.match(name)
}

func (p Pattern) match(name string) bool {
	if p.exact {
		return p.text == name
	}
	if p.whole {
		return p.rest.match(name)
	}
	child, rest, ok := strings.Cut(name, "/")
	return ok && p.child.match(child) && p.rest.match(rest)
}

// within reports whether every name that p matches is matched by q too, as far
// as their texts tell. Two patterns that match the same names are within each
// other.
func (p Pattern) within(q Pattern) bool {
	switch {
	case q.whole && p.whole:
		return p.rest.within(q.rest)
	case q.whole:
		return parseGlob(p.child.text + "/" + p.rest.text).within(q.rest)
	case p.whole:
		return q.child.text == "*" && q.rest.text == "*"
	}
	return p.child.within(q.child) && p.rest.within(q.rest)
}

// ValidName returns nil when name can name a tool: a child and the rest, both
// not empty, parted by the first "/"; valid UTF-8 without control characters,
// line breaks or "*". A name with a wildcard in it would turn into a pattern
// as soon as somebody made a rule of it.
func ValidName(name string) error {
	if err := checkText(name); err != nil {
		return fmt.Errorf("tool name %q %w", name, err)
	}
	child, rest, _ := strings.Cut(name, "/")
	switch {
	case child == "" || rest == "":
		return fmt.Errorf("tool name %q is not of the form child/tool", name)
	case strings.Contains(name, "*"):
		return fmt.Errorf("tool name %q holds a wildcard", name)
	}
	return nil
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("is not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("holds a control character or line break")
		}
	}
	return nil
}

// glob is a text in which each run of "*" stands for any characters, none
// included: literals that must follow each other, the first at the start and
// the last at the end.
type glob struct {
	text     string
	literals []string // what stands between the wildcards; one more than those
}

func parseGlob(text string) glob {
	for strings.Contains(text, "**") {
		text = strings.ReplaceAll(text, "**", "*")
	}
	return glob{text, strings.Split(text, "*")}
}

// match takes each literal at its first occurrence behind the one before it.
// If any placement fits, this one does, so there is nothing to try again.
func (g glob) match(s string) bool {
	if len(g.literals) == 0 {
		return false
	}
	first, last := g.literals[0], g.literals[len(g.literals)-1]
	if len(g.literals) == 1 {
		return s == first
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for _, lit := range g.literals[1 : len(g.literals)-1] {
		i := strings.Index(s, lit)
		if i < 0 {
			return false
		}
		s = s[i+len(lit):]
	}
	return strings.HasSuffix(s, last)
}

// within reports whether other matches everything that g matches. A wildcard of
// g may stand for a character that occurs in no pattern; only a wildcard of
// other takes that, and then it takes anything.
func (g glob) within(other glob) bool {
	return other.match(strings.ReplaceAll(g.text, "*", "\x00"))
}

// Glob reports whether s matches pattern, in which "*" stands for any
// characters: for names without a child, such as those in hidden_tools.
func Glob(pattern, s string) bool { return parseGlob(pattern).match(s) }
