package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Problem is one thing wrong with a file, and where. Line and Col count from
// 1, Col in characters. Msg and Hint never hold a secret.
type Problem struct {
	File      string
	Line, Col int
	Msg       string
	Hint      string // what to do about it; empty when Msg says it
}

// Error is the problem on one line: file:line:column: message.
func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Msg)
}

// Problems is everything wrong with a file, in the order of the file.
type Problems []Problem

// Error is the problems, one line each.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// FileError is a configuration file that cannot be read at all.
// errors.Is(err, fs.ErrNotExist) holds when there is none.
type FileError struct {
	Path string
	Err  error
}

// Error names the file and the reason.
func (e *FileError) Error() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return fmt.Sprintf("no configuration: %s does not exist", e.Path)
	}
	return fmt.Sprintf("read configuration %s: %v", e.Path, reason(e.Err))
}

// Unwrap is the operating system's error.
func (e *FileError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *FileError) Hint() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return fmt.Sprintf("copy portero.toml.example to %s and edit it, or name another file with --config", e.Path)
	}
	return "name another file with --config, or make this one readable for you"
}

// reason is what went wrong, without the operation and the path that messages
// name themselves.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
