package catalog

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func searchable(t *testing.T) *Catalog {
	t.Helper()
	c := New([]string{"github", "google", "stripe", "kit"}, func(string) bool { return false })
	for child, tools := range map[string]map[string]string{
		"github": {"create_issue": "Create a new issue in a repository.", "list_issues": "List issues of a repository.", "searchCode": "Find code."},
		"google": {"gmail_send": "Send an e-mail message.", "calendar_list_events": "List events.\nNext week's, too."},
		"stripe": {"create_refund": "Give money back.", "list_customers": "List customers."},
		"kit":    {"echo": "Return the text.", "issue": "Nothing to do with tickets; repository, repository."},
	} {
		var all []json.RawMessage
		for name, text := range tools {
			one, err := json.Marshal(map[string]string{"name": name, "description": text})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		if _, problems := c.Set(child, all); problems != nil {
			t.Fatal(problems)
		}
	}
	return c
}

func names(hits []Hit) (all []string) {
	for _, h := range hits {
		all = append(all, h.Tool.Name)
	}
	return all
}

func TestSearchRanking(t *testing.T) {
	c := searchable(t)
	for query, first := range map[string]string{
		"create issue":           "github/create_issue",
		"issue create":           "github/create_issue",
		"CREATE ISSUES":          "github/create_issue",
		"creating an issue":      "github/create_issue",
		"github issue":           "github/create_issue", // both fit, the first of two equals
		"refund":                 "stripe/create_refund",
		"refunds":                "stripe/create_refund",
		"search code":            "github/searchCode",
		"echo":                   "kit/echo",
		"kit/echo":               "kit/echo",
		"send mail":              "google/gmail_send",
		"next":                   "google/calendar_list_events", // behind an escaped line break
		"list events":            "google/calendar_list_events",
		"issue":                  "github/create_issue", // in its name and its description
		"customers list, please": "stripe/list_customers",
	} {
		hits, total := c.Search(query, "", 10)
		if len(hits) == 0 || hits[0].Tool.Name != first || total != len(hits) {
			t.Errorf("%q finds %v of %d, want %s first", query, names(hits), total, first)
		}
		for i := 1; i < len(hits); i++ {
			if hits[i].Score > hits[i-1].Score || hits[i].Score <= 0 {
				t.Errorf("%q: scores %v", query, hits)
			}
		}
	}
	for _, query := range []string{"quantum", "Does", "x-ray u000a"} {
		if hits, total := c.Search(query, "", 10); total != 0 {
			t.Errorf("%q finds %v", query, names(hits))
		}
	}
}

func TestSearchWithoutAQuery(t *testing.T) {
	c := searchable(t)
	var all []string
	for _, tool := range c.All() {
		all = append(all, tool.Name)
	}
	for _, query := range []string{"", "  ", "?!"} {
		if hits, total := c.Search(query, "", 100); total != 9 || !slices.Equal(names(hits), all) {
			t.Errorf("%q: %v of %d, want the whole list in its order", query, names(hits), total)
		}
	}
	if hits, total := c.Search("", "", 4); total != 9 || !slices.Equal(names(hits), all[:4]) {
		t.Errorf("the first four: %v of %d", names(hits), total)
	}
	if hits, total := c.Search("list", "", 1); total != 3 || len(hits) != 1 {
		t.Errorf("one of several: %v of %d", names(hits), total)
	}
	if hits, total := c.Search("list", "", 0); total != 3 || len(hits) != 0 {
		t.Errorf("none of several: %v of %d", names(hits), total)
	}
}

func TestSearchByCategory(t *testing.T) {
	c := searchable(t)
	for category, want := range map[string]string{
		"kit":      "kit/echo kit/issue",
		"Stripe":   "stripe/create_refund stripe/list_customers",
		"gmail":    "google/gmail_send",
		"email":    "google/gmail_send",
		"calendar": "google/calendar_list_events",
		"unheard":  "",
	} {
		hits, _ := c.Search("", category, 10)
		if got := strings.Join(names(hits), " "); got != want {
			t.Errorf("category %s: %s, want %s", category, got, want)
		}
	}
	if hits, _ := c.Search("list", "stripe", 10); strings.Join(names(hits), " ") != "stripe/list_customers" {
		t.Errorf("a query in a category: %v", names(hits))
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string]string{
		"listIssues of-repo_2 (HTTPServer) x": "list issues of repo 2 httpserver x",
		"ÄpfelÜber größe":                     "äpfel über größe",
		"":                                    "",
		"__":                                  "",
	} {
		if got := strings.Join(split(text), " "); got != want {
			t.Errorf("%q is split into %q, want %q", text, got, want)
		}
	}
}
