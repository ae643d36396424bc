package conf

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const examplePath = "../../portero.toml.example"

// The example loads for both programs, with nothing set as well.
func TestExample(t *testing.T) {
	all := []string{
		"REAL_NAME=Ada Lovelace", "REAL_EMAIL=ada@example.org", "REAL_API_KEY=sk-1", "NOTION_API_TOKEN=n", "STRIPE_API_KEY=s",
		"GOOGLE_OAUTH_CLIENT_ID=i", "GOOGLE_OAUTH_CLIENT_SECRET=c", "TELEGRAM_BOT_TOKEN=1:a",
	}
	for _, tc := range []struct {
		name            string
		env             []string
		replacements    int
		skipped, warned string
	}{
		{"name and e-mail", all[:2], 2, "google: variable GOOGLE_OAUTH_CLIENT_ID is not set, variable GOOGLE_OAUTH_CLIENT_SECRET is not set; " +
			"notion: variable NOTION_API_TOKEN is not set; stripe: variable STRIPE_API_KEY is not set",
			"this replacement is dropped: variable REAL_API_KEY is not set"},
		{"nothing", nil, 0, "google: variable GOOGLE_OAUTH_CLIENT_ID is not set, variable GOOGLE_OAUTH_CLIENT_SECRET is not set; " +
			"notion: variable NOTION_API_TOKEN is not set; stripe: variable STRIPE_API_KEY is not set",
			"this replacement is dropped: variable REAL_NAME is not set; this replacement is dropped: variable REAL_EMAIL is not set; " +
				"this replacement is dropped: variable REAL_API_KEY is not set"},
		{"everything", all, 3, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Load(examplePath, getenv(vars(tc.env...)), ProxySide)
			if err != nil {
				t.Fatal(err)
			}
			if c.MCP[0].Name != "filesystem" || len(c.MCP)+len(c.Skipped) != 4 || len(c.Replacements) != tc.replacements {
				t.Errorf("children %v, replacements %v", c.MCP, c.Replacements)
			}
			var skipped, warned []string
			for _, s := range c.Skipped {
				skipped = append(skipped, s.Name+": "+s.Reason)
			}
			for _, w := range c.Warnings {
				warned = append(warned, w.Msg)
			}
			if got := strings.Join(skipped, "; "); got != tc.skipped {
				t.Errorf("skipped\n%s\nwant\n%s", got, tc.skipped)
			}
			if got := strings.Join(warned, "; "); got != tc.warned {
				t.Errorf("warned\n%s\nwant\n%s", got, tc.warned)
			}
			if c.Link == nil || c.Link.URL != "ws://127.0.0.1:8443/link" || c.Policy.Tools[0].Pattern != "filesystem/read_*" {
				t.Errorf("link %v, policy %v", c.Link, c.Policy)
			}
			r, err := Load(examplePath, getenv(vars(tc.env...)), RelaySide)
			if err != nil {
				t.Fatal(err)
			}
			if (r.Telegram != nil) != (tc.name == "everything") || r.Relay.Listen != "127.0.0.1:8443" {
				t.Errorf("telegram %v, relay %v", r.Telegram, r.Relay)
			}
		})
	}
}

// What the example shows in comments is valid as well, and every key that has
// an effect is shown.
func TestExampleIsComplete(t *testing.T) {
	b, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	src := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(string(b), "$1")
	write(t, filepath.Join(dir, ".env"), "REAL_NAME=Ada\n")
	write(t, filepath.Join(dir, "portero.toml"), src)
	for _, side := range []Side{ProxySide, RelaySide} {
		c, err := Load(filepath.Join(dir, "portero.toml"), getenv(nil), side)
		if err != nil {
			t.Fatal(err)
		}
		if side == ProxySide && (c.Proxy.Name != "laptop" || len(c.Replacements) != 1) {
			t.Errorf("proxy %+v, replacements %v", c.Proxy, c.Replacements)
		}
	}
	root := locate(src)
	for section, keys := range map[string]string{
		"":            "env_file proxy link mcp policy approvals replacement relay telegram",
		"proxy":       "name state_dir tool_separator instructions",
		"link":        "url token",
		"mcp":         "name command args env cwd hidden_tools optional scope",
		"policy":      "default tools",
		"approvals":   "expire_after",
		"replacement": "fake real bidirectional case_sensitive optional response_replacement",
		"relay":       "listen public_url tls_cert tls_key data_dir console behind_proxy",
		"telegram":    "bot_token admin_chat_id admin_user_ids pairing_code api_url",
	} {
		n := root
		if section != "" {
			n = root.sub[section]
		}
		shown := map[string]bool{}
		for _, item := range append(n.items, n) {
			for _, key := range item.keys {
				shown[key] = true
			}
		}
		want := map[string]bool{}
		for key := range strings.FieldsSeq(keys) {
			want[key] = true
		}
		if !reflect.DeepEqual(shown, want) {
			t.Errorf("[%s]: the example shows %v, want %v", section, shown, want)
		}
	}
}
