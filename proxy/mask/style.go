package mask

import (
	"strings"
	"unicode"
)

// restyle gives repl the letter case of matched if that is all UPPER, all lower
// or Title Case; a single capital letter may be either of two. What cannot be
// told, or what would no longer match repl, stays as it was configured.
func restyle(matched, repl string) string {
	styled := repl
	switch upper, lower, title := letterCase(matched); {
	case upper == 0 && lower > 0:
		styled = strings.ToLower(repl)
	case lower == 0 && upper > 1:
		styled = strings.ToUpper(repl)
	case title && lower > 0:
		styled = titleCase(repl)
	}
	if !strings.EqualFold(styled, repl) {
		return repl
	}
	return styled
}

// letterCase counts letters and reports whether a capital stands at the start
// of every word and nowhere else.
func letterCase(s string) (upper, lower int, title bool) {
	title = true
	start := true
	for _, r := range s {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			upper++
			title = title && start
		case unicode.IsLower(r):
			lower++
			title = title && !start
		}
		start = !unicode.IsLetter(r)
	}
	return upper, lower, title && upper > 0
}

func titleCase(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		c := unicode.ToLower(r)
		if start {
			c = unicode.ToTitle(r)
		}
		start = !unicode.IsLetter(r)
		return c
	}, s)
}
