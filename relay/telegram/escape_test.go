package telegram

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"plain Text 123, ä 字 😀":                  "plain Text 123, ä 字 😀",
		"a\nb\r\tc":                              "a⟨U+000A⟩b⟨U+000D⟩⇥c",
		"\x00\x1b\x7f\u0085":                     "⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩⟨U+0085⟩",
		"\u202e\u2066\u200f":                     "⟨U+202E⟩⟨U+2066⟩⟨U+200F⟩",
		"\u200b\u200d\u2060":                     "⟨U+200B⟩⟨U+200D⟩⟨U+2060⟩",
		"\ufeff\u00ad\u034f":                     "⟨U+FEFF⟩⟨U+00AD⟩⟨U+034F⟩",
		"\u00a0\u2003\u3000":                     "⟨U+00A0⟩⟨U+2003⟩⟨U+3000⟩",
		"\u2028\u2029":                           "⟨U+2028⟩⟨U+2029⟩",
		"\u3164\u115f\u2800":                     "⟨U+3164⟩⟨U+115F⟩⟨U+2800⟩",
		"\U000e0041\U000e0100":                   "⟨U+E0041⟩⟨U+E0100⟩",
		"\ue000\uffff\U0010ffff":                 "⟨U+E000⟩⟨U+FFFF⟩⟨U+10FFFF⟩",
		"\xff\xc3":                               "⟨0xFF⟩⟨0xC3⟩",
		"⟨U+202E⟩⇥":                              "⟨U+27E8⟩U+202E⟨U+27E9⟩⟨U+21E5⟩",
		"❤\ufe0f":                                "❤\ufe0f",
		"❤\ufe0e":                                "❤⟨U+FE0E⟩",
		"e\u0301\u0301\u0301\u0301\u0301x\u0301": "e\u0301\u0301\u0301⟨U+0301⟩⟨U+0301⟩x\u0301",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		head string
		left int
	}{
		{"", 0, "", 0}, {"abc", 3, "abc", 0}, {"abc", 2, "ab", 1}, {"😀😀", 1, "😀", 4}, {"ä\xffb", 2, "ä\xff", 1}, {"abc", 0, "", 3},
	} {
		if head, left := cut(tt.in, tt.n); head != tt.head || left != tt.left {
			t.Errorf("cut(%q, %d) = %q, %d", tt.in, tt.n, head, left)
		}
	}
}

var sign = regexp.MustCompile(`⟨(?:U\+([0-9A-F]{4,6})|0x([0-9A-F]{2}))⟩|⇥`)

// FuzzEscape checks that the visible form is safe, and that it can be read
// back: no two texts look the same because of what cannot be seen.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a<b>&\"c\"", "\u202e\n⟨U+202E⟩\t⇥", "\xff\xfe\u0301\u0301\u0301\u0301", "&lt;&amp;#60;", "\ufe0f\U000e0100"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		out := visible(s)
		if !utf8.ValidString(out) || strings.ContainsAny(out, "\n\r\t\u202e\u200b\u2028\x00") {
			t.Errorf("visible(%q) = %q", s, out)
		}
		back := sign.ReplaceAllStringFunc(out, func(m string) string {
			switch sub := sign.FindStringSubmatch(m); {
			case sub[1] != "":
				n, _ := strconv.ParseInt(sub[1], 16, 32)
				return string(rune(n))
			case sub[2] != "":
				n, _ := strconv.ParseUint(sub[2], 16, 8)
				return string([]byte{byte(n)})
			}
			return "\t"
		})
		if back != s {
			t.Errorf("%q is shown as %q, which reads as %q", s, out, back)
		}
		safe := escape(out)
		if strings.ContainsAny(safe, "<>\"") || html.UnescapeString(safe) != out && !strings.Contains(out, "&") {
			t.Errorf("escape(%q) = %q", out, safe)
		}
		head, left := fit(s, most)
		if units(head) > max(0, most) || left < 0 || left > len(s) || head != visible(s[:len(s)-left]) {
			t.Errorf("fit(%q, %d) = %q, %d", s, most, head, left)
		}
		var p page
		p.quote(s, 40)
		if p.n > 41 {
			t.Errorf("quote is %d units long", p.n)
		}
	})
}

// The attached file is the same JSON, with nothing invisible in it.
func FuzzDocument(f *testing.F) {
	f.Add([]byte("{\"a\":\"\u202e\u200b\U000e0041⟨\",\"n\":1.50}"))
	f.Add([]byte(`[1,{"a":"\u202e\\u202e"}]`))
	f.Fuzz(func(t *testing.T, args []byte) {
		out := document(args)
		if !json.Valid(args) || !utf8.Valid(args) {
			return
		}
		var one, two any
		a, b := json.NewDecoder(bytes.NewReader(args)), json.NewDecoder(bytes.NewReader(out))
		a.UseNumber()
		b.UseNumber()
		if err := a.Decode(&one); err != nil {
			return
		}
		if err := b.Decode(&two); err != nil {
			t.Fatalf("document(%q) = %q: %v", args, out, err)
		}
		x, _ := json.Marshal(one)
		y, _ := json.Marshal(two)
		if !bytes.Equal(x, y) {
			t.Errorf("document(%q) = %q", args, out)
		}
		for _, r := range string(out) {
			if r != '\n' && r != '⟨' && r != '⟩' && r != '⇥' && r != utf8.RuneError && hidden(r) {
				t.Errorf("U+%04X in %q", r, out)
			}
		}
	})
}
