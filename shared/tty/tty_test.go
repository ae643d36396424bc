package tty

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"portero/shared/conf"
)

var problems = conf.Problems{
	{File: "p.toml", Line: 1, Col: 2, Msg: `unknown key "a"`},
	{File: "p.toml", Line: 3, Col: 4, Msg: "variable X is not set", Hint: "set it"},
	{File: "p.toml", Line: 5, Col: 6, Msg: "variable Y is not set", Hint: "set it"},
}

func TestError(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"none", nil, 0, ""},
		{"plain", errors.New("open journal: disk full"), 1, "p: error: open journal: disk full\n"},
		{"problems", problems, 3, "p: error: p.toml:1:2: unknown key \"a\"\np: error: p.toml:3:4: variable X is not set\n" +
			"p: error: p.toml:5:6: variable Y is not set\np: hint: set it\n"},
		{"wrapped problems", fmt.Errorf("load: %w", problems[:1]), 3, "p: error: p.toml:1:2: unknown key \"a\"\n"},
		{"no file", &conf.FileError{Path: "/x/portero.toml", Err: fs.ErrNotExist}, 3,
			"p: error: no configuration: /x/portero.toml does not exist\n" +
				"p: hint: copy portero.toml.example to /x/portero.toml and edit it, or name another file with --config\n"},
		{"usage", Usage("try --help", "unknown command %q", "chekc"), 2,
			"p: error: unknown command \"chekc\"\np: hint: try --help\n"},
		{"refused", fmt.Errorf("link: %w", &Fault{Code: ExitRefused, Err: errors.New("wrong token"), Hints: []string{"a", "b", "a"}}), 4,
			"p: error: link: wrong token\np: hint: a\np: hint: b\n"},
		{"audit", &Fault{Code: ExitAudit, Err: errors.New("line 7 was altered")}, 5, "p: error: line 7 was altered\n"},
		{"joined", errors.Join(errors.New("one"), &Fault{Code: ExitAudit, Err: errors.New("two"), Hints: []string{"h"}}), 5,
			"p: error: one\np: error: two\np: hint: h\n"},
		{"a fault's code wins", &Fault{Code: ExitFailed, Err: problems[:1]}, 1, "p: error: p.toml:1:2: unknown key \"a\"\n"},
		{"a child's exit code does not", &exec.ExitError{}, 1, "p: error: <nil>\n"},
		{"hostile", errors.New("child said \x1b[2J\u202eabc\r\xff\uFFFD\té\n\n"), 1, "p: error: child said \\x1b[2J\\u202eabc\\r\\xff\uFFFD é\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b strings.Builder
			Error(&b, "p", tc.err)
			if b.String() != tc.want {
				t.Errorf("printed\n%s\nwant\n%s", b.String(), tc.want)
			}
			if code := ExitCode(tc.err); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
		})
	}
}

func TestErrorOfDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.toml")
	if _, err := conf.Load(file, nil, conf.ProxySide); ExitCode(err) != ExitConfig {
		t.Errorf("missing file: exit code %d", ExitCode(err))
	}
	err := conf.PrivateDir("/dev/null/portero")
	var b strings.Builder
	Error(&b, "p", fmt.Errorf("start: %w", err))
	want := "p: error: start: use directory /dev/null/portero: not a directory\n" +
		"p: hint: name a directory that can be created (state_dir in [proxy], data_dir in [relay]), or remove the file in its way\n"
	if b.String() != want || ExitCode(err) != ExitFailed {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}

func TestNotices(t *testing.T) {
	c := &conf.Config{
		Warnings: []conf.Problem{{File: "p.toml", Line: 1, Col: 1, Msg: "proxy.idle_stop has no effect in this version"}},
		Skipped:  []conf.SkippedChild{{Name: "notion", File: "p.toml", Line: 9, Col: 3, Reason: "variable NOTION_API_TOKEN is not set"}},
	}
	var b strings.Builder
	Notices(&b, "p", c)
	want := "p: warning: p.toml:1:1: proxy.idle_stop has no effect in this version\n" +
		"p: notice: p.toml:9:3: child \"notion\" is left out: variable NOTION_API_TOKEN is not set\n"
	if b.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
