//go:build unix && !linux

package child

import (
	"os"
	"syscall"
)

// attributes put the process into a group of its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit cannot wait without reaping here: the group is signalled right
// after the reaping instead, within the time the system takes to reuse an id.
func awaitExit(*os.Process) (unreaped bool) { return false }

// running reports whether a process of the group exists. Signal 0 harms
// nobody, should the id be another's already.
func running(group int) bool { return syscall.Kill(-group, 0) != syscall.ESRCH }

func growPipe(*os.File) {}
