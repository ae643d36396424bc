package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
)

// poller is the poll loop's own state.
type poller struct {
	loaded bool
	sound  bool // the last poll was answered
	offset int
	wrong  []time.Time // wrong pairing codes of the last hour
	open   *buckets    // answers that anybody gets, by chat
	once   *buckets    // refusals, by chat
	alerts *buckets    // alerts, by user
}

func (b *Bot) pollLoop(ctx context.Context) {
	var wait backoff
	for ctx.Err() == nil {
		err := b.pollOnce(ctx)
		if b.sound = err == nil; b.sound {
			wait.reset()
			if b.trouble(polling, "") {
				b.log.Info("telegram is connected")
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		pause := b.pause(err, &wait)
		level := slog.LevelDebug
		if b.trouble(polling, b.diagnose(err)) {
			level = slog.LevelWarn
			if e := (*apiError)(nil); errors.As(err, &e) && (e.Code == 409 || e.Code == 401) {
				level = slog.LevelError
			}
		}
		b.log.Log(ctx, level, "telegram polling", "problem", b.diagnose(err), "error", err, "retry_in", pause)
		sleep(ctx, pause)
	}
}

// pollOnce asks for updates once and deals with them in order. An update that
// the desk could not commit ends the batch and is delivered again.
func (b *Bot) pollOnce(ctx context.Context) (err error) {
	if !b.loaded {
		if b.offset, err = b.desk.Offset(ctx); err != nil {
			return err
		}
		b.loaded = true
	}
	if b.username.Load() == nil {
		var me tgbotapi.User
		if err := b.api.call(ctx, b.call, "getMe", nil, &me); err != nil {
			return err
		}
		b.username.Store(&me.UserName)
		b.register()
	}
	// After an error the first poll is short, to know soon that all is well.
	hold := b.poll
	if !b.sound {
		hold = 0
	}
	var updates []json.RawMessage
	err = b.api.call(ctx, hold+b.slack, "getUpdates", tgbotapi.Params{
		"offset":          strconv.Itoa(b.offset),
		"timeout":         strconv.Itoa(int(hold / time.Second)),
		"allowed_updates": `["message","callback_query"]`,
	}, &updates)
	if e := (*apiError)(nil); errors.As(err, &e) && e.Code == 409 && e.said("webhook") {
		// Left over from another program that served this bot.
		b.log.Warn("removing a webhook of this bot token: it keeps updates from being polled")
		if err := b.api.call(ctx, b.call, "deleteWebhook", nil, nil); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for _, raw := range updates {
		u, err := decode(raw)
		if err != nil {
			return err
		}
		if err := b.handle(ctx, u); err != nil {
			return err
		}
		b.offset = u.UpdateID + 1
	}
	return nil
}

// decode reads an update. One that does not fit the library's types is nothing
// but its number: it must not keep the ones behind it from coming through.
func decode(raw json.RawMessage) (u tgbotapi.Update, err error) {
	if json.Unmarshal(raw, &u) == nil {
		return u, nil
	}
	var head struct {
		ID int `json:"update_id"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return u, &apiError{Msg: "getUpdates: an update without a number"}
	}
	return tgbotapi.Update{UpdateID: head.ID}, nil
}

// handle deals with one update. When it returns nil the update and its effect
// are on disk.
func (b *Bot) handle(ctx context.Context, u tgbotapi.Update) error {
	done, err := b.desk.Handled(ctx, u.UpdateID)
	if err != nil || done {
		return err
	}
	panicked := true
	func() {
		defer func() {
			if p := recover(); p != nil {
				// It would panic again and again: let it go, say so.
				b.log.Error("telegram update dropped after a panic", "update", u.UpdateID,
					"panic", b.api.hide.Replace(fmt.Sprint(p)), "stack", string(debug.Stack()))
			}
		}()
		if b.handling != nil {
			b.handling(u.UpdateID)
		}
		err = b.dispatch(ctx, u)
		panicked = false
	}()
	if panicked {
		return b.desk.Confirm(ctx, u.UpdateID)
	}
	return err
}

func (b *Bot) dispatch(ctx context.Context, u tgbotapi.Update) error {
	switch {
	case u.CallbackQuery != nil:
		return b.press(ctx, u.UpdateID, u.CallbackQuery)
	case u.Message != nil && u.Message.Chat != nil:
		return b.message(ctx, u.UpdateID, u.Message)
	}
	return b.desk.Confirm(ctx, u.UpdateID)
}

// pause says how long to wait after an error.
func (b *Bot) pause(err error, wait *backoff) time.Duration {
	var e *apiError
	if errors.As(err, &e) {
		switch {
		case e.RetryAfter > 0:
			return time.Duration(e.RetryAfter) * b.second
		case e.Code == 401 || e.Code == 404:
			return b.backoffMax
		}
	}
	return wait.next(&b.knobs)
}

// diagnose puts an error into words for the person who runs the relay.
func (b *Bot) diagnose(err error) string {
	var e *apiError
	if !errors.As(err, &e) {
		return "the relay's store does not take it: " + err.Error()
	}
	switch {
	case e.Code == 401:
		return "Telegram refuses the bot token (401 Unauthorized): check bot_token in [telegram]"
	case e.Code == 404:
		return "Telegram answers 404 Not Found: bot_token or api_url in [telegram] is wrong"
	case e.Code == 409 && e.said("webhook"):
		return "a webhook is set for this bot token (409 Conflict): another program serves this bot"
	case e.Code == 409:
		return "another program polls this bot token (409 Conflict): stop it, or get a new token from @BotFather if you do not know it"
	case e.RetryAfter > 0:
		return "Telegram asks to slow down (429)"
	case e.Code >= 500:
		return fmt.Sprintf("Telegram is out of order (HTTP %d)", e.Code)
	}
	return "Telegram cannot be reached: " + e.Msg
}
