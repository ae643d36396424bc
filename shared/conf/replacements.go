package conf

import "strings"

// DefaultResponseReplacement is what the client sees in place of a one-way
// real value.
const DefaultResponseReplacement = "***REDACTED***"

// replacements reads every [[replacement]].
func (l *loader) replacements(tables []*table) {
	var kept []*table
	for _, t := range tables {
		if r, ok := l.replacement(t); ok {
			kept = append(kept, t)
			l.cfg.Replacements = append(l.cfg.Replacements, r)
		}
	}
	reals, fakes := map[string]int{}, map[string]int{}
	for i, p := range l.cfg.Replacements {
		if line, ok := reals[p.Real.Reveal()]; ok {
			kept[i].warn(kept[i].at, "this replacement has the same real value as the one in line %d, which wins", line)
		} else {
			reals[p.Real.Reveal()] = p.Line
		}
		if line, ok := fakes[p.Fake]; ok {
			kept[i].warn(kept[i].at, "this replacement has the same fake value as the one in line %d, which wins on the way back", line)
		} else {
			fakes[p.Fake] = p.Line
		}
	}
	for i, p := range l.cfg.Replacements {
		if line, ok := reals[p.Fake]; ok && p.Fake != p.Real.Reveal() {
			kept[i].warn(kept[i].at, "the fake value of this replacement is the real value of the one in line %d", line)
		}
	}
}

// replacement reads one. ok is false when it is dropped or wrong.
func (l *loader) replacement(t *table) (r Replacement, ok bool) {
	var lacking []Problem
	t.lacking = &lacking
	before := len(l.problems)
	t.need("fake")
	t.need("real")
	fake, real := l.half(t, "fake"), l.half(t, "real")
	r = Replacement{
		Fake:          fake,
		Real:          Secret(real),
		Bidirectional: t.bool("bidirectional", true),
		CaseSensitive: t.bool("case_sensitive", true),
	}
	r.Line, _ = l.lines.at(t.at.key)
	optional := t.bool("optional", false)
	l.response(t, &r)
	t.refuse("what it should protect would not be protected", "type", "parts", "lanes")
	t.done()

	switch {
	case len(lacking) > 0 && optional:
		t.warn(t.at, "this replacement is dropped: %s", reasons(lacking))
		return r, false
	case len(lacking) > 0:
		l.problems = append(l.problems, lacking...)
		return r, false
	case len(l.problems) > before || fake == "" || real == "":
		return r, false
	case same(r, fake, real):
		t.warn(t.at, "this replacement is dropped: its fake value is its real value")
		return r, false
	}
	return r, true
}

// half reads the real or the fake value, which must not be blank.
func (l *loader) half(t *table, key string) string {
	x, ok := t.str(key)
	if ok && strings.TrimSpace(x.s) == "" {
		*t.lacking = append(*t.lacking, l.newProblem(x.at.val,
			"give it a value, or set optional = true to do without this replacement", "replacement.%s is empty", key))
		return ""
	}
	return x.s
}

func (l *loader) response(t *table, r *Replacement) {
	x, ok := t.str("response_replacement")
	if !ok {
		r.ResponseReplacement = DefaultResponseReplacement
		return
	}
	r.ResponseReplacement = x.s
	switch {
	case r.Bidirectional:
		t.warn(x.at, "replacement.response_replacement has no effect without bidirectional = false")
	case r.Real != "" && same(*r, x.s, r.Real.Reveal()):
		l.problem(x.at.val, "", "replacement.response_replacement is the real value itself")
	}
}

// same compares as the replacement does.
func same(r Replacement, a, b string) bool {
	return a == b || !r.CaseSensitive && strings.EqualFold(a, b)
}
