package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
)

const maxNotes = 200

// note is an answer or an alert, or any other call that is worth repeating
// but not worth keeping over a restart.
type note struct {
	method string
	params tgbotapi.Params
	chat   int64 // 0: not a message to a chat
	since  time.Time
}

// say queues an answer or an alert.
func (b *Bot) say(chat int64, p *page) {
	b.queue(note{method: "sendMessage", params: content(chat, p.String()), chat: chat, since: time.Now()})
}

func (b *Bot) queue(n note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.notes) >= maxNotes {
		b.log.Warn("telegram message dropped: too many wait", "chat", n.chat)
		return
	}
	b.notes = append(b.notes, n)
	b.wake()
}

// register tells Telegram the commands, for its menu.
func (b *Bot) register() {
	list, _ := json.Marshal(commands)
	b.queue(note{method: "setMyCommands", params: tgbotapi.Params{"commands": string(list)}, since: time.Now()})
}

// sendNotes sends the queued notes in order.
func (b *Bot) sendNotes(ctx, calls context.Context) error {
	for {
		b.mu.Lock()
		if len(b.notes) == 0 {
			b.mu.Unlock()
			return nil
		}
		n := b.notes[0]
		b.mu.Unlock()
		var err error
		if time.Since(n.since) < b.hour { // an older one would only confuse
			err = b.post(ctx, n.chat, func() error { return b.api.call(calls, b.call, n.method, n.params, nil) })
		}
		if errors.Is(err, errLater) {
			return err
		} else if err != nil {
			b.log.Info("telegram does not take a message", "method", n.method, "chat", n.chat, "error", err)
		}
		b.mu.Lock()
		b.notes = b.notes[1:]
		b.mu.Unlock()
	}
}

// refused reports whether an error means that a chat takes no messages of the
// bot at all, and remembers that for a while.
func (b *Bot) refused(chat int64, err error) bool {
	var e *apiError
	if !errors.As(err, &e) || e.Code != 403 && !e.said("chat not found") && !e.said("chat was upgraded") && !e.said("rights to send text") {
		return false
	}
	b.mu.Lock()
	b.refusing[chat] = time.Now().Add(b.slow)
	b.mu.Unlock()
	text := fmt.Sprintf("the admin chat %d does not take the bot's messages (%s): open the bot in Telegram and press Start, or correct admin_chat_id in [telegram]", chat, e.Msg)
	if b.trouble(delivery, text) {
		b.log.Error("telegram cards are not delivered", "problem", text)
	}
	return true
}

// accepts reports whether a chat is worth trying.
func (b *Bot) accepts(chat int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !time.Now().Before(b.refusing[chat])
}

// taken notes that a chat takes messages.
func (b *Bot) taken(chat int64) {
	b.mu.Lock()
	delete(b.refusing, chat)
	b.mu.Unlock()
	if b.trouble(delivery, "") {
		b.log.Info("telegram cards are delivered again")
	}
}

// returned tries a chat anew at once: its person is there.
func (b *Bot) returned(chat int64) {
	b.mu.Lock()
	_, was := b.refusing[chat]
	delete(b.refusing, chat)
	b.mu.Unlock()
	if was {
		b.wake()
	}
}
