package botapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
)

const token = "1:test"

func start(t *testing.T) (*Server, *tgbotapi.BotAPI) {
	t.Helper()
	s := New(token)
	t.Cleanup(s.Close)
	s.AddUser(7, "Ana")
	s.AddChat(-9, "supergroup", "Team")
	bot, err := tgbotapi.NewBotAPIWithClient(token, s.URL()+"/bot%s/%s", &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, bot
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func message(chat int64, html string, data ...string) tgbotapi.MessageConfig {
	m := tgbotapi.NewMessage(chat, html)
	m.ParseMode = "HTML"
	var row []tgbotapi.InlineKeyboardButton
	for _, d := range data {
		row = append(row, tgbotapi.InlineKeyboardButton{Text: "Go", CallbackData: &d})
	}
	if row != nil {
		m.ReplyMarkup = tgbotapi.NewInlineKeyboardMarkup(row)
	}
	return m
}

// refused checks that err is the API's error of that code and text.
func refused(t *testing.T, err error, code int, text string) {
	t.Helper()
	var e *tgbotapi.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("error %v (%+v), want %d %q", err, e, code, text)
	}
}

func TestConversation(t *testing.T) {
	s, bot := start(t)
	if bot.Self.UserName != BotName || !bot.Self.IsBot {
		t.Errorf("getMe: %+v", bot.Self)
	}
	sent, err := bot.Send(message(7, "<b>a</b> &lt;😀 <code>x</code>", "yes"))
	if err != nil {
		t.Fatal(err)
	}
	if sent.Text != "a <😀 x" || len(sent.Entities) != 2 || sent.Entities[1].Offset != 6 || time.Since(sent.Time()) > time.Minute {
		t.Errorf("sent %+v", sent)
	}
	seen, err := s.WaitMessage(deadline(t), 7, func(m Message) bool { return m.ID == sent.MessageID })
	if err != nil || seen.Text != sent.Text {
		t.Fatal(seen, err)
	}
	callback := s.Press(seen, 7, "Go")
	updates, err := bot.GetUpdates(tgbotapi.UpdateConfig{Timeout: 50})
	if err != nil || len(updates) != 1 {
		t.Fatal(updates, err)
	}
	q := updates[0].CallbackQuery
	if q.ID != callback || q.From.ID != 7 || q.Data != "yes" || q.Message.MessageID != sent.MessageID || q.Message.Chat.Type != "private" {
		t.Errorf("query %+v", q)
	}
	if _, err := bot.Request(tgbotapi.NewCallback(q.ID, "done")); err != nil {
		t.Error(err)
	}
	if a, err := s.WaitAnswer(deadline(t), callback); err != nil || a.Text != "done" {
		t.Error(a, err)
	}
	_, err = bot.Request(tgbotapi.NewCallback(q.ID, "done"))
	refused(t, err, 400, "query is too old")

	edit := tgbotapi.NewEditMessageText(7, sent.MessageID, "b")
	if _, err := bot.Send(edit); err != nil {
		t.Error(err)
	}
	if m := s.Messages(7)[0]; m.Text != "b" || m.Buttons != nil || m.Edits != 1 {
		t.Errorf("edited %+v", m)
	}
	_, err = bot.Send(edit)
	refused(t, err, 400, "message is not modified")
	if _, err := bot.Send(tgbotapi.NewEditMessageReplyMarkup(7, sent.MessageID, message(7, "", "x").ReplyMarkup.(tgbotapi.InlineKeyboardMarkup))); err != nil {
		t.Error(err)
	}
	s.Delete(7, sent.MessageID)
	_, err = bot.Send(edit)
	refused(t, err, 400, "message to edit not found")

	doc, err := bot.Send(tgbotapi.NewDocument(7, tgbotapi.FileBytes{Name: "a.json", Bytes: []byte("{}")}))
	if err != nil || doc.Document == nil || doc.Document.FileName != "a.json" {
		t.Error(doc, err)
	}
	all := s.Messages(7)
	if d := all[len(all)-1].Document; d == nil || string(d.Content) != "{}" {
		t.Errorf("document %+v", d)
	}
	if _, err := bot.Request(tgbotapi.NewSetMyCommands(tgbotapi.BotCommand{Command: "help", Description: "Help"})); err != nil || len(s.Commands()) != 1 {
		t.Error(err)
	}
	_, err = bot.Request(tgbotapi.NewSetMyCommands(tgbotapi.BotCommand{Command: "Help!", Description: "Help"}))
	refused(t, err, 400, "BOT_COMMAND_INVALID")
}

func TestStrictness(t *testing.T) {
	s, bot := start(t)
	s.AddUser(8, "Bob")
	s.Block(8, true)
	many := strings.Repeat("😀", 2048)
	for _, tt := range []struct {
		name string
		m    tgbotapi.MessageConfig
		code int
		want string
	}{
		{"unknown chat", message(99, "x"), 400, "chat not found"},
		{"blocked", message(8, "x"), 403, "blocked"},
		{"empty", message(7, "<b> </b>"), 400, "message text is empty"},
		{"too long", message(7, many+"x"), 400, "message is too long"},
		{"bare <", message(7, "a < b"), 400, "can't parse entities"},
		{"unknown tag", message(7, "<p>x</p>"), 400, "unsupported start tag"},
		{"not closed", message(7, "<b>x"), 400, "can't find end tag"},
		{"crossed", message(7, "<b><i>x</b></i>"), 400, "unmatched end tag"},
		{"end only", message(7, "x</b>"), 400, "unexpected end tag"},
		{"bare &", message(7, "a & b"), 400, "can't parse entities"},
		{"not UTF-8", message(7, "a\xff"), 400, "UTF-8"},
		{"no button data", message(7, "x", ""), 400, "BUTTON_DATA_INVALID"},
		{"long button data", message(7, "x", strings.Repeat("x", 65)), 400, "BUTTON_DATA_INVALID"},
	} {
		_, err := bot.Send(tt.m)
		t.Run(tt.name, func(t *testing.T) { refused(t, err, tt.code, tt.want) })
	}
	if n := len(s.Messages(7)); n != 0 {
		t.Errorf("%d messages got through", n)
	}
	// Markup does not count, 64 bytes of data fit.
	if _, err := bot.Send(message(7, "<b>"+many+"</b>", strings.Repeat("x", 64))); err != nil {
		t.Error(err)
	}
	_, err := bot.MakeRequest("sendPoll", nil)
	refused(t, err, 404, "method not found")
	other := &tgbotapi.BotAPI{Token: "1:other", Client: http.DefaultClient}
	other.SetAPIEndpoint(s.URL() + "/bot%s/%s")
	_, err = other.GetMe()
	refused(t, err, 401, "Unauthorized")
}

func TestPolling(t *testing.T) {
	s, bot := start(t)
	one := s.Send(7, 7, "one")
	two := s.Send(-9, 7, "two")
	get := func(offset, timeout int) []tgbotapi.Update {
		t.Helper()
		u, err := bot.GetUpdates(tgbotapi.UpdateConfig{Offset: offset, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for range 2 { // not confirmed: delivered again
		if u := get(0, 0); len(u) != 2 || u[0].UpdateID != one || u[1].Message.Chat.ID != -9 || u[1].Message.From.ID != 7 {
			t.Fatalf("updates %+v", u)
		}
	}
	if u := get(two, 0); len(u) != 1 || u[0].UpdateID != two {
		t.Errorf("updates %+v", u)
	}
	if u := get(two+1, 0); len(u) != 0 || len(s.Unconfirmed()) != 0 {
		t.Errorf("updates %+v", u)
	}
	s.Redeliver(one)
	if u := get(two+1, 0); len(u) != 1 || u[0].UpdateID != one {
		t.Errorf("redelivered %+v", u)
	}
	// A long poll ends with the update, and a second one ends the first.
	first := make(chan error)
	before := s.Calls()["getUpdates"]
	go func() {
		_, err := bot.GetUpdates(tgbotapi.UpdateConfig{Offset: two + 1, Timeout: 50})
		first <- err
	}()
	if err := s.Wait(deadline(t), func() bool { return s.polling() && s.Calls()["getUpdates"] == before+1 }); err != nil {
		t.Fatal(err)
	}
	second := make(chan []tgbotapi.Update)
	go func() {
		u, _ := bot.GetUpdates(tgbotapi.UpdateConfig{Offset: two + 1, Timeout: 50})
		second <- u
	}()
	refused(t, <-first, 409, "terminated by other getUpdates request")
	s.Send(7, 0, "three")
	if u := <-second; len(u) != 1 || u[0].Message.From != nil {
		t.Errorf("long poll %+v", u)
	}
	// Numbers that start anew are found by an offset that is ahead of them.
	s.Renumber(3)
	s.Send(7, 7, "four")
	if u := get(two+9, 0); len(u) == 0 || u[len(u)-1].UpdateID != 3 {
		t.Errorf("renumbered %+v", u)
	}
	s.SetWebhook("https://x.example")
	_, err := bot.GetUpdates(tgbotapi.UpdateConfig{})
	refused(t, err, 409, "webhook")
	if _, err := bot.Request(tgbotapi.DeleteWebhookConfig{}); err != nil {
		t.Error(err)
	}
	get(0, 0)
}

// polling reports whether a long poll is being held.
func (s *Server) polling() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil
}

func TestPressesExpire(t *testing.T) {
	s, bot := start(t)
	s.SetCallbackTTL(time.Nanosecond)
	callback, _ := s.PressRaw(7, 0, 7, "x")
	if u, err := bot.GetUpdates(tgbotapi.UpdateConfig{}); err != nil || len(u) != 0 {
		t.Error(u, err)
	}
	_, err := bot.Request(tgbotapi.NewCallback(callback, ""))
	refused(t, err, 400, "query is too old")
}

func TestFailures(t *testing.T) {
	s, bot := start(t)
	send := func() error { _, err := bot.Send(message(7, "x")); return err }
	s.Fail("sendMessage", 1, Failure{Code: 429, RetryAfter: 7, Description: "Too Many Requests: retry after 7"})
	err := send()
	refused(t, err, 429, "retry after 7")
	var e *tgbotapi.Error
	if !errors.As(err, &e) || e.RetryAfter != 7 {
		t.Errorf("retry_after %+v", e)
	}
	if err := send(); err != nil {
		t.Error("failed twice", err)
	}
	for name, f := range map[string]Failure{
		"html": {Status: 502, HTML: true}, "cut": {Cut: true}, "drop": {Drop: true},
	} {
		s.Fail("sendMessage", 1, f)
		if err := send(); err == nil || errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Messages(7)); n != 1 {
		t.Errorf("%d messages", n)
	}
	s.Fail("*", 1, Failure{Drop: true, Late: true})
	if err := send(); err == nil || len(s.Messages(7)) != 2 {
		t.Errorf("late: %v, %d messages", err, len(s.Messages(7)))
	}
	s.Fail("sendMessage", -1, Failure{Hang: true})
	bot.Client = &http.Client{Timeout: 50 * time.Millisecond}
	if err := send(); err == nil {
		t.Error("hang: answered")
	}
	s.Fail("sendMessage", 0, Failure{})
	bot.Client = http.DefaultClient
	if err := send(); err != nil || s.Calls()["sendMessage"] != 8 {
		t.Error(err, s.Calls())
	}
}
