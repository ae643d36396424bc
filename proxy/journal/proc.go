package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process holds an exclusive lock on a file of its own for as long as it
// lives. The kernel frees it however the process ends, which makes it the one
// witness of a death that cannot lie.

func procFile(dir, proc string) string { return filepath.Join(dir, "run", proc+".lock") }

func lockProc(dir, proc string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, fmt.Errorf("make lock directory: %w", err)
	}
	f, err := os.OpenFile(procFile(dir, proc), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make process lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("take process lock: %w", err)
	}
	return f, nil
}

// sweep removes the locks of processes that were killed. A young file is left
// alone: its process may be about to lock it.
func (j *Journal) sweep() {
	old, err := filepath.Glob(procFile(j.dir, "*"))
	if err != nil {
		return // the pattern is a constant
	}
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Minute {
			j.Alive(strings.TrimSuffix(filepath.Base(path), ".lock"))
		}
	}
}

// Alive reports whether the process proc of this machine still lives. When it
// cannot tell, it says yes: calling a living process dead could lose a claim,
// calling a dead one alive only waits.
func (j *Journal) Alive(proc string) bool {
	if proc == j.proc {
		return true
	}
	f, err := os.OpenFile(procFile(j.dir, proc), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false
	} else if err != nil {
		return true
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return true
	}
	os.Remove(f.Name())
	return false
}
