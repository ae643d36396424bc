package policy

import (
	"math/rand"
	"strings"
	"testing"
	"time"
)

func compile(t *testing.T, def Action, rules ...Rule) *Policy {
	t.Helper()
	p, err := Compile(rules, def)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	p := compile(t, RequireApproval,
		Rule{"*/delete_*", Deny, "portero.toml:10"},
		Rule{"filesystem/read_file", Allow, "portero.toml:11"},
		Rule{"filesystem/*", RequireApproval, "portero.toml:12"},
		Rule{"filesystem/list_*", Allow, "portero.toml:13"},
		Rule{"kit/*", Allow, ""},
		Rule{"kit/resource:*", Deny, ""},
		Rule{"kit/resource:file:///pub*", Allow, ""},
		Rule{"git**", Allow, "x:1"},
		Rule{"github/delete_branch", Allow, "x:2"},
		Rule{"git*/get*", Deny, "x:3"},
		Rule{"git*/*gets", Allow, "x:4"},
		Rule{"tie/a*", Allow, "x:5"},
		Rule{"tie/*b", RequireApproval, "x:6"},
		Rule{"tie/*", Deny, "x:7"},
		Rule{"twin/x", Allow, "x:8"},
		Rule{"twin/x", Deny, "x:9"},
		Rule{"twin/x", RequireApproval, "x:10"},
		Rule{"same/*", Allow, "x:11"},
		Rule{"same/**", Deny, "x:12"},
	)
	tests := []struct {
		tool   string
		action Action
		rule   string
	}{
		{"filesystem/read_file", Allow, `"filesystem/read_file" (portero.toml:11)`},
		{"filesystem/read_files", RequireApproval, `"filesystem/*" (portero.toml:12)`},
		{"filesystem/list_directory", Allow, `"filesystem/list_*" (portero.toml:13)`},
		{"filesystem/List_directory", RequireApproval, `"filesystem/*" (portero.toml:12)`},
		{"Filesystem/read_file", RequireApproval, `default`},
		// Neither of */delete_* and filesystem/* is more specific: the stricter wins.
		{"filesystem/delete_file", Deny, `"*/delete_*" (portero.toml:10)`},
		{"kit/delete_x", Deny, `"*/delete_*" (portero.toml:10)`},
		{"kit/repo/delete_x", Allow, `"kit/*"`},
		{"kit/repo/read", Allow, `"kit/*"`},
		{"kit/resource:file:///etc/passwd", Deny, `"kit/resource:*"`},
		{"kit/resource:file:///pub/a", Allow, `"kit/resource:file:///pub*"`},
		{"kit2/read", RequireApproval, `default`},
		{"github/delete_branch", Allow, `"github/delete_branch" (x:2)`},
		{"github/delete_branches", Deny, `"*/delete_*" (portero.toml:10)`},
		{"github/list", Allow, `"git**" (x:1)`},
		{"github/get_me", Deny, `"git*/get*" (x:3)`},
		{"github/budgets", Allow, `"git*/*gets" (x:4)`},
		{"github/getgets", Deny, `"git*/get*" (x:3)`},
		{"tie/ab", RequireApproval, `"tie/*b" (x:6)`},
		{"tie/ac", Allow, `"tie/a*" (x:5)`},
		{"tie/c", Deny, `"tie/*" (x:7)`},
		{"twin/x", Deny, `"twin/x" (x:9)`},
		{"same/x", Deny, `"same/**" (x:12)`},
		{"other/x", RequireApproval, `default`},
	}
	for _, test := range tests {
		if d := p.Decide(test.tool); d.Action != test.action || d.Rule != test.rule {
			t.Errorf("Decide(%q) = %s by %s, want %s by %s", test.tool, d.Action, d.Rule, test.action, test.rule)
		}
	}
	for _, name := range badNames {
		if d := p.Decide(name); d.Action != Deny || d.Rule == "default" {
			t.Errorf("Decide(%q) = %+v", name, d)
		}
	}
}

var badNames = []string{
	"", "/", "kit", "kit/", "/read", "kit/*", "kit/**", "k*t/read", "kit/a\nb", "kit/a\x00", "kit\x7f/a", "kit/\u0085", "kit/\u2028", "kit/\u2029", "kit/\xff", "*", "**",
}

func TestValidName(t *testing.T) {
	for _, name := range badNames {
		if ValidName(name) == nil {
			t.Errorf("ValidName accepts %q", name)
		}
	}
	for _, name := range []string{"kit/read", "kit/repo/delete", "kit/resource:file:///a?b=[1]", "kit/prompt:Größe 漢", "kit//", "k/ "} {
		if err := ValidName(name); err != nil {
			t.Error(err)
		}
	}
}

func TestPattern(t *testing.T) {
	tests := []struct {
		pattern  string
		yes, not []string
	}{
		{"*", []string{"a/b", "a/b/c", "kit/resource:x://y"}, []string{"a", "a/*"}},
		{"**", []string{"a/b", "a/b/c"}, []string{"a"}},
		{"*/*", []string{"a/b", "a/b/c"}, nil},
		{"kit/*", []string{"kit/a", "kit/repo/delete", "kit/resource:x://y"}, []string{"kit2/a", "Kit/a", "x/kit/a", "kit"}},
		{"kit/r*e", []string{"kit/re", "kit/read_file/e"}, []string{"kit/r", "kit/ready"}},
		{"*/read", []string{"kit/read"}, []string{"kit/a/read", "kit/reads", "kit/Read"}},
		{"**/read", []string{"kit/read", "kit/a/read"}, []string{"kit/reads", "read"}},
		{"k*t/a", []string{"kt/a", "kit/a", "kkt/a"}, []string{"k/t/a", "kit/a/a"}},
		{"k**t", []string{"k/t", "kit/a/t"}, []string{"kit/a"}},
		{"**kit**", []string{"kit/a", "a/kit", "my-kit-2/x/y"}, []string{"a/b"}},
		{"a/*b*c*", []string{"a/bc", "a/xbxcx", "a/bbc"}, []string{"a/cb", "a/b"}},
		{"a/*ab", []string{"a/ab", "a/aab", "a/abab"}, []string{"a/aba", "a/b"}},
		{"a/ab*ba", []string{"a/abba"}, []string{"a/aba"}},
		{"a/b.c", []string{"a/b.c"}, []string{"a/bxc"}},
		{"a/[b]?+", []string{"a/[b]?+"}, []string{"a/b"}},
	}
	for _, test := range tests {
		p, err := ParsePattern(test.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.String() != test.pattern || p.Exact() != !strings.Contains(test.pattern, "*") {
			t.Errorf("%s: %q, exact %v", test.pattern, p, p.Exact())
		}
		for _, name := range test.yes {
			if !p.Match(name) {
				t.Errorf("%s does not match %q", test.pattern, name)
			}
		}
		for _, name := range test.not {
			if p.Match(name) {
				t.Errorf("%s matches %q", test.pattern, name)
			}
		}
	}
	for _, s := range []string{"", "kit", "git*", "/", "kit/", "/x", "/*", "kit/a\n", "kit/\xff*", "g*t**/x", "**a*/x"} {
		if p, err := ParsePattern(s); err == nil {
			t.Errorf("ParsePattern accepts %q", s)
		} else if p.Match("kit/a") {
			t.Errorf("the refused pattern %q matches", s)
		}
	}
	if !Glob("delete_*", "delete_x/y") || Glob("delete_*", "undelete_") || !Glob("a", "a") || Glob("", "a") {
		t.Error("Glob")
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	_, err := Compile([]Rule{
		{"kit/a", "denied", "portero.toml:3"},
		{"kit/b", Allow, "portero.toml:4"},
		{"kit", Allow, "portero.toml:5"},
		{"kit/\n", Deny, "portero.toml:6"},
		{"kit/c", "", "portero.toml:7"},
	}, "ask")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`default policy: unknown action "ask"`, "portero.toml:3", `"denied"`, "portero.toml:5", `"kit/*"`, "portero.toml:6", "portero.toml:7", `"require-approval"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "portero.toml:4") {
		t.Errorf("a good rule is blamed:\n%v", err)
	}
}

func TestActions(t *testing.T) {
	order := []Action{Allow, RequireApproval, Deny}
	for i, a := range order {
		if got, err := ParseAction(string(a)); got != a || err != nil {
			t.Errorf("ParseAction(%q) = %q, %v", a, got, err)
		}
		for j, b := range order {
			if got := Stricter(a, b); got != order[max(i, j)] {
				t.Errorf("Stricter(%s, %s) = %s", a, b, got)
			}
		}
	}
	for _, s := range []string{"", "Allow", "deny ", "require_approval", "ask"} {
		if got, err := ParseAction(s); err == nil || got != "" {
			t.Errorf("ParseAction(%q) = %q, %v", s, got, err)
		}
	}
}

func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	rules := []Rule{
		{"*", Allow, ""}, {"a/*", RequireApproval, ""}, {"*/b*", Deny, ""}, {"a/b*", Allow, ""}, {"a/*c", RequireApproval, ""},
		{"**c", Deny, ""}, {"a/bc", Allow, ""}, {"a/bc", RequireApproval, ""},
	}
	names := []string{"a/b", "a/bc", "a/c", "a/d", "d/b", "d/c", "d/e", "a/bdc"}
	first := compile(t, Deny, rules...)
	rng := rand.New(rand.NewSource(1))
	for range 200 {
		rng.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
		p := compile(t, Deny, rules...)
		for _, name := range names {
			if got, want := p.Decide(name).Action, first.Decide(name).Action; got != want {
				t.Fatalf("%s: %s, in another order %s", name, want, got)
			}
		}
	}
}

func TestMatchingIsLinear(t *testing.T) {
	p := compile(t, Deny, Rule{"a/" + strings.Repeat("*a", 5000) + "*b", Allow, ""})
	name := "a/" + strings.Repeat("a", 1<<20)
	start := time.Now()
	if p.Decide(name).Action != Deny {
		t.Error("matched")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

// matches is the definition of a pattern, tried out in every possible way.
func matches(pattern, name string, inChild bool) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] != '*' {
		return name != "" && name[0] == pattern[0] && matches(pattern[1:], name[1:], inChild && pattern[0] != '/')
	}
	any := !inChild || strings.HasPrefix(pattern, "**")
	rest := strings.TrimPrefix(pattern, "*")
	if strings.HasPrefix(pattern, "**") {
		rest = pattern[2:]
	}
	for i := 0; ; i++ {
		if matches(rest, name[i:], inChild) {
			return true
		}
		if i == len(name) || name[i] == '/' && !any {
			return false
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range [][3]string{
		{"a/*b", "a/ab", "a/*"}, {"*/a*", "b/a", "b/*"}, {"**/a", "a/b/a", "*/a"}, {"a**", "a/a", "a*/**"}, {"*", "a/b", "*/*"}, {"a/b", "a/b", "a/*"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, pattern, name, second string) {
		if len(pattern)+len(second) > 24 || len(name) > 24 || strings.Contains(pattern+second, "***") {
			return
		}
		p, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		got := p.Match(name)
		want := ValidName(name) == nil && (pattern == "*" || matches(pattern, name, true))
		if got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
		q, err := ParsePattern(second)
		if err != nil || !p.within(q) {
			return
		}
		if got && !q.Match(name) {
			t.Fatalf("%q is within %q, but %q is not", pattern, second, name)
		}
		// And then it is the one that decides, whatever the actions.
		if got && !q.within(p) {
			policy, err := Compile([]Rule{{pattern, Allow, ""}, {second, Deny, ""}}, Deny)
			if err != nil {
				t.Fatal(err)
			}
			if policy.Decide(name).Action != Allow {
				t.Fatalf("%q does not beat %q on %q", pattern, second, name)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	rules := []Rule{{"filesystem/read_file", Allow, "a"}, {"*/delete_*", Deny, "a"}, {"github/*", RequireApproval, "a"}, {"stripe/list_*", Allow, "a"}}
	p, err := Compile(rules, RequireApproval)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"filesystem/read_file", "github/delete_repo", "slack/post"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(name)
			}
		})
	}
}
