package catalog

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"portero/shared/rawjson"
)

// Hit is one tool found by Search, with what the client may see of it.
type Hit struct {
	Tool  Tool
	Score int
}

// categories are words that stand for more than themselves.
var categories = map[string][]string{
	"gmail":      {"gmail", "message", "label", "filter", "thread"},
	"calendar":   {"calendar", "event", "freebusy"},
	"drive":      {"drive", "file", "folder", "permission"},
	"email":      {"mail", "message", "email", "gmail"},
	"filesystem": {"filesystem", "file", "directory"},
	"stripe":     {"stripe", "payment", "invoice", "customer", "subscription", "refund"},
}

// Search ranks the tools by how well their names and descriptions fit the
// words of query; with no query it returns all of them in listing order. A
// category is a server's name or one of the known words.
func (c *Catalog) Search(query, category string, limit int) (hits []Hit, total int) {
	words := split(query)
	for _, t := range c.All() {
		if category != "" && !inCategory(t, strings.ToLower(category)) {
			continue
		}
		if score := rate(t, words); score > 0 || len(words) == 0 {
			hits = append(hits, Hit{t, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	return hits[:min(limit, len(hits))], len(hits)
}

func inCategory(t Tool, category string) bool {
	if t.Child == category {
		return true
	}
	text := strings.ToLower(t.Name + " " + described(t))
	for _, word := range append([]string{category}, categories[category]...) {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func described(t Tool) string {
	text, err := rawjson.Unquote(t.Description)
	if err != nil {
		return "" // it has none
	}
	return text
}

// rate scores a tool: words in its name count most, every word that fits
// counts, and a tool that fits all of them comes before one that repeats one.
func rate(t Tool, words []string) int {
	name, text := split(t.Name), split(described(t))
	score, fitting := 0, 0
	for _, w := range words {
		s := 4*best(w, name) + best(w, text)
		if s > 0 {
			fitting++
		}
		score += s
	}
	return score * (1 + fitting)
}

// best is how well the best of words fits w: 3 the same, 2 the same stem, 1 a
// part of it.
func best(w string, words []string) int {
	top := 0
	for _, other := range words {
		switch {
		case other == w:
			return 3
		case stem(other) == stem(w):
			top = max(top, 2)
		case len(w) > 2 && strings.Contains(other, w):
			top = max(top, 1)
		}
	}
	return top
}

func stem(w string) string {
	for _, end := range []string{"ing", "ies", "es", "ed", "s", "e", "y"} {
		if s, ok := strings.CutSuffix(w, end); ok && len(s) > 2 {
			return s
		}
	}
	return w
}

// split cuts text into lower-case words, also at punctuation and before an
// upper-case letter in the middle of a word.
func split(text string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	lower := false
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
		} else {
			if unicode.IsUpper(r) && lower {
				flush()
			}
			word = append(word, r)
		}
		lower = unicode.IsLower(r)
	}
	flush()
	return words
}
