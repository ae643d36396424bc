package child

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe is grown to once it has to carry a large message.
// Not before: what one user may have in all pipes together is limited, and
// beyond it every new pipe of that user gets a single page.
const pipeSize = 1 << 20

// attributes put the process into a group of its own and have the kernel kill
// it when the thread that forked it ends, so also when Portero is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns when the process has ended, and leaves it unreaped: its id
// and that of its group cannot be given to others until then.
func awaitExit(p *os.Process) (unreaped bool) {
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err == nil
		}
	}
}

// running reports whether a process of the group is there and no zombie: those
// who reap orphans, above all in containers, take their time. Signal 0 harms
// nobody, should the id be another's already.
func running(group int) bool {
	if unix.Kill(-group, 0) == unix.ESRCH {
		return false
	}
	stats, err := filepath.Glob("/proc/[1-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid group ...; the name may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return false
}

// growPipe is best effort: a small pipe is slower, nothing else.
func growPipe(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}
