package telegram

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"portero/relay/desk"
	"portero/shared/task"
	"portero/shared/wire"
)

// A card stays below Telegram's 4,096 units: cardUnits for what is asked, the
// rest for what became of it.
const (
	cardUnits = 3200
	noteUnits = 300
)

const stamp = "2006-01-02 15:04 UTC"

// drawing is a card as it is sent.
type drawing struct {
	html string
	cut  bool // not all of the arguments are in it
}

// attachment tells what became of the file with the whole arguments.
type attachment int

const (
	attached attachment = iota // sent just before the card
	lost                       // it could not be sent
)

// draw renders a task in its present state.
func draw(t desk.Task, file attachment) drawing {
	var p page
	p.say("🔔 ").bold("Approval Required").say("\n\n")
	p.bold("Tool:").say(" ").quote(t.Tool, 512).say("\n")
	p.bold("Machine:").say(" ").quote(t.Label, 64).say(" (token ").quote(t.Machine, 64).say(")\n")
	p.bold("Code:").say(" ").quote(t.Code, 32).say("\n")
	p.bold("Rule:").say(" ").quote(t.Rule, 300).say("\n")
	if t.Warn != "" {
		p.say("⚠️ ").quote(t.Warn, 400).say("\n")
	}

	// The same room in every state: an edit does not change the arguments.
	text, hidden := arguments(t.Args, cardUnits-p.n)
	p.bold("Arguments:").say("\n")
	p.put("pre", text)
	p.say("\n")
	if hidden > 0 {
		switch {
		case t.State != task.Pending:
			p.say(fmt.Sprintf("✂️ %d bytes of the arguments are not in this message.\n", hidden))
		case file == lost:
			p.say(fmt.Sprintf("⚠️ %d bytes are not shown, and the file with all of them could not be sent.\n", hidden))
		default:
			p.say(fmt.Sprintf("✂️ %d bytes are not shown; the whole is in the file above.\n", hidden))
		}
	}
	if t.State == task.Pending {
		p.say("\n").bold("Answer by:").say(" " + t.Deadline.UTC().Format(stamp) + "\n")
	}
	p.say("\nID: ").quote(t.ID, 130)
	if t.State != task.Pending {
		p.say("\n\n")
		outcome(&p, t)
	}
	return drawing{html: p.String(), cut: hidden > 0}
}

// minimal is the card for when Telegram refuses the full one: plain text, and
// nothing from a tool that could be the reason.
func minimal(t desk.Task) string {
	tool, _ := fit(t.Tool, 512)
	code, _ := fit(t.Code, 32)
	id, _ := fit(t.ID, 130)
	text := "🔔 Approval Required\n\nTool: " + tool + "\nCode: " + code +
		"\n\n⚠️ Telegram refused the full card; the arguments are not shown. Look at the approval page of the relay."
	if t.State == task.Pending {
		text += "\nAnswer by: " + t.Deadline.UTC().Format(stamp)
	} else {
		var p page
		outcome(&p, t)
		text += "\n\n" + plain(p.String())
	}
	return text + "\n\nID: " + id
}

// plain takes the program's own markup off again.
func plain(html string) string {
	return strings.NewReplacer("<b>", "", "</b>", "", "<code>", "", "</code>", "", "&lt;", "<", "&gt;", ">", "&amp;", "&", "&quot;", `"`).Replace(html)
}

// outcome says who decided, when, and how it ended.
func outcome(p *page, t desk.Task) {
	denied := t.State == task.Denied && t.Claims == 0
	switch {
	case denied:
		p.say("❌ ").bold("Denied").say(" by ").quote(t.By, 64).say(at(t.Decided))
		reason(p, t.Reason)
		return
	case t.By != "":
		p.say("✅ ").bold("Approved").say(" by ").quote(t.By, 64).say(at(t.Decided)).say("\n")
	case t.State.Effect():
		p.say("⚠️ Nobody approved this here.\n")
	}
	switch t.State {
	case task.Approved, task.Claimed:
		p.say("⏳ Waiting for the machine to run it")
	case task.Executing:
		p.say("▶️ Running")
	case task.Completed:
		if t.Outcome == wire.ToolError {
			p.say("⚠️ The tool answered with an error")
		} else {
			p.say("✅ ").bold("Completed")
		}
		p.say(at(t.Ended))
		reason(p, t.Note)
	case task.Failed:
		p.say("❌ ").bold("Failed").say(at(t.Ended))
		reason(p, t.Note)
	case task.Denied:
		p.say("❌ ").bold("Denied").say(" by the machine's policy before it ran").say(at(t.Ended))
		reason(p, t.Note)
	case task.Expired:
		p.say("⌛ ").bold("Expired").say(at(t.Ended))
		reason(p, t.Reason)
	case task.Cancelled:
		p.say("🚫 ").bold("Cancelled").say(at(t.Ended))
		reason(p, t.Reason)
	case task.Unknown:
		p.say("❓ ").bold("Unknown").say(": it may have run; not retried").say(at(t.Ended))
		reason(p, t.Note)
	}
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", " + t.UTC().Format(stamp)
}

func reason(p *page, text string) {
	if text != "" {
		p.say(": ").quote(text, noteUnits)
	}
}

// field is one top-level argument: its name, and its value as it is shown.
type field struct {
	name  string
	value string
}

// fields takes arguments apart in their own order and with their own spelling
// of numbers. Anything but an object is one field.
func fields(args json.RawMessage) []field {
	d := json.NewDecoder(bytes.NewReader(args))
	if t, err := d.Token(); err != nil || t != json.Delim('{') || !json.Valid(args) {
		return []field{{"(arguments)", shown(args)}}
	}
	var all []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return []field{{"(arguments)", string(args)}}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return []field{{"(arguments)", string(args)}}
		}
		all = append(all, field{name.(string), shown(value)})
	}
	return all
}

// shown is a value as a person reads it: a string without its quotes, unless
// it would then look like another kind of value; all else as compact JSON.
func shown(value json.RawMessage) string {
	var text string
	if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil && utf8.Valid(value) {
		// Compact JSON has no line breaks, so only one line can be mistaken.
		if strings.Contains(text, "\n") || text != "" && !json.Valid([]byte(text)) && strings.TrimSpace(text) == text {
			return text
		}
		return string(value)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return string(value)
	}
	return compact.String()
}

// arguments lists the top-level arguments in at most budget units, and returns
// how many bytes of names and values it left out. Long values give way first,
// then the last arguments.
//
// No value can pass for a line of the card: its first line follows "• name: ",
// the others follow "│ ".
func arguments(args json.RawMessage, budget int) (text string, hidden int) {
	all := fields(args)
	if len(all) == 0 {
		return "(none)", 0
	}
	for _, most := range []int{800, 400, 200, 100, 50} {
		text, n, hidden := list(all, most, budget)
		if n == len(all) {
			return text, hidden
		}
	}
	// Even short, they are too many.
	text, n, hidden := list(all, 50, budget-50)
	left := 0
	for _, f := range all[n:] {
		left += len(f.name) + len(f.value)
	}
	return text + fmt.Sprintf("\n⟨%d more arguments, %d bytes⟩", len(all)-n, left), hidden + left
}

// list shows as many arguments as fit into budget units, each value cut to
// most code points.
func list(all []field, most, budget int) (text string, n, hidden int) {
	var b strings.Builder
	for i, f := range all {
		line, left := f.show(most)
		if budget -= units(line) + 1; budget < 0 {
			return b.String(), i, hidden
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line)
		hidden += left
	}
	return b.String(), len(all), hidden
}

func (f field) show(most int) (string, int) {
	var b strings.Builder
	name, hidden := cut(f.name, 64)
	b.WriteString("• " + label(name))
	if hidden > 0 {
		fmt.Fprintf(&b, "⟨%d bytes more⟩", hidden)
	}
	value, left := cut(f.value, most)
	if first, rest, many := strings.Cut(value, "\n"); !many {
		b.WriteString(": " + visible(first))
	} else {
		b.WriteString(":\n│ " + visible(first))
		for line := range strings.SplitSeq(rest, "\n") {
			b.WriteString("\n│ " + visible(line))
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "⟨%d bytes more⟩", left)
	}
	return b.String(), hidden + left
}

// label writes an argument's name, in quotes when it could be taken for a name
// with something behind it.
func label(name string) string {
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.') {
			return `"` + visible(quotes.Replace(name)) + `"`
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

var quotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// document is the file with the whole arguments: the same JSON, indented, with
// invisible characters in their escaped form.
func document(args json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Indent(&b, args, "", "  ") != nil {
		return args
	}
	out := make([]byte, 0, b.Len())
	for _, r := range b.String() {
		if r != '\n' && r != utf8.RuneError && hidden(r) && r != '⟨' && r != '⟩' {
			if r > 0xFFFF {
				r -= 0x10000
				out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
