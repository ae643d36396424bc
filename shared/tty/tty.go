// Package tty owns how the programs talk to a human on a terminal: one line
// per thing that is wrong, on stderr, with the program's name in front, and
// after them the hints, each once:
//
//	portero-stdio: error: portero.toml:14:1: unknown key "polices" (did you mean "policy"?)
//	portero-stdio: hint: ...
//
// Messages begin with a small letter and end without a full stop. They may
// quote what a child or a network peer sent, so characters that could drive
// the terminal are written as escapes.
package tty

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"portero/shared/conf"
)

// The exit codes of both programs. They are documented and do not change.
const (
	ExitOK      = 0
	ExitFailed  = 1 // anything else
	ExitUsage   = 2 // the command line
	ExitConfig  = 3 // the configuration
	ExitRefused = 4 // the relay refused this machine
	ExitAudit   = 5 // the audit log is broken
)

// Fault is an error that decides the exit code, and says what to do about it.
type Fault struct {
	Code  int
	Err   error
	Hints []string // what to do, or to type, next
}

// Error is the error's own text.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap is the error.
func (f *Fault) Unwrap() error { return f.Err }

// Usage is a fault in the command line.
func Usage(hint, format string, args ...any) *Fault {
	f := &Fault{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
	if hint != "" {
		f.Hints = []string{hint}
	}
	return f
}

// ExitCode is the exit code that err ends a program with: that of the
// outermost Fault in it, else 3 for a problem of the configuration, else 1;
// 0 for nil.
func ExitCode(err error) int {
	var fault *Fault
	var problems conf.Problems
	var file *conf.FileError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &fault):
		return fault.Code
	case errors.As(err, &problems), errors.As(err, &file):
		return ExitConfig
	}
	return ExitFailed
}

// Error prints err for prog: an error line per problem of the configuration or
// line of text, then the hints. It prints nothing for nil.
func Error(w io.Writer, prog string, err error) {
	if err == nil {
		return
	}
	var out printer
	var problems conf.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			out.line(prog, "error", p.Error())
		}
	} else {
		out.line(prog, "error", err.Error())
	}
	for _, h := range hints(err) {
		out.line(prog, "hint", h)
	}
	out.writeTo(w)
}

// Notices prints what a valid configuration has to say for prog: a warning
// line per warning, and a notice line per child that is left out.
func Notices(w io.Writer, prog string, c *conf.Config) {
	var out printer
	for _, p := range c.Warnings {
		out.line(prog, "warning", p.Error())
	}
	for _, s := range c.Skipped {
		out.line(prog, "notice", fmt.Sprintf("%s:%d:%d: child %q is left out: %s", s.File, s.Line, s.Col, s.Name, s.Reason))
	}
	out.writeTo(w)
}

// hints are those of everything err wraps, outermost first, each once.
func hints(err error) (out []string) {
	seen := map[string]bool{"": true}
	add := func(h string) {
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
			return
		case *Fault:
			for _, h := range e.Hints {
				add(h)
			}
		case *conf.FileError:
			add(e.Hint())
		case *conf.DirError:
			add(e.Hint())
		case conf.Problems:
			for _, p := range e {
				add(p.Hint)
			}
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	return out
}

// printer gathers lines and writes them at once, so that the lines of two
// processes on one terminal do not mix.
type printer struct{ b strings.Builder }

func (p *printer) line(prog, kind, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		fmt.Fprintf(&p.b, "%s: %s: %s\n", prog, kind, Printable(line))
	}
}

// writeTo ignores the error: there is nobody left to tell.
func (p *printer) writeTo(w io.Writer) { _, _ = io.WriteString(w, p.b.String()) }

// Printable is s with every character that is not plain text (controls, line
// ends, bidirectional overrides, invalid UTF-8) written as an escape, fit for
// one line of a terminal.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == unicode.ReplacementChar && s[i] != "\uFFFD"[0]:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
