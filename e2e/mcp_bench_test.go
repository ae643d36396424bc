package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"portero/shared/porterotest/rig"
)

// BenchmarkAllowedCall is one call after the other of a tool that echoes its
// arguments, to the server itself and through portero-stdio, with replacements
// that do not occur. The client looks at nothing but the ends of lines.
func BenchmarkAllowedCall(b *testing.B) {
	w := rig.New(b)
	w.Write(alone + another("kit") + "[policy]\ndefault = \"allow\"\n[[replacement]]\nfake = \"John Doe\"\nreal = \"María Cárdenas\"\n")
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100B", 100}, {"1MB", 1_000_000}} {
		for _, way := range []struct {
			name, tool string
			args       []string
		}{
			{"direct", "echo", []string{rig.Bin("kit")}},
			{"portero", "kit/echo", []string{rig.Bin("portero-stdio"), "--config", w.Config(), "--log-level", "error"}},
		} {
			b.Run(size.name+"/"+way.name, func(b *testing.B) {
				c := startBare(b, w, way.args)
				args := fmt.Appendf(nil, `{"text":"%s"}`, bytes.Repeat([]byte("the quick brown fox. "), size.bytes/21+1)[:size.bytes-11])
				line := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", way.tool, args)
				c.do(b, line)
				b.SetBytes(int64(len(args)))
				for b.Loop() {
					if n := c.do(b, line); n < 2*len(args) {
						b.Fatalf("an answer of %d bytes", n)
					}
				}
			})
		}
	}
}

// bare is an MCP server of which only the line ends of answers are looked at.
type bare struct {
	in  io.Writer
	out *bufio.Reader
}

func startBare(b *testing.B, w *rig.World, args []string) *bare {
	b.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	c := &bare{in, bufio.NewReaderSize(out, 256<<10)}
	c.do(b, []byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"rig","version":"1"}}}`+"\n"))
	// Also waits for the servers behind it.
	c.do(b, []byte(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`+"\n"))
	return c
}

// do writes a line and reads the next one that answers something. It returns
// its length.
func (c *bare) do(b *testing.B, line []byte) (size int) {
	b.Helper()
	if _, err := c.in.Write(line); err != nil {
		b.Fatal(err)
	}
	for {
		part, err := c.out.ReadSlice('\n')
		if size == 0 && bytes.HasPrefix(part, []byte(`{"jsonrpc":"2.0","method":`)) {
			continue // a notification, which is short
		}
		size += len(part)
		switch err {
		case nil:
			return size
		case bufio.ErrBufferFull:
		default:
			b.Fatal(err)
		}
	}
}
