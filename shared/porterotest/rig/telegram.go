package rig

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"portero/shared/porterotest/botapi"
)

// BotToken is the secret of the bot in tests.
const BotToken = "7000:AAE2E-the-bots-own-secret_0123456789"

// Admin is the user, and the private chat, of the person who may approve.
const Admin = 4200

// Telegram is a Bot API with the people of one test.
type Telegram struct {
	*botapi.Server
	w    *World
	once sync.Once
}

// Close ends the server; a second time it does nothing.
func (t *Telegram) Close() { t.once.Do(t.Server.Close) }

// Telegram starts a Bot API and adds the section [telegram] with it and more
// lines to portero.toml. The user Admin has started the bot.
func (w *World) Telegram(more string) *Telegram {
	w.T.Helper()
	t := &Telegram{Server: botapi.New(BotToken), w: w}
	w.T.Cleanup(t.Close)
	t.AddUser(Admin, "Ana")
	w.Append(fmt.Sprintf("\n[telegram]\nbot_token = %q\napi_url = %q\n%s\n", BotToken, t.URL(), more))
	return t
}

// Private makes Admin's private chat the one that gets the cards.
var Private = fmt.Sprintf("admin_chat_id = %d", Admin)

func (t *Telegram) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.w.T.Context(), Patience)
}

// Find waits for a message of the bot in a chat that holds all of the texts.
func (t *Telegram) Find(chat int64, texts ...string) botapi.Message {
	t.w.T.Helper()
	ctx, cancel := t.patience()
	defer cancel()
	m, err := t.WaitMessage(ctx, chat, func(m botapi.Message) bool { return holds(m.Text, texts) })
	if err != nil {
		t.w.T.Fatalf("no message with %q in chat %d, but %s", texts, chat, t.Log(chat))
	}
	return m
}

func holds(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// Card waits for a task's card with its buttons.
func (t *Telegram) Card(chat int64, task string) botapi.Message {
	t.w.T.Helper()
	ctx, cancel := t.patience()
	defer cancel()
	m, err := t.WaitMessage(ctx, chat, func(m botapi.Message) bool {
		return strings.Contains(m.Text, task) && len(m.Buttons) > 0 && strings.Contains(m.Text, "Approval Required")
	})
	if err != nil {
		t.w.T.Fatalf("no card for task %s in chat %d, but %s", task, chat, t.Log(chat))
	}
	return m
}

// Becomes waits until a message that was sent before shows all of the texts.
func (t *Telegram) Becomes(m botapi.Message, texts ...string) botapi.Message {
	t.w.T.Helper()
	ctx, cancel := t.patience()
	defer cancel()
	now, err := t.WaitMessage(ctx, m.Chat, func(now botapi.Message) bool { return now.ID == m.ID && holds(now.Text, texts) })
	if err != nil {
		t.w.T.Fatalf("message %d did not become one with %q: %s", m.ID, texts, t.Log(m.Chat))
	}
	return now
}

// Tap presses a button, "Approve" or "Deny", and returns the callback query and
// the update.
func (t *Telegram) Tap(m botapi.Message, user int64, button string) (callback string, update int) {
	t.w.T.Helper()
	for _, row := range m.Buttons {
		for _, b := range row {
			if strings.HasSuffix(b.Text, button) {
				return t.PressRaw(m.Chat, m.ID, user, b.Data)
			}
		}
	}
	t.w.T.Fatalf("message %d has no button %s", m.ID, button)
	return "", 0
}

// Toast waits for the answer to a callback query.
func (t *Telegram) Toast(callback string) string {
	t.w.T.Helper()
	ctx, cancel := t.patience()
	defer cancel()
	a, err := t.WaitAnswer(ctx, callback)
	if err != nil {
		t.w.T.Fatalf("the press %s was not answered", callback)
	}
	return a.Text
}

// Say has a user write to the bot in the private chat and waits for an answer
// that holds all of the texts.
func (t *Telegram) Say(user int64, text string, want ...string) botapi.Message {
	t.w.T.Helper()
	seen := t.last(user)
	t.Send(user, user, text)
	ctx, cancel := t.patience()
	defer cancel()
	m, err := t.WaitMessage(ctx, user, func(m botapi.Message) bool { return m.ID > seen && holds(m.Text, want) })
	if err != nil {
		t.w.T.Fatalf("%q was not answered with %q: %s", text, want, t.Log(user))
	}
	return m
}

// last is the number of the newest message in a chat.
func (t *Telegram) last(chat int64) (id int) {
	for _, m := range t.Messages(chat) {
		id = max(id, m.ID)
	}
	return id
}

// Handled waits until the relay has confirmed every update.
func (t *Telegram) Handled() {
	t.w.T.Helper()
	// Confirming is no change of the server that Wait would notice.
	Eventually(t.w.T, "all updates are confirmed", func() bool { return len(t.Unconfirmed()) == 0 })
}

// Log is everything that was written in a chat.
func (t *Telegram) Log(chat int64) string {
	var b strings.Builder
	for _, m := range t.Messages(chat) {
		fmt.Fprintf(&b, "\n-- message %d from %d, %d edits, deleted %v, buttons %v\n%s", m.ID, m.From, m.Edits, m.Deleted, m.Buttons, m.Text)
		if m.Document != nil {
			fmt.Fprintf(&b, "\n-- file %s\n%s", m.Document.Name, m.Document.Content)
		}
	}
	return b.String()
}
