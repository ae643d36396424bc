package telegram

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/relay/desk"
	"portero/shared/task"
)

// Callback data is one letter, approve or deny, and the card's nonce. It holds
// nothing that a manipulated client could turn into another task.
const (
	approveData = "a"
	denyData    = "d"
	nonceLen    = 26
)

func keyboard(nonce string) tgbotapi.InlineKeyboardMarkup {
	return tgbotapi.NewInlineKeyboardMarkup(tgbotapi.NewInlineKeyboardRow(
		tgbotapi.NewInlineKeyboardButtonData("✅ Approve", approveData+nonce),
		tgbotapi.NewInlineKeyboardButtonData("❌ Deny", denyData+nonce),
	))
}

// Senders that stand for somebody else: Telegram itself, anonymous group
// admins, channels.
var masks = []int64{777000, 1087968824, 136817688}

// may reports whether a user may decide and command in a chat.
func (b *Bot) may(admin, chat int64, from *tgbotapi.User) bool {
	switch {
	case chat != admin || from == nil || from.ID <= 0 || from.IsBot || slices.Contains(masks, from.ID):
		return false
	case len(b.users) > 0:
		return slices.Contains(b.users, from.ID)
	}
	// A private chat has its user's number, a group's is negative.
	return from.ID == chat
}

// person names a user for the record: the number counts, the name helps.
func person(u *tgbotapi.User) string {
	name := strings.Map(func(r rune) rune {
		if hidden(r) {
			return -1
		}
		return r
	}, u.FirstName+" "+u.LastName)
	name, _ = cut(strings.TrimSpace(name), 48)
	if name == "" {
		return fmt.Sprintf("telegram:%d", u.ID)
	}
	return fmt.Sprintf("%s (telegram:%d)", name, u.ID)
}

// press deals with a pressed button. The decision and the update's number are
// one commit; the toast and the card come after it.
func (b *Bot) press(ctx context.Context, update int, q *tgbotapi.CallbackQuery) error {
	admin, paired, err := b.admin(ctx)
	if err != nil {
		return err
	}
	var chat int64
	var message int
	if q.Message != nil && q.Message.Chat != nil {
		chat, message = q.Message.Chat.ID, q.Message.MessageID
	}
	if !paired || !b.may(admin, chat, q.From) {
		if err := b.refusePress(ctx, update, admin, chat, q.From); err != nil {
			return err
		}
		b.toast(q.ID, "⛔ Unauthorized")
		return nil
	}
	b.returned(chat)
	nonce := q.Data[min(1, len(q.Data)):]
	verb := q.Data[:len(q.Data)-len(nonce)]
	if verb != approveData && verb != denyData || len(nonce) != nonceLen || message == 0 {
		if err := b.desk.Confirm(ctx, update); err != nil {
			return err
		}
		b.toast(q.ID, "This button is of no use any more.")
		return nil
	}
	v, err := b.desk.PressCard(ctx, desk.CardPress{
		Update: update, Nonce: nonce, Approve: verb == approveData, By: person(q.From), Chat: chat, Message: message,
	})
	switch {
	case errors.Is(err, desk.ErrNoCard):
		b.toast(q.ID, "Task not found: this button is not known here.")
		return nil
	case err != nil:
		return err
	}
	b.log.Info("telegram press", "task", v.Task.ID, "approve", verb == approveData, "changed", v.Changed, "user", q.From.ID)
	if v.Changed {
		b.toast(q.ID, map[bool]string{true: "✅ Approved", false: "❌ Denied"}[verb == approveData]+" ("+v.Task.Code+")")
		return nil
	}
	b.toast(q.ID, already(v))
	// The message that was pressed still had its buttons: a second copy of
	// the card, or an edit that did not get through. Have it drawn anew.
	b.mu.Lock()
	b.redraw = append(b.redraw, nonce)
	b.mu.Unlock()
	b.wake()
	return nil
}

// already says why a press did nothing.
func already(v desk.Verdict) string {
	t := v.Task
	switch {
	case t.State == task.Pending:
		return "⌛ Too late: " + v.Refusal
	case t.State == task.Expired:
		return "⌛ Task already processed: it expired."
	case t.State == task.Cancelled:
		return "🚫 Task already processed: it was cancelled."
	case t.State == task.Denied && t.Claims == 0:
		return "❌ Task already processed: denied by " + t.By
	case t.By != "":
		return "✅ Task already processed: approved by " + t.By
	}
	return "Task already processed: it is " + t.State.Status()
}

// refusePress records a press by somebody who may not, and tells the admin.
func (b *Bot) refusePress(ctx context.Context, update int, admin, chat int64, from *tgbotapi.User) error {
	by, id := "somebody without a user id", int64(0)
	if from != nil {
		by, id = person(from), from.ID
	}
	b.log.Warn("telegram press refused", "user", id, "chat", chat)
	if b.alerts.take(id, time.Now()) == 0 {
		if err := b.desk.Alert(ctx, "press-refused", by, fmt.Sprintf("chat %d", chat)); err != nil {
			return err
		}
		var p page
		p.say("🚨 ").bold("A press was refused").say("\n").quote(by, 100).say(fmt.Sprintf(" pressed a button in chat %d and may not. Nothing happened.", chat))
		if len(b.users) == 0 && chat == admin && chat < 0 && id > 0 {
			p.say(fmt.Sprintf("\nNobody may press in a group until admin_user_ids in [telegram] names them. To allow this person, add %d.", id))
		}
		if admin != 0 {
			b.say(admin, &p)
		}
	}
	return b.desk.Confirm(ctx, update)
}

type toast struct{ id, text string }

// toast answers a press. It is a courtesy: the card is the truth.
func (b *Bot) toast(id, text string) {
	text, _ = fit(text, 190)
	select {
	case b.toasts <- toast{id, text}:
	default:
		b.log.Debug("telegram toast dropped: too many at once")
	}
}

func (b *Bot) toastLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-b.toasts:
			err := b.api.call(ctx, b.call, "answerCallbackQuery", tgbotapi.Params{"callback_query_id": t.id, "text": t.text}, nil)
			if err != nil && ctx.Err() == nil {
				b.log.Info("telegram toast not shown", "error", err)
			}
		}
	}
}
