// Package mask replaces real values by fake ones on the way to the client, and
// fake ones by real ones on the way back.
//
// A Table is compiled once from the configured pairs. Both directions work on
// raw JSON: every string, every object key and every number is looked at as
// decoded text, and only the matched bytes are replaced; without a match the
// very input is returned.
//
// The rules of matching, the same in both directions:
//
//   - One pass from left to right. Where several values begin, the longest
//     wins; of equal ones the pair configured first. What was put in is not
//     looked at again, so fakes that equal other pairs' reals do no harm.
//   - A value of one to four letters matches as a whole word only, any other
//     one inside longer text too.
//   - A pair that is not case sensitive matches every spelling, and UPPER, lower
//     and Title Case are carried over.
//   - A number is replaced when it equals a value and the other side is a number
//     as well.
//   - The words of the protocol stay, see Kind.
//
// Leak is a second look at what is about to leave. Where Mask cannot replace
// something, or where its output together with the text around it makes up a
// real value again, Leak says so and the message has to be withheld.
package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"portero/shared/rawjson"
)

// DefaultPlaceholder is what the client sees of a one-way pair without a
// placeholder of its own.
const DefaultPlaceholder = "***REDACTED***"

// Pair is one replacement. Printing or marshalling a Pair or a Table shows
// labels, never values.
type Pair struct {
	Fake, Real    string
	OneWay        bool   // the client sees Placeholder; Fake still becomes Real
	Placeholder   string // "" means DefaultPlaceholder
	CaseSensitive bool
	Label         string // how messages name the pair, e.g. "replacement at portero.toml:31"
}

// Format writes the label, whatever the verb.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.Label) }

// MarshalText returns the label.
func (p Pair) MarshalText() ([]byte, error) { return []byte(p.Label), nil }

// Table is a compiled set of pairs. It never changes, so any number of
// goroutines may use it. A nil Table is empty.
type Table struct {
	pairs   []Pair
	out, in *matcher // real to fake, fake to real
	ungated []string
}

// Format writes how many pairs there are, whatever the verb.
func (t *Table) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%d replacements", t.size()) }

func (t *Table) size() int {
	if t == nil {
		return 0
	}
	return len(t.pairs)
}

// Compile checks the pairs and builds a Table. The error names every faulty
// pair by its label: a side that is empty, blank or not UTF-8. A two-way pair
// of equal sides is left out.
func Compile(pairs []Pair) (*Table, error) {
	t := &Table{}
	var faults []error
	for _, p := range pairs {
		if p.OneWay && p.Placeholder == "" {
			p.Placeholder = DefaultPlaceholder
		}
		for _, side := range []struct{ name, text string }{{"real", p.Real}, {"fake", p.Fake}} {
			if strings.TrimSpace(side.text) == "" {
				faults = append(faults, fmt.Errorf("%s: the %s value is empty", p.Label, side.name))
			}
		}
		if !utf8.ValidString(p.Real + p.Fake + p.Placeholder) {
			faults = append(faults, fmt.Errorf("%s: a value is not valid UTF-8", p.Label))
		}
		if p.OneWay || p.Fake != p.Real {
			t.pairs = append(t.pairs, p)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if len(t.pairs) == 0 {
		return t, nil
	}
	var out, in []value
	for _, p := range t.pairs {
		shown := p.Fake
		if p.OneWay {
			shown = p.Placeholder
		}
		out = append(out, side(p, p.Real, shown, !p.OneWay))
		in = append(in, side(p, p.Fake, p.Real, true))
	}
	t.out, t.in = newMatcher(out), newMatcher(in)
	t.ungate()
	return t, nil
}

func side(p Pair, text, repl string, style bool) value {
	num := repl[0] == '-' || repl[0]-'0' <= 9
	return value{label: p.Label, text: text, repl: repl, json: inner(repl), fold: !p.CaseSensitive, style: style && !p.CaseSensitive,
		num: num && rawjson.Valid([]byte(repl)) == nil && !strings.ContainsAny(repl, " \t\r\n"), gated: true}
}

// ungate takes the reals out of the gate's list that Mask itself may write, as
// part of some fake or placeholder.
func (t *Table) ungate() {
	for _, v := range t.out.values {
		shown := []string{v.repl}
		if v.style {
			shown = append(shown, strings.ToUpper(v.repl), strings.ToLower(v.repl), titleCase(v.repl))
		}
		for _, s := range shown {
			x := whole([]byte(s), false)
			for i := range s {
				found := func(v int32, _ int) { t.out.values[v].gated = false }
				t.out.walk(&t.out.exact, &x, i, found)
				t.out.walk(&t.out.folded, &x, i, found)
			}
		}
	}
	for _, v := range t.out.values {
		if !v.gated {
			t.ungated = append(t.ungated, v.label)
		}
	}
}

// Ungated returns the labels of the pairs that Leak cannot judge, because their
// real value is part of some fake value or placeholder: seeing it in the output
// means nothing. They are replaced like the others.
func (t *Table) Ungated() []string {
	if t == nil {
		return nil
	}
	return t.ungated
}

// Mask replaces real by fake in a JSON value and returns how often. Without a
// match it returns json itself, unread. The error says that json is not valid
// JSON (an *rawjson.Error, which quotes nothing); then nothing may be passed on.
func (t *Table) Mask(json []byte, kind Kind) ([]byte, int, error) {
	if t.size() == 0 {
		return json, 0, nil
	}
	out, count, _, err := t.out.rewrite(json, kind)
	return out, count, err
}

// Restore replaces fake by real in a JSON value, usually the arguments of a
// call, and returns how often. Without a match it returns json itself. It fails
// when json is not valid JSON, and when two keys of an object become the same:
// policy and the child might then read different values.
func (t *Table) Restore(json []byte) ([]byte, int, error) {
	if t.size() == 0 {
		return json, 0, nil
	}
	out, count, keys, err := t.in.rewrite(json, Payload)
	if keys {
		err = rawjson.CheckArgs(out)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("put real values in: %w", err)
	}
	return out, count, nil
}

// MaskText replaces real by fake in plain text, such as a log line.
func (t *Table) MaskText(s string) string {
	if t.size() == 0 {
		return s
	}
	x := whole([]byte(s), false)
	var b strings.Builder
	copied := 0
	for i := 0; ; {
		h, ok := t.out.find(&x, i)
		if !ok {
			break
		}
		v := &t.out.values[h.value]
		repl, matched := v.repl, s[h.start:h.end]
		if v.style && matched != v.text {
			repl = restyle(matched, repl)
		}
		b.WriteString(s[copied:h.start])
		b.WriteString(repl)
		copied = h.end
		i = h.end // plain text has no escapes to keep track of
	}
	if copied == 0 {
		return s
	}
	b.WriteString(s[copied:])
	return b.String()
}

// Leak reports whether a real value is left in a JSON value that is about to
// leave, and the label of its pair. What is not valid JSON and looks as if it
// held one counts as well.
func (t *Table) Leak(json []byte, kind Kind) (label string, found bool) {
	if t.size() == 0 {
		return "", false
	}
	v, err := t.out.leaks(json, kind)
	switch {
	case err != nil:
		return "unreadable message", true
	case v < 0:
		return "", false
	}
	return t.out.values[v].label, true
}

// Digest returns an HMAC-SHA-256 over the pairs, labels excluded. It binds
// something to this very table without telling its values.
func (t *Table) Digest(salt []byte) [32]byte {
	mac := hmac.New(sha256.New, salt)
	if t.size() > 0 {
		for _, p := range t.pairs {
			var b []byte
			for _, s := range []string{p.Fake, p.Real, p.Placeholder} {
				b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
			}
			_, _ = fmt.Fprintf(mac, "%s%t%t", b, p.OneWay, p.CaseSensitive)
		}
	}
	return [32]byte(mac.Sum(nil))
}
