package telegram

import (
	"strings"
	"testing"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/relay/desk"
	"portero/shared/porterotest/botapi"
	"portero/shared/task"
	"portero/shared/wire"
)

func TestApproveToCompleted(t *testing.T) {
	r := start(t)
	r.ask("t1", `{"repo":"acme/web","title":"John Doe cannot log in"}`)
	m := r.card("t1")
	if !strings.HasPrefix(m.Text, "🔔 Approval Required\n\nTool: github/create_issue\n") || !strings.HasSuffix(m.Text, "\nID: t1") {
		t.Errorf("card:\n%s", m.Text)
	}
	for _, want := range []string{"Machine: lap (token laptop)", "Code: 7K3F", "Rule: github/*", "• repo: acme/web", "• title: John Doe cannot log in"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("card without %q:\n%s", want, m.Text)
		}
	}
	if got := r.toast(r.api.Press(m, admin, "✅ Approve")); got != "✅ Approved (7K3F)" {
		t.Errorf("toast %q", got)
	}
	got := r.state("t1", task.Approved)
	if got.By != "Ana (telegram:1001)" {
		t.Errorf("by %q", got.By)
	}
	m = r.message(admin, "ID: t1", "✅ Approved by Ana (telegram:1001), ", " UTC")
	if len(m.Buttons) != 0 {
		t.Error("a decided card has buttons")
	}
	r.do("t1", task.Event{Kind: task.Claim}, "", "")
	r.do("t1", task.Event{Kind: task.Start, Claim: 1}, "", "")
	r.message(admin, "ID: t1", "✅ Approved by Ana", "▶️ Running")
	r.do("t1", task.Event{Kind: task.Finish, Claim: 1}, wire.OK, "")
	r.message(admin, "ID: t1", "✅ Approved by Ana", "✅ Completed, ")
	if n := len(r.api.Messages(admin)); n != 1 {
		t.Errorf("%d messages, want 1:\n%s", n, r.texts(admin))
	}
}

func TestDeny(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	if got := r.toast(r.api.Press(r.card("t1"), admin, "❌ Deny")); got != "❌ Denied (7K3F)" {
		t.Errorf("toast %q", got)
	}
	r.state("t1", task.Denied)
	if m := r.message(admin, "❌ Denied by Ana (telegram:1001), "); strings.Contains(m.Text, "Approved") || len(m.Buttons) > 0 {
		t.Errorf("card:\n%s", m.Text)
	}
}

func TestFirstPressWins(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	r.toast(r.api.Press(m, admin, "❌ Deny"))
	for _, label := range []string{"✅ Approve", "❌ Deny"} {
		if got := r.toast(r.api.Press(m, admin, label)); got != "❌ Task already processed: denied by Ana (telegram:1001)" {
			t.Errorf("toast %q", got)
		}
	}
	r.state("t1", task.Denied)
	if n := r.audited("approve") + r.audited("deny"); n != 1 {
		t.Errorf("%d decisions on record", n)
	}
}

func TestRedeliveryChangesNothing(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	data := m.Buttons[0][0].Data
	callback, update := r.api.PressRaw(admin, m.ID, admin, data)
	r.toast(callback)
	rev := r.state("t1", task.Approved).Rev
	for range 3 {
		r.api.Redeliver(update)
		r.settled()
	}
	r.restart()
	for range 3 {
		r.api.Redeliver(update)
		r.settled()
	}
	if got := r.state("t1", task.Approved); got.Rev != rev {
		t.Errorf("revision %d, was %d", got.Rev, rev)
	}
	// What comes after the old update is still seen, and answered once.
	update = r.api.Send(admin, admin, "/whoami")
	r.message(admin, "chat_id: 1001\nuser_id: 1001")
	r.settled()
	r.api.Redeliver(update)
	r.settled()
	r.says(admin, admin, "/pending")
	if n := strings.Count(r.texts(admin), "chat_id: "); n != 1 {
		t.Errorf("a redelivered command was answered %d times", n)
	}
}

// An update is confirmed only when its effect is on disk: a bot that dies
// while it handles a press finds it again.
func TestPressSurvivesDeath(t *testing.T) {
	reached, hold := make(chan struct{}), make(chan struct{})
	r := start(t, func(r *rig) {
		r.opt.knobs.handling = func(int) {
			close(reached)
			<-hold
		}
	})
	r.ask("t1", `{}`)
	callback := r.api.Press(r.card("t1"), admin, "✅ Approve")
	<-reached
	r.cancel()
	close(hold)
	r.stop()
	r.state("t1", task.Pending)
	if len(r.api.Unconfirmed()) != 1 {
		t.Error("the update was confirmed before its effect")
	}

	r.opt.knobs.handling = nil
	r.run()
	r.toast(callback)
	r.state("t1", task.Approved)
}

// The effect is on disk, the confirmation is not: the next bot sees the press
// again and leaves it.
func TestDeathBeforeConfirmation(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	r.settled()
	r.api.Fail("getUpdates", -1, botapi.Failure{Status: 502, HTML: true})
	r.restart()
	callback, update := r.api.PressRaw(admin, m.ID, admin, m.Buttons[0][0].Data)
	_, err := r.desk.PressCard(r.ctx, desk.CardPress{Update: update, Nonce: m.Buttons[0][0].Data[1:], Approve: false, By: "x", Chat: admin, Message: m.ID})
	if err != nil {
		t.Fatal(err)
	}
	r.api.Fail("getUpdates", 0, botapi.Failure{})
	r.settled()
	r.state("t1", task.Denied)
	for _, a := range r.api.Answers() {
		if a.Callback == callback {
			t.Errorf("the press was handled twice: %+v", a)
		}
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	data := m.Buttons[0][0].Data
	for _, tt := range []struct {
		name string
		chat int64
		user int64
	}{
		{"another user in the admin's chat", admin, guest},
		{"the admin in a group", group, admin},
		{"a guest in a group", group, guest},
		{"no sender", admin, 0},
		{"Telegram itself", admin, 777000},
		{"an anonymous group admin", admin, 1087968824},
	} {
		callback, _ := r.api.PressRaw(tt.chat, m.ID, tt.user, data)
		if got := r.toast(callback); got != "⛔ Unauthorized" {
			t.Errorf("%s: toast %q", tt.name, got)
		}
		r.state("t1", task.Pending)
	}
	r.message(admin, "🚨 A press was refused", "Eve (telegram:2002)", "chat 1001")
	if n := r.audited("press-refused"); n != 6 {
		t.Errorf("%d alerts on record", n)
	}
	if !strings.Contains(r.logs.String(), "press refused") {
		t.Error("nothing in the log")
	}
	r.toast(r.api.Press(m, admin, "✅ Approve"))
	r.state("t1", task.Approved)
}

func TestStrangersAlertsAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t)
	for i := range 40 {
		callback, _ := r.api.PressRaw(group, 0, guest, "x")
		if got := r.toast(callback); got != "⛔ Unauthorized" {
			t.Fatalf("press %d: toast %q", i, got)
		}
	}
	r.message(admin, "🚨")
	if n := r.audited("press-refused"); n < 1 || n > 6 {
		t.Errorf("%d alerts on record for one stranger", n)
	}
}

func TestGroup(t *testing.T) {
	t.Run("without admin_user_ids nobody may press", func(t *testing.T) {
		r := start(t, func(r *rig) { r.opt.AdminChat = group })
		r.ask("t1", `{}`)
		m := r.message(group, "ID: t1")
		if got := r.toast(r.api.Press(m, admin, "✅ Approve")); got != "⛔ Unauthorized" {
			t.Errorf("toast %q", got)
		}
		r.state("t1", task.Pending)
		r.message(group, "🚨", "To allow this person, add 1001.")
	})
	t.Run("with them only they may", func(t *testing.T) {
		r := start(t, func(r *rig) { r.opt.AdminChat, r.opt.AdminUsers = group, []int64{admin} })
		r.ask("t1", `{}`)
		m := r.message(group, "ID: t1")
		r.toast(r.api.Press(m, guest, "✅ Approve"))
		r.state("t1", task.Pending)
		r.toast(r.api.Press(m, admin, "✅ Approve"))
		r.state("t1", task.Approved)
	})
	t.Run("in a private chat admin_user_ids count too", func(t *testing.T) {
		r := start(t, func(r *rig) { r.opt.AdminUsers = []int64{guest} })
		r.ask("t1", `{}`)
		r.toast(r.api.Press(r.card("t1"), admin, "✅ Approve"))
		r.state("t1", task.Pending)
	})
}

func TestMay(t *testing.T) {
	user := func(id int64) *tgbotapi.User { return &tgbotapi.User{ID: id} }
	for _, tt := range []struct {
		name        string
		users       []int64
		admin, chat int64
		from        *tgbotapi.User
		want        bool
	}{
		{"the chat's own user", nil, 5, 5, user(5), true},
		{"another user", nil, 5, 5, user(6), false},
		{"another chat", nil, 5, 6, user(6), false},
		{"nobody", nil, 5, 5, nil, false},
		{"a group", nil, -5, -5, user(5), false},
		{"a listed user in a group", []int64{4, 5}, -5, -5, user(5), true},
		{"an unlisted user in a group", []int64{4}, -5, -5, user(5), false},
		{"an unlisted user in the own chat", []int64{4}, 5, 5, user(5), false},
		{"no number", []int64{0}, -5, -5, user(0), false},
		{"a bot", []int64{5}, -5, -5, &tgbotapi.User{ID: 5, IsBot: true}, false},
		{"a listed mask", []int64{1087968824}, -5, -5, user(1087968824), false},
		{"Telegram, listed", []int64{777000}, -5, -5, user(777000), false},
	} {
		if got := (&Bot{users: tt.users}).may(tt.admin, tt.chat, tt.from); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestUselessPresses(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	data := m.Buttons[0][0].Data
	for _, tt := range []struct {
		name    string
		message int
		data    string
		toast   string
	}{
		{"unknown nonce", m.ID, "a" + strings.Repeat("A", nonceLen), "Task not found"},
		{"unknown verb", m.ID, "x" + data[1:], "of no use"},
		{"no data", m.ID, "", "of no use"},
		{"too short", m.ID, data[:20], "of no use"},
		{"the task's id", m.ID, "approve:t1", "of no use"},
		{"two bytes that are half a letter", m.ID, "a\xc3" + data[2:], "of no use"},
	} {
		callback, _ := r.api.PressRaw(admin, tt.message, admin, tt.data)
		if got := r.toast(callback); !strings.Contains(got, tt.toast) {
			t.Errorf("%s: toast %q", tt.name, got)
		}
		r.state("t1", task.Pending)
	}
	// Without its message nobody can tell in which chat it was pressed.
	callback, _ := r.api.PressRaw(admin, 0, admin, data)
	r.toast(callback)
	r.state("t1", task.Pending)
}

// A message that is too old to be shown, or deleted, comes as a bare number.
func TestPressOnDeletedCard(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	r.api.Delete(admin, m.ID)
	r.toast(r.api.Press(m, admin, "✅ Approve"))
	r.state("t1", task.Approved)
	r.eventually("the card is given up", func() bool {
		cards, err := r.desk.CardsToEdit(r.ctx, 10)
		return err == nil && len(cards) == 0
	})
	r.ask("t2", `{}`) // and nobody else is held up
	r.card("t2")
}

func TestPressAfterTheEnd(t *testing.T) {
	r := start(t)
	r.ask("t1", `{}`)
	m := r.card("t1")
	r.do("t1", task.Event{Kind: task.Cancel}, "", "")
	r.message(admin, "🚫 Cancelled", "withdrawn")
	if got := r.toast(r.api.Press(m, admin, "✅ Approve")); !strings.Contains(got, "cancelled") {
		t.Errorf("toast %q", got)
	}
	r.state("t1", task.Cancelled)
}

// A crash after a card was sent and before that was noted gives a second card.
// It has the same button; both may be pressed, one decision comes of it, and
// each card shows it once it was pressed.
func TestSecondCopyOfACard(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.stop()
	r.ask("t1", `{}`)
	// The first bot: sends the card, and dies.
	cards, err := r.desk.CardsToSend(r.ctx, admin, 1)
	if err != nil || len(cards) != 1 {
		t.Fatal(cards, err)
	}
	first := New(r.opt)
	params := content(admin, draw(cards[0].Task, attached).html)
	params.AddInterface("reply_markup", keyboard(cards[0].Nonce))
	if err := first.api.call(r.ctx, time.Second, "sendMessage", params, nil); err != nil {
		t.Fatal(err)
	}
	r.run()
	if err := r.api.Wait(r.ctx, func() bool { return len(r.api.Messages(admin)) == 2 }); err != nil {
		t.Fatal(err)
	}
	r.eventually("the second is noted", func() bool {
		unsent, err := r.desk.CardsToSend(r.ctx, admin, 1)
		return err == nil && len(unsent) == 0
	})
	all := r.api.Messages(admin)
	one, two := all[0], all[1]
	if one.Buttons[0][0] != two.Buttons[0][0] || one.Text != two.Text {
		t.Errorf("the copies differ:\n%+v\n%+v", one, two)
	}
	decided := func(id int) {
		t.Helper()
		_, err := r.api.WaitMessage(r.ctx, admin, func(m botapi.Message) bool {
			return m.ID == id && len(m.Buttons) == 0 && strings.Contains(m.Text, "✅ Approved by Ana")
		})
		if err != nil {
			t.Errorf("card %d does not show the decision:\n%s", id, r.texts(admin))
		}
	}
	r.toast(r.api.Press(one, admin, "✅ Approve"))
	decided(one.ID)
	if got := r.toast(r.api.Press(two, admin, "❌ Deny")); !strings.Contains(got, "already processed: approved by Ana") {
		t.Errorf("toast %q", got)
	}
	decided(two.ID)
	r.state("t1", task.Approved)
}

func TestOffsetAfterRenumbering(t *testing.T) {
	r := start(t)
	r.api.Send(admin, admin, "/whoami")
	r.message(admin, "chat_id")
	r.settled()
	r.stop()
	r.api.Renumber(7)
	r.ask("t1", `{}`)
	r.run()
	r.toast(r.api.Press(r.card("t1"), admin, "✅ Approve"))
	r.state("t1", task.Approved)
	r.settled()
}
