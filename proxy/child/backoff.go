package child

import (
	"math/rand/v2"
	"time"
)

// backoff says how long to wait before the next start.
type backoff struct {
	least, most time.Duration
	stable      time.Duration
	now         time.Duration // the last delay before jitter, 0 at first
	random      func() float64
}

func newBackoff(t timing) *backoff {
	return &backoff{least: t.backoffMin, most: t.backoffMax, stable: t.stable, random: rand.Float64}
}

// next returns the delay after a process that was ready for that long; settled
// asks for the longest one at once. The jitter of a quarter keeps children
// that fell together from starting together.
func (b *backoff) next(ready time.Duration, settled bool) time.Duration {
	if ready >= b.stable {
		b.now = 0
	}
	switch {
	case settled:
		b.now = b.most
	case b.now == 0:
		b.now = b.least
	default:
		b.now = min(2*b.now, b.most)
	}
	return min(b.most, time.Duration(float64(b.now)*(0.75+b.random()/2)))
}
