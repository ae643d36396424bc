package rig

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Lines are the complete lines of a file, such as the record of a kit; none
// when it is missing.
func Lines(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	return lines[:len(lines)-1]
}

// Line waits until a file has a line that holds text and returns it.
func (w *World) Line(path, text string) (line string) {
	w.T.Helper()
	w.Eventually(path+" has a line with "+text, func() bool {
		for _, line = range Lines(w.T, path) {
			if strings.Contains(line, text) {
				return true
			}
		}
		return false
	})
	return line
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// Resident is the memory of the process in bytes, or 0 where only Linux tells.
func (p *process) Resident() int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/status")
	if err != nil {
		return 0
	}
	m := residentLine.FindSubmatch(status)
	if m == nil {
		return 0
	}
	kb, _ := strconv.Atoi(string(m[1])) // the expression matches digits only
	return kb << 10
}

// Ended reports whether the process has ended.
func (p *process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ProxyFor starts portero-stdio and initializes a session as the client of
// that name, with a protocol revision. It returns the raw result as well.
func (w *World) ProxyFor(client, revision string) (p *Proxy, result string) {
	w.T.Helper()
	p = w.StartProxy()
	result = p.Must("initialize", `{"protocolVersion":"`+revision+`","capabilities":{},"clientInfo":{"name":"`+client+`","version":"1"}}`)
	p.Send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return p, result
}

// Script runs a script of e2e/testdata with node, which finds the packages of
// demo/node_modules in $MODULES, and returns what it printed. It must succeed.
func (w *World) Script(name string, args ...string) string {
	w.T.Helper()
	NodeServer(w.T, "@modelcontextprotocol/server-everything") // or the test fails with what to do
	ctx, cancel := context.WithTimeout(w.T.Context(), 2*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(Root(), "e2e", "testdata", name)}, args...)...)
	cmd.Env = append(w.environ(), "MODULES="+filepath.Join(Root(), "demo", "node_modules"))
	cmd.Dir = w.Dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		w.T.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return string(out)
}
