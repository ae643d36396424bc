package conf

import (
	"errors"
	"strings"
	"testing"
)

// Every case has the whole file and every message of it, in order.
var wrong = []struct {
	name, src string
	env       []string
	side      Side
	want      string
}{
	{name: "all at once", env: []string{"EMPTY="}, src: `env_file = "gone.env"
polices = 1
[proxy]
Name = "x"
state_dir = 7
tool_separator = "."
[link]
url = "http://relay.example.com"
tokn = "x"
[[mcp]]
name = "a"
command = "one"
[[mcp]]
name = "a"
command = "two"
[[mcp]]
name = "portero"
command = ["npx"]
[[mcp]]
name = "Bad Name"
command = ""
[[mcp]]
name = "strict"
command = "x"
args = ["--key", "${NO_KEY}"]
env = { A = "${EMPTY}" }
optional = false
[policy]
default = "alow"
[policy.tools]
"x/y" = "ask"
[approvals]
expire_after = "tomorrow"
[[replacement]]
fake = "John Doe"
real = "${NO_NAME}"
[[replacement]]
fake = "  "
real = "${EMPTY}"
[[replacement]]
fake = "x"
`, want: `p.toml:1:12: env_file "gone.env" does not exist
p.toml:2:1: unknown key "polices" (did you mean "policy"?)
p.toml:4:1: unknown key "Name" in [proxy] (did you mean "name"?)
p.toml:5:13: proxy.state_dir must be a string, not an integer
p.toml:6:18: unknown proxy.tool_separator "." (allowed: "/", "__", "auto")
p.toml:8:7: link.url must begin with wss://
p.toml:9:1: unknown key "tokn" in [link] (did you mean "token"?)
p.toml:14:8: duplicate child name "a" (first in line 10)
p.toml:17:8: the child name "portero" is taken by Portero's own tools
p.toml:18:11: mcp.command must be a string, not an array
p.toml:20:8: bad child name "Bad Name": small letters, digits, - and _, a letter or digit first
p.toml:21:11: mcp.command is empty
p.toml:25:18: variable NO_KEY is not set
p.toml:26:13: variable EMPTY is empty
p.toml:29:11: unknown policy action "alow" (allowed: "allow", "deny", "require-approval")
p.toml:31:9: unknown policy action "ask" (allowed: "allow", "deny", "require-approval")
p.toml:33:16: approvals.expire_after "tomorrow" is not a duration: write for example "90s", "30m", "2h30m" or "1d"
p.toml:36:8: variable NO_NAME is not set
p.toml:38:8: replacement.fake is empty
p.toml:39:8: variable EMPTY is empty
p.toml:40:3: [[replacement]] lacks "real"`},

	{name: "all of the relay", side: RelaySide, src: `[relay]
listen = "8443"
public_url = "http://relay.example.com/?x"
tls_cert = "cert.pem"
store = "postgres://db"
acme_domains = ["example.com"]
self_signed = true
data_dir = "${NOWHERE}"
console = "yes"
[telegram]
bot_token = "12 34"
admin_chat_id = "@me"
admin_user_ids = [1, "2", -3]
api_url = "api.telegram.org"
bot = 1
[approvals]
show = "real"
strength = { "a/*" = "match", "b/*" = "tap", "c/*" = "hard" }
[[policy.when]]
tool = "x"
`, want: `p.toml:1:2: relay.tls_cert and relay.tls_key belong together: set both or neither
p.toml:2:10: relay.listen must be HOST:PORT
p.toml:3:14: relay.public_url may hold neither a user, nor a query, nor a fragment
p.toml:5:9: relay.store: only "sqlite" is supported by this version
p.toml:6:1: relay.acme_domains is not supported by this version: it would serve without a certificate; set tls_cert and tls_key
p.toml:7:1: relay.self_signed is not supported by this version: it would serve without a certificate; set tls_cert and tls_key
p.toml:8:12: variable NOWHERE is not set
p.toml:9:11: relay.console must be true or false, not a string
p.toml:11:13: telegram.bot_token holds a blank or a character that no token has
p.toml:12:17: telegram.admin_chat_id must be a chat's id, a whole number
p.toml:13:22: telegram.admin_user_ids[1] must be a user's id, a whole number above 0
p.toml:13:27: telegram.admin_user_ids[2] must be a user's id, a whole number above 0
p.toml:14:11: telegram.api_url is not a URL such as https://example.com
p.toml:15:1: unknown key "bot" in [telegram] (did you mean "bot_token"?)
p.toml:17:8: approvals.show = "real" is not supported by this version: approvers see the fake values
p.toml:18:22: approvals.strength = "match" is not supported by this version: one tap would approve
p.toml:18:54: unknown approvals.strength "hard" (allowed: "tap")
p.toml:19:10: policy.when is not supported by this version: the calls it singles out would be decided without it`},

	{name: "not supported on the machine", src: `[[mcp]]
name = "s"
url = "https://mcp.stripe.com"
headers = { Authorization = "Bearer x" }
[[replacement]]
fake = "a"
real = "b"
type = "email"
parts = true
lanes = ["all"]
[[detect]]
kind = "email"
`, want: `p.toml:3:1: mcp.url is not supported by this version: children are started with command
p.toml:4:1: mcp.headers is not supported by this version: children are started with command
p.toml:8:1: replacement.type is not supported by this version: what it should protect would not be protected
p.toml:9:1: replacement.parts is not supported by this version: what it should protect would not be protected
p.toml:10:1: replacement.lanes is not supported by this version: what it should protect would not be protected
p.toml:11:3: detect is not supported by this version: the values it should find would reach the client as they are`},

	{name: "wrong shapes", src: `env_file = 1979-05-27
mcp = [ { command = "x" }, 5 ]
replacement = "x"
proxy = true
[[policy]]
[approvals]
strength = [1]
`, want: `p.toml:1:12: env_file must be a string, not a date or time
p.toml:2:9: [[mcp]] lacks "name"
p.toml:2:28: mcp[1] must be a table, not an integer
p.toml:3:15: replacement must be an array of tables, not a string
p.toml:4:9: proxy must be a table, not a boolean
p.toml:5:3: policy must be a table, not an array of tables
p.toml:7:12: approvals.strength must be a table, not an array`},

	{name: "one table for a list", src: "[mcp]\nname = \"x\"\n", want: `p.toml:1:2: mcp is a list: write [[mcp]]`},
	{name: "array items", src: "[[mcp]]\nname=\"x\"\ncommand=\"x\"\nargs = [\"é\", 1.5]\nenv = { P = 80, \"A=B\" = \"\" }\nscope = \"both\"\n", want: `p.toml:4:14: mcp.args[1] must be a string, not a float
p.toml:5:13: mcp.env.P must be a string, not an integer
p.toml:5:17: bad variable name "A=B" in [mcp.env]
p.toml:6:9: unknown mcp.scope "both" (allowed: "machine", "session")`},
	{name: "a dotted tool name", src: "[policy.tools]\nkit.read = \"allow\"\n\" \" = \"deny\"\n", want: `p.toml:2:1: policy.tools.kit must be a string, not a table
p.toml:3:1: empty name in [policy.tools]`},
	{name: "references", env: []string{"NUL=a\x00b", "LATIN=\xe9"}, src: `[proxy]
name = "${"
state_dir = "${keychain:x}"
tool_separator = "${A${B}}"
[link]
url = "${NUL}"
token = "${LATIN}"
[[mcp]]
name = "x"
command = "x"
cwd = "${file:/}"
`, want: `p.toml:2:8: proxy.name: ${ without a closing }
p.toml:3:13: proxy.state_dir: unknown reference: there are ${NAME}, ${NAME:-default} and ${file:PATH}
p.toml:4:18: proxy.tool_separator: a reference within a reference is not supported
p.toml:6:7: link.url holds a NUL character or invalid UTF-8
p.toml:7:9: link.token holds a NUL character or invalid UTF-8
p.toml:11:7: mcp.cwd: read file "/": not a regular file`},
	{name: "no token", src: "[link]\ntoken = \"${T}\"\n", want: `p.toml:1:2: [link] lacks "url"
p.toml:2:9: variable T is not set`},
	{name: "no near key", src: "zzzzz = 1\n[link]\nurl = \"wss://r\"\nhost = 1\n", want: `p.toml:1:1: unknown key "zzzzz" (allowed: env_file, proxy, link, mcp, policy, approvals, replacement, detect, relay, telegram)
p.toml:4:1: unknown key "host" in [link] (allowed: url, token)`},
	{name: "a key of many characters", src: "\"a\\nb\\u001b[2J\" = 1\n[policy.tools]\n\"x\\ny\" = 1", want: `p.toml:1:1: unknown key "a\nb\x1b[2J" (allowed: env_file, proxy, link, mcp, policy, approvals, replacement, detect, relay, telegram)
p.toml:3:10: policy.tools.x\ny must be a string, not an integer`},
	{name: "one-way to itself", src: "[[replacement]]\nfake=\"a\"\nreal=\"Key\"\nbidirectional=false\ncase_sensitive=false\nresponse_replacement=\"KEY\"", want: `p.toml:6:22: replacement.response_replacement is the real value itself`},
	{name: "open to the world", side: RelaySide, src: "[relay]\nlisten = \"0.0.0.0:80\"\n", want: `p.toml:2:10: relay.listen: plain HTTP is allowed on this machine's own addresses only`},
	{name: "the other program's file", side: RelaySide, src: "[proxy]\nnam = 1\n[[mcp]]\nname = \"portero\"\n[[replacement]]\nreal = \"${NO}\"\nfake = 1\n", want: `p.toml:2:1: unknown key "nam" in [proxy] (did you mean "name"?)
p.toml:3:3: [[mcp]] lacks "command"
p.toml:4:8: the child name "portero" is taken by Portero's own tools
p.toml:7:8: replacement.fake must be a string, not an integer`},

	{name: "syntax: unquoted secret", src: "[[replacement]]\nreal = Sup3rS3cret\n", want: `p.toml:2:8: a value is expected here`},
	{name: "syntax: number", src: "a = 12345678901234567890123\n", want: `p.toml:1:5: number out of range`},
	{name: "syntax: date", src: "a = 2024-S3cret\n", want: `p.toml:1:5: not a valid number, date or time`},
	{name: "syntax: escape", src: "a = \"S3cret\\x9z\"\n", want: `p.toml:1:6: invalid escape in a string`},
	{name: "syntax: twice", src: "[a]\nb=1\n[a]\n", want: `p.toml:3:2: duplicate key a`},
	{name: "syntax: open string", src: "a = 1\nb = \"S3cret\nc = 2\n", want: `p.toml:2:12: strings cannot contain newlines`},
	{name: "syntax: rest of line", src: "é = 1\na = 1 2\n", want: `p.toml:1:1: expected '.' or '=', but got 'é' instead`},
	{name: "syntax: at the end", src: "[a", want: `p.toml:1:2: expected '.' or ']' to end table name, but got the end of the file instead`},
	{name: "not UTF-8", src: "\xff\xfea\x00", want: `p.toml:1:1: the file is not UTF-8`},
	{name: "latin-1", src: "# caf\xe9\n", want: `p.toml:1:6: the file is not UTF-8`},
}

func TestProblems(t *testing.T) {
	for _, tc := range wrong {
		t.Run(tc.name, func(t *testing.T) {
			_, err := loadText(t, tc.src, vars(tc.env...), tc.side)
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("got %v, want problems", err)
			}
			got, want := strings.Split(ps.Error(), "\n"), strings.Split(tc.want, "\n")
			for i := range max(len(got), len(want)) {
				var g, w string
				if i < len(got) {
					g = got[i]
				}
				if i < len(want) {
					w = want[i]
				}
				if g != w {
					t.Errorf("problem %d\n got %s\nwant %s", i+1, g, w)
				}
			}
		})
	}
}

func TestHints(t *testing.T) {
	for src, want := range map[string]string{
		"[[replacement]]\nfake=\"a\"\nreal=\"${NO}\"": setVariable,
		"[[replacement]]\nfake=\"a\"\nreal=\" \"":     "give it a value, or set optional = true to do without this replacement",
		"a = b":                                  `a string needs quotes: key = "text"`,
		"[link]\nurl=\"ws://relay.example.com\"": "write wss://",
		"[policy.tools]\na.b=\"deny\"":           "a key that holds a dot needs quotes",
		"[[mcp]]\nname=\"a\"\ncommand=\"a\"\nargs=[\"${a b}\"]": "write $${ for a literal ${",
	} {
		_, err := loadText(t, src, nil, ProxySide)
		var ps Problems
		if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Hint != want {
			t.Errorf("%q: %#v, want the hint %q", src, err, want)
		}
	}
}
