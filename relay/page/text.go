package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible spells out what a reader could not see or what would make the rest
// look different: control, bidi, zero-width and filler characters, and marks
// piled on one letter. Line breaks and tabs stay.
func visible(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	marks := 0
	for _, r := range s {
		marks++
		if !unicode.Is(unicode.M, r) {
			marks = 0
		}
		if marks > 4 || hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false
	}
	switch r {
	case '\n', '\t':
		return false
	case 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0: // blank letters and joiners
		return true
	case 0xFE0E, 0xFE0F: // text or emoji style of the character before
		return false
	}
	// What Unicode has not assigned, nobody can see either.
	return unicode.In(r, unicode.Variation_Selector, unicode.Zl, unicode.Zp) ||
		!unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs)
}

// line is visible text for one line, at most 200 characters of it.
func line(s string) string {
	head, _, cut := clip(s, 200, 0)
	head = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(visible(head))
	if cut > 0 {
		head += "… (" + number(cut) + " more)"
	}
	return head
}

// clip keeps the first and the last characters of s and returns how many
// between them it left out; 0 means that head is all of s.
func clip(s string, first, last int) (head, tail string, cut int) {
	if len(s) <= first+last {
		return s, "", 0
	}
	n := utf8.RuneCountInString(s)
	if n <= first+last {
		return s, "", 0
	}
	i, j := 0, len(s)
	for range first {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	for range last {
		_, size := utf8.DecodeLastRuneInString(s[:j])
		j -= size
	}
	return s[:i], s[j:], n - first - last
}

// number writes n with a comma between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span writes a duration with the precision a reader cares for.
func span(d time.Duration) string {
	d = max(d, 0)
	switch days := d / (24 * time.Hour); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case days == 0:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", days, d%(24*time.Hour)/time.Hour)
	}
}

// limits says how much of a call's arguments a page shows; zero shows all.
type limits struct {
	args, first, last int
}

// onList keeps a card readable; the task's own page shows all.
var onList = limits{args: 40, first: 1500, last: 500}

// arg is one top-level argument, ready to be shown.
type arg struct {
	Name string
	Kind string // what it is when it is not plain text
	Text string
	Cut  int    // characters left out after Text
	Tail string // what follows them
	Long bool   // needs a scrolling box
}

// arguments lays a call's arguments out in their own order. more is how many
// it left out. Names that occur twice are shown twice: the reader sees
// whatever the machine has sent.
func arguments(raw json.RawMessage, l limits) (all []arg, more int) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	first, err := dec.Token()
	if err != nil {
		return []arg{lay("arguments", "not JSON", string(raw), l)}, 0
	}
	if first != json.Delim('{') {
		kind, text := printed(dec, first)
		return []arg{lay("arguments", kind, text, l)}, 0
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			break
		}
		value, err := dec.Token()
		if err != nil {
			break
		}
		kind, text := printed(dec, value)
		if l.args > 0 && len(all) == l.args {
			more++
			continue
		}
		all = append(all, lay(fmt.Sprint(name), kind, text, l))
	}
	return all, more
}

func lay(name, kind, text string, l limits) arg {
	a := arg{Name: name, Kind: kind, Text: text}
	if l.first > 0 {
		a.Name = line(name)
		a.Text, a.Tail, a.Cut = clip(text, l.first, l.last)
	}
	a.Long = len(a.Text) > 600 || strings.Count(a.Text, "\n") > 10
	a.Name, a.Text, a.Tail = visible(a.Name), visible(a.Text), visible(a.Tail)
	return a
}

// printed reads the rest of the value that begins with first and returns it as
// text: a string as it is, anything else as indented JSON.
func printed(dec *json.Decoder, first json.Token) (kind, text string) {
	switch v := first.(type) {
	case string:
		if v == "" {
			return "empty text", ""
		}
		return "", v
	case json.Number:
		return "number", v.String()
	case bool:
		return "true or false", strconv.FormatBool(v)
	case nil:
		return "", "null"
	}
	kind = "list"
	if first == json.Delim('{') {
		kind = "object"
	}
	var b strings.Builder
	write(&b, dec, first, 0)
	return kind, b.String()
}

// write prints one value. Strings inside keep their line breaks escaped: a
// value must not be able to draw lines that look like its neighbours.
func write(b *strings.Builder, dec *json.Decoder, t json.Token, depth int) {
	open, ok := t.(json.Delim)
	if !ok {
		if s, ok := t.(string); ok {
			b.WriteString(`"` + inString.Replace(s) + `"`)
		} else if t == nil {
			b.WriteString("null")
		} else {
			fmt.Fprint(b, t)
		}
		return
	}
	b.WriteRune(rune(open))
	empty := true
	for dec.More() {
		if !empty {
			b.WriteString(",")
		}
		empty = false
		indent(b, depth+1)
		t, err := dec.Token()
		if err == nil && open == '{' {
			write(b, dec, t, depth)
			b.WriteString(": ")
			t, err = dec.Token()
		}
		if err != nil {
			return
		}
		write(b, dec, t, depth+1)
	}
	if closing, err := dec.Token(); err == nil {
		if !empty {
			indent(b, depth)
		}
		fmt.Fprint(b, closing)
	}
}

var inString = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// indent starts a line. Deep nesting is not indented further, or a short
// argument could become a page of many megabytes.
func indent(b *strings.Builder, depth int) {
	b.WriteString("\n" + strings.Repeat("  ", min(depth, 8)))
}
