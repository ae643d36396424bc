// Package conf reads portero.toml.
//
// It is strict, because a setting that is silently not understood is a
// protection that is silently not there: unknown keys, wrong types, values
// that mean nothing and references without a value are errors, and all of them
// are reported at once, each with file, line and column. What is merely
// without effect is a warning.
//
// In string values ${VAR} is the variable VAR, ${VAR:-text} the same or text
// when it is unset or empty, ${file:PATH} what a file holds without the line
// ends that close it, and $${ a literal ${. What they stand for is not expanded
// again. Variables come from the environment and then from env_file. Relative
// paths start at the file's own directory, and ~ is the home directory.
//
// Each program reads its own sections: portero-stdio [proxy], [link], [[mcp]]
// and [[replacement]], portero-relay [relay] and [telegram], both [policy] and
// [approvals]. In the other's sections the file itself is still judged (keys,
// types, names), but not what depends on the environment, and nothing of them
// is in the Config.
//
// Messages never hold a real value, a token, or what a variable held: they
// quote the file as it is written at most, and of a replacement only its line.
package conf

import "time"

// Side is the program that reads the file.
type Side int

// The two programs.
const (
	ProxySide Side = iota // portero-stdio
	RelaySide             // portero-relay
)

// Config is a valid configuration with defaults filled in. The sections of
// the other program are zero.
type Config struct {
	File         string // absolute path of the file
	Proxy        Proxy
	Link         *Link // nil: work alone, approvals queue
	MCP          []MCP // in the order of the file, without the skipped ones
	Policy       Policy
	Approvals    Approvals
	Replacements []Replacement // in the order of the file, without the dropped ones
	Relay        Relay
	Telegram     *Telegram // nil: no Telegram
	Warnings     []Problem
	Skipped      []SkippedChild
}

// Proxy is [proxy].
type Proxy struct {
	Name          string // what approvers see; the host's name by default
	StateDir      string // absolute; see PrivateDir
	ToolSeparator string // "/", "__" or "auto"
	Instructions  bool   // tell the client which identity to use
}

// Link is [link].
type Link struct {
	URL   string // ws:// to this machine, or wss://; its path ends in /link
	Token Secret // may be empty: then it comes from pairing
}

// Scope says how far a child's state reaches.
type Scope string

// The scopes of a child.
const (
	ScopeMachine Scope = "machine" // any process of the machine may execute its approved calls
	ScopeSession Scope = "session" // stateful: an approval dies with the session that asked
)

// MCP is one [[mcp]]: a child to start.
type MCP struct {
	Name        string
	Command     string            // a name to look up in PATH, or an absolute path
	Args        []string          // may hold what secrets expanded to: not for logs
	Env         map[string]Secret // added to a scrubbed environment
	Cwd         string            // absolute; empty: not set
	HiddenTools []string          // names or patterns, never listed nor callable
	Optional    bool
	Scope       Scope
	Line        int // of its [[mcp]]
}

// SkippedChild is an optional [[mcp]] that is left out, and why.
type SkippedChild struct {
	Name      string
	File      string
	Line, Col int
	Reason    string // for people: "variable NOTION_API_TOKEN is not set"
}

// Action is what a policy decides.
type Action string

// The actions of a policy.
const (
	Allow           Action = "allow"
	Deny            Action = "deny"
	RequireApproval Action = "require-approval"
)

// Policy is [policy]. Without one every call requires approval.
type Policy struct {
	Default Action
	Tools   []Rule // [policy.tools], in the order of the file
}

// Rule is one line of [policy.tools]. Its pattern is not looked into here.
type Rule struct {
	Pattern   string
	Action    Action
	Line, Col int
}

// Approvals is [approvals].
type Approvals struct {
	ExpireAfter time.Duration // over 0; no answer by then: expired
}

// Replacement is one [[replacement]]. The first of two with the same real
// value, or the same fake one, wins.
type Replacement struct {
	Fake                string
	Real                Secret
	Bidirectional       bool
	CaseSensitive       bool
	ResponseReplacement string // what the client sees in place of Real when not Bidirectional
	Line                int    // of its [[replacement]]
}

// Relay is [relay].
type Relay struct {
	Listen      string // host:port
	PublicURL   string // without a final slash; empty: to be derived from where it listens
	TLSCert     string // absolute path; empty together with TLSKey: plain HTTP
	TLSKey      string
	DataDir     string // absolute; see PrivateDir
	Console     bool
	BehindProxy bool // a proxy in front ends TLS
}

// Telegram is [telegram].
type Telegram struct {
	BotToken     Secret
	AdminChatID  int64 // 0: none yet
	AdminUserIDs []int64
	PairingCode  Secret // empty: no pairing
	APIURL       string // without a final slash
}
