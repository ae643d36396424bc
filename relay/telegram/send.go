package telegram

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/relay/desk"
	"portero/shared/task"
)

const (
	cardBatch  = 20
	editBatch  = 20
	maxUploads = 3 // tries before a card goes out without its file
)

// sender is the send loop's own state. Losing it costs a second copy of what
// was being sent, nothing else.
type sender struct {
	until          time.Time // nothing is sent before
	wait           backoff
	cards          map[string]*attempt // by nonce
	private, group *buckets
}

// attempt is what was done so far for a card that the desk has as unsent.
type attempt struct {
	filed   bool // the file with the arguments is in the chat
	uploads int
	message int       // sent, but the desk could not note it
	after   time.Time // refused: not before
}

// errLater ends a round: nothing can be sent for now.
var errLater = errors.New("later")

// sendLoop makes the chat show what the desk has, again whenever something
// changed, and after a while in any case.
func (b *Bot) sendLoop(ctx context.Context) {
	changed, stop := b.desk.Watch()
	defer stop()
	calls, end := withGrace(ctx, b.grace)
	defer end()
	for ctx.Err() == nil {
		next := b.round(ctx, calls)
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-b.kick:
		case <-t.C:
		}
		t.Stop()
	}
}

// withGrace returns a context that ends d after ctx, so that a message under
// way is not cut off between being sent and being noted.
func withGrace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(d, cancel)
		context.AfterFunc(calls, func() { t.Stop() })
	})
	return calls, func() { stop(); cancel() }
}

// wake makes the send loop look again.
func (b *Bot) wake() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// round sends what there is to send and says when to look again. ctx ends the
// round, calls its requests.
func (b *Bot) round(ctx, calls context.Context) (next time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("telegram sender panicked", "panic", b.api.hide.Replace(fmt.Sprint(p)), "stack", string(debug.Stack()))
			next = b.backoffMax
		}
	}()
	if d := time.Until(b.until); d > 0 {
		return d
	}
	more, err := b.sendAll(ctx, calls)
	switch {
	case errors.Is(err, errLater):
		return max(0, time.Until(b.until))
	case err != nil:
		if ctx.Err() == nil {
			b.log.Error("telegram sender", "error", err)
			b.trouble(sending, b.diagnose(err))
		}
		return b.backoffMin + b.wait.next(&b.knobs)
	}
	b.trouble(sending, "")
	if more {
		return 0
	}
	return b.tick
}

// sendAll sends cards, then edits, then notes. more is true when a batch was
// full. The error is errLater or one of the desk.
func (b *Bot) sendAll(ctx, calls context.Context) (more bool, err error) {
	chat, ok, err := b.admin(ctx)
	if err != nil {
		return false, err
	}
	if ok && b.accepts(chat) {
		limit := cardBatch + len(b.cards) // the refused ones hold nobody up
		cards, err := b.desk.CardsToSend(ctx, chat, limit)
		if err != nil {
			return false, err
		}
		if more = len(cards) == limit; !more {
			b.forget(cards)
		}
		for _, c := range cards {
			if err := b.sendCard(ctx, calls, c); err != nil {
				return false, err
			}
			if !b.accepts(chat) {
				more = false
				break
			}
		}
	}
	if err := b.markRedraws(ctx); err != nil {
		return false, err
	}
	edits, err := b.desk.CardsToEdit(ctx, editBatch)
	if err != nil {
		return false, err
	}
	for _, c := range edits {
		if err := b.editCard(ctx, calls, c); err != nil {
			return false, err
		}
	}
	if err := b.sendNotes(ctx, calls); err != nil {
		return false, err
	}
	return more || len(edits) == editBatch, nil
}

// markRedraws has the desk list the cards that a press found out of date. Only
// the send loop writes what a card shows: the poll loop doing it could be
// overtaken by the end of an older edit.
func (b *Bot) markRedraws(ctx context.Context) error {
	b.mu.Lock()
	nonces := b.redraw
	b.redraw = nil
	b.mu.Unlock()
	for _, nonce := range nonces {
		if err := b.desk.CardShows(ctx, nonce, ""); err != nil {
			return err
		}
	}
	return nil
}

// forget drops what is known of cards that need no sending any more.
func (b *Bot) forget(unsent []desk.Card) {
	keep := map[string]*attempt{}
	for _, c := range unsent {
		if a := b.cards[c.Nonce]; a != nil {
			keep[c.Nonce] = a
		}
	}
	b.cards = keep
}

// post makes one request in its turn. The error is errLater, or an *apiError
// that says that this very request is refused.
func (b *Bot) post(ctx context.Context, chat int64, request func() error) error {
	pace := b.private
	if chat < 0 {
		pace = b.group
	}
	for d := pace.take(chat, time.Now()); d > 0; d = pace.take(chat, time.Now()) {
		if sleep(ctx, d); ctx.Err() != nil {
			return errLater
		}
	}
	err := request()
	var e *apiError
	if err == nil || errors.As(err, &e) && e.permanent() {
		b.wait.reset()
		if b.trouble(sending, "") {
			b.log.Info("telegram sends again")
		}
		return err
	}
	pause := b.pause(err, &b.wait)
	b.until = time.Now().Add(pause)
	if ctx.Err() == nil {
		news := b.trouble(sending, b.diagnose(err))
		if news {
			b.log.Warn("telegram sending", "problem", b.diagnose(err), "error", err, "retry_in", pause)
		}
	}
	return errLater
}

// sendCard sends a pending task's card, behind the file with the whole
// arguments if they do not fit. A refusal makes the card plainer, never absent.
func (b *Bot) sendCard(ctx, calls context.Context, c desk.Card) error {
	a := b.cards[c.Nonce]
	if a == nil {
		a = &attempt{}
		b.cards[c.Nonce] = a
	}
	if time.Now().Before(a.after) {
		return nil
	}
	status := c.Task.State.Status()
	// It may have been decided while others were sent.
	if t, err := b.desk.Task(ctx, c.Task.ID); err != nil || a.message == 0 && t.State != task.Pending {
		return err
	}
	for plainly := false; a.message == 0; {
		d := b.drawSafely(c.Task, attached)
		if d.cut && !a.filed {
			if err := b.sendFile(ctx, calls, c, a); errors.Is(err, errLater) {
				return err
			} else if err != nil {
				if b.refused(c.Chat, err) {
					return nil
				}
				d = b.drawSafely(c.Task, lost)
			}
		}
		params := content(c.Chat, d.html)
		if plainly || d.html == "" {
			plainly = true
			params["text"] = minimal(c.Task)
			delete(params, "parse_mode")
		}
		params.AddInterface("reply_markup", keyboard(c.Nonce))
		var sent tgbotapi.Message
		err := b.post(ctx, c.Chat, func() error { return b.api.call(calls, b.call, "sendMessage", params, &sent) })
		switch {
		case err == nil:
			a.message = sent.MessageID
			b.taken(c.Chat)
		case errors.Is(err, errLater):
			return err
		case b.refused(c.Chat, err):
			return nil
		case plainly:
			b.log.Error("telegram refuses a card, even a plain one", "task", c.Task.ID, "error", err)
			a.after = time.Now().Add(b.slow)
			return nil
		default:
			b.log.Error("telegram refuses a card; a plain one follows", "task", c.Task.ID, "error", err)
			plainly = true
		}
	}
	if err := b.desk.CardSent(calls, c.Nonce, a.message, status); err != nil {
		return err
	}
	delete(b.cards, c.Nonce)
	return nil
}

// sendFile sends the whole arguments. An error other than errLater means that
// the card has to do without.
func (b *Bot) sendFile(ctx, calls context.Context, c desk.Card, a *attempt) error {
	if a.uploads >= maxUploads {
		return &apiError{Msg: "given up"}
	}
	var p page
	p.say("Arguments of ").quote(c.Task.Tool, 128).say(", code ").quote(c.Task.Code, 16)
	doc := tgbotapi.NewDocument(c.Chat, tgbotapi.FileBytes{Name: "arguments.json", Bytes: document(c.Task.Args)})
	doc.Caption, doc.ParseMode = p.String(), "HTML"
	doc.DisableContentTypeDetection = true
	var cause error
	err := b.post(ctx, c.Chat, func() error {
		_, cause = b.api.upload(calls, b.upload, doc)
		return cause
	})
	var e *apiError
	switch {
	case err == nil:
		a.filed = true
		return nil
	case errors.As(err, &e): // refused
		a.uploads = maxUploads
	case errors.As(cause, &e) && e.RetryAfter == 0 && ctx.Err() == nil:
		// It may be the file itself that does not get through.
		a.uploads++
	}
	if a.uploads >= maxUploads {
		b.log.Error("telegram does not take the file with a card's arguments", "task", c.Task.ID, "error", cause)
	}
	return err
}

// editCard makes a card show its task's present state. What cannot be edited
// any more is left as it is; a press on it is answered and tries again.
func (b *Bot) editCard(ctx, calls context.Context, c desk.Card) error {
	status := c.Task.State.Status()
	d := b.drawSafely(c.Task, attached)
	for plainly := d.html == ""; ; plainly = true {
		params := content(c.Chat, d.html)
		if plainly {
			params["text"] = minimal(c.Task)
			delete(params, "parse_mode")
		}
		params["message_id"] = strconv.Itoa(c.Message)
		if c.Task.State == task.Pending {
			params.AddInterface("reply_markup", keyboard(c.Nonce))
		}
		err := b.post(ctx, c.Chat, func() error { return b.api.call(calls, b.call, "editMessageText", params, nil) })
		var e *apiError
		if errors.Is(err, errLater) {
			return err
		} else if errors.As(err, &e) && !e.said("message is not modified") {
			gone := e.Code == 403 || e.said("not found") || e.said("can't be edited") || e.said("message_id_invalid")
			if !gone && !plainly {
				b.log.Error("telegram refuses an edit; a plain one follows", "task", c.Task.ID, "error", err)
				continue
			}
			b.log.Info("telegram card is not edited any more", "task", c.Task.ID, "error", err)
		}
		return b.desk.CardShows(calls, c.Nonce, status)
	}
}

// drawSafely draws a card; nothing at all if what it is made of breaks it.
func (b *Bot) drawSafely(t desk.Task, file attachment) (d drawing) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("a card cannot be drawn", "task", t.ID, "stack", string(debug.Stack()))
			d = drawing{}
		}
	}()
	return draw(t, file)
}

func content(chat int64, html string) tgbotapi.Params {
	return tgbotapi.Params{
		"chat_id": strconv.FormatInt(chat, 10), "text": html, "parse_mode": "HTML", "disable_web_page_preview": "true",
	}
}
