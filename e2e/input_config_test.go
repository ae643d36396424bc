package e2e

import (
	"os"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// configProblems are files that both programs or one of them refuse: with exit code
// 3, nothing on stdout, and these lines on stderr, {{file}} being the file.
var configProblems = []struct {
	name, text string
	errors     []string // after "portero-stdio: error: {{file}}"
	hint       string
}{
	{"broken TOML", "[proxy]\nname = \"x\n",
		[]string{`:2:10: strings cannot contain newlines`}, ""},
	{"broken table", "[proxy\n",
		[]string{`:1:7: expected '.' or ']' to end table name`}, ""},
	{"unknown keys", "[proxy]\nnmae = \"x\"\n[polcy]\ndefault = \"allow\"\n",
		[]string{`:2:1: unknown key "nmae" in [proxy] (did you mean "name"?)`, `:3:2: unknown key "polcy" (did you mean "policy"?)`}, ""},
	{"all at once", "[proxy]\nname = 3\nbogus = 1\n[policy]\ndefault = \"alow\"\n[[mcp]]\nname = \"A B\"\n", []string{
		`:2:8: proxy.name must be a string, not an integer`,
		`:3:1: unknown key "bogus" in [proxy] (allowed: name, state_dir, tool_separator, instructions, idle_stop)`,
		`:5:11: unknown policy action "alow" (allowed: "allow", "deny", "require-approval")`,
		`:6:3: [[mcp]] lacks "command"`,
		`:7:8: bad child name "A B"`}, ""},
	{"duplicate child", "[[mcp]]\nname = \"a\"\ncommand = \"x\"\n[[mcp]]\nname = \"a\"\ncommand = \"y\"\n",
		[]string{`:5:8: duplicate child name "a" (first in line 1)`}, ""},
	{"reserved child", "[[mcp]]\nname = \"portero\"\ncommand = \"x\"\n",
		[]string{`:2:8: the child name "portero" is taken by Portero's own tools`}, ""},
	{"empty real value", "[[replacement]]\nfake = \"J\"\nreal = \"\"\n",
		[]string{`:3:8: replacement.real is empty`}, "give it a value, or set optional = true to do without this replacement"},
	{"blank real value", "[[replacement]]\nfake = \"J\"\nreal = \" \\t\"\n",
		[]string{`:3:8: replacement.real is empty`}, "give it a value"},
	{"unset real value", "[[replacement]]\nfake = \"J\"\nreal = \"${UNSET_HERE}\"\n",
		[]string{`:3:8: variable UNSET_HERE is not set`}, "set it in the environment or in the env_file"},
	{"unset variable elsewhere", "[link]\nurl = \"ws://127.0.0.1:1/link\"\ntoken = \"${UNSET_HERE}\"\n",
		[]string{`:3:9: variable UNSET_HERE is not set`}, "set it in the environment"},
	{"unset variable of a child that must be", "[[mcp]]\nname = \"a\"\ncommand = \"x\"\noptional = false\nenv = { K = \"${UNSET_HERE}\" }\n",
		[]string{`:5:13: variable UNSET_HERE is not set`}, "set it in the environment"},
	{"not UTF-8", "[proxy]\nname = \"\xff\"\n",
		[]string{`:2:9: the file is not UTF-8`}, "save it as UTF-8"},
	{"what this version cannot do", "[[detect]]\nkind = \"email\"\n",
		[]string{`:1:3: detect is not supported by this version`}, "remove it"},
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	for _, tc := range configProblems {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			w.Write(tc.text)
			out, errs, code := w.Run("portero-stdio")
			if code != 3 || out != "" {
				t.Errorf("exit code %d, stdout %q, stderr %s", code, out, errs)
			}
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			want := len(tc.errors)
			if tc.hint != "" {
				want++
				mentions(t, lines[len(lines)-1], "portero-stdio: hint: "+tc.hint)
			}
			if len(lines) != want {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), want, errs)
			}
			for i, problem := range tc.errors {
				if !strings.HasPrefix(lines[i], "portero-stdio: error: "+w.Config()+problem) {
					t.Errorf("line %d is\n%s\nwant it to begin with %s", i+1, lines[i], problem)
				}
			}
		})
	}
}

// The packages behind the file look at some of it themselves.
func TestBadPatterns(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write("[policy.tools]\n\"abc\" = \"allow\"\n")
	_, errs, code := w.Run("portero-stdio")
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	mentions(t, errs, w.Config(), "portero.toml:2", `pattern "abc" names no tool; write "abc/*"`)
	w.Write("[[mcp]]\nname = \"a\"\ncommand = \"x\"\nhidden_tools = [\"b\\n\"]\n")
	_, errs, code = w.Run("portero-stdio")
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	mentions(t, errs, "hidden_tools", w.Config()+":1", "control character")
}

func TestNoConfig(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"portero-stdio", "portero-relay"} {
		w := rig.New(t)
		out, errs, code := w.Run(program)
		if code != 3 || out != "" {
			t.Errorf("%s: exit code %d, stdout %q", program, code, out)
		}
		mentions(t, errs, program+": error: no configuration: "+w.Config()+" does not exist", "hint: copy portero.toml.example to "+w.Config(), "--config")
		_, errs, code = w.Run(program, "--config", w.Dir)
		if code != 3 {
			t.Errorf("%s with a directory: exit code %d", program, code)
		}
		mentions(t, errs, "read configuration "+w.Dir+": is a directory", "hint: ")
	}
}

// The folder one works in is never searched: whoever wrote it must not choose
// what is executed.
func TestNoConfigFromTheWorkingDirectory(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(alone)
	w.Env = []string{"PORTERO_CONFIG="}
	p := w.StartProxy() // its working directory holds a portero.toml
	if code := p.Wait(); code != 3 {
		t.Errorf("exit code %d", code)
	}
	logs(t, p, "no configuration: "+w.Path(".config", "portero", "portero.toml"))
}

func TestDroppedReplacement(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(alone + `[[replacement]]
fake = "John Doe"
real = "${UNSET_HERE}"
optional = true
[[replacement]]
fake = "john@example.com"
real = "  "
optional = true
[[replacement]]
fake = "same"
real = "same"
`)
	out, errs, code := w.Run("portero-stdio")
	if code != 0 || out != "" {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	mentions(t, errs, "portero-stdio: warning: "+w.Config()+":5:3: this replacement is dropped: variable UNSET_HERE is not set",
		"warning: "+w.Config()+":9:3: this replacement is dropped: replacement.real is empty",
		"warning: "+w.Config()+":13:3: this replacement is dropped: its fake value is its real value")
	hides(t, errs, "error:", "level=ERROR")
}

func TestSkippedChild(t *testing.T) {
	t.Parallel()
	w, p := begin(t, `
[[mcp]]
name = "notion"
command = "{{kit}}"
env = { NOTION_TOKEN = "${NOTION_API_TOKEN}", OTHER = "${ANOTHER_ONE}" }
[[mcp]]
name = "kit"
command = "{{kit}}"
[policy]
default = "allow"
`)
	alive(t, p)
	logs(t, p, "portero-stdio: notice: "+w.Config()+`:6:3: child "notion" is left out: variable NOTION_API_TOKEN is not set, variable ANOTHER_ONE is not set`)
	for _, name := range listed(t, p) {
		hides(t, name, "notion")
	}
	wantError(t, p.Call("notion/echo", "{}"), -32602, `unknown tool "notion/echo"`)
	w.Env = append(w.Env, "NOTION_API_TOKEN=x", "ANOTHER_ONE=y")
	with := w.Proxy()
	said(t, with.Call("notion/echo", "{}"))
	hides(t, with.Stderr(), "notice:")
}

func TestEnvFile(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write("env_file = \".env\"\n" + alone)
	_, errs, code := w.Run("portero-stdio")
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	mentions(t, errs, w.Config()+`:1:12: env_file ".env" does not exist`, "hint: create it, or remove the line")
	if err := os.WriteFile(w.Path(".env"), []byte("REAL='María Cárdenas'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Append("[[replacement]]\nfake = \"John Doe\"\nreal = \"${REAL}\"\n")
	if _, errs, code = w.Run("portero-stdio"); code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	hides(t, errs, "María")
}
