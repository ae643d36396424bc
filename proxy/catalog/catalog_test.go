package catalog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func def(name string) json.RawMessage {
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err)
	}
	return json.RawMessage(`{"name":` + string(quoted) + `,"description":"Does it.","inputSchema":{"type":"object"}}`)
}

func defs(names ...string) (all []json.RawMessage) {
	for _, n := range names {
		all = append(all, def(n))
	}
	return all
}

// filled returns a catalog of servers and their tools: "server: tool tool".
func filled(t *testing.T, servers ...string) *Catalog {
	t.Helper()
	var order []string
	for _, s := range servers {
		child, _, _ := strings.Cut(s, ":")
		order = append(order, child)
	}
	c := New(order, func(string) bool { return false })
	for _, s := range servers {
		child, tools, _ := strings.Cut(s, ":")
		if _, problems := c.Set(child, defs(strings.Fields(tools)...)); problems != nil {
			t.Fatal(problems)
		}
	}
	return c
}

// listed returns all names under a separator; every one must find its own tool
// and no other.
func listed(t *testing.T, c *Catalog, separator string) (names []string) {
	t.Helper()
	seen := map[string]string{}
	for _, tool := range c.All() {
		name := c.Listed(tool, separator)
		if other, ok := seen[name]; ok {
			t.Errorf("%q lists both %s and %s", name, other, tool.Name)
		}
		seen[name] = tool.Name
		if found, ok := c.Find(name); !ok || found.Name != tool.Name {
			t.Errorf("%s is listed as %q, which finds %q", tool.Name, name, found.Name)
		}
		if found, ok := c.Find(tool.Name); !ok || found.Name != tool.Name {
			t.Errorf("%s finds %q", tool.Name, found.Name)
		}
		names = append(names, name)
	}
	return names
}

func TestNames(t *testing.T) {
	long := strings.Repeat("long_", 12)
	for _, tc := range []struct {
		servers []string
		slash   string // listed with "/", in order
		under   string // listed with "__"; # stands for a hash
	}{
		{[]string{"github: list_issues create-issue"}, "github/create-issue github/list_issues", "github__create-issue github__list_issues"},
		{[]string{"b: x", "a: y"}, "b/x a/y", "b__x a__y"}, // servers as configured
		{[]string{"k: a/b a_b"}, "k/a/b k/a_b", "k__a_#  k__a_b"},
		{[]string{"k: a.b a_b a:b"}, "k/a.b k/a:b k/a_b", "k__a_b_# k__a_b_# k__a_b"},
		{[]string{"k: a.b"}, "k/a.b", "k__a_b"},
		{[]string{"a: b__c", "a__b: c"}, "a/b__c a__b/c", "a__b__c a__b__c_#"},
		{[]string{"a__b: c", "a: b__c"}, "a__b/c a/b__c", "a__b__c a__b__c_#"},
		{[]string{"a: b/c", "a__b: c"}, "a/b/c a__b/c", "a__b_c a__b__c"},
		{[]string{"k: größe"}, "k/größe", "k__gr__e"},
		{[]string{"k: " + long + "a " + long + "b"}, "k/" + long + "a k/" + long + "b", "k__" + long[:36] + "_# k__" + long[:36] + "_#"},
	} {
		c := filled(t, tc.servers...)
		if got := strings.Join(listed(t, c, Slash), " "); got != tc.slash {
			t.Errorf("%v with /: %s, want %s", tc.servers, got, tc.slash)
		}
		got := listed(t, c, Underscore)
		want := strings.Fields(tc.under)
		for i := range got {
			pattern := regexp.QuoteMeta(want[i])
			pattern = strings.ReplaceAll(pattern, "_#", "[a-z_]*_[0-9a-f]{8}")
			if !regexp.MustCompile("^" + pattern + "$").MatchString(got[i]) {
				t.Errorf("%v with __: %s is not like %s", tc.servers, got[i], want[i])
			}
			if len(got[i]) > maxListed || !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(got[i]) {
				t.Errorf("%q is no name for a client", got[i])
			}
		}
	}
}

func TestEverySpellingIsFound(t *testing.T) {
	c := filled(t, "github: list_issues repos/get search.code", "kit: echo")
	for spelling, want := range map[string]string{
		"github/list_issues":  "github/list_issues",
		"github__list_issues": "github/list_issues",
		"github/repos/get":    "github/repos/get",
		"github__repos/get":   "github/repos/get",
		"github__repos_get":   "github/repos/get",
		"github__search.code": "github/search.code",
		"github__search_code": "github/search.code",
		"kit__echo":           "kit/echo",
		"kit_echo":            "",
		"echo":                "",
		"github/Echo":         "",
		"GITHUB/list_issues":  "",
		"github/":             "",
		"":                    "",
	} {
		if got, ok := c.Find(spelling); got.Name != want || ok != (want != "") {
			t.Errorf("%q finds %q", spelling, got.Name)
		}
	}
	// A name that was listed while it was long goes on working beside others.
	tool, _ := c.Find("github/repos/get")
	if got, ok := c.Find(short(tool, 0)); !ok || got.Name != tool.Name {
		t.Errorf("the name with a hash finds %q", got.Name)
	}
}

// TestNameOfAHash: a server cannot take another one's calls by giving a tool
// the name that the other's hash makes.
func TestNameOfAHash(t *testing.T) {
	victim := Tool{Name: "a__b/" + strings.Repeat("c", 60), Child: "a__b", Own: strings.Repeat("c", 60)}
	stolen := strings.TrimPrefix(short(victim, 0), "a__")
	for _, order := range [][]string{{"a: " + stolen, "a__b: " + victim.Own}, {"a__b: " + victim.Own, "a: " + stolen}} {
		c := filled(t, order...)
		for _, sep := range []string{Slash, Underscore} {
			listed(t, c, sep)
		}
		if got, _ := c.Find("a__" + stolen); got.Child != "a" {
			t.Errorf("%v: the exact name finds %q", order, got.Name)
		}
	}
}

func TestServer(t *testing.T) {
	c := filled(t, "a__b: y", "a: x", "a-b: z", "a_: w")
	for name, want := range map[string]string{
		"a/x": "a", "a__x": "a", "a/new": "a", "a__b/y": "a__b", "a__b__y": "a__b", "a__b": "a", "a-b/z": "a-b", "a-b__z": "a-b",
		"a_/w": "a_", "a___w": "a_", "b/x": "", "ax": "", "a": "", "": "", "portero/call": "",
	} {
		if got := c.Server(name); got != want {
			t.Errorf("%q speaks of %q, want %q", name, got, want)
		}
	}
}

func TestHidden(t *testing.T) {
	c := New([]string{"kit"}, func(name string) bool { return strings.HasPrefix(name, "kit/delete_") })
	if changed, problems := c.Set("kit", defs("delete_all", "echo", "delete_all")); !changed || problems != nil {
		t.Errorf("changed %v, problems %v", changed, problems)
	}
	for _, name := range []string{"kit/delete_all", "kit__delete_all"} {
		if got, ok := c.Find(name); ok {
			t.Errorf("%s finds %s", name, got.Name)
		}
	}
	if got := listed(t, c, Slash); !slices.Equal(got, []string{"kit/echo"}) {
		t.Errorf("listed %v", got)
	}
	if hits, total := c.Search("delete all", "", 10); total != 0 {
		t.Errorf("found %v", hits)
	}
}

func TestBadDefinitions(t *testing.T) {
	c := New([]string{"kit"}, func(string) bool { return false })
	bad := map[string]string{
		`{}`:                               "no name",
		`{"name":null}`:                    "cannot be used",
		`{"name":7}`:                       "cannot be used",
		`{"name":""}`:                      "cannot be used",
		`{"name":"a*"}`:                    "cannot be used",
		`{"name":"a\nb"}`:                  "cannot be used",
		`{"name":"a\u2028b"}`:              "cannot be used",
		`{"name":"a\u0000b"}`:              "cannot be used",
		`{"name":"a\ud800b"}`:              "cannot be used",
		`{"name":"/a"}`:                    "cannot be used",
		`{"name":"a/"}`:                    "cannot be used",
		`{"name":"` + longName(201) + `"`:  "no name", // and not even whole
		`{"name":"` + longName(201) + `"}`: "cannot be used",
		`{"name":"x",`:                     "no name",
		`["name"]`:                         "no name",
		`null`:                             "no name",
	}
	for text, reason := range bad {
		_, problems := c.Set("kit", []json.RawMessage{json.RawMessage(text), def("good")})
		if len(problems) != 1 || !strings.Contains(problems[0], reason) || !strings.Contains(problems[0], "tool 1 of kit is left out") || len(problems[0]) > 200 {
			t.Errorf("%.40s: problems %q, want %q", text, problems, reason)
		}
		if got := listed(t, c, Slash); !slices.Equal(got, []string{"kit/good"}) {
			t.Errorf("%.40s: listed %v", text, got)
		}
	}
	_, problems := c.Set("kit", defs("twice", "good", "twice"))
	if len(problems) != 1 || !strings.Contains(problems[0], `second tool "twice" of kit`) {
		t.Errorf("a duplicate: %q", problems)
	}
	if got := listed(t, c, Slash); !slices.Equal(got, []string{"kit/good", "kit/twice"}) {
		t.Errorf("with a duplicate: %v", got)
	}
	if _, problems := c.Set("kit", defs(longName(200))); problems != nil {
		t.Errorf("the longest name: %q", problems)
	}
}

func longName(n int) string { return strings.Repeat("n", n) }

func TestSetAndOrder(t *testing.T) {
	c := New([]string{"b", "a"}, func(string) bool { return false })
	all := func() string {
		var names []string
		for _, tool := range c.All() {
			names = append(names, tool.Name)
		}
		return strings.Join(names, " ")
	}
	for i, step := range []struct {
		child   string
		tools   []json.RawMessage
		changed bool
		want    string
	}{
		{"a", defs(), false, ""},
		{"a", defs("z", "m"), true, "a/m a/z"},
		{"a", defs("m", "z"), false, "a/m a/z"}, // the order they come in is nothing
		{"b", defs("y", "x"), true, "b/x b/y a/m a/z"},
		{"a", defs("z"), true, "b/x b/y a/z"},
		{"a", []json.RawMessage{json.RawMessage(`{"name":"z"}`)}, true, "b/x b/y a/z"},
		{"b", nil, true, "a/z"},
		{"stranger", defs("s"), true, "a/z"},
	} {
		if changed, problems := c.Set(step.child, step.tools); changed != step.changed || problems != nil {
			t.Errorf("step %d: changed %v, problems %v", i, changed, problems)
		}
		if got := all(); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if got, ok := c.Find("b/x"); ok {
		t.Errorf("a tool that is gone is still found: %s", got.Name)
	}
}

// TestStable: however the servers come up, the same list results.
func TestStable(t *testing.T) {
	servers := []string{"a: b__c x.y x_y", "a__b: c", "k: " + strings.Repeat("t", 70) + " echo"}
	var want string
	for round := range 6 {
		c := New([]string{"a", "a__b", "k"}, func(string) bool { return false })
		for i := range servers {
			child, tools, _ := strings.Cut(servers[(i*(1+round%2)+round)%3], ":")
			names := strings.Fields(tools)
			if round%2 == 1 {
				slices.Reverse(names)
			}
			c.Set(child, defs(names...))
		}
		var out strings.Builder
		for _, sep := range []string{Slash, Underscore} {
			for _, tool := range c.All() {
				fmt.Fprintf(&out, "%s\n", tool.Definition(c.Listed(tool, sep), true))
			}
		}
		if round == 0 {
			want = out.String()
		} else if out.String() != want {
			t.Fatalf("round %d:\n%s\nwant\n%s", round, out.String(), want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := filled(t, "a: x", "b: y")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 200 {
				switch i {
				case 0:
					c.Set("a", defs("x", fmt.Sprint("x", n)))
				default:
					tool, ok := c.Find("b__y")
					if !ok || c.Listed(tool, Underscore) != "b__y" || len(c.All()) < 2 {
						t.Error("b/y is not there")
					}
					c.Search("x", "", 5)
				}
			}
		})
	}
	wg.Wait()
}
