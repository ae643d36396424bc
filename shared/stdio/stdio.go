// Package stdio prepares the process's own stdin and stdout for a protocol.
package stdio

import (
	"io"
	"os"
	"syscall"
)

// Pipes returns stdin and stdout. Where they are pipes they become
// non-blocking files, so that Go's poller waits for them instead of a thread,
// which at large messages is several times faster. Terminals and files stay as
// they are: their mode is shared with whoever else has them open.
func Pipes() (io.Reader, io.Writer) {
	return poll(os.Stdin, "stdin"), poll(os.Stdout, "stdout")
}

func poll(f *os.File, name string) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return f
	}
	fd := f.Fd() // once: it makes the file blocking again
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return f
	}
	return os.NewFile(fd, name)
}
