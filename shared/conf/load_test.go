package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	host, _ := os.Hostname()
	for _, src := range []string{"", "\ufeff# nothing\r\n[proxy]\r\n[relay]\r\n[policy]\r\n[approvals]\r\n"} {
		c := mustLoad(t, src, ProxySide)
		want := &Config{
			File:      c.File,
			Proxy:     Proxy{Name: host, StateDir: "/home/ada/.local/state/portero", ToolSeparator: "auto", Instructions: true},
			Policy:    Policy{Default: RequireApproval},
			Approvals: Approvals{ExpireAfter: 24 * time.Hour},
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("proxy:\n got %+v\nwant %+v", c, want)
		}
		c = mustLoad(t, src, RelaySide, "XDG_STATE_HOME=/state")
		want = &Config{
			File:      c.File,
			Policy:    Policy{Default: RequireApproval},
			Approvals: Approvals{ExpireAfter: 24 * time.Hour},
			Relay:     Relay{Listen: "127.0.0.1:8443", DataDir: "/state/portero-relay", Console: true},
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("relay:\n got %+v\nwant %+v", c, want)
		}
	}
	if c := mustLoad(t, "", ProxySide, "XDG_STATE_HOME=relative"); c.Proxy.StateDir != "/home/ada/.local/state/portero" {
		t.Errorf("a relative XDG_STATE_HOME was used: %s", c.Proxy.StateDir)
	}
}

const whole = `env_file = "sub/.env"
[proxy]
name = " desk ${N} "
state_dir = "~/state"
tool_separator = "__"
instructions = false
[link]
url = "wss://relay.example.com"
token = "${TOKEN}"
[[mcp]]
name = "kit-1_a"
command = "./bin/kit"
args = ["-y", "${N:-x}", "${GONE:-a b}", "$${N} $N ${file:secret}"]
env = { A = "${TOKEN}", B = "" }
cwd = "work"
hidden_tools = ["delete_*"]
optional = false
scope = "session"
[[mcp]]
name = "b"
command = "npx"
[policy]
default = "deny"
[policy.tools]
"z/*" = "allow"
"a/b" = "${ACTION}"
m = "require-approval"
[approvals]
expire_after = "1d2h"
show = "fake"
strength = { "a/*" = "tap" }
[[replacement]]
fake = "John Doe"
real = "${NAME} Lovelace"
[[replacement]]
fake = "KEY"
real = "${file:~/key}"
bidirectional = false
case_sensitive = false
response_replacement = "***"
[relay]
listen = "[::1]:0"
public_url = "https://relay.example.com/x/"
tls_cert = "cert.pem"
tls_key = "/etc/key.pem"
data_dir = "data"
store = "sqlite"
acme_domains = []
self_signed = false
console = false
behind_proxy = true
[telegram]
bot_token = " ${TOKEN} "
admin_chat_id = "-100123"
admin_user_ids = [7, 8]
pairing_code = "0000"
api_url = "http://localhost:8081/"
`

func TestWhole(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "sub", ".env"), "# c\nexport TOKEN='not this one'\nN=from-file\nNAME=\"Ada\"\n")
	write(t, filepath.Join(dir, "secret"), "top ${N}\r\n\n")
	write(t, filepath.Join(home, "key"), "sk-1")
	file := filepath.Join(dir, "portero.toml")
	write(t, file, whole)
	env := getenv(vars("HOME="+home, "N=7", "ACTION=allow", "TOKEN=tok-1"))

	c, err := Load(file, env, ProxySide)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File:  file,
		Proxy: Proxy{Name: "desk 7", StateDir: home + "/state", ToolSeparator: "__"},
		Link:  &Link{URL: "wss://relay.example.com/link", Token: "tok-1"},
		MCP: []MCP{
			{
				Name: "kit-1_a", Command: dir + "/bin/kit",
				Args: []string{"-y", "7", "a b", "${N} $N top ${N}"},
				Env:  map[string]Secret{"A": "tok-1", "B": ""},
				Cwd:  dir + "/work", HiddenTools: []string{"delete_*"}, Scope: ScopeSession, Line: 10,
			},
			{Name: "b", Command: "npx", Optional: true, Scope: ScopeMachine, Line: 19},
		},
		Policy: Policy{Default: Deny, Tools: []Rule{
			{"z/*", Allow, 25, 1}, {"a/b", Allow, 26, 1}, {"m", RequireApproval, 27, 1},
		}},
		Approvals: Approvals{ExpireAfter: 26 * time.Hour},
		Replacements: []Replacement{
			{Fake: "John Doe", Real: "Ada Lovelace", Bidirectional: true, CaseSensitive: true, ResponseReplacement: "***REDACTED***", Line: 32},
			{Fake: "KEY", Real: "sk-1", ResponseReplacement: "***", Line: 35},
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("proxy:\n got %#v\nwant %#v", c, want)
	}

	c, err = Load(file, env, RelaySide)
	if err != nil {
		t.Fatal(err)
	}
	want = &Config{
		File: file, Policy: want.Policy, Approvals: want.Approvals,
		Relay: Relay{
			Listen: "[::1]:0", PublicURL: "https://relay.example.com/x", TLSCert: dir + "/cert.pem", TLSKey: "/etc/key.pem",
			DataDir: dir + "/data", BehindProxy: true,
		},
		Telegram: &Telegram{BotToken: "tok-1", AdminChatID: -100123, AdminUserIDs: []int64{7, 8}, PairingCode: "0000", APIURL: "http://localhost:8081"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("relay:\n got %#v\nwant %#v", c, want)
	}
}

func TestNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "portero.toml")
	_, err := Load(file, nil, ProxySide)
	var fe *FileError
	if !errors.As(err, &fe) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if got, want := fe.Error(), "no configuration: "+file+" does not exist"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "copy portero.toml.example to " + file + " and edit it, or name another file with --config"; fe.Hint() != want {
		t.Errorf("hint %q, want %q", fe.Hint(), want)
	}
	_, err = Load(filepath.Dir(file), nil, ProxySide)
	if want := "read configuration " + filepath.Dir(file) + ": is a directory"; err == nil || err.Error() != want || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %v, want %s", err, want)
	}
}

func TestSkippedChildren(t *testing.T) {
	src := `[[mcp]]
name = "google"
command = "uvx"
env = { ID = "${G_ID}", SECRET = "${G_SECRET} ${G_ID}", OK = "${SET}" }
[[mcp]]
name = "kept"
command = "x"
args = ["${EMPTY:-}", "${GONE:-}"]
[[mcp]]
name = "empty"
command = "x"
args = ["${EMPTY}", "${file:gone.txt}"]
optional = true
[[mcp]]
name = "${NAME_OF_CHILD}"
command = "x"
`
	c := mustLoad(t, src, ProxySide, "SET=1", "EMPTY=")
	if len(c.MCP) != 1 || c.MCP[0].Name != "kept" {
		t.Errorf("children: %v", c.MCP)
	}
	want := []SkippedChild{
		{"google", "p.toml", 1, 3, "variable G_ID is not set, variable G_SECRET is not set"},
		{"empty", "p.toml", 9, 3, `variable EMPTY is empty, file "gone.txt" does not exist`},
		{"${NAME_OF_CHILD}", "p.toml", 14, 3, "variable NAME_OF_CHILD is not set"},
	}
	if !reflect.DeepEqual(c.Skipped, want) {
		t.Errorf("skipped:\n got %v\nwant %v", c.Skipped, want)
	}
	if c = mustLoad(t, src, RelaySide); c.Skipped != nil || c.MCP != nil {
		t.Errorf("the relay got %v, %v", c.MCP, c.Skipped)
	}
}

func TestOtherSideVariables(t *testing.T) {
	mine := "[proxy]\nname=\"${A}\"\n[link]\nurl=\"${A}\"\ntoken=\"${A}\"\n[[mcp]]\nname=\"a\"\ncommand=\"${A}\"\noptional=false\n[[replacement]]\nreal=\"${A}\"\nfake=\"${A:-}\"\n"
	theirs := "[relay]\nlisten=\"${A}\"\ntls_cert=\"${A}\"\npublic_url=\"${A}\"\ndata_dir=\"${A}\"\n[telegram]\nbot_token=\"${A}\"\nadmin_chat_id=\"${A}\"\n"
	mustLoad(t, theirs, ProxySide)
	mustLoad(t, mine, RelaySide)
	if _, err := loadText(t, mine, nil, ProxySide); err == nil || strings.Count(err.Error(), "is not set") != 5 {
		t.Errorf("portero-stdio: %v", err)
	}
	if _, err := loadText(t, theirs, nil, RelaySide); err == nil || strings.Count(err.Error(), "is not set") != 6 {
		t.Errorf("portero-relay: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		env       []string
		side      Side
		kept      int // replacements
		want      string
	}{
		{name: "dropped", env: []string{"EMPTY=", "BLANK= \t"}, kept: 1, src: `[[replacement]]
fake = "a"
real = "${NO}"
optional = true
[[replacement]]
fake = "a"
real = "x${EMPTY}"
optional = true
[[replacement]]
fake = "${BLANK}"
real = "x"
optional = true
[[replacement]]
fake = "Same"
real = "same"
case_sensitive = false
[[replacement]]
fake = "Same"
real = "same"
`, want: `p.toml:1:3: this replacement is dropped: variable NO is not set
p.toml:5:3: this replacement is dropped: variable EMPTY is empty
p.toml:9:3: this replacement is dropped: replacement.fake is empty
p.toml:13:3: this replacement is dropped: its fake value is its real value`},
		{name: "between replacements", kept: 4, src: `[[replacement]]
fake = "B"
real = "A"
[[replacement]]
fake = "C"
real = "B"
response_replacement = "x"
[[replacement]]
fake = "D"
real = "A"
[[replacement]]
fake = "C"
real = "E"
`, want: `p.toml:1:3: the fake value of this replacement is the real value of the one in line 4
p.toml:7:1: replacement.response_replacement has no effect without bidirectional = false
p.toml:8:3: this replacement has the same real value as the one in line 1, which wins
p.toml:11:3: this replacement has the same fake value as the one in line 4, which wins on the way back`},
		{name: "no effect on the machine", src: `[proxy]
idle_stop = "30m"
[link]
url = ""
[[mcp]]
name = "a"
command = "a"
pinned_tools = []
share = ["read_*"]
categories = { mail = ["a"] }
[relay]
tool_separator = "/"
`, want: `p.toml:2:1: proxy.idle_stop has no effect in this version
p.toml:4:1: link.url is empty: there is no relay, approvals queue
p.toml:8:1: mcp.pinned_tools has no effect in this version
p.toml:9:1: mcp.share has no effect in this version
p.toml:10:1: mcp.categories has no effect in this version`},
		{name: "no effect on the relay", side: RelaySide, env: []string{"B=x"}, src: `[proxy]
idle_stop = "30m"
[relay]
tool_separator = "/"
bearer_token = "${B}"
[telegram]
bot_token = "${T:-}"
notices = true
group_after = 3
api_url = "http://bot-api:8081"
`, want: `p.toml:4:1: relay.tool_separator has no effect in this version
p.toml:5:1: relay.bearer_token has no effect in this version
p.toml:7:1: telegram.bot_token is empty: Telegram is off
p.toml:8:1: telegram.notices has no effect in this version
p.toml:9:1: telegram.group_after has no effect in this version
p.toml:10:1: telegram.api_url: the bot token travels without encryption`},
		{name: "no bearer token", side: RelaySide, src: "[relay]\nbearer_token = \"${B:-}\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustLoad(t, tc.src, tc.side, tc.env...)
			if got := warnings(c); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if len(c.Replacements) != tc.kept {
				t.Errorf("kept %d replacements, want %d", len(c.Replacements), tc.kept)
			}
			if c.Telegram != nil || c.Link != nil {
				t.Errorf("got %v, %v, want neither", c.Telegram, c.Link)
			}
		})
	}
}

func TestLinkURL(t *testing.T) {
	for url, want := range map[string]string{
		"wss://relay.example.com":             "wss://relay.example.com/link",
		"wss://relay.example.com:8443/":       "wss://relay.example.com:8443/link",
		"wss://relay.example.com/a/link/":     "wss://relay.example.com/a/link",
		"ws://127.0.0.1:8443/link":            "ws://127.0.0.1:8443/link",
		"ws://[::1]":                          "ws://[::1]/link",
		"ws://localhost:1":                    "ws://localhost:1/link",
		"ws://localhost.example.com":          "p.toml:2:7: link.url: ws:// is allowed to this machine only",
		"ws://127.0.0.1.example.com":          "p.toml:2:7: link.url: ws:// is allowed to this machine only",
		"wss://relay.example.com/other":       "p.toml:2:7: link.url must end in /link",
		"https://relay.example.com":           "p.toml:2:7: link.url must begin with wss://",
		"relay.example.com":                   "p.toml:2:7: link.url is not a URL such as https://example.com",
		"wss://:443":                          "p.toml:2:7: link.url is not a URL such as https://example.com",
		"wss://user:S3cret@relay.example.com": "p.toml:2:7: link.url may hold neither a user, nor a query, nor a fragment",
		"wss://relay.example.com?token=x":     "p.toml:2:7: link.url may hold neither a user, nor a query, nor a fragment",
		"wss://relay.example.com/%zz":         "p.toml:2:7: link.url is not a URL such as https://example.com",
	} {
		c, err := loadText(t, fmt.Sprintf("[link]\nurl = %q\n", url), nil, ProxySide)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = c.Link.URL
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}

func TestEnvFile(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"A=1\nB=\"x\ny\"\nC = z # c\nD='$A'\nexport E=5", ""},
		{"A=1\n# c\n\nS3cret value\nB=2\n", "line 4 is not of the form NAME=value"},
		{"A=1\nS3cret", "line 2 is not of the form NAME=value"},
		{"A=1\nB=\"S3cret\nC=3\n", "line 2 is not of the form NAME=value"},
		{"A=\xff", "not valid UTF-8"},
		{strings.Repeat("A=1\n", maxSecretFile/4+1), "larger than 1 MiB"},
		{strings.Repeat("A=1\n", maxSecretFile/8) + "S3cret", "a line is not of the form NAME=value"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "e"), tc.text)
		c, err := load("p.toml", filepath.Join(dir, "p.toml"), "env_file = \"e\"\n[[mcp]]\nname=\"a\"\ncommand=\"a\"\nargs=[\"${A:-},${B:-},${C:-},${D:-},${E:-}\"]\n", getenv(vars("B=")), ProxySide)
		if tc.want == "" {
			if err != nil || c.MCP[0].Args[0] != "1,,z,$A,5" {
				t.Errorf("got %v, %v", c, err)
			}
			continue
		}
		if want := "p.toml:1:12: read env_file \"e\": " + tc.want; err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, want %s", tc.text, err, want)
		}
	}
}
