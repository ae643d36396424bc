// Package policy decides what may happen to a tool call.
//
// A tool's name is child/tool. It has two segments: the child (up to the first
// "/") and all the rest, so kit/repo/delete is the tool repo/delete of the child
// kit, and kit/resource:file:///a is a resource of it. Names are compared by
// letter case and byte by byte.
//
// A rule is a name or a pattern:
//
//	kit/delete    this tool
//	kit/*         every tool of kit; in the second segment * also matches "/"
//	*/delete_*    in the first segment * stays in front of the first "/"
//	git**         ** matches anything, "/" included, wherever it stands
//	*             alone: everything
//
// The rule that decides is found in this order:
//
//  1. the exact name;
//  2. the most specific pattern. A pattern is more specific than another when it
//     matches only names that the other one matches too: kit/delete_* is more
//     specific than kit/*, and that than *. Of */delete_* and kit/* neither is.
//     Where several patterns match and none of them is the most specific, the
//     strictest action wins: whoever denies */delete_* means kit as well;
//  3. the default.
//
// Deny is stricter than require-approval, and that is stricter than allow. The
// order of the rules in the file has no influence on the action.
package policy

import (
	"errors"
	"fmt"
)

// Action is what policy says about a call.
type Action string

// The actions, from the loosest to the strictest.
const (
	Allow           Action = "allow"
	RequireApproval Action = "require-approval"
	Deny            Action = "deny"
)

// ParseAction returns the action that s spells. Anything else is an error, never
// a default: a misspelled "deny" must not open a tool.
func ParseAction(s string) (Action, error) {
	switch a := Action(s); a {
	case Allow, Deny, RequireApproval:
		return a, nil
	}
	return "", fmt.Errorf("unknown action %q; use %q, %q or %q", s, Allow, Deny, RequireApproval)
}

// rank orders actions. What is not an action is the strictest of all.
func (a Action) rank() int {
	switch a {
	case Allow:
		return 0
	case RequireApproval:
		return 1
	case Deny:
		return 2
	}
	return 3
}

// Stricter returns the stricter of two actions: deny before require-approval
// before allow.
func Stricter(a, b Action) Action {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Rule gives the tools that Pattern matches an action.
type Rule struct {
	Pattern string
	Action  Action
	Where   string // where it stands, for people: portero.toml:12
}

// Decision is an action and the rule it comes from.
type Decision struct {
	Action Action
	Rule   string // for people: `"github/*" (portero.toml:12)` or `default`
}

type compiled struct {
	pattern Pattern
	Decision
}

// Policy is a compiled set of rules. It never changes, so any number of
// goroutines may use it.
type Policy struct {
	exact    map[string]Decision
	patterns []compiled
	def      Action
}

// Compile checks all rules and returns the policy they make. The error names
// every faulty rule. Of two rules for one exact name the stricter is kept.
func Compile(rules []Rule, def Action) (*Policy, error) {
	p := &Policy{exact: make(map[string]Decision), def: def}
	var faults []error
	if _, err := ParseAction(string(def)); err != nil {
		faults = append(faults, fmt.Errorf("default policy: %w", err))
	}
	for _, rule := range rules {
		d := Decision{Action: rule.Action, Rule: fmt.Sprintf("%q", rule.Pattern)}
		if rule.Where != "" {
			d.Rule += " (" + rule.Where + ")"
		}
		if _, err := ParseAction(string(rule.Action)); err != nil {
			faults = append(faults, fmt.Errorf("policy %s: %w", d.Rule, err))
			continue
		}
		pattern, err := ParsePattern(rule.Pattern)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("policy %s: %w", d.Rule, err))
		case pattern.Exact():
			if old, ok := p.exact[rule.Pattern]; !ok || d.Action.rank() > old.Action.rank() {
				p.exact[rule.Pattern] = d
			}
		default:
			p.patterns = append(p.patterns, compiled{pattern, d})
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// Decide returns what the rules say about a tool, named child/tool. A name that
// ValidName refuses is denied.
func (p *Policy) Decide(tool string) Decision {
	if err := ValidName(tool); err != nil {
		return Decision{Deny, err.Error()}
	}
	if d, ok := p.exact[tool]; ok {
		return d
	}
	var buf [8]*compiled
	matching := buf[:0]
	for i := range p.patterns {
		if c := &p.patterns[i]; c.pattern.match(tool) {
			matching = append(matching, c)
		}
	}
	best := Decision{p.def, "default"}
	found := false
	for _, c := range matching {
		if !overruled(c, matching) && (!found || c.Action.rank() > best.Action.rank()) {
			best, found = c.Decision, true
		}
	}
	return best
}

// overruled reports whether another matching pattern is more specific than c.
func overruled(c *compiled, matching []*compiled) bool {
	for _, other := range matching {
		if other.pattern.within(c.pattern) && !c.pattern.within(other.pattern) {
			return true
		}
	}
	return false
}
