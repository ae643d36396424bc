package mask

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"portero/shared/rawjson"
)

// plain is what reals and documents of the property tests are made of; no fake
// there holds any of it at its ends, so nothing can arise where a fake meets
// the text around it.
var plain = []rune(`aabAB kſéÉ1中"\/` + "\n")

// document writes some JSON value: values of the pairs, other text, keys of the
// protocol, odd spacing and numbers.
func document(c chooser, words []string, depth int) []byte {
	space := []string{"", "", " ", "\n\t"}[c.Intn(4)]
	str := func() []byte {
		s := randomText(c, plain, 0, 5)
		for range c.Intn(3) {
			s += words[c.Intn(len(words))] + randomText(c, plain, 0, 2)
		}
		return spell(c, s)
	}
	key := func() []byte {
		if known := []string{"type", "content", "text", "properties", "inputSchema", "$ref", "_meta", "data", "required"}; c.Intn(2) == 0 {
			return rawjson.Quote(nil, known[c.Intn(len(known))])
		}
		return str()
	}
	kind := c.Intn(8)
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return []byte([]string{"null", "true", "1.0", "-0", "1E400", "9007199254740993", "2", "77"}[c.Intn(8)])
	case 1, 2, 3:
		return str()
	case 4:
		doc := []byte("[" + space)
		for i := range c.Intn(4) {
			if i > 0 {
				doc = append(doc, ',')
			}
			doc = append(append(doc, document(c, words, depth-1)...), space...)
		}
		return append(doc, ']')
	}
	doc := []byte("{" + space)
	for i := range c.Intn(4) {
		if i > 0 {
			doc = append(doc, ","+space...)
		}
		doc = append(append(append(doc, key()...), space...), ':')
		doc = append(append(doc, space...), document(c, words, depth-1)...)
	}
	return append(doc, '}')
}

// shape is a document without its text.
func shape(t *testing.T, doc []byte) string {
	t.Helper()
	var b strings.Builder
	s := rawjson.NewScanner(doc)
	for {
		tok, err := s.Next()
		if err != nil || !json.Valid(doc) {
			t.Fatalf("%s: %v", doc, err)
		}
		if tok.Kind == rawjson.End {
			return b.String()
		}
		b.WriteByte(byte(tok.Kind))
	}
}

func checkProperties(t *testing.T, c chooser) {
	var pairs []Pair
	words := []string{"x"}
	exact, twoWay := c.Intn(2) == 0, c.Intn(2) == 0
	seen := map[string]bool{}
	for i := range 1 + c.Intn(5) {
		real := randomText(c, plain, 1, 6)
		if strings.TrimSpace(real) == "" || seen[real] {
			continue
		}
		seen[real] = true
		// Distinct, none part of another, longer than a word that must stand
		// alone, with letters at both ends.
		pairs = append(pairs, Pair{
			Real: real, Fake: fmt.Sprintf("Ωσσ\"%d\\%sΩ", i, strings.Repeat("-", i)), CaseSensitive: exact,
			OneWay: !twoWay && c.Intn(2) == 0, Placeholder: "ΨΨ***ΨΨ", Label: fmt.Sprint("pair ", i),
		})
		words = append(words, real, strings.ToUpper(real))
	}
	table, err := Compile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	doc := document(c, words, 4)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%+q\n%s\n%s", values(pairs), doc, fmt.Sprintf(format, args...))
	}
	for _, kind := range []Kind{Payload, Result, Tool} {
		masked, n, err := table.Mask(doc, kind)
		if err != nil {
			fail("kind %d: %v", kind, err)
		}
		if shape(t, masked) != shape(t, doc) {
			fail("kind %d: another shape: %s", kind, masked)
		}
		if n == 0 && len(doc) > 0 && &masked[0] != &doc[0] {
			fail("kind %d: copied without a match", kind)
		}
		if len(table.Ungated()) == 0 { // else some fake holds a real
			if label, found := table.Leak(masked, kind); found {
				fail("kind %d: %s leaks in %s", kind, label, masked)
			}
			if _, found := table.Leak(doc, kind); !found && n > 0 {
				fail("kind %d: the gate does not see what Mask replaced %d times", kind, n)
			}
			if again, n, err := table.Mask(masked, kind); n != 0 || err != nil {
				fail("kind %d: masked again: %s (%v)", kind, again, err)
			}
		}
		if !exact || !twoWay {
			continue
		}
		// A document that holds a key twice is refused on the way back.
		back, _, err := table.Restore(masked)
		if err == nil && !sameText(t, back, doc) {
			fail("kind %d: came back as %s, from %s", kind, back, masked)
		}
		if err != nil && rawjson.CheckArgs(doc) == nil {
			fail("kind %d: %v", kind, err)
		}
	}
}

// sameText reports whether two documents differ in the spelling of escapes at
// most: a value that was spelled with escapes comes back without.
func sameText(t *testing.T, a, b []byte) bool {
	t.Helper()
	sa, sb := rawjson.NewScanner(a), rawjson.NewScanner(b)
	for {
		ta, _ := sa.Next()
		tb, _ := sb.Next()
		if ta.Kind != tb.Kind {
			return false
		}
		la, lb := a[ta.Start:ta.End], b[tb.Start:tb.End]
		switch ta.Kind {
		case rawjson.End:
			return true
		case rawjson.String, rawjson.Key:
			if unquote(t, la) != unquote(t, lb) {
				return false
			}
		default:
			if string(la) != string(lb) {
				return false
			}
		}
	}
}

func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	for range 500 {
		checkProperties(t, rng)
	}
}

func FuzzProperties(f *testing.F) {
	rng := rand.New(rand.NewSource(4))
	for range 20 {
		b := make([]byte, 400)
		_, _ = rng.Read(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkProperties(t, &bytesChooser{data}) })
}

// FuzzAnyInput feeds bytes that need not be JSON: nothing may panic, valid
// input stays valid, and what is broken is never passed on with a value in it.
func FuzzAnyInput(f *testing.F) {
	for _, s := range []string{
		`{"María":["\u004dar\u00eda",12,"\ud83d\ude00\ud800"]}`, `"Mar`, `Mar\u00eda`, `{"a":"\`, `María`, "\"\xffMaría\xc3\"", `[12,120,-12]`, `"\\u004daría"`,
	} {
		f.Add([]byte(s))
	}
	table, err := Compile([]Pair{
		{Real: "María", Fake: "John \"J\" Doe", CaseSensitive: true, Label: "1"},
		{Real: "12", Fake: "99", CaseSensitive: true, Label: "2"},
		{Real: "Ana", Fake: "Eve", Label: "3"},
		{Real: "\\u00", Fake: "esc", Label: "4", OneWay: true},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, kind := range []Kind{Payload, Result, Tool} {
			masked, _, err := table.Mask(doc, kind)
			if rawjson.Valid(doc) != nil {
				if err == nil && string(masked) != string(doc) {
					t.Fatalf("broken input was rewritten: %q", masked)
				}
				if bare := strings.ReplaceAll(string(doc), "\\", ""); err == nil && strings.Contains(bare, "María") && strings.Contains(string(doc), "María") {
					t.Fatalf("broken input was passed on: %q", doc)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(masked) {
				t.Fatalf("%q became %q", doc, masked)
			}
		}
		if restored, _, err := table.Restore(doc); err == nil && json.Valid(doc) && !json.Valid(restored) {
			t.Fatalf("%q became %q", doc, restored)
		}
		_ = table.MaskText(string(doc))
	})
}
