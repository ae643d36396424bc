package conf

import (
	"fmt"
	"strconv"
	"strings"
)

// instead says, in brackets, what could have been written in place of got.
func instead(got string, allowed []string) string {
	if best := nearest(got, allowed); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	if len(allowed) == 0 {
		return ""
	}
	return " (allowed: " + strings.Join(allowed, ", ") + ")"
}

// oneOf lists the values a key may have.
func oneOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return strings.Join(quoted, ", ")
}

// nearest is the name of the list that got was likely meant to be, or "".
func nearest(got string, names []string) string {
	fold := strings.NewReplacer("_", "", "-", "", " ", "")
	want := fold.Replace(strings.ToLower(got))
	best, least := "", 1000
	for _, name := range names {
		plain := fold.Replace(name)
		d := distance(want, plain)
		if len(want) > 2 && strings.HasPrefix(plain, want) {
			d = 1
		}
		if d < least && d <= (max(len(want), len(plain))+2)/3 && d < len(plain) {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1000
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
