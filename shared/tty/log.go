package tty

import (
	"io"
	"log/slog"
)

// Logger returns a logger that writes lines of text to w from a level on:
// debug, info, warn or error.
func Logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, Usage("use debug, info, warn or error", "unknown log level %q", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
