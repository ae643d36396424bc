package conf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func FuzzLoad(f *testing.F) {
	for _, tc := range wrong {
		f.Add(tc.src)
	}
	if b, err := os.ReadFile(examplePath); err == nil {
		f.Add(string(b))
	}
	f.Add(whole)
	f.Add("proxy.name.x = 1\nproxy.name = 2\n[[mcp.a]]\n[mcp.a.b]\n")
	dir := f.TempDir()
	env := getenv(vars("V=S3cret", "EMPTY="))
	f.Fuzz(func(t *testing.T, src string) {
		for _, side := range []Side{ProxySide, RelaySide} {
			c, err := load("p.toml", dir+"/p.toml", src, env, side)
			var ps Problems
			switch {
			case err == nil && c == nil:
				t.Fatal("neither a configuration nor an error")
			case err == nil:
				ps = c.Warnings
			case !errors.As(err, &ps) || len(ps) == 0 || c != nil:
				t.Fatalf("%#v with the error %#v", c, err)
			}
			last := 0
			for _, p := range ps {
				if p.Line < 1 || p.Col < 1 || p.Line > 1+strings.Count(src, "\n") || p.Line < last || p.Msg == "" {
					t.Errorf("%q: %#v", src, p)
				}
				if strings.Contains(p.Error(), "\n") {
					t.Errorf("%q: more than one line: %q", src, p.Error())
				}
				last = p.Line
			}
			if s := fmt.Sprint(ps); strings.Contains(s, "S3cret") && !strings.Contains(src, "S3cret") {
				t.Errorf("%q: a variable's value is shown: %s", src, s)
			}
		}
	})
}

// Escapes and literals together spell every string of the file's own.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "a", "${V}", "$${V}", "$$${V}", "${V:-}${W:-d}", "${file:x}", "${", "$", "${}", "${V${V}}", "x$${}$"} {
		f.Add(s)
	}
	e := &environment{getenv: getenv(vars("V=${V}$${V}")), dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := e.expand(s); err == nil && !strings.Contains(s, "${") && x.text != s {
			t.Errorf("%q became %q", s, x.text)
		}
		literal := strings.ReplaceAll(s, "${", "$${")
		if x, err := e.expand(literal); err != nil || x.text != s || len(x.lack)+len(x.empty) > 0 {
			t.Errorf("%q became %q, %v, want %q", literal, x.text, err, s)
		}
	})
}
