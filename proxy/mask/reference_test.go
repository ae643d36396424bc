package mask

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"portero/shared/rawjson"
)

// reference rewrites plain text by the definition: at every place, try every
// value.
func reference(s string, pairs []Pair, toFake bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		end, choice := 0, -1
		for n, p := range pairs {
			find := p.Fake
			if toFake {
				find = p.Real
			}
			if p.Real == p.Fake && !p.OneWay {
				continue
			}
			if e := prefixEnd(s[i:], find, p.CaseSensitive); e > end && wholeWord(s, i, i+e, find) {
				end, choice = e, n
			}
		}
		if choice < 0 {
			_, n := utf8.DecodeRuneInString(s[i:])
			b.WriteString(s[i : i+n])
			i += n
			continue
		}
		p := pairs[choice]
		find, repl := p.Fake, p.Real
		if toFake {
			find, repl = p.Real, p.Fake
		}
		switch {
		case toFake && p.OneWay:
			repl = p.Placeholder
		case !p.CaseSensitive && s[i:i+end] != find:
			repl = restyle(s[i:i+end], repl)
		}
		b.WriteString(repl)
		i += end
	}
	return b.String()
}

// prefixEnd returns how many bytes of s spell find, or 0.
func prefixEnd(s, find string, exact bool) int {
	end := 0
	for range []rune(find) {
		if end == len(s) {
			return 0
		}
		_, n := utf8.DecodeRuneInString(s[end:])
		end += n
	}
	if s[:end] == find || !exact && strings.EqualFold(s[:end], find) {
		return end
	}
	return 0
}

func wholeWord(s string, i, j int, find string) bool {
	runes := []rune(find)
	for _, r := range runes {
		if len(runes) > 4 || !unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt) {
			return true
		}
	}
	neighbour := func(r rune) bool { return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Nd) }
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[j:])
	return !neighbour(before) && !neighbour(after)
}

// chooser turns fuzz data, or a random source, into small decisions.
type chooser interface{ Intn(n int) int }

type bytesChooser struct{ data []byte }

func (c *bytesChooser) Intn(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	v := int(c.data[0])
	c.data = c.data[1:]
	return v % n
}

var alphabet = []rune(`aabAB  k` + "K" + `sſéÉ12-中"\/` + "\nıİ😀")

func randomText(c chooser, alphabet []rune, least, most int) string {
	n := least + c.Intn(most-least+1)
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[c.Intn(len(alphabet))])
	}
	return b.String()
}

func somePairs(c chooser) []Pair {
	var pairs []Pair
	for i := range 1 + c.Intn(5) {
		p := Pair{
			Real: randomText(c, alphabet, 1, 6), Fake: randomText(c, alphabet, 1, 6), CaseSensitive: c.Intn(2) == 0,
			OneWay: c.Intn(4) == 0, Placeholder: "***", Label: fmt.Sprintf("pair %d", i),
		}
		if strings.TrimSpace(p.Real) != "" && strings.TrimSpace(p.Fake) != "" {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// spell writes s as a JSON string in which some characters are escaped.
func spell(c chooser, s string) []byte {
	lit := []byte{'"'}
	for _, r := range s {
		switch how := c.Intn(6); {
		case how == 0 && r > 0xffff:
			lit = fmt.Appendf(lit, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case how == 0:
			lit = fmt.Appendf(lit, `\u%04x`, r)
		case how == 1 && r == '/':
			lit = append(lit, `\/`...)
		default:
			lit = append(lit, inner(string(r))...)
		}
	}
	return append(lit, '"')
}

func checkAgainstReference(t *testing.T, c chooser) {
	pairs := somePairs(c)
	table, err := Compile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	s := randomText(c, alphabet, 0, 40)
	for range c.Intn(4) {
		if len(pairs) > 0 {
			p := pairs[c.Intn(len(pairs))]
			s += []string{p.Real, p.Fake, strings.ToUpper(p.Real), strings.ToLower(p.Fake)}[c.Intn(4)] + randomText(c, alphabet, 0, 3)
		}
	}
	fake, real := reference(s, pairs, true), reference(s, pairs, false)
	if got := table.MaskText(s); got != fake {
		t.Fatalf("%+q\nMaskText(%q)\n got %q\nwant %q", values(pairs), s, got, fake)
	}
	lit := spell(c, s)
	masked, n, err := table.Mask(lit, Payload)
	if got := unquote(t, masked); err != nil || got != fake {
		t.Fatalf("%+q\nMask(%s)\n got %q (%v)\nwant %q", values(pairs), lit, got, err, fake)
	}
	if n == 0 && string(masked) != string(lit) {
		t.Fatalf("%s became %s without a match", lit, masked)
	}
	restored, _, err := table.Restore(lit)
	if got := unquote(t, restored); err != nil || got != real {
		t.Fatalf("%+q\nRestore(%s)\n got %q (%v)\nwant %q", values(pairs), lit, got, err, real)
	}
}

func values(pairs []Pair) (all []string) {
	for _, p := range pairs {
		all = append(all, fmt.Sprint(p.Real, "->", p.Fake, p.CaseSensitive, p.OneWay))
	}
	return all
}

func unquote(t *testing.T, lit []byte) string {
	t.Helper()
	s, err := rawjson.Unquote(lit)
	if err != nil || !json.Valid(lit) {
		t.Fatalf("%s: %v", lit, err)
	}
	return s
}

func TestMatcherAgainstReference(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 500 {
		checkAgainstReference(t, rng)
	}
}

func FuzzMatcher(f *testing.F) {
	rng := rand.New(rand.NewSource(2))
	for range 20 {
		b := make([]byte, 150)
		_, _ = rng.Read(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkAgainstReference(t, &bytesChooser{data}) })
}
