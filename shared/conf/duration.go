package conf

import (
	"errors"
	"math"
	"strings"
	"time"
)

var errDuration = errors.New(`not a duration: write for example "90s", "30m", "2h30m" or "1d"`)

var units = []struct {
	name string
	size time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// ParseDuration reads a duration as people write it to Portero, in the
// configuration and in chat: whole numbers of d, h, m, s and ms, the larger
// unit first, such as 30m, 2h30m or 1d. A lone 0 needs no unit. The error
// says how to write one and does not repeat s.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, errDuration
	}
	var sum time.Duration
	next := 0
	for s != "" {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		if digits == 0 || digits > 15 {
			return 0, errDuration
		}
		var n int64
		for _, c := range s[:digits] {
			n = n*10 + int64(c-'0')
		}
		s = s[digits:]
		name := s[:len(s)-len(strings.TrimLeft(s, "dhms"))]
		for next < len(units) && units[next].name != name {
			next++
		}
		if next == len(units) {
			return 0, errDuration
		}
		size := units[next].size
		if n > (math.MaxInt64-int64(sum))/int64(size) {
			return 0, errDuration
		}
		sum += time.Duration(n) * size
		s = s[len(name):]
		next++
	}
	return sum, nil
}
