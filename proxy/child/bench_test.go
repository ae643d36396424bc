package child

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCall is a call to the kit, whose own cost is the larger part of
// the time. The allocations are this package's.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dB/%d", size, callers), func(b *testing.B) {
				c := New(Options{Name: "kit", Command: kit})
				ctx, cancel := context.WithCancel(b.Context())
				ran := make(chan error, 1)
				go func() { ran <- c.Run(ctx) }()
				defer func() { cancel(); <-ran }()
				<-c.Ready()
				p := params("big", fmt.Sprintf(`{"bytes":%d,"fill":"%s"}`, size, strings.Repeat("x", size)))
				b.ReportAllocs()
				b.SetParallelism(max(1, callers/2))
				call := func(p json.RawMessage) {
					if _, err := c.Call(ctx, "tools/call", p); err != nil {
						b.Error(err)
					}
				}
				if callers == 1 {
					for b.Loop() {
						call(p)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						call(p)
					}
				})
			})
		}
	}
}
