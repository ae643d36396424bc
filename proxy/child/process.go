package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// unkillable is the time past its deadline after which a process that has got
// SIGKILL is given up: the machine may merely be busy.
const unkillable = 5 * time.Second

// process is one started process, leader of a group of its own.
type process struct {
	pid                   int
	stdin, stdout, stderr *os.File // our ends

	exited chan struct{} // closed when the leader has ended; unreaped where the system allows
	reap   chan struct{} // closed by the owner: kill what is left of the group and reap
	reaped chan struct{} // closed when that is done
	state  *os.ProcessState

	mu   sync.Mutex
	gone bool // the leader has been reaped: its group's id may be another's
}

// startProcess starts the program at path.
func startProcess(path string, argv, env []string, dir string) (*process, error) {
	var files [6]*os.File // stdin r, w; stdout r, w; stderr r, w
	for i := 0; i < len(files); i += 2 {
		var err error
		if files[i], files[i+1], err = os.Pipe(); err != nil {
			closeAll(files[:i])
			return nil, err
		}
	}
	p := &process{
		stdin: files[1], stdout: files[2], stderr: files[4],
		exited: make(chan struct{}), reap: make(chan struct{}), reaped: make(chan struct{}),
	}
	if env == nil {
		env = []string{} // nil would be Portero's own
	}
	attr := &os.ProcAttr{Dir: dir, Env: env, Files: []*os.File{files[0], files[3], files[5]}, Sys: attributes()}
	started := make(chan error)
	go p.hold(path, argv, attr, started)
	err := <-started
	closeAll([]*os.File{files[0], files[3], files[5]})
	if err != nil {
		closeAll([]*os.File{p.stdin, p.stdout, p.stderr})
		return nil, err
	}
	return p, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // pipes without data in flight
	}
}

// hold forks, waits and reaps on one OS thread: the kernel kills the process
// when the thread that forked it ends, and Go ends threads as it likes.
func (p *process) hold(path string, argv []string, attr *os.ProcAttr, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	proc, err := os.StartProcess(path, argv, attr)
	if err != nil {
		started <- err
		return
	}
	p.pid = proc.Pid
	started <- nil
	unreaped := awaitExit(proc)
	if unreaped {
		close(p.exited)
		<-p.reap
		p.signal(syscall.SIGKILL)
	}
	state, _ := proc.Wait() // no status, then: the process is our own
	if !unreaped {
		p.signal(syscall.SIGKILL)
	}
	p.mu.Lock()
	p.state, p.gone = state, true
	p.mu.Unlock()
	if !unreaped {
		close(p.exited)
	}
	close(p.reaped)
}

// signal sends sig to the whole group, unless its leader has been reaped.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		_ = syscall.Kill(-p.pid, sig) // who has ended meanwhile needs no signal
	}
}

// end kills what is left of the group and waits until it is gone, at most
// until the deadline. The error says that the leader is not.
func (p *process) end(deadline time.Time) error {
	p.signal(syscall.SIGKILL)
	close(p.reap)
	select {
	case <-p.reaped:
	case <-time.After(time.Until(deadline) + unkillable):
		return fmt.Errorf("process %d did not end on SIGKILL", p.pid)
	}
	for running(p.pid) && time.Now().Before(deadline) { // they have the signal
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// outcome says how the process ended by itself, or "" if it is not known.
func (p *process) outcome() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return ""
	}
	if ws, ok := p.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("was ended by signal %d (%s)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Sprintf("exited with status %d", p.state.ExitCode())
}

// lookCommand finds the program as the child's own environment names it.
// Relative entries of PATH are passed over: what is executed must not depend
// on the folder Portero was started in.
func lookCommand(command, dir string, env []string) (string, error) {
	if command == "" {
		return "", errors.New("no command is given")
	}
	if strings.Contains(command, "/") {
		at := command
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		if err := executable(at); err != nil {
			return "", err
		}
		if filepath.IsAbs(at) {
			return at, nil
		}
		return filepath.Abs(at)
	}
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	found := error(nil)
	for _, entry := range filepath.SplitList(path) {
		if !filepath.IsAbs(entry) {
			continue
		}
		at := filepath.Join(entry, command)
		err := executable(at)
		if err == nil {
			return at, nil
		}
		if found == nil && !errors.Is(err, fs.ErrNotExist) {
			found = err
		}
	}
	if found != nil {
		return "", found
	}
	return "", fmt.Errorf("command %q is in no folder of its PATH (%s): %w", command, path, fs.ErrNotExist)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "execute", Path: path, Err: syscall.EISDIR}
	case info.Mode()&0o111 == 0:
		return &fs.PathError{Op: "execute", Path: path, Err: fs.ErrPermission}
	}
	return nil
}
