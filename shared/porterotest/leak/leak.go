// Package leak fails a package's tests when goroutines outlive them.
package leak

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"
)

// Main runs the tests and returns the exit code: 1 when one of them failed, or
// when a goroutine is still there 2 s after the last of them.
func Main(m *testing.M) int {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(2 * time.Second); code == 0 && runtime.NumGoroutine() > before; runtime.Gosched() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left over:\n%s\n", buf[:runtime.Stack(buf, true)])
			code = 1
		}
	}
	return code
}
