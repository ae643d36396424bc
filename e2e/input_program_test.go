package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args string // program and arguments
		code int
		out  string // what stdout begins with
		errs []string
	}{
		{"portero-stdio chekc", 2, "", []string{`error: unknown command "chekc"`, "hint: portero-stdio --help"}},
		{"portero-stdio serve", 2, "", []string{`unknown command "serve"`}},
		{"portero-stdio --nonsense", 2, "", []string{"error: flag provided but not defined: -nonsense", "hint: portero-stdio --help"}},
		{"portero-stdio --config", 2, "", []string{"flag needs an argument: -config"}},
		{"portero-stdio --log-level loud", 2, "", []string{`unknown log level "loud"`, "hint: use debug, info, warn or error"}},
		{"portero-stdio --version", 0, "portero-stdio 0.", nil},
		{"portero-stdio --help", 0, "portero-stdio: one MCP server in front of all of yours\n", nil},
		{"portero-stdio -h", 0, "portero-stdio: ", nil},
		{"portero-relay chekc", 2, "", []string{`error: unknown command "chekc"`, "hint: portero-relay --help"}},
		{"portero-relay --nonsense", 2, "", []string{"flag provided but not defined: -nonsense"}},
		{"portero-relay serve now", 2, "", []string{`serve takes no argument "now"`}},
		{"portero-relay --log-level loud", 2, "", []string{`unknown log level "loud"`}},
		{"portero-relay --version", 0, "portero-relay 0.", nil},
		{"portero-relay --help", 0, "portero-relay: approvals for portero-stdio", nil},
		{"portero-relay token --help", 0, "portero-relay: ", nil},
		{"portero-relay token", 2, "", []string{"token takes create, list or revoke NAME"}},
		{"portero-relay token revoke", 2, "", []string{"token takes create, list or revoke NAME"}},
		{"portero-relay token create --role machine", 2, "", []string{`--name ""`, "hint: portero-relay token create --name laptop --role machine"}},
		{"portero-relay token create --name a/b --role machine", 2, "", []string{`--name "a/b": letters, digits, dot, dash and underscore, at most 64`}},
		{"portero-relay token create --name -x --role machine", 2, "", []string{`--name "-x"`}},
		{"portero-relay token create --name a --role boss", 2, "", []string{`--role "boss": machine or teammate`}},
		{"portero-relay token create --name a", 2, "", []string{`--role "": machine or teammate`}},
		{"portero-relay token create --name a --role machine --expires soon", 2, "", []string{`--expires "soon": a duration such as 12h or 90d`}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			w.Write(alone + "[relay]\nlisten = \"127.0.0.1:{{port}}\"\ndata_dir = \"{{dir}}/relay\"\n")
			words := strings.Fields(tc.args)
			out, errs, code := w.Run(words[0], words[1:]...)
			if code != tc.code || !strings.HasPrefix(out, tc.out) || tc.out == "" && out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, tc.code, out)
			}
			mentions(t, errs, tc.errs...)
			if tc.errs == nil && errs != "" {
				t.Errorf("stderr %q", errs)
			}
		})
	}
}

const relayOnly = "[relay]\nlisten = \"127.0.0.1:{{port}}\"\ndata_dir = \"{{dir}}/relay\"\n"

func TestTokens(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(relayOnly)
	create := func(name string, more ...string) (string, string, int) {
		return w.Run("portero-relay", append([]string{"token", "create", "--name", name, "--role", "machine"}, more...)...)
	}
	out, errs, code := create("laptop")
	if code != 0 || !regexp.MustCompile(`\Aprt_[A-Za-z0-9_-]{40,}\n\z`).MatchString(out) {
		t.Fatalf("exit code %d; stdout must be the token alone on one line: %q", code, out)
	}
	mentions(t, errs, "[link] token", "only once")
	hides(t, errs, strings.TrimSpace(out))
	out, errs, code = create("laptop")
	if code != 1 || out != "" {
		t.Errorf("a second one of that name: exit code %d, stdout %q", code, out)
	}
	mentions(t, errs, `error: create token "laptop": a token of that name exists; revoke it first or choose another name`)
	// Where --config stands does not matter.
	config := w.Config()
	for i, args := range [][]string{
		{"--config", config, "token", "create", "--name", "a", "--role", "machine"},
		{"token", "--config", config, "create", "--name", "b", "--role", "machine"},
		{"token", "create", "--name", "c", "--role", "teammate", "--tools", "kit/*", "--expires", "90d", "--config", config},
	} {
		w.Env = []string{"PORTERO_CONFIG=/nowhere"}
		if out, errs, code := w.Run("portero-relay", args...); code != 0 || strings.Count(out, "\n") != 1 {
			t.Errorf("%d: exit code %d, stdout %q, stderr %s", i, code, out, errs)
		}
	}
	w.Env = nil
	if _, errs, code = w.Run("portero-relay", "token", "revoke", "nobody"); code != 1 {
		t.Errorf("revoke nobody: exit code %d", code)
	}
	mentions(t, errs, `error: revoke "nobody": no live token of that name`)
	if out, errs, code = w.Run("portero-relay", "token", "revoke", "laptop"); code != 0 || out != "" {
		t.Errorf("revoke: exit code %d, stdout %q, stderr %s", code, out, errs)
	}
	if out, _, code = w.Run("portero-relay", "token", "list"); code != 0 {
		t.Errorf("list: exit code %d", code)
	}
	for _, row := range []string{`laptop +machine +revoked`, `a +machine +live`, `c +teammate +live +\S+ \S+ +\d{4}-`} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out) {
			t.Errorf("no row %s in\n%s", row, out)
		}
	}
	hides(t, out, "prt_")
	// With the relay serving as well.
	w.Relay()
	if out, errs, code = create("while-serving"); code != 0 || strings.Count(out, "\n") != 1 {
		t.Errorf("beside a relay that serves: exit code %d, stdout %q, stderr %s", code, out, errs)
	}
}

func TestRelayCannotListen(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(relayOnly)
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, errs, code := w.Run("portero-relay")
	if code != 1 || out != "" {
		t.Errorf("port in use: exit code %d, stdout %q", code, out)
	}
	mentions(t, errs, fmt.Sprintf("error: listen on 127.0.0.1:%d", w.Port), "address already in use; is another relay running, or is [relay] listen wrong?")

	for listen, say := range map[string]string{
		"0.0.0.0:{{port}}":   ":2:10: relay.listen: plain HTTP is allowed on this machine's own addresses only",
		"192.0.2.1:{{port}}": ":2:10: relay.listen: plain HTTP is allowed on this machine's own addresses only",
		":{{port}}":          ":2:10: relay.listen: plain HTTP is allowed on this machine's own addresses only",
		"nonsense":           ":2:10: relay.listen must be HOST:PORT",
		"127.0.0.1:99999":    ":2:10: relay.listen must be HOST:PORT",
	} {
		w.Write(strings.Replace(relayOnly, "127.0.0.1:{{port}}", listen, 1))
		out, errs, code := w.Run("portero-relay")
		if code != 3 || out != "" {
			t.Errorf("listen on %s: exit code %d, stdout %q", listen, code, out)
		}
		mentions(t, errs, "portero-relay: error: "+w.Config()+say)
	}
	w.Write(strings.Replace(relayOnly, "127.0.0.1", "0.0.0.0", 1))
	_, errs, _ = w.Run("portero-relay")
	mentions(t, errs, "hint: set tls_cert and tls_key, listen on 127.0.0.1, or set behind_proxy = true")
}

// onLinux skips a test that needs /proc or /dev/full elsewhere.
func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has these files")
	}
	t.Parallel()
}

// TestBadDirectories: what cannot be kept is said before anything starts. Root
// may write wherever the modes forbid it, so the places are such that nobody can.
func TestBadDirectories(t *testing.T) {
	onLinux(t)
	w := rig.New(t)
	if err := os.WriteFile(w.Path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.Path("open"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.Path("open"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.Path("shut"), 0o500); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]string{
		"{{dir}}/file":       {": not a directory", "hint: name a directory that can be created (state_dir in [proxy], data_dir in [relay]), or remove the file in its way"},
		"{{dir}}/file/below": {": not a directory", "hint: name a directory that can be created"},
		"/proc/portero":      {": no such file or directory", "hint: name a directory that can be created"},
		"/proc/self":         {": ", "hint: "},
		"{{dir}}/open":       {": everybody on this machine can write to it", "hint: run: chmod 700 '{{dir}}/open'; or name a directory of your own"},
	}
	if os.Geteuid() != 0 {
		cases["{{dir}}/shut"] = []string{": permission denied", "hint: make it writable for you (chmod u+rwx '{{dir}}/shut')"}
	}
	for dir, want := range cases {
		w.Write("[proxy]\nstate_dir = \"" + dir + "\"\n[relay]\nlisten = \"127.0.0.1:{{port}}\"\ndata_dir = \"" + dir + "\"\n")
		dir = strings.ReplaceAll(dir, "{{dir}}", w.Dir)
		for _, args := range [][]string{{"portero-stdio"}, {"portero-relay"}, {"portero-relay", "token", "create", "--name", "a", "--role", "machine"}} {
			out, errs, code := w.Run(args[0], args[1:]...)
			if code != 1 || out != "" {
				t.Errorf("%s in %s: exit code %d, stdout %q", args, dir, code, out)
			}
			mentions(t, errs, args[0]+": error: use directory "+dir+want[0], strings.ReplaceAll(want[1], "{{dir}}", w.Dir))
		}
	}
}

// TestFullDisk: what cannot be written down is not done.
func TestFullDisk(t *testing.T) {
	onLinux(t)
	w := rig.New(t)
	if err := os.Mkdir(w.Path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", w.Path("state", "audit.ndjson")); err != nil {
		t.Fatal(err)
	}
	w.Write(alone + `[[mcp]]
name = "kit"
command = "{{kit}}"
args = ["-record", "{{dir}}/record"]
[policy]
default = "allow"
[policy.tools]
"kit/fail" = "deny"
`)
	p := w.Proxy()
	wantError(t, p.Call("kit/echo", `{"secret":"argument"}`), -32000, "the call could not be recorded, so it was not made", "no space left on device",
		"Free space in the state directory or make it writable")
	wantError(t, p.Call("portero/call", `{"tool":"kit/echo","args":{"secret":"argument"}}`), -32000, "it was not made")
	wantError(t, p.Call("kit/fail", `{}`), -32000, "denied by policy")
	w.Line(w.Path("record"), "tools/list") // it is up
	for _, line := range rig.Lines(t, w.Path("record")) {
		hides(t, line, "tools/call")
	}
	logs(t, p, "no space left on device")
	hides(t, p.Stderr(), "argument")
}
