package telegram

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/relay/desk"
	"portero/shared/task"
)

// commands are registered with Telegram and listed by /help.
var commands = []tgbotapi.BotCommand{
	{Command: "status", Description: "Machines, pending approvals and counts"},
	{Command: "pending", Description: "What waits for an answer"},
	{Command: "tasks", Description: "Recent tasks by state"},
	{Command: "whoami", Description: "The numbers of this chat and of you"},
	{Command: "pair", Description: "Make this chat the admin chat: /pair CODE"},
	{Command: "help", Description: "The commands"},
}

const (
	answerUnits = 3900
	listLength  = 30 // Telegram formats at most 100 parts of a message
	maxWrong    = 5  // wrong pairing codes in an hour
)

// command takes "/name@bot words" apart. A command for another bot, and text
// that is none, give an empty name.
func command(text, username string) (name string, words []string) {
	words = strings.Fields(text)
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return "", nil
	}
	name, to, addressed := strings.Cut(words[0][1:], "@")
	if addressed && !strings.EqualFold(to, username) {
		return "", nil
	}
	return strings.ToLower(name), words[1:]
}

// message deals with a text message. Whatever it changes is committed with the
// update's number; the answer is sent after that.
func (b *Bot) message(ctx context.Context, update int, m *tgbotapi.Message) error {
	name, words := command(m.Text, *b.username.Load())
	admin, exists, err := b.admin(ctx)
	if err != nil {
		return err
	}
	from := m.From
	if m.SenderChat != nil {
		from = nil // sent in the name of a chat: whoever it was does not show
	}
	allowed := exists && b.may(admin, m.Chat.ID, from)
	if exists && m.Chat.ID == admin {
		b.returned(admin)
	}
	if name == "" {
		return b.desk.Confirm(ctx, update)
	}
	private := from != nil && from.ID == m.Chat.ID
	var p page
	switch {
	case name == "pair" && private:
		return b.pair(ctx, update, from, words)
	case allowed:
		if err := b.answer(ctx, &p, name, m.Chat.ID, from.ID); err != nil {
			return err
		}
	default:
		b.turnAway(&p, name, m.Chat.ID, from, private, exists)
	}
	return b.reply(ctx, update, m.Chat.ID, &p)
}

// reply commits the update and sends p, unless that is empty.
func (b *Bot) reply(ctx context.Context, update int, chat int64, p *page) error {
	if err := b.desk.Confirm(ctx, update); err != nil {
		return err
	}
	if p.n > 0 {
		b.say(chat, p)
	}
	return nil
}

// turnAway answers somebody who may not command: little, and seldom.
func (b *Bot) turnAway(p *page, name string, chat int64, from *tgbotapi.User, private, exists bool) {
	var limit *buckets
	switch {
	case private && name == "whoami":
		limit = b.open
		whoami(p, chat, from.ID)
	case private && !exists && (name == "start" || name == "help"):
		limit = b.open
		p.say("🔐 This Portero relay has no admin chat yet.\n\n" +
			"To make this chat the one that gets approvals, send\n/pair CODE\nwith the pairing code of the relay (pairing_code in [telegram]).\n\n" +
			"/whoami shows the numbers of this chat and of you.")
	case name == "whoami" && from != nil: // how one learns a group's number
		limit = b.once
		whoami(p, chat, from.ID)
	case !exists && name != "pair":
		limit = b.once
		p.say("🔐 Not paired yet. Use /pair <PAIRING_CODE>.")
	case name == "pair":
		limit = b.once
		p.say("Pairing works in a private chat with this bot only.")
	default:
		limit = b.once
		p.say("⛔ Unauthorized")
	}
	if limit.take(chat, time.Now()) > 0 {
		*p = page{}
	}
}

func whoami(p *page, chat, user int64) {
	p.say(fmt.Sprintf("chat_id: %d\nuser_id: %d", chat, user))
}

// answer writes the answer to an admin's command.
func (b *Bot) answer(ctx context.Context, p *page, name string, chat, user int64) error {
	switch name {
	case "start", "help":
		p.bold("Portero").say(" asks here before a tool runs.\n")
		for _, c := range commands {
			p.say("\n/" + c.Command + " – " + c.Description)
		}
		return nil
	case "whoami":
		whoami(p, chat, user)
		return nil
	case "status":
		return b.status(ctx, p)
	case "pending":
		return b.pending(ctx, p)
	case "tasks":
		return b.tasks(ctx, p)
	case "pair":
		p.say("Pairing works in a private chat with this bot only.")
		return nil
	}
	p.say("There is no command ").quote("/"+name, 40).say(". /help lists them.\nExample: /pending")
	return nil
}

// pair makes the chat of a person who knows the code the admin chat.
func (b *Bot) pair(ctx context.Context, update int, from *tgbotapi.User, words []string) error {
	var p page
	if b.open.take(from.ID, time.Now()) > 0 {
		return b.desk.Confirm(ctx, update)
	}
	now := time.Now()
	b.wrong = slices.DeleteFunc(b.wrong, func(t time.Time) bool { return now.Sub(t) >= b.hour })
	a, paired, err := b.desk.Paired(ctx)
	switch {
	case err != nil:
		return err
	case b.chat != 0:
		p.say("Pairing is off: admin_chat_id in [telegram] on the server says who the admin is.")
	case b.pairing == "":
		p.say("Pairing is disabled (PAIRING_CODE not set on server).")
	case paired && a.Chat == from.ID:
		p.say("This chat is the admin chat already.")
	case paired:
		p.say("This relay is paired with another chat already.")
	case len(words) != 1:
		p.say("Usage: /pair CODE\nExample: /pair 7Q2M-K4XD")
	case len(b.wrong) >= maxWrong:
		left := b.hour - now.Sub(b.wrong[0])
		p.say(fmt.Sprintf("🔒 Too many wrong codes: pairing is locked. Try again in %s.", span(left)))
	case !same(words[0], b.pairing):
		b.wrong = append(b.wrong, now)
		b.log.Warn("telegram pairing refused: wrong code", "user", from.ID)
		if err := b.desk.Alert(ctx, "pair-refused", person(from), "wrong code"); err != nil {
			return err
		}
		p.say("Invalid pairing code.")
	case len(b.users) > 0 && !slices.Contains(b.users, from.ID):
		p.say(fmt.Sprintf("The code is right, but you (%d) are not in admin_user_ids in [telegram].", from.ID))
	default:
		ok, err := b.desk.Pair(ctx, update, desk.Admin{Chat: from.ID, User: from.ID})
		if err != nil {
			return err
		}
		if ok {
			b.log.Info("telegram paired", "user", from.ID)
			p.say("✅ Paired! This chat is now the admin chat for approvals.")
		} else {
			p.say("This relay is paired with another chat already.")
		}
		b.say(from.ID, &p)
		return nil
	}
	return b.reply(ctx, update, from.ID, &p)
}

// same compares without telling by its timing how much was right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// rows writes lines to p while there is room, and says how many were left out
// of total.
func rows(p *page, total int, write ...func(*page)) {
	done := 0
	for _, w := range write {
		var row page
		w(&row)
		if p.n+row.n > answerUnits {
			break
		}
		p.html.WriteString(row.String())
		p.n += row.n
		done++
	}
	if left := total - done; left > 0 {
		p.say(fmt.Sprintf("\n… and %d more", left))
	}
}

func (b *Bot) status(ctx context.Context, p *page) error {
	machines, err := b.desk.Machines(ctx)
	if err != nil {
		return err
	}
	counts, err := b.desk.Counts(ctx)
	if err != nil {
		return err
	}
	p.bold("Portero relay").say(" " + b.version + "\n")
	if h := b.Health(); !h.OK {
		p.say("⚠️ ").quote(h.Problem, 300).say("\n")
	}
	p.say("\n").bold("Pending approvals:").say(fmt.Sprintf(" %d\n", counts[task.Pending.Status()]))
	for _, s := range task.Statuses[1:] {
		if counts[s] > 0 {
			p.say(fmt.Sprintf("%s %s: %d\n", signs[s], s, counts[s]))
		}
	}
	connected := 0
	var list []func(*page)
	for _, m := range machines {
		if m.Procs > 0 {
			connected++
		}
		if len(list) == listLength {
			continue
		}
		list = append(list, func(row *page) {
			row.say("\n• ").quote(m.Label, 64).say(" (token ").quote(m.Name, 64).say(") ")
			if m.Procs > 0 {
				row.say(fmt.Sprintf("connected, %d running", m.Procs))
			} else {
				row.say("not connected, seen " + ago(m.Seen))
			}
		})
	}
	p.say("\n").bold("Machines:").say(fmt.Sprintf(" %d of %d connected", connected, len(machines)))
	rows(p, len(machines), list...)
	return nil
}

func (b *Bot) pending(ctx context.Context, p *page) error {
	all, err := b.desk.Pending(ctx, listLength)
	if err != nil {
		return err
	}
	counts, err := b.desk.Counts(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		p.say("No pending approvals.")
		return nil
	}
	total := max(counts[task.Pending.Status()], len(all))
	p.bold("Pending approvals").say(fmt.Sprintf(" (%d)", total))
	var list []func(*page)
	for _, t := range all {
		list = append(list, func(row *page) {
			row.say("\n• ").quote(t.Tool, 100).say(" · code ").quote(t.Code, 16).say(" · "+ago(t.Created)+"\n  ").quote(t.ID, 48)
		})
	}
	rows(p, total, list...)
	return nil
}

var signs = map[string]string{
	"pending-approval": "⏳", "approved": "✅", "executing": "▶️", "completed": "✅", "denied": "❌",
	"expired": "⌛", "cancelled": "🚫", "error": "❌", "unknown": "❓",
}

// tasks lists the newest tasks, those of one state together.
func (b *Bot) tasks(ctx context.Context, p *page) error {
	all, err := b.desk.Recent(ctx, listLength)
	if err != nil {
		return err
	}
	counts, err := b.desk.Counts(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		p.say("No tasks yet.")
		return nil
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	p.bold("Recent tasks")
	var list []func(*page)
	for _, status := range task.Statuses {
		first := true
		for _, t := range all {
			if t.State.Status() != status {
				continue
			}
			heading := first
			first = false
			list = append(list, func(row *page) {
				if heading {
					row.say("\n\n" + signs[status] + " ").bold(status)
				}
				id, _ := cut(t.ID, 8)
				row.say("\n• ").quote(t.Tool, 100).say(" · ").quote(id, 16).say(" · " + ago(t.Created))
			})
		}
	}
	rows(p, max(total, len(all)), list...)
	return nil
}

func ago(t time.Time) string {
	d := time.Since(t)
	if d < time.Minute {
		return "just now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d min", max(1, int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
