package telegram

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Everything that people read passes through page.put, the one escaper.
//
// What tools and machines say is made readable first: whatever cannot be seen,
// or would change how its surroundings are seen, becomes ⟨U+202E⟩; a byte that
// is not UTF-8 becomes ⟨0xFF⟩; a tab becomes ⇥. These signs become such numbers
// themselves, so that only this program can write them. Two different texts
// never look the same because of an invisible character.

// visible returns s on one line.
func visible(s string) string {
	out, _ := fit(s, math.MaxInt)
	return out
}

// fit returns as much of s, made visible, as fits into most units, and how
// many bytes of s it left out.
func fit(s string, most int) (out string, left int) {
	var b strings.Builder
	marks, n := 0, 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if unicode.In(r, unicode.Mn, unicode.Me) {
			marks++
		} else {
			marks = 0
		}
		var c string
		switch {
		case r == utf8.RuneError && size == 1:
			c = fmt.Sprintf("⟨0x%02X⟩", s[i])
		case r == '\t':
			c = "⇥"
		case hidden(r), marks > 3: // a pile of accents covers the lines around it
			c = fmt.Sprintf("⟨U+%04X⟩", r)
		default:
			c = s[i : i+size]
		}
		if n += units(c); n > most {
			return b.String(), len(s) - i
		}
		b.WriteString(c)
		i += size
	}
	return b.String(), 0
}

// hidden reports whether a character is shown by its number.
func hidden(r rune) bool {
	switch {
	case r == ' ' || r > ' ' && r < 0x7f:
		return false
	case r == 0xFE0F: // asks for the colourful form of an emoji
		return false
	case r == '⟨' || r == '⟩' || r == '⇥' || r == 0x2800: // its own signs; the blank braille cell
		return true
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Zs, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// escape writes visible text as the Bot API's HTML.
var escape = strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", `"`, "&quot;").Replace

// units is the length of a text as Telegram counts it: in UTF-16 units.
func units(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// cut returns at most n code points of s and how many bytes it left out.
func cut(s string, n int) (head string, left int) {
	for i := 0; i < len(s); n-- {
		if n == 0 {
			return s[:i], len(s) - i
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return s, 0
}

// page is a message in the making. n is its length as Telegram counts it,
// without the markup.
type page struct {
	html strings.Builder
	n    int
}

// put writes text inside a tag, none when tag is empty. Line breaks in it are
// the program's own: text of others comes from visible or lines.
func (p *page) put(tag, text string) *page {
	if tag != "" {
		p.html.WriteString("<" + tag + ">")
	}
	p.html.WriteString(escape(text))
	if tag != "" {
		p.html.WriteString("</" + tag + ">")
	}
	p.n += units(text)
	return p
}

// say writes the program's own words.
func (p *page) say(text string) *page { return p.put("", text) }

// bold writes the program's own words in bold.
func (p *page) bold(text string) *page { return p.put("b", text) }

// quote writes at most n units of somebody else's text, on one line. Set as
// code, it makes no link, mention or command.
func (p *page) quote(text string, n int) *page {
	out, left := fit(text, n-1)
	if left > 0 {
		out += "…"
	}
	if out == "" {
		out = "–"
	}
	return p.put("code", out)
}

func (p *page) String() string { return p.html.String() }
