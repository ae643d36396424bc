package child

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// CallError says why a call has no reply. Its text names the child, the
// reason, the child's last stderr lines (anonymized) and what to do.
type CallError struct {
	// Child is the child's name.
	Child string
	// Reason completes "child NAME ...", as in "exited with status 1".
	Reason string
	// Sent reports whether any byte of the request may have reached the
	// child. If false nothing has run, provably; if true it may have.
	Sent bool
	// Stderr holds the child's last lines, at most 5 of together 500 bytes.
	Stderr []string
	// Hint is what to do about it; it may be empty.
	Hint string
	// Err is the cause: the context's error for a call that was given up, or
	// that of the operating system. It may be nil.
	Err error
}

// Error is one line for a human or a model to read.
func (e *CallError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "child %q %s", e.Child, e.Reason)
	if e.Sent {
		b.WriteString("; the call had been sent and may have run: check before you repeat it")
	} else {
		b.WriteString("; the call was not sent")
	}
	writeTail(&b, e.Hint, e.Stderr)
	return b.String()
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// failure is why there is no reply, or no process. It is complete before it is
// shared and never changed afterwards.
type failure struct {
	what    string // completes "child NAME ..."
	hint    string
	cause   error
	stderr  []string
	own     bool  // the child did it by itself: its exit status is worth waiting for
	settled bool  // an early restart would change nothing
	left    error // a process that outlived SIGKILL
}

// call is the failure as one call is told it.
func (f *failure) call(child string, sent bool) *CallError {
	return &CallError{Child: child, Reason: f.what, Sent: sent, Stderr: f.stderr, Hint: f.hint, Err: f.cause}
}

// status is the failure as Status tells it.
func (f *failure) status(child string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "child %q %s", child, f.what)
	writeTail(&b, f.hint, f.stderr)
	if f.cause == nil {
		return errors.New(b.String())
	}
	return &statusError{b.String(), f.cause}
}

type statusError struct {
	text  string
	cause error
}

func (e *statusError) Error() string { return e.text }
func (e *statusError) Unwrap() error { return e.cause }

func writeTail(b *strings.Builder, hint string, stderr []string) {
	if hint != "" {
		b.WriteString("; " + hint)
	}
	if len(stderr) > 0 {
		b.WriteString("; last lines on its stderr:")
		for _, l := range stderr {
			fmt.Fprintf(b, " %q", l)
		}
	}
}

// interrupted is the failure of a call whose context has ended.
func interrupted(ctx context.Context, where string) *failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{what: where + " when the call's time was up", cause: ctx.Err()}
	}
	return &failure{what: where + " when the call was cancelled", cause: ctx.Err()}
}
