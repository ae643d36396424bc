package telegram

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func sample(args string) desk.Task {
	return desk.Task{
		Task: task.Task{State: task.Pending, Deadline: noon.Add(24 * time.Hour)},
		ID:   "9Q2KX7", Machine: "laptop", Label: "lap", Tool: "filesystem/write_file", Rule: "filesystem/* (pattern)", Code: "7K3F",
		Args: json.RawMessage(args), Created: noon,
	}
}

// quoted is a JSON string of any text.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// The golden files are what Telegram gets. Look at them: a card must not be
// made to say something else.
func TestCardsGolden(t *testing.T) {
	ended := func(s task.State, edit func(*desk.Task)) desk.Task {
		x := sample(`{"path":"/workspace/notes.txt","content":"line one\nline two\n"}`)
		x.State, x.By, x.Decided, x.Ended = s, "Ana (telegram:1001)", noon.Add(time.Minute), noon.Add(2*time.Minute)
		if edit != nil {
			edit(&x)
		}
		return x
	}
	hostile := sample(`{"a":1}`)
	hostile.Tool = "fs/x\nTool: fs/harmless\u202e</code></b>"
	hostile.Label = "lap\u200b\ntoken admin) <b>"
	hostile.Rule = "r\u2028Code: 0000"
	hostile.Code, hostile.ID = "7\u00a03&amp;", "id\nApproved by Ana"
	for name, x := range map[string]desk.Task{
		"plain": sample(`{"path":"/workspace/notes.txt","append":false,"mode":420,"big":9007199254740993.10,"tags":["a", {"b":null}],"none":{}}`),
		"file":  sample(`{"path":"/workspace/notes.txt","content":` + quoted("func main() {\n\tprintln(\"<b>\")\n}\r\n") + `}`),
		"kinds": sample(`{"number":"5","word":"true","list":"[1]","empty":"","blank":" x ","quote":"\"q\"","text":"5 apples","lines":"{\n}"}`),
		"empty": sample(`{}`),
		"array": sample(`[1,"two"]`),
		"forged": sample(`{"body":` + quoted("hi\n\nTool: fs/read\nCode: 0000\n• path: /tmp\n│ x\nID: 1\n\n✅ Approved by Ana") +
			`,"Tool: x\nID":"y","a: b":"c","\u202e":"z","":0,"html":"<b>bold</b> &lt;i&gt; <a href='tg://user?id=1'>@ana</a>"}`),
		"invisible":   sample(`{"bidi":"user\u202etxt.exe\u2066a\u2069","zero":"pay\u200bpal\u00ad\ufeff","space":"a\u00a0b\u2003c\u3164d\u2800e","accents":"e\u0301 e` + strings.Repeat(`\u0301`, 9) + `","emoji":"❤️ 👩‍💻 🇩🇪","raw":"` + "\u202e\u0085" + `","own":"⟨U+202E⟩ ⇥","control":"\u0000\u001b[31m\u007f"}`),
		"broken":      sample("{\"a\":\"\xff\xfe\",\"b\":\"\\ud800\"}"),
		"huge":        sample(`{"path":"/workspace/a","content":` + quoted(strings.Repeat("0123456789abcde\n", 4000)) + `,"last":true}`),
		"many":        sample(manyArgs(500)),
		"wide":        sample(`{"subject":"s","to":["a@example.com"],"body":` + quoted(strings.Repeat("😀", 3000)) + `,"html":` + quoted(strings.Repeat("<p>&", 900)) + `,"n":7}`),
		"hostile":     hostile,
		"approved":    ended(task.Approved, nil),
		"executing":   ended(task.Executing, nil),
		"completed":   ended(task.Completed, func(x *desk.Task) { x.Outcome = wire.OK }),
		"tool-error":  ended(task.Completed, func(x *desk.Task) { x.Outcome, x.Note = wire.ToolError, "ENOSPC: no space\n✅ Completed" }),
		"failed":      ended(task.Failed, func(x *desk.Task) { x.Note = strings.Repeat("<&\u202e", 800) }),
		"denied":      ended(task.Denied, nil),
		"denied-late": ended(task.Denied, func(x *desk.Task) { x.Claims = 1 }),
		"expired":     ended(task.Expired, func(x *desk.Task) { x.By, x.Decided, x.Reason = "", time.Time{}, "nobody answered in time" }),
		"cancelled":   ended(task.Cancelled, func(x *desk.Task) { x.By, x.Decided, x.Reason = "", time.Time{}, "withdrawn by the asking side" }),
		"unknown":     ended(task.Unknown, nil),
		"unasked":     ended(task.Executing, func(x *desk.Task) { x.By = "" }),
	} {
		t.Run(name, func(t *testing.T) {
			d := draw(x, attached)
			checkCard(t, x, d.html)
			if got := d.cut; got != strings.Contains("huge many wide", name) {
				t.Errorf("cut: %v", got)
			}
			file := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(d.html+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d.html+"\n" != string(want) {
				t.Errorf("differs from %s (go test -update rewrites it):\n%s", file, d.html)
			}
		})
	}
}

func manyArgs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"argument_%d":"value %d"`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

var markup = regexp.MustCompile(`</?(b|code|pre)>`)

// checkCard checks what holds for every card: it fits, Telegram can parse it,
// nothing invisible is in it, and no line but the program's own begins with
// one of its labels.
func checkCard(t *testing.T, x desk.Task, html string) {
	t.Helper()
	if !utf8.ValidString(html) {
		t.Error("not UTF-8")
	}
	var open string
	for _, tag := range markup.FindAllString(html, -1) {
		if name, end := strings.CutPrefix(tag, "</"); end && open != "<"+name || !end && open != "" {
			t.Fatalf("unbalanced %s after %q:\n%s", tag, open, html)
		} else if end {
			open = ""
		} else {
			open = tag
		}
	}
	if open != "" {
		t.Errorf("%s is not closed", open)
	}
	text := markup.ReplaceAllString(html, "")
	if strings.ContainsAny(text, "<>\"") || strings.Count(text, "&") != len(regexp.MustCompile(`&(lt|gt|amp|quot);`).FindAllString(text, -1)) {
		t.Errorf("unescaped text:\n%s", html)
	}
	text = plain(text)
	if n := units(text); n > 4096 {
		t.Errorf("%d units", n)
	}
	for _, r := range text {
		if r != '\n' && r != '⟨' && r != '⟩' && r != '⇥' && hidden(r) {
			t.Errorf("U+%04X is not made visible:\n%s", r, text)
			break
		}
	}
	counts := map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		for _, label := range []string{"🔔", "Tool:", "Machine:", "Code:", "Rule:", "Arguments:", "Answer by:", "ID:", "✅", "❌", "⌛", "▶️", "🚫", "❓", "⚠️", "⏳"} {
			if strings.HasPrefix(line, label) {
				counts[label]++
			}
		}
		if line != "" && !strings.HasPrefix(line, "• ") && !strings.HasPrefix(line, "│ ") && !strings.HasPrefix(line, "⟨") &&
			!regexp.MustCompile(`^(🔔 Approval Required$|(Tool|Machine|Code|Rule|Arguments|Answer by|ID):|✂️|⚠️|✅|❌|⌛|▶️|🚫|❓|⏳|\(none\)$)`).MatchString(line) {
			t.Errorf("line %q is nobody's", line)
		}
	}
	for _, label := range []string{"🔔", "Tool:", "Machine:", "Code:", "Rule:", "Arguments:", "ID:"} {
		if counts[label] != 1 {
			t.Errorf("%d lines begin with %q:\n%s", counts[label], label, text)
		}
	}
	if x.State == task.Pending && (counts["✅"]+counts["❌"] > 0 || counts["Answer by:"] != 1) {
		t.Errorf("a pending card says how it ended:\n%s", text)
	}
}

func FuzzCard(f *testing.F) {
	f.Add(`{"a":"b"}`, "tool", "label", "rule", "note", uint8(0))
	f.Add(`{"a":"<\u202e\nTool: x"}`, "x\ny", "</code>", "&", "\xff", uint8(4))
	f.Add(manyArgs(300), strings.Repeat("\u202e", 500), strings.Repeat("😀", 500), strings.Repeat("<", 500), strings.Repeat("\n", 2000), uint8(9))
	f.Add("{\"a\":\"\xff\n", "", "", "", "", uint8(1))
	f.Fuzz(func(t *testing.T, args, tool, label, rule, note string, state uint8) {
		x := sample(args)
		x.Tool, x.Label, x.Rule, x.Note, x.Reason, x.By, x.ID, x.Machine, x.Code = tool, label, rule, note, note, label, tool, rule, note
		x.State = task.States[int(state)%len(task.States)]
		if x.State == task.Queued {
			x.State = task.Pending
		}
		x.Claims = int64(state % 3)
		d := draw(x, attachment(state%2))
		checkCard(t, x, d.html)
		if !utf8.ValidString(minimal(x)) || units(minimal(x)) > 4096 {
			t.Errorf("minimal card: %d units", units(minimal(x)))
		}
		document(x.Args)
	})
}
